"""From raw windows to figures: overheads with verdicts, ledgers, and all that speaks against them.

Rule 1: a figure and its doubts leave this module together.
Rule 2: a figure that a gate forbids is kept and marked, never left out.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench import collected, gates, health
from bench.cells import (
    Cells,
    counting_windows,
    cpu_cells,
    design,
    level,
    logs,
    readings_of,
    references,
)
from bench.findings import (
    Caveat,
    LatencySummary,
    Ledger,
    MemorySummary,
    Overhead,
    Pair,
    SetupSummary,
    Severity,
    Summary,
)
from bench.latency import solo_summary
from bench.layers import Price, ladder
from bench.ledger import RANGE_CONFIDENCE, ledger_of, total
from bench.line import Traffic, fit
from bench.model import (
    BASELINE,
    CONTROL,
    CREATED,
    SCHEMA,
    TWIN,
    Ending,
    FleetReading,
    Kind,
    Plan,
    Raw,
    Request,
    Setup,
    Window,
)
from bench.setups import sampling_ratio, shape
from bench.stats import Array, Estimate, against, contrasts, differences, quantile


def summarise(raw: Raw, prices: Mapping[str, Price] | None = None) -> Summary:
    """Everything that follows from a run's raw records.

    Args:
        raw: what it left.
        prices: of operations by name, where microbenchmarks belong to the run.
    """
    plan, windows, requests, ending = raw.plan, raw.windows, raw.requests, raw.ending
    work = [window for window in windows if window.kind is Kind.WORK]
    counting = counting_windows(work, plan.windows)
    cells = cpu_cells(windows, counting)
    estimates = _estimates(plan, cells)
    counted = health.counted(requests, counting)
    load = health.load_summary(plan, work, counting, counted)
    by_setup: defaultdict[str, list[Request]] = defaultdict(list)
    for request in counted:
        by_setup[request.setup].append(request)
    # What a load worker sent before it died nobody knows, so its windows have no account either.
    whole = [window for window in work if not window.lost_workers]
    ledgers = {setup.name: ledger_of(setup, readings_of(whole, setup.name)) for setup in plan.setups}
    traffic = {setup.name: _traffic(readings_of(whole, setup.name)) for setup in plan.setups}
    base_latency = _latency(by_setup[BASELINE]).p50
    solo, solo_caveats = solo_summary(raw, plan.solo) if plan.solo else (None, ())
    caveats = (
        *gates.progress(plan, len(cells) if plan.windows else plan.epochs, ending),
        *_without_figure(plan, cells, work, counting, ending),
        *gates.same_processes(plan),
        *gates.generator(load, base_latency),
        *gates.machine(load),
        *gates.stray(work),
        *gates.collector(plan.collector, collected.undrained(raw)),
        *_setup_caveats(plan, whole, ledgers),
        *gates.trends(_differences(plan, cells)),
        *_twin_and_control(plan, cells, estimates),
        *_too_short(plan, estimates),
        *solo_caveats,
    )
    setups = tuple(
        _setup_summary(
            setup, plan, cells, estimates, ledgers[setup.name], caveats, by_setup[setup.name], work
        )
        for setup in plan.setups
    )
    return Summary(
        schema=SCHEMA,
        baseline=BASELINE,
        valid=bool(estimates or not plan.windows)
        and all(caveat.severity is not Severity.INVALID for caveat in caveats),
        complete=ending.complete,
        plan=plan,
        epochs=len(cells),
        setups=setups,
        pairs=_pairs(plan, cells, estimates),
        load=load,
        noise_floor=_noise_floor(estimates, plan.confidence),
        caveats=caveats,
        solo=solo,
        layers=ladder(plan, cells, traffic, prices or {}),
        fit=fit(plan.setups, _counting(setups), traffic),
        collector=collected.summarise(plan, windows, counting),
    )


def _without_figure(
    plan: Plan, cells: Cells, work: Sequence[Window], counting: Sequence[Window], ending: Ending
) -> tuple[Caveat, ...]:
    lost = sum(window.lost_workers > 0 for window in work)
    return gates.without_figure(plan, len(counting), sum(map(len, cells.values())), lost, ending)


def _counting(setups: Sequence[SetupSummary]) -> dict[str, float]:
    """Extra CPU seconds per checkout of the set-ups whose figure counts."""
    return {each.name: each.overhead.cpu_s for each in setups if each.overhead and not each.invalid}


def _traffic(readings: Sequence[FleetReading]) -> Traffic:
    """What a set-up sent over some readings."""
    found = total(reading.account for reading in readings)
    return Traffic(
        checkouts=sum(reading.completed for reading in readings),
        spans=sum(found.spans.values()),
        exports=found.exports,
        bytes=found.bytes,
        scopes=found.scopes,
    )


def _names(plan: Plan) -> tuple[str, ...]:
    return tuple(setup.name for setup in plan.setups)


def _differences(plan: Plan, cells: Cells) -> dict[str, list[Array]]:
    """Each contrast's values by epoch and window."""
    values = logs(cells, plan)
    return {name: differences(values, weights) for name, weights in design(_names(plan)).items()}


def _estimates(plan: Plan, cells: Cells) -> dict[str, Estimate]:
    """The estimates, or none where there are too few windows for a variance."""
    if len(cells) < 2 and sum(map(len, cells.values())) < 2:
        return {}
    return contrasts(logs(cells, plan), design(_names(plan)))


def _pairs(plan: Plan, cells: Cells, estimates: Mapping[str, Estimate]) -> tuple[Pair, ...]:
    """Each set-up against the next cheaper one: never by subtracting two intervals."""
    if not estimates:
        return ()
    levels = {
        setup.name: level(cells, setup.name) or 0.0
        for setup in plan.setups
        if setup.name not in {BASELINE, TWIN, CONTROL}
    }
    neighbours = list(itertools.pairwise(sorted(levels, key=levels.__getitem__)))
    found = contrasts(logs(cells, plan), {setup: against(setup, (cheaper,)) for cheaper, setup in neighbours})
    pairs = []
    for cheaper, setup in neighbours:
        low, high = found[setup].interval(plan.confidence)
        ratio = math.expm1(found[setup].log_ratio)
        pairs.append(
            Pair(
                setup=setup,
                against=cheaper,
                ratio=ratio,
                low=math.expm1(low),
                high=math.expm1(high),
                cpu_s=ratio * levels[cheaper],
            )
        )
    return tuple(pairs)


def _known_s(plan: Plan) -> float:
    """CPU seconds per checkout that the control is known to cost more than the baseline."""
    env = next((setup.env for setup in plan.setups if setup.name == CONTROL), {})
    return float(env.get("BENCH_CONTROL_CPU_US", "0")) * 1e-6


def _known_log_ratio(plan: Plan, cells: Cells) -> float:
    """ln((baseline + known cost) / baseline): how far off a control would be that costs nothing."""
    return math.log1p(_known_s(plan) / _mean_level(cells, references(_names(plan))))


def _control_check(plan: Plan, cells: Cells, estimates: Mapping[str, Estimate]) -> Estimate | None:
    """ln(control / (baseline + known cost)): an A/A comparison if the cost was found.

    Its standard error is that of the set-ups, pooled: the same paired log ratios.
    """
    known_s = _known_s(plan)
    if CONTROL not in estimates:
        return None
    shifted = {
        epoch: [
            {name: cpu + known_s if name in references(_names(plan)) else cpu for name, cpu in cell.items()}
            for cell in windows
        ]
        for epoch, windows in cells.items()
    }
    rows = differences(logs(shifted, plan), design(_names(plan))[CONTROL])
    residual = np.mean([np.mean(row) for row in rows]) if len(rows) > 1 else np.mean(rows[0])
    return replace(estimates[CONTROL], log_ratio=float(residual))


def _twin_and_control(plan: Plan, cells: Cells, estimates: Mapping[str, Estimate]) -> tuple[Caveat, ...]:
    if not estimates:
        return ()
    return (
        *gates.twin(estimates.get(TWIN), plan.confidence),
        *gates.control(_control_check(plan, cells, estimates), _known_log_ratio(plan, cells)),
    )


def _too_short(plan: Plan, estimates: Mapping[str, Estimate]) -> tuple[Caveat, ...]:
    if estimates or not plan.windows:
        return ()
    return (
        Caveat(
            code="too-short",
            message=f"of {plan.epochs * plan.windows} windows fewer than two are complete: no interval",
            advice="let the run go on for longer",
            severity=Severity.INVALID,
        ),
    )


def _setup_caveats(plan: Plan, work: Sequence[Window], ledgers: Mapping[str, Ledger]) -> tuple[Caveat, ...]:
    caveats: list[Caveat] = []
    for setup in plan.setups:
        readings = readings_of(work, setup.name)
        failed = sum(reading.failed for reading in readings)
        requests = sum(reading.completed for reading in readings) + failed
        caveats += gates.errors(setup.name, requests, failed)
        caveats += gates.flushes(setup.name, work)
        caveats += gates.ledger(setup.name, ledgers[setup.name], _window_problems(setup, work))
        caveats += gates.blind(setup.name, ledgers[setup.name], sampling_ratio(setup))
    return tuple(caveats)


def _window_problems(setup: Setup, work: Sequence[Window]) -> list[str]:
    """What does not balance inside single windows.

    A sampled count may leave its range by chance once in a thousand; over many windows
    each gets its share of that chance only (Bonferroni).
    """
    confidence = 1 - (1 - RANGE_CONFIDENCE) / max(len(work), 1)
    problems = []
    for window in work:
        for reading in window.fleets:
            if reading.setup != setup.name:
                continue
            ledger = ledger_of(setup, [reading], confidence)
            problems += [
                f"in window {window.window} of epoch {window.epoch} {problem}" for problem in ledger.problems
            ]
    return problems


def _setup_summary(  # noqa: PLR0913, PLR0917 - a row of the table
    setup: Setup,
    plan: Plan,
    cells: Cells,
    estimates: Mapping[str, Estimate],
    ledger: Ledger,
    caveats: Sequence[Caveat],
    requests: Sequence[Request],
    work: Sequence[Window],
) -> SetupSummary:
    cpu_per_checkout_s = level(cells, setup.name)
    overhead = None
    if setup.name in estimates:
        fleets = (BASELINE,) if setup.name == TWIN else references(_names(plan))
        overhead = _overhead(setup, plan, estimates, _mean_level(cells, fleets), ledger)
    gate = next(
        (
            caveat.code
            for caveat in caveats
            if caveat.severity is Severity.INVALID
            and not caveat.solo
            and caveat.setup in {None, setup.name, *references(_names(plan))}
        ),
        None,
    )
    return SetupSummary(
        name=setup.name,
        description=setup.description,
        verdict=verdict(setup.name, overhead, gate, plan.delta),
        invalid=gate is not None,
        cpu_per_checkout_s=cpu_per_checkout_s,
        overhead=overhead,
        latency_s=_latency(requests),
        memory_bytes=_memory(setup.name, work),
        ledger=ledger,
    )


def _mean_level(cells: Cells, fleets: Sequence[str]) -> float:
    """CPU seconds per checkout, mean over some fleets."""
    return float(np.mean([level(cells, name) or 0.0 for name in fleets]))


def _overhead(
    setup: Setup, plan: Plan, estimates: Mapping[str, Estimate], base_s: float, ledger: Ledger
) -> Overhead:
    estimate = estimates[setup.name]
    low, high = estimate.interval(plan.confidence)
    claim_low, claim_high = estimate.claim(plan.confidence)
    widening = 0.0 if setup.name == TWIN else _twin_bias(estimates, plan.confidence)
    ratio = math.expm1(estimate.log_ratio)
    sampled_all = sampling_ratio(setup) == 1.0
    return Overhead(
        ratio=ratio,
        low=math.expm1(low),
        high=math.expm1(high),
        claim_low=math.expm1(claim_low - widening),
        claim_high=math.expm1(claim_high + widening),
        mde=math.expm1(estimate.mde(plan.confidence) + widening),
        negligible=estimate.within(plan.delta, widening),
        cpu_s=ratio * base_s,
        cpu_low_s=math.expm1(low) * base_s,
        cpu_high_s=math.expm1(high) * base_s,
        cpu_per_span_s=ratio * base_s / sum(shape(setup).values())
        if sampled_all and ledger.balanced
        else None,
        standard_error=estimate.standard_error,
        df=estimate.df,
    )


def _twin_bias(estimates: Mapping[str, Estimate], confidence: float) -> float:
    """What identical set-ups differ by, where their interval excludes 0; claims are widened by it."""
    twin = estimates.get(TWIN)
    if twin is None:
        return 0.0
    low, high = twin.interval(confidence)
    return 0.0 if low <= 0.0 <= high else abs(twin.log_ratio)


def _noise_floor(estimates: Mapping[str, Estimate], confidence: float) -> float | None:
    twin = estimates.get(TWIN)
    return max(abs(math.expm1(end)) for end in twin.interval(confidence)) if twin else None


def verdict(setup: str, overhead: Overhead | None, gate: str | None, delta: float) -> str:
    """The verdict in the method's words.

    Args:
        setup: whose.
        overhead: its figures; absent for the baseline and where there are none.
        gate: code of the gate that failed, if one did.
        delta: what counts as no overhead.
    """
    if gate is not None:
        return f"invalid ({gate})"
    if setup == BASELINE:
        return "baseline"
    if overhead is None:
        return "invalid (too-short)"
    if not overhead.claim_low <= 0.0 <= overhead.claim_high:
        shown = f"overhead {overhead.ratio:+.1%} [{overhead.low:+.1%}, {overhead.high:+.1%}]"
    elif overhead.negligible:
        shown = f"no overhead beyond {delta:.0%}"
    else:
        shown = f"inconclusive (MDE {overhead.mde:.1%})"
    return shown.replace("%", " %")


def _latency(requests: Sequence[Request]) -> LatencySummary:
    values = [(row.done_ns - row.planned_ns) / 1e9 for row in requests if row.status == CREATED]
    return LatencySummary(p50=quantile(values, 0.5), samples=len(values))


def _memory(setup: str, work: Sequence[Window]) -> MemorySummary:
    epochs = [
        [reading for reading in window.memory if reading.setup == setup] for window in work if window.memory
    ]
    if not epochs:
        return MemorySummary(pss=None, uss=None, peak_rss=None)
    return MemorySummary(
        pss=round(np.mean([sum(reading.pss_bytes for reading in epoch) for epoch in epochs])),
        uss=round(np.mean([sum(reading.uss_bytes for reading in epoch) for epoch in epochs])),
        peak_rss=round(np.mean([sum(reading.peak_rss_bytes for reading in epoch) for epoch in epochs])),
    )
