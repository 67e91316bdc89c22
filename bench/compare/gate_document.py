"""A gate's outcome as people and CI read it."""

from bench.analysis.proportions import Rate
from bench.compare.gate import Gate, Judgement, Outcome, Quantity
from bench.plan.machine import Machine
from bench.report import ci
from bench.report.ci import CaseStatus
from bench.report.document import Document, Text, document, section
from bench.report.words import ABSENT, Table, percent

COUNTED = frozenset(Quantity) - {Quantity.OVERHEAD}
MOST_NAMED = 3
"""Figures with one reason that a headline names; more are counted."""
ABOUT = (
    "An overhead fails if its whole interval is over the threshold{strict}. A figure that is compared with "
    "an earlier result fails if the whole interval of its change is on the worse side of zero. Intervals "
    "hold for all setups of the run at once; counts have none. A run that is invalid, loses spans or was "
    "interrupted never passes."
)


def report(gate: Gate, sure: str) -> Document:
    """The gate's report.

    Args:
        gate: with its outcome.
        sure: how often the harness raises a false alarm.
    """
    strict = ", and here also if only the upper end is (strict)" if gate.strict else ""
    return document(
        f"Tracing overhead: {gate.outcome.upper()}",
        [Text(text=headline(gate), red=gate.outcome in {Outcome.FAIL, Outcome.INVALID})],
        section("Thresholds", table(gate), ABOUT.format(strict=strict), sure),
    )


def headline(gate: Gate) -> str:
    """The outcome in one sentence."""
    by_reason: dict[str, list[str]] = {}
    for judgement in gate.judgements:
        if judgement.outcome is gate.outcome:
            by_reason.setdefault(judgement.reason, []).append(_what(judgement))
    sentences = [
        f"{'; '.join(figures) if len(figures) <= MOST_NAMED else f'{len(figures)} figures'}: {reason}"
        for reason, figures in by_reason.items()
    ]
    return f"{gate.outcome}: {'; '.join(sentences)}."


def _what(judgement: Judgement) -> str:
    return f"{judgement.setup}, {judgement.figure}"


def _value(judgement: Judgement, value: float | None, *, sign: bool = False) -> str:
    """An overhead in percent, or a count."""
    if value is None:
        return ABSENT
    if judgement.figure in COUNTED:
        return f"{value:,.6g}"
    return f"{percent(value, sign=sign)} %"


def _limit(judgement: Judgement) -> str:
    return "no worse" if judgement.limit is None else _value(judgement, judgement.limit)


def table(gate: Gate) -> Table:
    """Every threshold."""
    return Table(
        heads=("setup", "figure", "threshold", "measured", "interval, all setups", "outcome", "reason"),
        left=(0, 1, 5, 6),
        keys=2,
        rows=tuple(
            (
                judgement.setup,
                judgement.figure,
                _limit(judgement),
                _value(judgement, judgement.value, sign=True),
                _ends(judgement),
                judgement.outcome.value,
                judgement.reason,
            )
            for judgement in gate.judgements
        ),
        red=frozenset(
            at
            for at, judgement in enumerate(gate.judgements)
            if judgement.outcome in {Outcome.FAIL, Outcome.INVALID}
        ),
    )


def _ends(judgement: Judgement) -> str:
    return ABSENT if judgement.low is None else f"[{percent(judgement.low)}, {percent(judgement.high)}]"


def false_alarms(rate: Rate | None, machine: Machine | None) -> str:
    """How often this harness reports an overhead where there is none, as measured."""
    if rate is None:
        return "The rate of false alarms on this machine is unknown: `tracing-overhead accuracy` measures it."
    where = f", measured on {machine.started[:10]} ({machine.cpu})" if machine else ""
    return (
        f"False alarms: {rate.count} of {rate.of} single comparisons of identical setups "
        f"(95 % interval {percent(rate.low, sign=False)} to {percent(rate.high, sign=False)} %){where}."
    )


STATUSES = {
    Outcome.PASS: CaseStatus.PASSED,
    Outcome.INCONCLUSIVE: CaseStatus.SKIPPED,
    Outcome.FAIL: CaseStatus.FAILED,
    Outcome.INVALID: CaseStatus.ERROR,
}


def junit(gate: Gate) -> bytes:
    """The outcome in JUnit's XML: a test case for every threshold; inconclusive ones are skipped."""
    return ci.junit("tracing overhead", "overhead", [_case(judgement) for judgement in gate.judgements])


def _case(judgement: Judgement) -> ci.Case:
    ends = "" if judgement.low is None else f" {_ends(judgement)}"
    found = f"{_value(judgement, judgement.value, sign=True)}{ends}"
    return ci.Case(
        name=_what(judgement),
        status=STATUSES[judgement.outcome],
        text=f"{found}, threshold {_limit(judgement)}: {judgement.reason}",
    )
