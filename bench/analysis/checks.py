"""Validity checks: measured reasons to doubt a figure, or to reject it.

A check looks at how the measurement went, never at how large the effect is. Every check is one
function here: what was measured, the limits of a caveat and of validity, a sentence, advice.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from bench.analysis.blocks import MeasuredPhase
from bench.analysis.claims import Caveat, Severity
from bench.analysis.records import LoadSummary
from bench.analysis.stats import Estimate, trend
from bench.app.records import AA, INJECTED
from bench.plan.readings import Ending, Raw
from bench.plan.records import Plan

TREND_SIGNIFICANCE = 0.01
TREND_LIMIT = 0.02
NETWORK_S = 0.001
"""A round trip worth a caveat: on one machine it takes a twentieth of that."""
AA_LIMIT = 0.03
AA_T = 3.5
INJECTED_CONFIDENCE = 0.99
LAG_LIMIT_S = 2e-3


def _graded(  # noqa: PLR0913, PLR0917 - a row of the table
    code: str, value: float, caveat: float, invalid: float, message: str, advice: str, reason: str = ""
) -> Iterator[Caveat]:
    """A caveat above one limit, an invalid figure above the other, nothing below both."""
    if value > min(caveat, invalid):
        severity = Severity.INVALID if value > invalid else Severity.CAVEAT
        yield Caveat(code=code, message=message, advice=advice, severity=severity, reason=reason or None)


def invalid(code: str, message: str, advice: str, reason: str, setup: str | None = None) -> Caveat:
    """A caveat that makes figures invalid: those of a setup, or all."""
    return Caveat(
        code=code, message=message, advice=advice, severity=Severity.INVALID, setup=setup, reason=reason
    )


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, for a sentence."""
    return f"{share * 100:.{digits}f} %"


def progress(plan: Plan, replicates: int, ending: Ending) -> Iterator[Caveat]:
    """Whether the plan was completed, with enough replicates for an interval."""
    if ending.failure is not None:
        yield invalid(
            "failure",
            f"the run ended early: {ending.failure}",
            "fix the cause and measure again",
            "the run failed",
        )
    elif not ending.complete:
        yield Caveat(
            code="interrupted",
            message=f"the run was interrupted after {replicates} of {plan.replicates} replicates",
            advice="the intervals are valid but wide; let the run complete",
        )
    if replicates < 2:
        yield invalid(
            "too-short",
            f"{replicates} of {plan.replicates} replicates are complete; an interval needs two",
            "measure again, and let the run complete",
            "too few replicates",
        )
    elif ending.complete and replicates < plan.replicates:
        yield invalid(
            "replicates",
            f"only {replicates} of {plan.replicates} replicates have a figure of every setup",
            "lower --rate, or leave out the setup that completes no request",
            "replicates without a figure",
        )


def load(summary: LoadSummary, median_latency_s: float | None) -> Iterator[Caveat]:
    """Whether the load was sent when it was planned."""
    p50_s, p99_s = summary.lag_p50_s or 0.0, summary.lag_p99_s or 0.0
    limit_s = min(LAG_LIMIT_S, 0.2 * median_latency_s) if median_latency_s else LAG_LIMIT_S
    if p50_s > LAG_LIMIT_S or p99_s > limit_s:
        yield Caveat(
            code="lag",
            message=f"requests were sent late: median {p50_s * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms",
            advice="close other programs; the load needs a CPU of its own",
            severity=Severity.INVALID if p50_s > LAG_LIMIT_S else Severity.CAVEAT,
            reason="requests were sent late",
        )
    yield from _graded(
        "unsent", summary.unsent / max(summary.requests, 1), 0.0, 1e-3,
        f"{summary.unsent} of {summary.requests} requests were not sent: too many were in flight",
        "lower --rate", "requests were not sent",
    )  # fmt: skip
    yield from _graded(
        "load-utilization", summary.load_utilization, 0.6, 0.8,
        f"the load generator used {percent(summary.load_utilization, 0)} of its CPU at light load",
        "lower --rate, or spread the load with --workers", "the load generator was too busy",
    )  # fmt: skip
    yield from _graded(
        "outside", summary.outside, 0.01, 0.05,
        f"{percent(summary.outside)} of the arrivals were sent after their time slice",
        "close other programs", "requests missed their time slices",
    )  # fmt: skip
    if summary.lost_workers:
        yield Caveat(
            code="worker",
            message=f"{summary.lost_workers} load workers died; their steps are excluded",
            advice="find out why they ended, and measure again for the full plan",
        )


def slices(summary: LoadSummary) -> Iterator[Caveat]:
    """Whether time slices were as long as planned, and paused instances used no CPU."""
    yield from _graded(
        "slices", summary.slice_error, 0.005, 0.02,
        f"time slices were {percent(summary.slice_error)} longer or shorter than planned in total",
        "close other programs", "time slices were not as long as planned",
    )  # fmt: skip
    yield from _graded(
        "leak", summary.leaked, 0.01, 0.02,
        f"paused instances used {percent(summary.leaked)} of all CPU time",
        "keep the processes of the application in one process group", "paused instances ran",
    )  # fmt: skip


def host(steal: float, foreign: float) -> Iterator[Caveat]:
    """Whether other programs or the host used the CPUs, as shares of a core."""
    yield from _graded(
        "steal", steal, 0.02, 0.15,
        f"the host took away {percent(steal)} of a core",
        "measure on a quieter or dedicated machine", "the host took the CPU away",
    )  # fmt: skip
    yield from _graded(
        "foreign", foreign, 0.10, 0.60,
        f"other programs used {percent(foreign)} of a core",
        "close them, or run with --wait-for-quiet", "other programs were running",
    )  # fmt: skip


def errors(setup: str, requests: int, failed: int, answered: str) -> Iterator[Caveat]:
    """Whether requests failed, and how they were answered."""
    for caveat in _graded(
        "errors", failed / max(requests, 1), 0.0, 1e-3,
        f"{failed} of {requests} requests of {setup} failed or timed out ({answered})",
        "where no answer came, lower --rate; a status is the application's own answer: send the request by "
        "hand and look at its output",
        "requests failed",
    ):  # fmt: skip
        yield msgspec.structs.replace(caveat, setup=setup)


def flushes(raw: Raw) -> Iterator[Caveat]:
    """Whether every process completed its flushes."""
    failed: dict[str, int] = {}
    for reading in raw.readings:
        for instance in reading.instances:
            if instance.flush_failed:
                failed[instance.setup] = failed.get(instance.setup, 0) + len(instance.flush_failed)
    for setup, count in failed.items():
        yield invalid(
            "flush",
            f"{count} flushes of {setup} timed out",
            "check that the exporter can reach its endpoint",
            "exports timed out",
            setup,
        )


def stray(raw: Raw) -> Iterator[Caveat]:
    """Whether the receiver got spans of no setup, and a collector passed on everything."""
    exports = sum(reading.stray.exports for reading in raw.readings if reading.stray)
    if exports:
        yield invalid(
            "stray",
            f"the receiver got {exports} export requests from outside this run",
            "stop other programs that export to the receiver's port",
            "other programs exported to the receiver",
        )
    refused = sum(reading.stray.refused for reading in raw.readings if reading.stray)
    if refused:
        yield invalid(
            "refused",
            f"the receiver refused {refused} export requests that were too large for it",
            "export smaller batches, or send fewer requests: it takes 16 MiB per request, packed and "
            "unpacked, and 1 GiB per replicate",
            "the receiver refused exports",
        )
    undrained = sum(not reading.drained for reading in raw.readings)
    if undrained:
        yield invalid(
            "collector",
            f"{raw.plan.collector} had not passed on everything long after the flush, {undrained} times",
            "configure it to export everything to the receiver, in small batches",
            "the collector kept spans",
        )


def elsewhere(plan: Plan) -> Iterator[Caveat]:
    """What is not known of instances that run elsewhere."""
    if plan.targets:
        yield Caveat(
            code="same-processes",
            message="instances that run elsewhere were neither restarted between replicates nor paused",
            advice="identical instances may differ by more than the intervals say; restart "
            "them and measure again to see by how much",
        )
        network_s = max(plan.round_trips_s.values(), default=0.0)
        if network_s > NETWORK_S:
            yield Caveat(
                code="network",
                message=f"a round trip to the instances takes {network_s * 1e3:.1f} ms: it is in every "
                "latency, but not in the differences between setups nor in CPU time",
                advice="read changes in ms: those in percent are smaller than the application's own",
            )
        yield Caveat(
            code="not-known",
            message="the load on the other machine and its steal are unknown",
            advice="monitor them there",
        )


def trends(phases: Sequence[MeasuredPhase], plan: Plan) -> Iterator[Caveat]:
    """Whether an overhead drifts from block to block, so that its mean depends on the run's length.

    Tested at 1 % over all setups together (Bonferroni): one healthy run in a hundred gets this.
    """
    costs = [phase.log_costs() for phase in phases]
    whole = [cost for cost in costs if cost]
    for number, setup in enumerate(plan.setups[1:], 1):
        drift = trend([[block[number] - block[0] for block in cost] for cost in whole])
        if drift is None or drift.p > TREND_SIGNIFICANCE / (len(plan.setups) - 1):
            continue
        for caveat in _graded(
            "trend", abs(drift.slope), 0.0, TREND_LIMIT,
            f"the overhead of {setup.name} drifts by {percent(drift.slope)} per block",
            "raise --warm-up, and look whether its processes grow", "its cost drifts",
        ):  # fmt: skip
            yield msgspec.structs.replace(caveat, setup=setup.name)


def aa(name: str, estimate: Estimate | None, confidence: float) -> Iterator[Caveat]:
    """Whether two identical setups agree in one figure."""
    if estimate is None:
        return
    low, high = estimate.interval(confidence)
    if low <= 0.0 <= high:
        return
    difference, words = estimate.ratio, f"{name} CPU" if name in {"light", "saturation"} else name
    invalid = abs(difference) > AA_LIMIT and abs(estimate.t) > AA_T
    yield Caveat(
        code="aa",
        message=f"two identical setups differ by {percent(difference)} in {words}",
        advice="measure again with more replicates"
        if invalid
        else "one valid figure in twenty shows this; claims were widened by it",
        severity=Severity.INVALID if invalid else Severity.CAVEAT,
        load="saturation" if name in {"saturation", "throughput"} else "light",
        reason="identical setups differ",
    )


def without_checks(plan: Plan) -> Iterator[Caveat]:
    """Whether the run can check itself."""
    if AA not in plan.names:
        yield Caveat(
            code="no-aa-check",
            message="the run has no A/A setup, so its noise floor is unknown",
            advice=f"add {AA}",
        )
    if INJECTED not in plan.names:
        yield Caveat(
            code="no-injected",
            message="the run has no injected cost, so nothing shows that it detects one",
            advice=f"add {INJECTED}",
        )


def injected(residual: Estimate | None, known: float) -> Iterator[Caveat]:
    """Whether the injected cost was recovered, and whether the run could have missed it.

    Args:
        residual: ln(injected / (baseline + injected cost)), which is 0 if the cost was recovered exactly.
        known: ln((baseline + injected cost) / baseline); the residual is minus that if no cost was seen.
    """
    if residual is None:
        return
    low, high = residual.interval(INJECTED_CONFIDENCE)
    if not low <= 0.0 <= high:
        yield invalid(
            "injected",
            f"the injected cost was not recovered: it is off by {percent(residual.ratio)} of a request, "
            "outside its 99 % interval",
            "do not use this run: something disturbs the CPU clocks or the instances",
            "the injected cost was not recovered",
        )
    elif low <= -known:
        yield Caveat(
            code="injected-weak",
            message="the run is too noisy to tell the injected cost from zero",
            advice="measure with more replicates or a longer budget before trusting small differences",
        )


def reason(caveats: Sequence[Caveat], setups: Collection[str]) -> str | None:
    """Why figures of these setups are invalid, in the verdict's words; None if they are valid."""
    for caveat in caveats:
        concerns = caveat.setup is None or caveat.setup in setups
        if caveat.severity is Severity.INVALID and concerns and caveat.load != "saturation":
            return caveat.reason or caveat.code
    return None
