"""From raw records to the whole summary: figures, verdicts, ledgers, and all that speaks against them.

A figure and its doubts leave this module together; one that a check forbids is kept and marked.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.analysis import checks, collector, cost_model, layers
from bench.analysis.blocks import Stretch, is_spoiled, logs, stretches
from bench.analysis.ledger import Traffic, ledger_of, together, traffic_of
from bench.analysis.rate_search import rates_found
from bench.analysis.records import (
    AppName,
    Caveat,
    Change,
    Checks,
    ControlCheck,
    Cost,
    Floor,
    Latency,
    LoadSummary,
    Pair,
    Rest,
    SetupSummary,
    Severity,
    Start,
    Summary,
    Throughput,
    Twin,
    WorkerLag,
)
from bench.analysis.stats import Estimate, against, contrasts, has_tail, quantile, t_quantile
from bench.app.records import BASELINE, CHECKS, CONTROL, TWIN
from bench.plan.records import SCHEMA, InstanceReading, Kind, Plan, Raw
from bench.plan.schedule import is_saturated

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
ALWAYS_OFF, DISABLED, EVERYTHING = "always-off", "disabled", "batch"
"""Set-ups that tell how much of the cost sampling can save."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of all set-ups, such as CPU per request at light load.

    Attributes:
        plan: of the run.
        values: by set-up, one value per epoch; None where an epoch has none.
    """

    plan: Plan
    values: Mapping[str, Sequence[float | None]]

    @cached_property
    def logs(self) -> dict[str, list[float]]:
        """Ln of the values, of the epochs in which every set-up has one."""
        return logs(self.values)

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The instances that together are the baseline: itself, and its twin where there is one.

        They are the same set-up, so their mean is the baseline with half the variance; the twin's
        own difference from it does not correlate with what is found of the others.
        """
        return tuple(name for name in (BASELINE, TWIN) if name in self.values)

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every set-up against the baseline; the twin against the other half of the baseline."""
        names = [name for name in self.values if name != BASELINE]
        weights = {name: against(name, (BASELINE,) if name == TWIN else self.references) for name in names}
        return contrasts(self.logs, weights, len([name for name in names if name not in CHECKS]))

    def level(self, *names: str) -> float | None:
        """Geometric mean over epochs of one set-up, or of several identical ones."""
        values = [value for name in names for value in self.logs.get(name, ())]
        return math.exp(float(np.mean(values))) if values else None

    @property
    def base(self) -> float | None:
        """The baseline's level."""
        return self.level(*self.references)

    @cached_property
    def bias(self) -> float:
        """What identical set-ups differ by (log), where their interval excludes 0; claims widen by it."""
        twin = self.estimates.get(TWIN)
        if twin is None:
            return 0.0
        low, high = twin.interval(self.plan.confidence)
        return 0.0 if low <= 0.0 <= high else abs(twin.log_ratio)

    def change(self, name: str, *, in_seconds: bool = False) -> Change | None:
        """A set-up's change against the baseline."""
        estimate = self.estimates.get(name)
        if estimate is None:
            return None
        low, high = estimate.interval(self.plan.confidence)
        ratio = math.expm1(estimate.log_ratio)
        return Change(
            ratio=ratio,
            low=math.expm1(low),
            high=math.expm1(high),
            extra_s=ratio * (self.base or 0.0) if in_seconds else None,
            standard_error=estimate.standard_error,
            df=estimate.df,
        )

    def difference(self, name: str) -> tuple[float, float, float]:
        """The change in absolute terms, and the ends of its interval.

        The baseline's level is not exact: its own half-width over epochs is joined to the ratio's
        as squares (Zou and Donner, 2008). The two err in opposite directions, so this is too wide
        and never too narrow.
        """
        estimate, base = self.estimates[name], self.base or 0.0
        ratio = math.expm1(estimate.log_ratio)
        low, high = (math.expm1(end) for end in estimate.interval(self.plan.confidence))
        epochs = np.mean([self.logs[reference] for reference in self.references], axis=0)
        spread = float(np.std(epochs, ddof=1)) / math.sqrt(len(epochs))
        quantile_ = t_quantile(0.5 + self.plan.confidence / 2, len(epochs) - 1)
        level = abs(ratio) * base * math.expm1(quantile_ * spread)
        value = ratio * base
        return (
            value,
            value - math.hypot(value - low * base, level),
            value + math.hypot(high * base - value, level),
        )


def figure(plan: Plan, parts: Sequence[Stretch], read: str, *, only: Sequence[str] = ()) -> Figure:
    """A figure from a method of `Stretch`, of all set-ups or some."""
    return Figure(
        plan=plan,
        values={
            name: [getattr(part, read)(number) for part in parts]
            for number, name in enumerate(plan.names)
            if not only or name in only
        },
    )


class Findings:
    """Everything that is computed once and needed in several places."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.plan = raw.plan
        self.light = stretches(raw, Kind.LIGHT)
        self.busy = stretches(raw, Kind.BUSY)
        self.light_cpu = figure(self.plan, self.light, "cpu_per_request_s")
        self.busy_cpu = figure(self.plan, self.busy, "cpu_per_request_s")
        self.idle = tuple(checks.idle(self.busy, self.plan))
        self.throughput = self._throughput()
        self.latency = {name: self._latency(q) for name, q in QUANTILES.items()}
        self.traffic = {name: traffic_of(raw, name) for name in self.plan.names}
        self.ledgers = {
            setup.name: ledger_of(self.plan, setup, self.traffic[setup.name]) for setup in self.plan.setups
        }

    def _throughput(self) -> Figure:
        measured = figure(self.plan, self.busy, "per_s")
        # Where the load was the limit, what an instance can do follows from what a request costs it.
        cpus = self.plan.service_cpus
        derived = {
            name: [cpus / cost if cost else None for cost in self.busy_cpu.values[name]]
            for name in self.derived
        }
        return Figure(plan=self.plan, values=dict(measured.values) | derived)

    @property
    def derived(self) -> frozenset[str]:
        """Set-ups whose throughput is derived from CPU time."""
        return frozenset(caveat.setup for caveat in self.idle if caveat.setup)

    def _latency(self, q: float) -> Figure:
        """A quantile, of the set-ups that hold the light rate."""
        values: dict[str, list[float | None]] = {}
        for number, name in enumerate(self.plan.names):
            if not is_saturated(self.plan, name):
                values[name] = [_quantile(part.latencies_s(number), q) for part in self.light]
        return Figure(plan=self.plan, values=values)

    def requests(self, name: str) -> int:
        """Requests of light load that a set-up's percentiles rest on."""
        number = self.plan.names.index(name)
        return sum(len(part.latencies_s(number)) for part in self.light)

    @property
    def epochs(self) -> int:
        """Epochs with a figure of every set-up."""
        loads = [
            figure_
            for figure_, planned in ((self.light_cpu, self.plan.light), (self.busy_cpu, self.plan.busy))
            if planned.blocks
        ]
        return min((len(each.logs[BASELINE]) for each in loads), default=0)


def _quantile(values: np.ndarray, q: float) -> float | None:
    """A quantile of one epoch; None where nothing, or a failure, stands there."""
    if not len(values):
        return None
    value = float(np.quantile(values, q))
    return value if math.isfinite(value) else None


Predict = Callable[[Mapping[str, Traffic]], Mapping[str, layers.Prediction]]
"""Predicts layers from what the set-ups sent."""


def summarise(raw: Raw, predict: Predict | None = None) -> Summary:
    """Everything that follows from a run's raw records.

    Args:
        raw: what it left.
        predict: predicts layers, where microbenchmarks belong to the run.
    """
    findings = Findings(raw)
    plan = findings.plan
    load = _load(findings)
    caveats = _caveats(findings, load)
    setups = tuple(_setup(findings, name, caveats) for name in plan.names)
    return Summary(
        schema=SCHEMA,
        valid=findings.epochs >= 2 and all(caveat.severity is not Severity.INVALID for caveat in caveats),
        complete=raw.ending.complete,
        app=AppName(name=plan.app.name, request=plan.app.unit),
        baseline=BASELINE,
        plan=plan,
        epochs=findings.epochs,
        checks=_checks(findings),
        floor=_floor(setups),
        setups=setups,
        pairs=_pairs(findings),
        load=load,
        caveats=caveats,
        cost_model=cost_model.fit(plan, setups),
        layers=layers.ladder(plan, findings.light_cpu.logs, predict(_totals(findings)) if predict else {}),
        collector=collector.summarise(raw, findings.traffic),
    )


def _totals(findings: Findings) -> dict[str, Traffic]:
    return {name: together(parts) for name, parts in findings.traffic.items()}


# ---------------------------------------------------------------- one set-up


def _setup(findings: Findings, name: str, caveats: Sequence[Caveat]) -> SetupSummary:
    plan = findings.plan
    setup = plan.setups[plan.names.index(name)]
    why = checks.reason(caveats, {name, BASELINE, TWIN})
    light = _cost(findings.light_cpu, name, rate_per_s=plan.rates.get(name))
    busy = _cost(findings.busy_cpu, name)
    main = light if plan.light.blocks else busy
    return SetupSummary(
        name=name,
        description=setup.description,
        verdict=verdict(name, main, why, plan.delta),
        invalid=why is not None,
        light=light,
        busy=busy,
        throughput=_throughput(findings, name),
        highest_rate=_highest_rate(findings, name),
        latency=_latency(findings, name),
        rest=_rest(findings.raw, name),
        start=_start(findings.raw, name),
        ledger=findings.ledgers[name],
        caveats=tuple(caveat for caveat in caveats if caveat.setup == name),
    )


def _cost(cpu: Figure, name: str, rate_per_s: float | None = None) -> Cost | None:
    level = cpu.level(name)
    if level is None:
        return None
    estimate = cpu.estimates.get(name)
    if estimate is None:
        return Cost(rate_per_s=rate_per_s, cpu_per_request_s=level)
    confidence = cpu.plan.confidence
    low, high = estimate.interval(confidence)
    claim_low, claim_high = estimate.claim(confidence)
    widening = 0.0 if name == TWIN else cpu.bias
    extra, extra_low, extra_high = cpu.difference(name)
    return Cost(
        rate_per_s=rate_per_s,
        cpu_per_request_s=level,
        extra_s=extra,
        extra_low_s=extra_low,
        extra_high_s=extra_high,
        ratio=math.expm1(estimate.log_ratio),
        low=math.expm1(low),
        high=math.expm1(high),
        mde=math.expm1(estimate.mde(confidence) + widening),
        claim_low=math.expm1(claim_low - widening),
        claim_high=math.expm1(claim_high + widening),
        negligible=estimate.within(cpu.plan.delta, widening),
        standard_error=estimate.standard_error,
        df=estimate.df,
        shares_variance=estimate.shares_variance,
    )


def verdict(name: str, cost: Cost | None, why: str | None, delta: float) -> str:
    """The verdict in the method's words, and no others.

    Args:
        name: of the set-up.
        cost: its figures.
        why: why they do not count; None if they do.
        delta: what counts as no overhead.
    """
    if why is not None:
        return f"invalid ({why})"
    if name == BASELINE:
        return "baseline"
    if cost is None or cost.ratio is None or cost.claim_low is None or cost.claim_high is None:
        return "invalid (too few epochs)"
    if not cost.claim_low <= 0.0 <= cost.claim_high:
        ends = f"[{(cost.low or 0) * 100:+.1f}, {(cost.high or 0) * 100:+.1f}]"
        return f"overhead {cost.ratio * 100:+.1f} % {ends}"
    if cost.negligible:
        return f"no overhead beyond {delta * 100:.0f} %"
    return f"inconclusive (MDE {(cost.mde or 0) * 100:.1f} %)"


def _throughput(findings: Findings, name: str) -> Throughput | None:
    per_s = findings.throughput.level(name)
    if per_s is None:
        return None
    change = findings.throughput.change(name)
    return Throughput(
        per_s=per_s,
        ratio=change.ratio if change else None,
        low=change.low if change else None,
        high=change.high if change else None,
        standard_error=change.standard_error if change else None,
        df=change.df if change else None,
        derived=name in findings.derived,
    )


def _highest_rate(findings: Findings, name: str) -> Throughput | None:
    if not findings.plan.probes:
        return None
    rates = Figure(plan=findings.plan, values=rates_found(findings.raw))
    per_s, change = rates.level(name), rates.change(name)
    if per_s is None:
        return None
    return Throughput(
        per_s=per_s,
        ratio=change.ratio if change else None,
        low=change.low if change else None,
        high=change.high if change else None,
    )


def _latency(findings: Findings, name: str) -> Latency | None:
    plan = findings.plan
    if not findings.light:
        return None
    rate = plan.rates.get(name)
    if is_saturated(plan, name):
        return Latency(rate_per_s=rate, saturated=True)
    count = findings.requests(name)
    shown = [quantile_ for quantile_, q in QUANTILES.items() if has_tail(count, q)]
    levels = {each: findings.latency[each].level(name) for each in shown}
    changes = {each: findings.latency[each].change(name, in_seconds=True) for each in shown}
    return Latency(
        rate_per_s=rate,
        requests=count,
        p50_s=levels.get("p50"),
        p90_s=levels.get("p90"),
        p99_s=levels.get("p99"),
        changes={each: change for each, change in changes.items() if change is not None},
    )


def _instances(raw: Raw, kind: Kind, name: str) -> list[tuple[float, InstanceReading]]:
    """A set-up's readings of a kind of step, with the length of each."""
    return [
        (reading.duration_s, instance)
        for reading in raw.readings
        if reading.kind is kind
        for instance in reading.instances
        if instance.setup == name
    ]


def _rest(raw: Raw, name: str) -> Rest | None:
    readings = _instances(raw, Kind.REST, name)
    if not readings:
        return None
    memories = [instance.memory for _, instance in readings if instance.memory]
    return Rest(
        cpu_per_s=sum(instance.cpu_ns for _, instance in readings)
        / 1e9
        / sum(length for length, _ in readings),
        pss_bytes=round(np.mean([memory.pss_bytes for memory in memories])) if memories else None,
        uss_bytes=round(np.mean([memory.uss_bytes for memory in memories])) if memories else None,
    )


def _start(raw: Raw, name: str) -> Start | None:
    readings = [instance for _, instance in _instances(raw, Kind.START, name)]
    ready = [instance.ready_s for instance in readings if instance.ready_s is not None]
    if not ready:
        return None
    return Start(
        ready_s=float(np.median(ready)),
        cpu_s=float(np.median([instance.cpu_ns / 1e9 for instance in readings])),
    )


# ---------------------------------------------------------------- the whole run


def _floor(setups: Sequence[SetupSummary]) -> Floor:
    extras = {
        setup.name: setup.light.extra_s
        for setup in setups
        if setup.light and setup.light.extra_s is not None and not setup.invalid
    }
    everything = extras.get(EVERYTHING)
    if not everything or everything <= 0:
        return Floor()
    off, disabled = extras.get(ALWAYS_OFF), extras.get(DISABLED)
    return Floor(
        off=off / everything if off is not None else None,
        disabled=disabled / everything if disabled is not None else None,
    )


def _pairs(findings: Findings) -> tuple[Pair, ...]:
    """Each set-up under test against the next cheaper one: never by subtracting two intervals."""
    cpu = findings.light_cpu if findings.plan.light.blocks else findings.busy_cpu
    if not cpu.estimates:
        return ()
    tested = [name for name in cpu.estimates if name not in CHECKS]
    ordered = sorted(tested, key=lambda name: cpu.estimates[name].log_ratio)
    weights = {dearer: against(dearer, (cheaper,)) for cheaper, dearer in itertools.pairwise(ordered)}
    found = contrasts(cpu.logs, weights, len(weights))
    pairs = []
    for cheaper, dearer in itertools.pairwise(ordered):
        low, high = found[dearer].interval(findings.plan.confidence)
        pairs.append(
            Pair(
                setup=dearer,
                against=cheaper,
                ratio=math.expm1(found[dearer].log_ratio),
                low=math.expm1(low),
                high=math.expm1(high),
            )
        )
    return tuple(pairs)


def _checks(findings: Findings) -> Checks:
    figures = {
        "light": findings.light_cpu,
        "busy": findings.busy_cpu,
        "throughput": findings.throughput,
        "p50": findings.latency["p50"],
    }
    twin = {name: each.change(TWIN) for name, each in figures.items()}
    cpu = findings.light_cpu if findings.plan.light.blocks else findings.busy_cpu
    estimate = cpu.estimates.get(TWIN)
    noise_floor = None
    if estimate is not None:
        noise_floor = max(abs(math.expm1(end)) for end in estimate.interval(findings.plan.confidence))
    control = None
    if CONTROL in cpu.estimates:
        found, low, high = cpu.difference(CONTROL)
        control = ControlCheck(known_s=findings.plan.burns_s[CONTROL], found_s=found, low_s=low, high_s=high)
    return Checks(twin=Twin(**twin) if any(twin.values()) else None, control=control, noise_floor=noise_floor)


def _control_residual(cpu: Figure) -> tuple[Estimate | None, float]:
    """ln(control / (baseline + known cost)), and the known cost on the same scale.

    Its standard error is that of the set-ups, pooled: the same paired log ratios.
    """
    if CONTROL not in cpu.estimates:
        return None, 0.0
    known_s = cpu.plan.burns_s[CONTROL]
    base = np.exp([cpu.logs[name] for name in cpu.references])
    residuals = np.asarray(cpu.logs[CONTROL]) - np.mean(np.log(base + known_s), axis=0)
    estimate = replace(cpu.estimates[CONTROL], log_ratio=float(np.mean(residuals)))
    return estimate, math.log1p(known_s / (cpu.base or math.inf))


def _caveats(findings: Findings, load: LoadSummary) -> tuple[Caveat, ...]:
    plan, raw = findings.plan, findings.raw
    latency = findings.latency["p50"].level(BASELINE)
    residual, known = _control_residual(findings.light_cpu if plan.light.blocks else findings.busy_cpu)
    twins = {
        "light CPU": findings.light_cpu,
        "busy CPU": findings.busy_cpu,
        "throughput": findings.throughput,
        "p50": findings.latency["p50"],
    }
    return (
        *checks.progress(plan, findings.epochs, raw.ending),
        *checks.load(load, latency),
        *(() if plan.targets else checks.turns(load)),
        *(() if plan.targets else checks.machine(load)),
        *checks.elsewhere(plan),
        *checks.without_checks(plan),
        *checks.stray(raw),
        *checks.flushes(raw),
        *(
            caveat
            for name in plan.names
            for caveat in (*_errors(findings, name), *checks.ledger(name, findings.ledgers[name]))
        ),
        *checks.trends(findings.light, plan),
        *findings.idle,
        *(
            caveat
            for name, each in twins.items()
            for caveat in checks.twin(name, each.estimates.get(TWIN), plan.confidence)
        ),
        *checks.control(residual, known),
    )


def _errors(findings: Findings, name: str) -> Sequence[Caveat]:
    parts = [
        instance
        for reading in findings.raw.readings
        for instance in reading.instances
        if instance.setup == name
    ]
    failed = sum(part.failed for part in parts)
    return tuple(checks.errors(name, failed + sum(part.completed for part in parts), failed))


def _load(findings: Findings) -> LoadSummary:
    """How the load went, in blocks that count."""
    plan, raw = findings.plan, findings.raw
    counting = [
        reading.blocks[block]
        for part in (*findings.light, *findings.busy)
        for reading, blocks in zip(part.readings, part.counting, strict=True)
        for block in blocks
    ]
    light = [
        reading.blocks[block]
        for part in findings.light
        for reading, blocks in zip(part.readings, part.counting, strict=True)
        for block in blocks
    ]
    length_s = sum(block.duration_s for block in counting) or 1.0
    light_s = sum(block.duration_s for block in light) or 1.0
    steps = [reading for reading in raw.readings if reading.kind in {Kind.LIGHT, Kind.BUSY}]
    lags, outside = _lags(findings)
    cpus = min(max(plan.workers, 1), len(plan.other_cpus) or plan.cpus)
    return LoadSummary(
        requests=sum(
            instance.completed + instance.failed + instance.unsent
            for reading in steps
            for instance in reading.instances
        ),
        unsent=sum(instance.unsent for reading in steps for instance in reading.instances),
        failed=sum(instance.failed for reading in steps for instance in reading.instances),
        lag_p50_s=quantile(lags, 0.5),
        lag_p99_s=quantile(lags, 0.99),
        outside=outside,
        load_busy=sum(block.load_s for block in light) / light_s / cpus,
        steal=sum(block.steal_s for block in counting) / length_s,
        foreign=sum(block.foreign_s for block in counting) / length_s,
        turns=_turns(raw),
        leaked=_leaked(raw),
        blocks=len(counting),
        repeated=sum(sum(map(is_spoiled, reading.blocks)) for reading in steps),
        lost_workers=sum(reading.lost_workers for reading in raw.readings),
        workers=_workers(raw) if plan.workers else (),
    )


def _lags(findings: Findings) -> tuple[list[float], float]:
    """Lag of every arrival of light load, and the share of those that were sent after their turn."""
    lags: list[float] = []
    late = count = 0
    for part in findings.light:
        for reading, instances in zip(part.readings, part.requests, strict=True):
            lags += [float(lag) for requests in instances for lag in requests.lag_s]
            rows = findings.raw.rows.get((part.epoch, reading.number), ())
            stops: dict[int, list[int]] = {}
            starts: dict[int, list[int]] = {}
            for switch in reading.switches:
                starts.setdefault(switch.instance, []).append(switch.start_ns)
                stops.setdefault(switch.instance, []).append(switch.stop_ns)
            for instance, begins in starts.items():
                mine = [row for row in rows if row.instance == instance]
                turn = np.searchsorted(begins, [row.planned_ns for row in mine], side="right") - 1
                ends = np.array(stops[instance])[np.maximum(turn, 0)]
                late += int(np.count_nonzero(np.array([row.sent_ns for row in mine]) > ends))
                count += len(mine)
    return lags, late / count if count else 0.0


def _turns(raw: Raw) -> float:
    """Relative difference of the turns' length in sum from what was planned."""
    planned = actual = 0.0
    for reading in raw.readings:
        stretch = {Kind.LIGHT: raw.plan.light, Kind.BUSY: raw.plan.busy}.get(reading.kind)
        if stretch:
            lengths = [
                (switch.stop_ns - switch.start_ns) / 1e9 for switch in reading.switches if switch.block >= 0
            ]
            planned += stretch.turn_s * len(lengths)
            actual += sum(lengths)
    return abs(actual / planned - 1) if planned else 0.0


def _leaked(raw: Raw) -> float:
    """CPU time that stopped instances used, as a share of all."""
    switches = [switch for reading in raw.readings for switch in reading.switches]
    used = sum(switch.cpu_ns for switch in switches)
    return sum(switch.leaked_ns for switch in switches) / used if used else 0.0


def _workers(raw: Raw) -> tuple[WorkerLag, ...]:
    """How late each load worker sent."""
    lags: dict[int, list[float]] = {}
    for reading in raw.readings:
        if reading.kind is Kind.LIGHT:
            for row in raw.rows.get((reading.epoch, reading.number), ()):
                if row.status >= 0:
                    lags.setdefault(row.worker, []).append((row.sent_ns - row.planned_ns) / 1e9)
    return tuple(
        WorkerLag(
            worker=worker,
            arrivals=len(mine),
            lag_p50_s=quantile(mine, 0.5),
            lag_p99_s=quantile(mine, 0.99),
        )
        for worker, mine in sorted(lags.items())
    )
