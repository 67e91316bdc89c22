"""The gates: measured reasons to doubt a figure, or not to believe it at all.

Rule 1: a gate looks at how the measurement went, never at how large the effect is.
Rule 2: every gate is one row here: what was measured, the limit of a caveat, the limit
of validity, a sentence and a piece of advice.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.findings import Caveat, Ledger, LoadSummary, Severity
from bench.model import CONTROL, TWIN, Ending, Plan, Window
from bench.stats import Array, Estimate, trend

TREND_SIGNIFICANCE = 0.01
TREND_LIMIT = 0.02
TWIN_LIMIT = 0.03
TWIN_T = 3.5
CONTROL_CONFIDENCE = 0.99


def _graded(  # noqa: PLR0913, PLR0917 - a row of the table
    code: str,
    value: float,
    caveat: float,
    invalid: float,
    message: str,
    advice: str,
    setup: str | None = None,
) -> tuple[Caveat, ...]:
    """A caveat above one limit, an invalid figure above the other, nothing below both."""
    if value <= min(caveat, invalid):
        return ()
    severity = Severity.INVALID if value > invalid else Severity.CAVEAT
    return (Caveat(code=code, message=message, advice=advice, severity=severity, setup=setup),)


def generator(load: LoadSummary, median_latency_s: float | None) -> tuple[Caveat, ...]:
    """Whether the load was sent when it was planned."""
    dropped = load.dropped / max(load.requests, 1)
    caveats = [*lag(load.lag_p50_s, load.lag_p99_s, median_latency_s)]
    caveats += _graded(
        "dropped", dropped, 0.0, 1e-3,
        f"{load.dropped} of {load.requests} arrivals were not sent: too many requests were under way",
        "lower --utilisation",
    )  # fmt: skip
    caveats += _graded(
        "generator-busy", load.load_utilisation, 0.6, 0.8,
        f"the load generator used {load.load_utilisation:.0%} of its CPU",
        "lower --utilisation, or spread the load with --workers",
    )  # fmt: skip
    caveats += workers(load.lost_workers, load.set_aside)
    return tuple(caveats)


def workers(lost: int, set_aside: int) -> tuple[Caveat, ...]:
    """Whether load workers died; their windows do not count."""
    if not lost:
        return ()
    return (
        Caveat(
            code="worker",
            message=f"{_several(lost, 'load worker')} died; {_several(set_aside, 'window')} set aside",
            advice="the windows that are left count; see why it ended, and measure again for the full plan",
        ),
    )


def _several(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def lag(
    lag_p50_s: float | None, lag_p99_s: float | None, median_latency_s: float | None
) -> tuple[Caveat, ...]:
    """Whether requests were sent when they were planned."""
    p50, p99 = lag_p50_s or 0.0, lag_p99_s or 0.0
    tail = "" if lag_p99_s is None else f", p99 {p99 * 1e3:.2f} ms"
    late = f"requests were sent late: median {p50 * 1e3:.2f} ms{tail} after their time"
    advice = "close other programs; the load needs a CPU of its own"
    limit = min(2e-3, 0.2 * median_latency_s) if median_latency_s else 2e-3
    severity = Severity.INVALID if p50 > 2e-3 else Severity.CAVEAT
    if p50 <= 2e-3 and p99 <= limit:
        return ()
    return (Caveat(code="lag", message=late, advice=advice, severity=severity),)


def errors(setup: str, requests: int, failed: int) -> tuple[Caveat, ...]:
    """Whether checkouts failed."""
    return _graded(
        "errors", failed / max(requests, 1), 0.0, 1e-3,
        f"{failed} of {requests} checkouts of {setup} failed or timed out",
        "look at the status column of requests.csv.gz; lower --utilisation if it is 0 or 504",
        setup,
    )  # fmt: skip


def ledger(setup: str, account: Ledger, windows: Sequence[str]) -> tuple[Caveat, ...]:
    """Whether every span is accounted for.

    Args:
        setup: whose account.
        account: over the run.
        windows: what does not balance inside single windows, a sentence each.
    """
    problems = account.problems or tuple(windows)
    if not problems:
        return ()
    return (
        Caveat(
            code="ledger",
            message=f"the ledger of {setup} does not balance: {problems[0]}",
            advice="a set-up that loses spans looks cheap; find the loss before reading its figure",
            severity=Severity.INVALID,
            setup=setup,
        ),
    )


def blind(setup: str, account: Ledger, ratio: float) -> tuple[Caveat, ...]:
    """Whether a loss of everything would be seen."""
    if ratio == 0.0 or account.traces_low > 0:
        return ()
    return (
        Caveat(
            code="ledger-blind",
            message=(
                f"of {account.checkouts} checkouts {setup} may sample none, "
                "so a loss of all its traces would not be seen"
            ),
            advice="measure for longer, or with a larger ratio",
            setup=setup,
        ),
    )


def stray(windows: Sequence[Window]) -> tuple[Caveat, ...]:
    """Whether the sink got something that belongs to no set-up."""
    return strangers(sum(window.stray.exports for window in windows))


def strangers(exports: int) -> tuple[Caveat, ...]:
    """Whether so many export requests of nobody are none."""
    if not exports:
        return ()
    return (
        Caveat(
            code="stray",
            message=f"the sink got {exports} export requests that name no set-up of this run",
            advice="is another program exporting to the sink's port?",
            severity=Severity.INVALID,
        ),
    )


def collector(name: str, undrained: int) -> tuple[Caveat, ...]:
    """Whether so many times that a collector had not passed on everything are none."""
    if not undrained:
        return ()
    return (
        Caveat(
            code="collector",
            message=f"{_several(undrained, 'time')} {name} had not passed on everything long after the flush",
            advice="does it export to the sink, all of it, and without waiting for more?",
            severity=Severity.INVALID,
        ),
    )


def flushes(setup: str, windows: Sequence[Window]) -> tuple[Caveat, ...]:
    """Whether all services answered when they were told to flush."""
    failed = sum(
        len(fleet.flush_failed) for window in windows for fleet in window.fleets if fleet.setup == setup
    )
    return flush(setup, failed)


def flush(setup: str, failed: int) -> tuple[Caveat, ...]:
    """Whether so many flushes of a set-up that did not end are none."""
    if not failed:
        return ()
    return (
        Caveat(
            code="flush",
            message=f"{failed} flushes of {setup} did not end in time",
            advice="is the exporter's endpoint reachable?",
            severity=Severity.INVALID,
            setup=setup,
        ),
    )


def machine(load: LoadSummary) -> tuple[Caveat, ...]:
    """Whether the machine was busy with something else, or the services too busy."""
    return (
        *_graded(
            "utilisation", load.utilisation, 0.60, float("inf"),
            f"the services' CPU was {load.utilisation:.0%} busy"
            + (": latency is saturated" if load.utilisation > 0.80 else ""),
            "CPU figures stay valid; for latency lower --utilisation",
        ),
        *host(load.steal, load.foreign),
    )  # fmt: skip


def host(steal: float, foreign: float) -> tuple[Caveat, ...]:
    """Whether somebody else used the CPUs, as shares of a core."""
    return (
        *_graded(
            "steal", steal, 0.02, 0.10,
            f"the host took {steal:.1%} of a core away", "measure on a quieter or dedicated machine",
        ),
        *_graded(
            "foreign", foreign, 0.05, 0.25,
            f"other programs used {foreign:.1%} of a core", "close other programs and measure again",
        ),
    )  # fmt: skip


def trends(differences: Mapping[str, Sequence[Array]]) -> tuple[Caveat, ...]:
    """Whether an overhead drifts from window to window, so that its mean depends on the run's length.

    Tested at 1 % over all set-ups together (Bonferroni): one healthy run in a hundred
    gets this caveat, not one set-up in a hundred.
    """
    caveats: list[Caveat] = []
    for setup, rows in differences.items():
        drift = trend(rows)
        if drift is None or drift.p > TREND_SIGNIFICANCE / len(differences):
            continue
        caveats += _graded(
            "trend", abs(drift.slope), 0.0, TREND_LIMIT,
            f"the overhead of {setup} drifts by {drift.slope:+.1%} per window",
            "raise --warm-up, and look whether its processes grow",
            setup,
        )  # fmt: skip
    return tuple(caveats)


def twin(estimate: Estimate | None, confidence: float) -> tuple[Caveat, ...]:
    """Whether two identical set-ups look alike."""
    if estimate is None:
        return (
            Caveat(
                code="no-twin",
                message="the run has no twin of the baseline, so its noise floor is not known",
                advice=f"add {TWIN} to --setups",
            ),
        )
    low, high = estimate.interval(confidence)
    if low <= 0.0 <= high:
        return ()
    difference = float(np.expm1(estimate.log_ratio))
    invalid = abs(difference) > TWIN_LIMIT and abs(estimate.t) > TWIN_T
    return (
        Caveat(
            code="twin",
            message=f"the baseline and its twin differ by {difference:+.1%} although they are identical",
            advice="measure again with more epochs"
            if invalid
            else "one healthy run in twenty shows this; claims were widened by it",
            severity=Severity.INVALID if invalid else Severity.CAVEAT,
        ),
    )


def control(estimate: Estimate | None, known: float) -> tuple[Caveat, ...]:
    """Whether the known cost was found, and whether the run could have missed it.

    Args:
        estimate: ln(control / (baseline + known cost)), which is 0 if the cost was found.
        known: ln((baseline + known cost) / baseline); minus that is where no cost at all would be.
    """
    if estimate is None:
        return (
            Caveat(
                code="no-control",
                message="the run has no positive control, so nothing shows that it finds a cost",
                advice=f"add {CONTROL} to --setups",
            ),
        )
    low, high = estimate.interval(CONTROL_CONFIDENCE)
    if low <= 0.0 <= high:
        if low > -known:
            return ()
        return (
            Caveat(
                code="control-weak",
                message="the run is too noisy to tell the control's known cost from none at all",
                advice="measure with more epochs or a longer budget before trusting small differences",
            ),
        )
    return (
        Caveat(
            code="control",
            message=(
                "the known cost of the control was not found: it is off by "
                f"{np.expm1(estimate.log_ratio):+.1%} of a checkout, outside its 99 % interval"
            ),
            advice="something disturbs the CPU clocks or the fleets; do not use this run",
            severity=Severity.INVALID,
        ),
    )


def same_processes(plan: Plan) -> tuple[Caveat, ...]:
    """Whether epochs are fresh processes."""
    if not plan.targets:
        return ()
    return (
        Caveat(
            code="same-processes",
            message="fleets that run elsewhere were not started afresh between epochs",
            advice="identical fleets may differ by somewhat more than the intervals say; "
            "restart them and measure again to see by how much",
        ),
    )


def without_figure(plan: Plan, counting: int, figures: int, lost: int, ending: Ending) -> tuple[Caveat, ...]:
    """Whether every window that should have a figure has one.

    A window has none if a fleet completed nothing in it, or its CPU clock did not move: leaving
    such windows out would choose by what was measured.

    Args:
        plan: as it was carried out.
        counting: windows that count.
        figures: of these, those with a figure for every fleet.
        lost: windows in which a load worker died; these are told elsewhere.
        ending: of the run; only of a complete one all windows are due.
    """
    due = plan.epochs * plan.windows - lost if ending.complete else counting
    if figures >= due:
        return ()
    return (
        Caveat(
            code="windows",
            message=f"{due - figures} of {due} windows have no figure: they are missing, or a fleet "
            "completed nothing in them",
            advice="lower --utilisation, or leave out the set-up that answers nothing",
            severity=Severity.INVALID,
        ),
    )


def progress(plan: Plan, epochs: int, ending: Ending) -> tuple[Caveat, ...]:
    """Whether the plan was carried out to its end."""
    caveats = []
    if ending.failure is not None:
        caveats.append(
            Caveat(
                code="failure",
                message=f"the run ended early: {ending.failure}",
                advice="mend the cause and measure again",
                severity=Severity.INVALID,
            )
        )
    elif not ending.complete:
        caveats.append(
            Caveat(
                code="interrupted",
                message=f"the run was interrupted after {epochs} of {plan.epochs} epochs",
                advice="the intervals are honest but wide; let it run to its end",
            )
        )
    if epochs == 1:
        caveats.append(
            Caveat(
                code="one-epoch",
                message="all windows come from the same processes, so their differences are in no interval",
                advice="measure with two epochs or more",
                severity=Severity.INVALID,
            )
        )
    return tuple(caveats)
