"""A run against budgets: may this change be merged?

Rule 1: it fails when the overhead is surely over its budget: when the lower end of the interval is.
Rule 2: what is invalid, lossy or cut short never passes, whatever its figures say; nor does a run that
could not have found an overhead.
Rule 3: the intervals are those that hold for all set-ups at once, as for every claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis.records import SetupSummary, Severity, Summary
from bench.plan.records import SCHEMA


class Outcome(StrEnum):
    """Of a budget."""

    PASS = "pass"  # noqa: S105 - a word
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    INVALID = "invalid"


BLIND = ("no-twin", "no-control", "control-weak", "ledger-blind")
"""Caveats of a run that might not have found an overhead; it passes nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How much a set-up may cost.

    Attributes:
        setup: its name.
        ratio: largest overhead, of the baseline's CPU per checkout (0.8 is 80 %).
    """

    setup: str
    ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A set-up against its budget.

    Attributes:
        setup: its name.
        budget: largest overhead allowed.
        ratio: overhead found; absent where there is none.
        low: lower end of the interval that the outcome rests on.
        high: upper end.
        outcome: of it.
        why: in a sentence.
    """

    setup: str
    budget: float
    ratio: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A run against all its budgets.

    Attributes:
        schema: format of this record.
        outcome: the worst of them.
        strict: whether an upper end over the budget fails, too.
        judged: one a budget.
    """

    schema: int = SCHEMA
    outcome: Outcome
    strict: bool
    judged: tuple[Judged, ...]


def judge(
    summary: Summary, budgets: Sequence[Budget], *, strict: bool = False, fault: str | None = None
) -> Gate:
    """A run against its budgets.

    Args:
        summary: of the run; it has to have every budget's set-up.
        budgets: one or more.
        strict: whether an upper end over the budget fails, too.
        fault: why its folder does not say what was measured; absent if it does.
    """
    setups = {setup.name: setup for setup in summary.setups}
    forbidden, blind = fault or _forbidden(summary), _blind(summary)
    judged = tuple(_judged(setups[each.setup], each, forbidden, blind, strict=strict) for each in budgets)
    worst = max((each.outcome for each in judged), key=list(Outcome).index)
    return Gate(outcome=worst, strict=strict, judged=judged)


def _forbidden(summary: Summary) -> str | None:
    """Why nothing of a run may pass; absent if it may."""
    if not summary.complete:
        return "the run was not carried out to its end"
    lossy = [setup.name for setup in summary.setups if not setup.ledger.balanced]
    if lossy:
        return f"the ledger of {', '.join(lossy)} does not balance"
    codes = sorted({each.code for each in summary.caveats if each.severity is Severity.INVALID})
    if not summary.valid:
        return f"the run is invalid ({', '.join(codes) or 'no figures'})"
    return None


def _blind(summary: Summary) -> str | None:
    """What keeps a run from proving that it can see; absent if it does."""
    codes = [each.code for each in summary.caveats if each.code in BLIND]
    return f"the run does not prove that it can see ({', '.join(sorted(set(codes)))})" if codes else None


def _judged(
    setup: SetupSummary, budget: Budget, forbidden: str | None, blind: str | None, *, strict: bool
) -> Judged:
    found = setup.overhead
    if forbidden is not None or found is None or setup.invalid:
        outcome, why = Outcome.INVALID, forbidden or setup.verdict
    elif found.claim_low > budget.ratio:
        outcome, why = Outcome.FAIL, "the whole interval is over the budget"
    elif found.claim_high <= budget.ratio and blind is None:
        outcome, why = Outcome.PASS, "the whole interval is within the budget"
    elif found.claim_high <= budget.ratio:
        outcome, why = Outcome.INCONCLUSIVE, blind or ""
    elif strict:
        outcome, why = Outcome.FAIL, "the interval reaches over the budget, and the gate is strict"
    else:
        outcome, why = Outcome.INCONCLUSIVE, "the budget lies inside the interval: measure longer"
    return Judged(
        setup=setup.name,
        budget=budget.ratio,
        ratio=found.ratio if found else None,
        low=found.claim_low if found else None,
        high=found.claim_high if found else None,
        outcome=outcome,
        why=why,
    )
