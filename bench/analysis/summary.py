"""From raw records to the whole summary: figures, verdicts, span accounting, and every caveat.

A figure leaves this module with its caveats; a figure that a check invalidates is kept and marked.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from bench.analysis import checks, collector_cost, cost_model, layers, trace_checks, work_checks
from bench.analysis.accounting import Traffic, together
from bench.analysis.claims import Caveat, Severity, Verdict, VerdictKind, change_of
from bench.analysis.contrasts import alternatives, contrasts
from bench.analysis.figures import QUANTILES, Figure, RunAnalysis
from bench.analysis.kinds import by_kind, failures
from bench.analysis.load import load_summary
from bench.analysis.rate_search import rates_found
from bench.analysis.records import (
    AACheck,
    AppName,
    Checks,
    Cost,
    FixedCost,
    InjectedCheck,
    Latency,
    LoadSummary,
    Recovery,
    Rest,
    SetupSummary,
    Start,
    Summary,
    Throughput,
)
from bench.analysis.stats import Estimate, has_tail
from bench.app.records import AA, BASELINE, INJECTED
from bench.app.setups import EVERYTHING
from bench.plan.readings import InstanceReading, Raw
from bench.plan.records import SCHEMA, Kind, Plan
from bench.plan.schedule import is_overloaded

ALWAYS_OFF, DISABLED = "always-off", "disabled"
"""Setups that show how much of the cost sampling can save."""


Predict = Callable[[Plan, Mapping[str, Traffic]], Mapping[str, layers.Prediction]]
"""Predicts the layers of a plan from what its setups sent."""


def summarise(raw: Raw, predict: Predict | None = None) -> Summary:
    """Everything that follows from a run's raw records.

    Args:
        raw: what it left.
        predict: predicts layers, where microbenchmarks belong to the run.
    """
    analysis = RunAnalysis(raw)
    plan = analysis.plan
    load = load_summary(analysis)
    caveats = _caveats(analysis, load)
    setups = tuple(_setup(analysis, name, caveats) for name in plan.names)
    return Summary(
        schema=SCHEMA,
        valid=analysis.replicates >= 2 and all(caveat.severity is not Severity.INVALID for caveat in caveats),
        complete=raw.ending.complete,
        app=AppName(name=plan.app.name, request=plan.app.unit),
        baseline=BASELINE,
        plan=plan,
        learned=raw.learned,
        replicates=analysis.replicates,
        checks=_checks(analysis),
        fixed_cost=_fixed_cost(setups),
        setups=setups,
        alternatives=alternatives(analysis),
        contrasts=contrasts(analysis),
        load=load,
        caveats=caveats,
        cost_model=cost_model.fit(plan, setups, "light"),
        cost_model_saturation=cost_model.fit(plan, setups, "saturation"),
        layers=layers.ladder(
            plan, analysis.light_cpu.logs, predict(plan, _totals(analysis)) if predict else {}
        ),
        collector=collector_cost.summarise(raw, analysis.traffic),
        requests=by_kind(analysis),
    )


def _totals(analysis: RunAnalysis) -> dict[str, Traffic]:
    return {name: together(parts) for name, parts in analysis.traffic.items()}


# ---------------------------------------------------------------- one setup


def _setup(analysis: RunAnalysis, name: str, caveats: Sequence[Caveat]) -> SetupSummary:
    plan = analysis.plan
    setup = plan.setups[plan.names.index(name)]
    reason = checks.reason(caveats, {name, BASELINE, AA})
    light = _cost(analysis.light_cpu, name, rate_per_s=analysis.learned.rates.get(name))
    saturation = _cost(analysis.saturation_cpu, name)
    main = light if plan.light.blocks else saturation
    return SetupSummary(
        name=name,
        description=setup.description,
        verdict=verdict(main, reason, plan.delta, is_baseline=name == BASELINE),
        invalid=reason is not None,
        light=light,
        saturation=saturation,
        throughput=_throughput_at_full_load(analysis, name),
        highest_rate=_highest_rate(analysis, name),
        latency=_latency(analysis, name),
        rest=_rest(analysis.raw, name),
        start=_start(analysis.raw, name),
        accounting=analysis.accounting[name],
        caveats=tuple(caveat for caveat in caveats if caveat.setup == name),
    )


def _cost(cpu: Figure, name: str, rate_per_s: float | None = None) -> Cost | None:
    level = cpu.level(name)
    if level is None:
        return None
    estimate = cpu.estimates.get(name)
    if estimate is None:
        return Cost(rate_per_s=rate_per_s, cpu_per_request_s=level)
    added, added_low, added_high = cpu.difference(name)
    return msgspec.structs.replace(
        cost_of(estimate, cpu.plan, 0.0 if name == AA else cpu.bias),
        rate_per_s=rate_per_s,
        cpu_per_request_s=level,
        added_s=added,
        added_low_s=added_low,
        added_high_s=added_high,
        shares_variance=estimate.shares_variance,
    )


def cost_of(estimate: Estimate, plan: Plan, widening: float) -> Cost:
    """A change, and what may be claimed of it.

    Args:
        estimate: of the change.
        plan: with confidence and bounds.
        widening: log ratio by which identical setups differ.
    """
    claim_low, claim_high = estimate.claim(plan.confidence)
    return Cost(
        change=change_of(estimate, plan.confidence),
        mde=math.expm1(estimate.mde(plan.confidence) + widening),
        claim_low=math.expm1(claim_low - widening),
        claim_high=math.expm1(claim_high + widening),
        negligible=estimate.within(plan.delta, widening),
    )


def verdict(cost: Cost | None, reason: str | None, delta: float, *, is_baseline: bool = False) -> Verdict:
    """What may be claimed of a cost.

    Args:
        cost: the figures.
        reason: why they do not count; None if they do.
        delta: largest change that counts as none.
        is_baseline: whether this is what the others are compared with.
    """
    if reason is not None:
        return Verdict(kind=VerdictKind.INVALID, reason=reason)
    if is_baseline:
        return Verdict(kind=VerdictKind.BASELINE)
    if cost is None or cost.change is None or cost.claim_low is None or cost.claim_high is None:
        return Verdict(kind=VerdictKind.INVALID, reason="too few replicates")
    if not cost.claim_low <= 0.0 <= cost.claim_high:
        change = cost.change
        return Verdict(kind=VerdictKind.DIFFERENT, ratio=change.ratio, low=change.low, high=change.high)
    if cost.negligible:
        return Verdict(kind=VerdictKind.EQUIVALENT, bound=delta)
    return Verdict(kind=VerdictKind.INCONCLUSIVE, mde=cost.mde)


def _throughput(rates: Figure, name: str, *, derived: bool = False) -> Throughput | None:
    per_s = rates.level(name)
    return None if per_s is None else Throughput(per_s=per_s, change=rates.change(name), derived=derived)


def _throughput_at_full_load(analysis: RunAnalysis, name: str) -> Throughput | None:
    """Measured or derived as those of all setups; without a change where there is no common scale."""
    if name in analysis.throughput.values:
        return _throughput(analysis.throughput, name, derived=bool(analysis.limits.generator))
    per_s = analysis.measured_rates.level(name)
    return None if per_s is None else Throughput(per_s=per_s)


def _highest_rate(analysis: RunAnalysis, name: str) -> Throughput | None:
    if not analysis.plan.probes:
        return None
    return _throughput(Figure(plan=analysis.plan, values=rates_found(analysis.raw)), name)


def _latency(analysis: RunAnalysis, name: str) -> Latency | None:
    plan = analysis.plan
    if not analysis.light:
        return None
    rate = analysis.learned.rates.get(name)
    if is_overloaded(plan, analysis.learned, name):
        return Latency(rate_per_s=rate, overloaded=True)
    count = analysis.requests(name)
    figures = {
        quantile: analysis.latency[quantile]
        for quantile, q in QUANTILES.items()
        if has_tail(count, q, len(analysis.light))
    }
    levels = {quantile: figure.level(name) for quantile, figure in figures.items()}
    changes = {quantile: figure.change(name) for quantile, figure in figures.items()}
    added = {quantile: figure.added(name) for quantile, figure in figures.items()}
    return Latency(
        rate_per_s=rate,
        requests=count,
        p50_s=levels.get("p50"),
        p90_s=levels.get("p90"),
        p99_s=levels.get("p99"),
        changes={quantile: change for quantile, change in changes.items() if change is not None},
        added_s={quantile: seconds for quantile, seconds in added.items() if seconds is not None},
    )


def _instances(raw: Raw, kind: Kind, name: str) -> list[tuple[float, InstanceReading]]:
    """A setup's readings of a kind of step, with the length of each."""
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


def _fixed_cost(setups: Sequence[SetupSummary]) -> FixedCost:
    added = {
        setup.name: setup.light.added_s
        for setup in setups
        if setup.light and setup.light.added_s is not None and not setup.invalid
    }
    full = added.get(EVERYTHING)
    if not full or full <= 0:
        return FixedCost()
    off, disabled = added.get(ALWAYS_OFF), added.get(DISABLED)
    return FixedCost(
        off=off / full if off is not None else None,
        disabled=disabled / full if disabled is not None else None,
    )


def _checks(analysis: RunAnalysis) -> Checks:
    aa = {name: figure.change(AA) for name, figure in analysis.checked.items()}
    estimate = analysis.main_cpu.estimates.get(AA)
    injected = InjectedCheck(
        light=_recovery(analysis.light_cpu), saturation=_recovery(analysis.saturation_cpu)
    )
    noise_floor = None
    if estimate is not None:
        noise_floor = max(map(abs, estimate.ratios(analysis.plan.confidence)))
    return Checks(
        aa=AACheck(**aa) if any(aa.values()) else None,
        injected=injected if injected.recovery else None,
        noise_floor=noise_floor,
    )


def _recovery(cpu: Figure) -> Recovery | None:
    """The injected cost, and what was measured of it under one load."""
    if INJECTED not in cpu.estimates:
        return None
    measured_s, low_s, high_s = cpu.difference(INJECTED)
    return Recovery(expected_s=cpu.plan.burns_s[INJECTED], measured_s=measured_s, low_s=low_s, high_s=high_s)


def _injected_residual(cpu: Figure) -> tuple[Estimate | None, float]:
    """ln(injected / (baseline + injected cost)), and the injected cost on the same scale.

    Its standard error is that of the setups, pooled: the same paired log ratios.
    """
    if INJECTED not in cpu.estimates:
        return None, 0.0
    known_s = cpu.plan.burns_s[INJECTED]
    base = np.exp([cpu.logs[name] for name in cpu.references])
    residuals = np.asarray(cpu.logs[INJECTED]) - np.mean(np.log(base + known_s), axis=0)
    estimate = replace(cpu.estimates[INJECTED], log_ratio=float(np.mean(residuals)))
    return estimate, math.log1p(known_s / (cpu.base or math.inf))


def _caveats(analysis: RunAnalysis, load: LoadSummary) -> tuple[Caveat, ...]:
    plan, raw = analysis.plan, analysis.raw
    latency = analysis.latency["p50"].level(BASELINE)
    residual, known = _injected_residual(analysis.main_cpu)
    return (
        *checks.progress(plan, analysis.replicates, raw.ending),
        *checks.load(load, latency),
        *(() if plan.targets else checks.slices(load)),
        *(() if plan.targets else checks.host(load.steal, load.foreign)),
        *checks.elsewhere(plan),
        *checks.without_checks(plan),
        *work_checks.work(raw),
        *checks.stray(raw),
        *trace_checks.learned(raw),
        *trace_checks.fewer_spans(raw),
        *trace_checks.not_loaded(raw),
        *checks.flushes(raw),
        *(
            caveat
            for setup in plan.setups
            for caveat in (
                *_errors(analysis, setup.name),
                *trace_checks.accounting(setup, analysis.accounting[setup.name]),
            )
        ),
        *checks.trends(analysis.light, plan),
        *analysis.limits.caveats,
        *(
            caveat
            for name, figure in analysis.checked.items()
            for caveat in checks.aa(name, figure.estimates.get(AA), plan.confidence)
        ),
        *checks.injected(residual, known),
    )


def _errors(analysis: RunAnalysis, name: str) -> Sequence[Caveat]:
    parts = [
        instance
        for reading in analysis.raw.readings
        for instance in reading.instances
        if instance.setup == name
    ]
    failed = sum(part.failed for part in parts)
    answered = ", ".join(f"{word}: {count}" for word, count in failures(analysis.raw, name).items())
    return tuple(checks.errors(name, failed + sum(part.completed for part in parts), failed, answered))
