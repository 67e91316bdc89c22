"""Validity checks: measured reasons to doubt a figure, or not to believe it at all.

A check looks at how the measurement went, never at how large the effect is. Every check is one
function here: what was measured, the limit of a caveat, the limit of validity, a sentence, advice.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from bench.analysis.blocks import Stretch
from bench.analysis.records import LoadSummary
from bench.analysis.setup_records import Caveat, Ledger, Severity
from bench.analysis.stats import Estimate, trend
from bench.app.records import CONTROL, TWIN, Setup
from bench.plan.readings import Ending, Raw
from bench.plan.records import Plan

TREND_SIGNIFICANCE = 0.01
TREND_LIMIT = 0.02
NETWORK_S = 0.001
"""A round trip that is worth telling: on one machine it takes a twentieth of that."""
TWIN_LIMIT = 0.03
TWIN_T = 3.5
CONTROL_CONFIDENCE = 0.99
IDLE_LIMIT, OUTSIDE_LIMIT = 0.01, 0.10
"""An instance that idles more than the first in a closed loop waits for the load, if more than the
second of the users are not waiting for it."""
LAG_LIMIT_S = 2e-3


def _graded(  # noqa: PLR0913, PLR0917 - a row of the table
    code: str, value: float, caveat: float, invalid: float, message: str, advice: str, why: str = ""
) -> Iterator[Caveat]:
    """A caveat above one limit, an invalid figure above the other, nothing below both."""
    if value > min(caveat, invalid):
        severity = Severity.INVALID if value > invalid else Severity.CAVEAT
        yield Caveat(code=code, message=message, advice=advice, severity=severity, why=why or None)


def _invalid(code: str, message: str, advice: str, why: str, setup: str | None = None) -> Caveat:
    return Caveat(code=code, message=message, advice=advice, severity=Severity.INVALID, setup=setup, why=why)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, for a sentence."""
    return f"{share * 100:.{digits}f} %"


def progress(plan: Plan, epochs: int, ending: Ending) -> Iterator[Caveat]:
    """Whether the plan came to its end, with epochs enough for an interval."""
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
            message=f"the run was interrupted after {epochs} of {plan.epochs} epochs",
            advice="the intervals are honest but wide; let it run to its end",
        )
    if epochs < 2:
        yield _invalid(
            "too-short",
            f"{epochs} of {plan.epochs} epochs are complete, and an interval needs two",
            "let the run go on for longer",
            "too few epochs",
        )
    elif ending.complete and epochs < plan.epochs:
        yield _invalid(
            "epochs",
            f"only {epochs} of {plan.epochs} epochs have a figure of every set-up",
            "lower --rate, or leave out the set-up that answers nothing",
            "epochs without a figure",
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
            why="requests were sent late",
        )
    yield from _graded(
        "unsent", summary.unsent / max(summary.requests, 1), 0.0, 1e-3,
        f"{summary.unsent} of {summary.requests} requests were not sent: too many were under way",
        "lower --rate", "requests were not sent",
    )  # fmt: skip
    yield from _graded(
        "load-busy", summary.load_busy, 0.6, 0.8,
        f"the load generator used {percent(summary.load_busy, 0)} of its CPU at light load",
        "lower --rate, or spread the load with --workers", "the load generator was too busy",
    )  # fmt: skip
    yield from _graded(
        "outside", summary.outside, 0.01, 0.05,
        f"{percent(summary.outside)} of the arrivals were sent after their turn",
        "close other programs", "requests missed their turns",
    )  # fmt: skip
    if summary.lost_workers:
        yield Caveat(
            code="worker",
            message=f"{summary.lost_workers} load workers died; their steps are set aside",
            advice="see why they ended, and measure again for the full plan",
        )


def turns(summary: LoadSummary) -> Iterator[Caveat]:
    """Whether turns were as long as planned, and stopped instances stood still."""
    yield from _graded(
        "turns", summary.turns, 0.005, 0.02,
        f"turns were {percent(summary.turns)} off their planned length in sum",
        "close other programs", "turns were not kept",
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


def idle(stretches: Sequence[Stretch], plan: Plan) -> Iterator[Caveat]:
    """Whether busy load was limited by the load generator; throughput then follows from CPU time."""
    for number, setup in enumerate(plan.setups):
        shares = [stretch.busy(number) for stretch in stretches if stretch.own_s(number)]
        mean = sum(shares) / len(shares) if shares else 1.0
        outside = max((stretch.outside(number) for stretch in stretches), default=0.0)
        if mean < 1 - IDLE_LIMIT and outside > OUTSIDE_LIMIT:
            yield Caveat(
                code="idle",
                message=f"at busy load the CPU of {setup.name} idled {percent(1 - mean)} of its turns",
                advice="its throughput was derived from CPU time per request; more --workers may drive it",
                setup=setup.name,
                load="busy",
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


def ledger(setup: Setup, account: Ledger) -> Iterator[Caveat]:
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
            "ledger",
            f"the ledger of {name} does not balance: {account.problems[0]}",
            "a set-up that loses spans looks cheap; find the loss before reading its figure",
            "its ledger does not balance",
            name,
        )
    elif account.balanced is None:
        yield Caveat(
            code="varies",
            message=f"traces of {name} differ from request to request: {account.spans_received} spans "
            "were received, and nobody knows how many were due",
            advice="send requests that always do the same work",
            setup=name,
        )
    if account.high > 0 == account.low:
        yield Caveat(
            code="ledger-blind",
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
    """Whether the sink got something that belongs to no set-up, and a collector passed on everything."""
    exports = sum(reading.stray.exports for reading in raw.readings if reading.stray)
    if exports:
        yield _invalid(
            "stray",
            f"the sink got {exports} export requests that name no set-up of this run",
            "is another program exporting to the sink's port?",
            "strangers exported to the sink",
        )
    refused = sum(reading.stray.refused for reading in raw.readings if reading.stray)
    if refused:
        yield _invalid(
            "refused",
            f"the sink refused {refused} export requests that were too large for it",
            "it takes 16 MiB in one, as sent and as unpacked, and 1 GiB in an epoch: smaller batches, or "
            "fewer requests, fit",
            "the sink refused exports",
        )
    undrained = sum(not reading.drained for reading in raw.readings)
    if undrained:
        yield _invalid(
            "collector",
            f"{undrained} times {raw.plan.collector} had not passed on everything long after the flush",
            "does it export to the sink, all of it, and without waiting for more?",
            "the collector kept spans",
        )


def elsewhere(plan: Plan) -> Iterator[Caveat]:
    """What is not known of instances that run elsewhere."""
    if plan.targets:
        yield Caveat(
            code="same-processes",
            message="instances that run elsewhere were not started afresh between epochs, and not stopped",
            advice="identical instances may differ by somewhat more than the intervals say; restart "
            "them and measure again to see by how much",
        )
        network_s = max(plan.round_trips_s.values(), default=0.0)
        if network_s > NETWORK_S:
            yield Caveat(
                code="network",
                message=f"a round trip to the instances takes {network_s * 1e3:.1f} ms: it is in every "
                "latency, in no difference between set-ups, and in no CPU time",
                advice="look at changes in ms: those in percent are smaller than the application's own",
            )
        yield Caveat(
            code="not-known",
            message="how busy the other machine was, and what its host took away, is not known",
            advice="watch it there",
        )


def trends(stretches: Sequence[Stretch], plan: Plan) -> Iterator[Caveat]:
    """Whether an overhead drifts from block to block, so that its mean depends on the run's length.

    Tested at 1 % over all set-ups together (Bonferroni): one healthy run in a hundred gets this.
    """
    costs = [stretch.log_costs() for stretch in stretches]
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


def twin(name: str, estimate: Estimate | None, confidence: float) -> Iterator[Caveat]:
    """Whether two identical set-ups look alike in one figure."""
    if estimate is None:
        return
    low, high = estimate.interval(confidence)
    if low <= 0.0 <= high:
        return
    difference, words = estimate.ratio, f"{name} CPU" if name in {"light", "busy"} else name
    invalid = abs(difference) > TWIN_LIMIT and abs(estimate.t) > TWIN_T
    yield Caveat(
        code="twin",
        message=f"two identical set-ups differ by {percent(difference)} in {words}",
        advice="measure again with more epochs"
        if invalid
        else "one healthy figure in twenty shows this; claims were widened by it",
        severity=Severity.INVALID if invalid else Severity.CAVEAT,
        load="busy" if name in {"busy", "throughput"} else "light",
        why="identical set-ups differ",
    )


def without_checks(plan: Plan) -> Iterator[Caveat]:
    """Whether the run can check itself."""
    if TWIN not in plan.names:
        yield Caveat(
            code="no-twin",
            message="the run has no twin of the baseline, so its noise floor is not known",
            advice=f"add {TWIN}",
        )
    if CONTROL not in plan.names:
        yield Caveat(
            code="no-control",
            message="the run has no control, so nothing shows that it finds a cost",
            advice=f"add {CONTROL}",
        )


def control(residual: Estimate | None, known: float) -> Iterator[Caveat]:
    """Whether the known cost was found, and whether the run could have missed it.

    Args:
        residual: ln(control / (baseline + known cost)), which is 0 if the cost was found.
        known: ln((baseline + known cost) / baseline); minus that is where no cost at all would be.
    """
    if residual is None:
        return
    low, high = residual.interval(CONTROL_CONFIDENCE)
    if not low <= 0.0 <= high:
        yield _invalid(
            "control",
            "the known cost of the control was not found: it is off by "
            f"{percent(residual.ratio)} of a request, outside its 99 % interval",
            "something disturbs the CPU clocks or the instances; do not use this run",
            "a known cost was not found",
        )
    elif low <= -known:
        yield Caveat(
            code="control-weak",
            message="the run is too noisy to tell the control's known cost from none at all",
            advice="measure with more epochs or a longer budget before trusting small differences",
        )


def reason(caveats: Sequence[Caveat], setups: Collection[str]) -> str | None:
    """Why figures of some set-ups do not count, in the verdict's words; None if they do."""
    for caveat in caveats:
        concerns = caveat.setup is None or caveat.setup in setups
        if caveat.severity is Severity.INVALID and concerns and caveat.load != "busy":
            return caveat.why or caveat.code
    return None
