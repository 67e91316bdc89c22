"""Validity checks: measured reasons to doubt a figure, or not to believe it at all.

A check looks at how the measurement went, never at how large the effect is. Every check is one
function here: what was measured, the limit of a caveat, the limit of validity, a sentence, advice.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from bench.analysis.accounting import Accounting
from bench.analysis.blocks import MeasuredPhase
from bench.analysis.claims import Caveat, Severity
from bench.analysis.records import LoadSummary
from bench.analysis.stats import Estimate, trend
from bench.app.records import AA, INJECTED, Setup
from bench.plan.readings import Ending, Raw
from bench.plan.records import Plan

TREND_SIGNIFICANCE = 0.01
TREND_LIMIT = 0.02
NETWORK_S = 0.001
"""A round trip that is worth telling: on one machine it takes a twentieth of that."""
AA_LIMIT = 0.03
AA_T = 3.5
INJECTED_CONFIDENCE = 0.99
IDLE_LIMIT, OUTSIDE_LIMIT = 0.01, 0.10
"""An instance that idles more than the first in a closed loop waits for the load, if more than the
second of the users are not waiting for it."""
LAG_LIMIT_S = 2e-3


def _graded(  # noqa: PLR0913, PLR0917 - a row of the table
    code: str, value: float, caveat: float, invalid: float, message: str, advice: str, reason: str = ""
) -> Iterator[Caveat]:
    """A caveat above one limit, an invalid figure above the other, nothing below both."""
    if value > min(caveat, invalid):
        severity = Severity.INVALID if value > invalid else Severity.CAVEAT
        yield Caveat(code=code, message=message, advice=advice, severity=severity, reason=reason or None)


def _invalid(code: str, message: str, advice: str, reason: str, setup: str | None = None) -> Caveat:
    return Caveat(
        code=code, message=message, advice=advice, severity=Severity.INVALID, setup=setup, reason=reason
    )


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, for a sentence."""
    return f"{share * 100:.{digits}f} %"


def progress(plan: Plan, replicates: int, ending: Ending) -> Iterator[Caveat]:
    """Whether the plan came to its end, with replicates enough for an interval."""
    if ending.failure is not None:
        yield _invalid(
            "failure",
            f"the run ended early: {ending.failure}",
            "mend the cause and measure again",
            "the run failed",
        )
    elif not ending.complete:
        yield Caveat(
            code="interrupted",
            message=f"the run was interrupted after {replicates} of {plan.replicates} replicates",
            advice="the intervals are honest but wide; let it run to its end",
        )
    if replicates < 2:
        yield _invalid(
            "too-short",
            f"{replicates} of {plan.replicates} replicates are complete, and an interval needs two",
            "let the run go on for longer",
            "too few replicates",
        )
    elif ending.complete and replicates < plan.replicates:
        yield _invalid(
            "replicates",
            f"only {replicates} of {plan.replicates} replicates have a figure of every setup",
            "lower --rate, or leave out the setup that answers nothing",
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
        f"{summary.unsent} of {summary.requests} requests were not sent: too many were under way",
        "lower --rate", "requests were not sent",
    )  # fmt: skip
    yield from _graded(
        "load-utilization", summary.load_utilization, 0.6, 0.8,
        f"the load generator used {percent(summary.load_utilization, 0)} of its CPU at light load",
        "lower --rate, or spread the load with --workers", "the load generator was too busy",
    )  # fmt: skip
    yield from _graded(
        "outside", summary.outside, 0.01, 0.05,
        f"{percent(summary.outside)} of the arrivals were sent after their turn",
        "close other programs", "requests missed their time slices",
    )  # fmt: skip
    if summary.lost_workers:
        yield Caveat(
            code="worker",
            message=f"{summary.lost_workers} load workers died; their steps are set aside",
            advice="see why they ended, and measure again for the full plan",
        )


def slices(summary: LoadSummary) -> Iterator[Caveat]:
    """Whether time slices were as long as planned, and stopped instances stood still."""
    yield from _graded(
        "slices", summary.slice_error, 0.005, 0.02,
        f"time slices were {percent(summary.slice_error)} off their planned length in sum",
        "close other programs", "time slices were not kept",
    )  # fmt: skip
    yield from _graded(
        "leak", summary.leaked, 0.01, 0.02,
        f"stopped instances used {percent(summary.leaked)} of all CPU time",
        "does a process of the application leave its group?", "stopped instances ran",
    )  # fmt: skip


def machine(summary: LoadSummary) -> Iterator[Caveat]:
    """Whether somebody else used the CPUs."""
    yield from host(summary.steal, summary.foreign)


def host(steal: float, foreign: float) -> Iterator[Caveat]:
    """Whether somebody else used the CPUs, as shares of a core."""
    yield from _graded(
        "steal", steal, 0.02, 0.15,
        f"the host took {percent(steal)} of a core away",
        "measure on a quieter or dedicated machine", "the host took the CPU away",
    )  # fmt: skip
    yield from _graded(
        "foreign", foreign, 0.10, 0.60,
        f"other programs used {percent(foreign)} of a core",
        "close them, or run with --wait-for-quiet", "other programs were running",
    )  # fmt: skip


def idle(phases: Sequence[MeasuredPhase], plan: Plan) -> Iterator[Caveat]:
    """Whether full load was limited by the load generator; throughput then follows from CPU time."""
    for number, setup in enumerate(plan.setups):
        shares = [phase.utilization(number) for phase in phases if phase.active_s(number)]
        mean = sum(shares) / len(shares) if shares else 1.0
        outside = max((phase.outside(number) for phase in phases), default=0.0)
        if mean < 1 - IDLE_LIMIT and outside > OUTSIDE_LIMIT:
            yield Caveat(
                code="idle",
                message=f"at full load the CPU of {setup.name} idled {percent(1 - mean)} of its time slices",
                advice="its throughput was derived from CPU time per request; more --workers may drive it",
                setup=setup.name,
                load="saturation",
            )


def errors(setup: str, requests: int, failed: int) -> Iterator[Caveat]:
    """Whether requests failed."""
    for caveat in _graded(
        "errors", failed / max(requests, 1), 0.0, 1e-3,
        f"{failed} of {requests} requests of {setup} failed or timed out",
        "look at the status column of requests.csv.gz; lower --rate if it is 0",
        "requests failed",
    ):  # fmt: skip
        yield msgspec.structs.replace(caveat, setup=setup)


def accounting(setup: Setup, account: Accounting) -> Iterator[Caveat]:
    """Whether every span is accounted for, and a loss of all of them would be seen."""
    name = setup.name
    if account.problems and setup.may_lose and account.lost and not account.duplicated:
        yield Caveat(
            code="loss",
            message=f"{name} lost {account.lost:,} of {account.spans_expected or 0:,} spans",
            advice="that is a finding; what it costs is the cost of less work",
            setup=name,
        )
    elif account.problems:
        yield _invalid(
            "accounting",
            f"the span accounting of {name} is incomplete: {account.problems[0]}",
            "a setup that loses spans looks cheap; find the loss before reading its figure",
            "its span accounting is incomplete",
            name,
        )
    elif account.complete is None:
        yield Caveat(
            code="varies",
            message=f"traces of {name} differ from request to request: {account.spans_received} spans "
            "were received, and nobody knows how many were due",
            advice="send requests that always do the same work",
            setup=name,
        )
    if account.traces.expected_high > 0 == account.traces.expected_low:
        yield Caveat(
            code="accounting-blind",
            message=f"of {account.requests} requests {name} may sample none, "
            "so a loss of all its traces would not be seen",
            advice="measure for longer, or with a larger ratio",
            setup=name,
        )


def flushes(raw: Raw) -> Iterator[Caveat]:
    """Whether every process answered when it was told to export."""
    failed: dict[str, int] = {}
    for reading in raw.readings:
        for instance in reading.instances:
            if instance.flush_failed:
                failed[instance.setup] = failed.get(instance.setup, 0) + len(instance.flush_failed)
    for setup, count in failed.items():
        yield _invalid(
            "flush",
            f"{count} flushes of {setup} did not end in time",
            "is the exporter's endpoint reachable?",
            "exports did not end",
            setup,
        )


def stray(raw: Raw) -> Iterator[Caveat]:
    """Whether the receiver got something that belongs to no setup, and a collector passed on everything."""
    exports = sum(reading.stray.exports for reading in raw.readings if reading.stray)
    if exports:
        yield _invalid(
            "stray",
            f"the receiver got {exports} export requests that name no setup of this run",
            "is another program exporting to the receiver's port?",
            "strangers exported to the receiver",
        )
    refused = sum(reading.stray.refused for reading in raw.readings if reading.stray)
    if refused:
        yield _invalid(
            "refused",
            f"the receiver refused {refused} export requests that were too large for it",
            "it takes 16 MiB in one, as sent and as unpacked, and 1 GiB in a replicate: smaller batches, or "
            "fewer requests, fit",
            "the receiver refused exports",
        )
    undrained = sum(not reading.drained for reading in raw.readings)
    if undrained:
        yield _invalid(
            "collector",
            f"{undrained} times {raw.plan.collector} had not passed on everything long after the flush",
            "does it export to the receiver, all of it, and without waiting for more?",
            "the collector kept spans",
        )


def elsewhere(plan: Plan) -> Iterator[Caveat]:
    """What is not known of instances that run elsewhere."""
    if plan.targets:
        yield Caveat(
            code="same-processes",
            message="instances that run elsewhere were not started afresh between replicates, and not stopped",
            advice="identical instances may differ by somewhat more than the intervals say; restart "
            "them and measure again to see by how much",
        )
        network_s = max(plan.round_trips_s.values(), default=0.0)
        if network_s > NETWORK_S:
            yield Caveat(
                code="network",
                message=f"a round trip to the instances takes {network_s * 1e3:.1f} ms: it is in every "
                "latency, in no difference between setups, and in no CPU time",
                advice="look at changes in ms: those in percent are smaller than the application's own",
            )
        yield Caveat(
            code="not-known",
            message="how busy the other machine was, and what its host took away, is not known",
            advice="watch it there",
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
    """Whether two identical setups look alike in one figure."""
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
        else "one healthy figure in twenty shows this; claims were widened by it",
        severity=Severity.INVALID if invalid else Severity.CAVEAT,
        load="saturation" if name in {"saturation", "throughput"} else "light",
        reason="identical setups differ",
    )


def without_checks(plan: Plan) -> Iterator[Caveat]:
    """Whether the run can check itself."""
    if AA not in plan.names:
        yield Caveat(
            code="no-aa-check",
            message="the run has no aa of the baseline, so its noise floor is not known",
            advice=f"add {AA}",
        )
    if INJECTED not in plan.names:
        yield Caveat(
            code="no-injected",
            message="the run has no control, so nothing shows that it finds a cost",
            advice=f"add {INJECTED}",
        )


def injected(residual: Estimate | None, known: float) -> Iterator[Caveat]:
    """Whether the known cost was found, and whether the run could have missed it.

    Args:
        residual: ln(control / (baseline + known cost)), which is 0 if the cost was found.
        known: ln((baseline + known cost) / baseline); minus that is where no cost at all would be.
    """
    if residual is None:
        return
    low, high = residual.interval(INJECTED_CONFIDENCE)
    if not low <= 0.0 <= high:
        yield _invalid(
            "injected",
            "the known cost of the injected cost was not found: it is off by "
            f"{percent(residual.ratio)} of a request, outside its 99 % interval",
            "something disturbs the CPU clocks or the instances; do not use this run",
            "a known cost was not found",
        )
    elif low <= -known:
        yield Caveat(
            code="injected-weak",
            message="the run is too noisy to tell the injected cost's known cost from none at all",
            advice="measure with more replicates or a longer budget before trusting small differences",
        )


def reason(caveats: Sequence[Caveat], setups: Collection[str]) -> str | None:
    """Why figures of some setups do not count, in the verdict's words; None if they do."""
    for caveat in caveats:
        concerns = caveat.setup is None or caveat.setup in setups
        if caveat.severity is Severity.INVALID and concerns and caveat.load != "saturation":
            return caveat.reason or caveat.code
    return None
