"""A run against thresholds: may this change be merged?

It fails when the overhead is surely over its threshold: when the lower end of the interval is. What is
invalid, lossy or cut short never passes, whatever its figures say; nor does a run that could not have
found an overhead. The intervals are those that hold for all set-ups at once, as for every claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.records import Summary
from bench.analysis.setup_records import SetupSummary, Severity
from bench.plan.records import SCHEMA


class Outcome(StrEnum):
    """Of a threshold."""

    PASS = "pass"  # noqa: S105 - a word
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    INVALID = "invalid"


BLIND = ("no-twin", "no-control", "control-weak", "ledger-blind")
"""Caveats of a run that might not have found an overhead; it passes nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """How much a set-up may cost.

    Attributes:
        setup: its name.
        ratio: largest overhead, of the baseline's CPU per request (0.8 is 80 %).
    """

    setup: str
    ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A set-up against its threshold.

    Attributes:
        setup: its name.
        threshold: largest overhead allowed.
        ratio: overhead found; None where there is none.
        low: lower end of the interval that the outcome rests on.
        high: upper end.
        outcome: of the threshold.
        why: in a sentence.
    """

    setup: str
    threshold: float
    ratio: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    why: str


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


def judge(
    summary: Summary, thresholds: Sequence[Threshold], *, strict: bool = False, fault: str | None = None
) -> Gate:
    """A run against its thresholds.

    Args:
        summary: of the run; it has to have every threshold's set-up.
        thresholds: one or more.
        strict: whether an upper end over the threshold fails, too.
        fault: why its folder does not say what was measured; None if it does.
    """
    setups = {setup.name: setup for setup in summary.setups}
    forbidden, blind = fault or _forbidden(summary), _blind(summary)
    judgements = tuple(
        _judge(setups[threshold.setup], threshold, forbidden, blind, strict=strict)
        for threshold in thresholds
    )
    worst = max((judgement.outcome for judgement in judgements), key=list(Outcome).index)
    return Gate(outcome=worst, strict=strict, judgements=judgements)


def _forbidden(summary: Summary) -> str | None:
    """Why nothing of a run may pass; None if it may."""
    if not summary.complete:
        return "the run was not carried out to its end"
    lossy = [setup.name for setup in summary.setups if setup.ledger.balanced is False]
    if lossy:
        return f"the ledger of {', '.join(lossy)} does not balance"
    reasons = [caveat.message for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if not summary.valid:
        return f"the run is not valid: {reasons[0] if reasons else 'it has no figures'}"
    return None


def _blind(summary: Summary) -> str | None:
    """What keeps a run from proving that it can find an overhead; None if it does."""
    reasons = [caveat.message for caveat in summary.caveats if caveat.code in BLIND]
    return f"the run does not prove that it finds an overhead: {reasons[0]}" if reasons else None


def _judge(
    setup: SetupSummary, threshold: Threshold, forbidden: str | None, blind: str | None, *, strict: bool
) -> Judgement:
    cost = setup.light or setup.busy
    low, high = (cost.claim_low, cost.claim_high) if cost else (None, None)
    if forbidden is not None or low is None or high is None or setup.invalid:
        outcome, why = Outcome.INVALID, forbidden or setup.verdict
    elif low > threshold.ratio:
        outcome, why = Outcome.FAIL, "the whole interval is over the threshold"
    elif high <= threshold.ratio and blind is None:
        outcome, why = Outcome.PASS, "the whole interval is within the threshold"
    elif high <= threshold.ratio:
        outcome, why = Outcome.INCONCLUSIVE, blind or ""
    elif strict:
        outcome, why = Outcome.FAIL, "the interval reaches over the threshold, and the gate is strict"
    else:
        outcome, why = Outcome.INCONCLUSIVE, "the threshold lies inside the interval: measure longer"
    return Judgement(
        setup=setup.name,
        threshold=threshold.ratio,
        ratio=cost.ratio if cost else None,
        low=low,
        high=high,
        outcome=outcome,
        why=why,
    )
