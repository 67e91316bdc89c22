"""A run against thresholds, or against an earlier result: may this change be merged?

Three tiers. What is *timed* (overhead) fails when it is surely over its threshold: when the lower end of the
interval is. What is *compared* with an earlier result fails when it surely got worse. What is invalid,
lossy or cut short never passes, whatever its figures say; nor does a run that could not have found an
overhead. The intervals are those that hold for all setups at once, as for every claim. What is *counted*
(spans, bytes, exports, instructions of a request) has no interval, and passes or fails on any machine,
however noisy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.claims import Severity, VerdictKind
from bench.analysis.records import SetupSummary, Summary
from bench.app.records import CHECKS
from bench.compare.comparison import FigureChange, Pairing
from bench.plan.records import SCHEMA
from bench.report import words


class Outcome(StrEnum):
    """What came of checking a threshold."""

    PASS = "pass"  # noqa: S105 - a word
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    INVALID = "invalid"


BLIND = ("no-aa-check", "no-injected", "injected-weak", "accounting-blind")
"""Caveats of a run that might have missed an overhead; such a run passes no overhead threshold."""


class Quantity(StrEnum):
    """The figure that a threshold limits; all but the first are counts per request."""

    OVERHEAD = "overhead"
    SPANS = "spans"
    BYTES = "bytes"
    EXPORTS = "exports"
    INSTRUCTIONS = "instructions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """How much a setup may cost.

    Attributes:
        setup: its name.
        limit: the largest value: of overhead a ratio of the baseline's CPU per request (0.8 is 80 %).
        figure: what that is about.
    """

    setup: str
    limit: float
    figure: Quantity = Quantity.OVERHEAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A setup against its threshold.

    Attributes:
        setup: its name.
        figure: what is judged.
        limit: the largest value allowed; None: no worse than the earlier result.
        value: measured; None where there is none.
        low: lower end of the interval that the outcome rests on; None of what is counted.
        high: upper end.
        outcome: of the threshold.
        reason: in a sentence.
    """

    setup: str
    figure: str
    limit: float | None
    value: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A run against all its thresholds.

    Attributes:
        schema: format of this record.
        outcome: the worst of them.
        strict: whether an upper end over the threshold fails, too.
        judgements: one for every threshold.
    """

    schema: int = SCHEMA
    outcome: Outcome
    strict: bool
    judgements: tuple[Judgement, ...]


def judge(  # noqa: PLR0913 - what a run is judged by
    summary: Summary,
    thresholds: Sequence[Threshold],
    *,
    strict: bool = False,
    discrepancy: str | None = None,
    instructions: Mapping[str, float] | None = None,
    against: Pairing | None = None,
) -> Gate:
    """A run against its thresholds.

    Args:
        summary: of the run; it has to have every threshold's setup.
        thresholds: one or more.
        strict: whether an upper end over the threshold fails, too.
        discrepancy: a discrepancy between the folder and its raw records; None without one.
        instructions: CPU instructions of a request, by setup, where they were counted.
        against: the run against an earlier result; every figure in both is judged.
    """
    setups = {setup.name: setup for setup in summary.setups}
    lossy = discrepancy or _lossy(summary)
    forbidden, blind = lossy or _invalid(summary), _blind(summary)
    judgements = [
        _judge(setups[threshold.setup], threshold, forbidden, blind, strict=strict)
        if threshold.figure is Quantity.OVERHEAD
        else _count(setups[threshold.setup], threshold, lossy, instructions or {})
        for threshold in thresholds
    ]
    changes = against.changes if against else ()
    # A change of the A/A setup is noise, which verdicts take into account.
    judgements += [_compared(change, forbidden) for change in changes if change.setup not in CHECKS]
    worst = max((judgement.outcome for judgement in judgements), key=list(Outcome).index)
    return Gate(outcome=worst, strict=strict, judgements=tuple(judgements))


def _compared(change: FigureChange, forbidden: str | None) -> Judgement:
    """A figure against the same one of an earlier result."""
    outcomes = {
        VerdictKind.DIFFERENT: (Outcome.PASS, "it got better"),
        VerdictKind.EQUIVALENT: (Outcome.PASS, "it has not changed"),
        VerdictKind.INVALID: (Outcome.INVALID, change.verdict.reason or ""),
    }
    outcome, why = outcomes.get(change.verdict.kind, (Outcome.INCONCLUSIVE, "no change detected"))
    if forbidden is not None:
        outcome, why = Outcome.INVALID, forbidden
    elif change.is_worse:
        outcome, why = Outcome.FAIL, "it got worse"
    return Judgement(
        setup=change.setup,
        figure=change.figure,
        limit=None,
        value=change.change.ratio,
        low=change.change.low,
        high=change.change.high,
        outcome=outcome,
        reason=why,
    )


def _lossy(summary: Summary) -> str | None:
    """The reason why even counts cannot pass; None if they can."""
    if not summary.complete:
        return "the run was not carried out to its end"
    lossy = ", ".join(summary.incomplete)
    return f"the span accounting of {lossy} is incomplete" if lossy else None


def _invalid(summary: Summary) -> str | None:
    """The reason why no timed figure can pass; None if they can."""
    reasons = [caveat.message for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if summary.valid:
        return None
    return f"the run is not valid: {reasons[0] if reasons else 'it has no figures'}"


def _blind(summary: Summary) -> str | None:
    """What keeps a run from proving that it can find an overhead; None if it does."""
    reasons = [caveat.message for caveat in summary.caveats if caveat.code in BLIND]
    return f"the run does not prove that it finds an overhead: {reasons[0]}" if reasons else None


def _judge(
    setup: SetupSummary, threshold: Threshold, forbidden: str | None, blind: str | None, *, strict: bool
) -> Judgement:
    cost = setup.light or setup.saturation
    low, high = (cost.claim_low, cost.claim_high) if cost else (None, None)
    if forbidden is not None or low is None or high is None or setup.invalid:
        outcome, why = Outcome.INVALID, forbidden or words.verdict(setup.verdict)
    elif low > threshold.limit:
        outcome, why = Outcome.FAIL, "the whole interval is over the threshold"
    elif high <= threshold.limit and blind is None:
        outcome, why = Outcome.PASS, "the whole interval is within the threshold"
    elif high <= threshold.limit:
        outcome, why = Outcome.INCONCLUSIVE, blind or ""
    elif strict:
        outcome, why = Outcome.FAIL, "the interval reaches over the threshold, and the gate is strict"
    else:
        outcome, why = Outcome.INCONCLUSIVE, "the threshold lies inside the interval: measure longer"
    return _judgement(threshold, setup.overhead.ratio if setup.overhead else None, outcome, why, (low, high))


def _count(
    setup: SetupSummary, threshold: Threshold, lossy: str | None, instructions: Mapping[str, float]
) -> Judgement:
    """What is counted, against its threshold."""
    accounting, requests = setup.accounting, setup.accounting.requests
    counts = {
        Quantity.SPANS: accounting.spans_received,
        Quantity.BYTES: accounting.bytes,
        Quantity.EXPORTS: accounting.exports,
    }  # fmt: skip
    if threshold.figure is Quantity.INSTRUCTIONS:
        value = instructions.get(setup.name)
    else:
        value = counts[threshold.figure] / requests if requests else None
    if lossy is not None or value is None:
        outcome, why = Outcome.INVALID, lossy or f"{threshold.figure} of a request were not counted"
    elif value > threshold.limit:
        outcome, why = Outcome.FAIL, "the count is over the threshold"
    else:
        outcome, why = Outcome.PASS, "the count is within the threshold"
    return _judgement(threshold, value, outcome, why)


def _judgement(
    threshold: Threshold,
    value: float | None,
    outcome: Outcome,
    why: str,
    ends: tuple[float | None, float | None] = (None, None),
) -> Judgement:
    low, high = ends
    return Judgement(
        setup=threshold.setup,
        figure=threshold.figure,
        limit=threshold.limit,
        value=value,
        low=low,
        high=high,
        outcome=outcome,
        reason=why,
    )
