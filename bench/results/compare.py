"""Two results against each other: what differs between them, and what that did to the overheads.

Rule 1: only overheads are compared, never absolutes: what a checkout costs in microseconds is the
machine's affair, what tracing adds to it in per cent is tracing's.
Rule 2: what differs is said before any figure; what makes figures incomparable forbids the verdict.
Rule 3: the words and the statistics of a verdict are those of a run.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from bench.differences import Difference, Measured, differences
from bench.analysis.records import Overhead, SetupSummary, Summary
from bench.model import CONTROL, SCHEMA, TWIN, Plan
from bench.overhead import verdict
from bench.analysis.stats import Estimate, t_quantile
from bench.micro.timings import MicroSummary, Timing

CONFIDENCE, DELTA = 0.95, 0.02
"""Of microbenchmarks; a run has its own in its plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A set-up's overhead in one of the results."""

    ratio: float
    low: float
    high: float
    cpu_s: float
    cpu_low_s: float
    cpu_high_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A set-up in two results.

    Attributes:
        setup: its name.
        before: its overhead in the first.
        after: in the second.
        ratio: (1 + overhead after) / (1 + overhead before) - 1: how much more or less a checkout costs
            in the second, as far as tracing is the reason.
        low: lower end of its interval.
        high: upper end.
        mde: smallest change that would have been claimed with 80 % power.
        verdict: in the words of a run.
        invalid: whether there must be none.
    """

    setup: str
    before: Side
    after: Side
    ratio: float
    low: float
    high: float
    mde: float
    verdict: str
    invalid: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationChange:
    """A microbenchmark in two results: its ratio to plain Python.

    Attributes:
        name: of the operation.
        before: times the reference in the first.
        after: in the second.
        ratio: the second over the first, less one.
        low: lower end of the interval; absent where a side has no interval.
        high: upper end.
        verdict: in the words of a run.
    """

    name: str
    before: float
    after: float
    ratio: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Two results against each other.

    Attributes:
        schema: format of this record.
        before: name of the first result.
        after: name of the second.
        differences: what is not the same.
        setups: those that are in both.
        missing: those that are in one of them only.
        operations: microbenchmarks that are in both.
        sound: whether the microbenchmarks of both sides are valid.
    """

    schema: int = SCHEMA
    before: str
    after: str
    differences: tuple[Difference, ...]
    setups: tuple[Comparison, ...]
    missing: tuple[str, ...]
    operations: tuple[OperationChange, ...]
    sound: bool = True

    @property
    def comparable(self) -> bool:
        """Whether nothing forbids comparing the two as wholes."""
        return not any(each.decisive and each.setup is None for each in self.differences)

    @property
    def valid(self) -> bool:
        """Whether every verdict counts."""
        return self.comparable and self.sound and not any(each.invalid for each in self.setups)


def compare(before: Measured, after: Measured, results: int = 1) -> Compared:
    """The second result against the first.

    Args:
        before: the first.
        after: the second.
        results: how many are compared with the first; verdicts hold for all of them at once.
    """
    found = tuple(differences(before, after))
    whole = next((each.what for each in found if each.decisive and each.setup is None), None)
    reasons = {each.setup: each.what for each in found if each.decisive and each.setup is not None}
    names = [_overheads(each.summary) for each in (before, after)]
    both = [name for name in names[0] if name in names[1]]
    return Compared(
        before=before.name,
        after=after.name,
        differences=found,
        setups=tuple(
            _compared(
                names[0][name], names[1][name], _widening(before, after), len(both) * results,
                before.summary.plan if before.summary else None,
                whole or reasons.get(name),
            )
            for name in both
        ),
        missing=tuple(sorted(set(names[0]) ^ set(names[1]))),
        operations=tuple(_operations(before.micro, after.micro, results)),
        sound=all(each.micro.valid for each in (before, after) if each.micro),
    )  # fmt: skip


def _overheads(summary: Summary | None) -> dict[str, SetupSummary]:
    """The set-ups that have a figure, but for the control, whose cost is ours."""
    if summary is None:
        return {}
    return {each.name: each for each in summary.setups if each.overhead and each.name != CONTROL}


def _compared(  # noqa: PLR0913, PLR0917 - what a verdict depends on
    before: SetupSummary,
    after: SetupSummary,
    widening: float,
    family: int,
    plan: Plan | None,
    forbidden: str | None,
) -> Comparison:
    one, other = before.overhead, after.overhead
    if one is None or other is None or plan is None:
        raise ValueError(before.name)
    change = worded(
        change_of(_estimate(one), _estimate(other), family), plan.confidence, plan.delta, widening
    )
    gate = forbidden or ("gate" if before.invalid or after.invalid else None)
    return Comparison(
        setup=before.name,
        before=_side(one),
        after=_side(other),
        ratio=change.ratio,
        low=change.low,
        high=change.high,
        mde=change.mde,
        verdict=verdict(before.name, change, gate, plan.delta),
        invalid=gate is not None,
    )


Known: TypeAlias = tuple[float, float, float]
"""A log ratio, its standard error, and the degrees of freedom of that."""


def _estimate(overhead: Overhead) -> Known:
    return math.log1p(overhead.ratio), overhead.standard_error, overhead.df


def change_of(before: Known, after: Known, family: int = 1) -> Estimate:
    """The log of how one figure changed to another, from two runs that share nothing.

    The squares of the standard errors add up; their degrees of freedom are put together as Welch
    and Satterthwaite did (1946). Claims hold for `family` changes at once (Bonferroni).
    """
    variances = before[1] ** 2, after[1] ** 2
    heads = variances[0] ** 2 / before[2] + variances[1] ** 2 / after[2]
    return Estimate(
        log_ratio=after[0] - before[0],
        standard_error=math.sqrt(sum(variances)),
        df=sum(variances) ** 2 / heads if heads else before[2] + after[2],
        family=max(family, 1),
        correlation=None,
        pooled=False,
    )


def worded(change: Estimate, confidence: float, delta: float, widening: float = 0.0) -> Overhead:
    """A change as an overhead, so that it gets the verdict of one."""
    low, high = change.interval(confidence)
    claim_low, claim_high = change.claim(confidence)
    return Overhead(
        ratio=math.expm1(change.log_ratio),
        low=math.expm1(low),
        high=math.expm1(high),
        claim_low=math.expm1(claim_low - widening),
        claim_high=math.expm1(claim_high + widening),
        mde=math.expm1(change.mde(confidence) + widening),
        negligible=change.within(delta, widening),
        cpu_s=0.0,
        cpu_low_s=0.0,
        cpu_high_s=0.0,
        standard_error=change.standard_error,
        df=change.df,
    )


def _side(overhead: Overhead) -> Side:
    return Side(**{each.name: getattr(overhead, each.name) for each in fields(Side)})


def _widening(*sides: Measured) -> float:
    """What identical set-ups differ by in these runs, where their interval excludes 0."""
    return math.fsum(bias(each.summary) for each in sides if each.summary)


def bias(summary: Summary) -> float:
    """The log of what a run's twin differs by, where its interval excludes 0; else 0."""
    twin = next((each.overhead for each in summary.setups if each.name == TWIN), None)
    return 0.0 if twin is None or twin.low <= 0.0 <= twin.high else abs(math.log1p(twin.ratio))


# ---------------------------------------------------------------- microbenchmarks


def _operations(
    before: MicroSummary | None, after: MicroSummary | None, results: int
) -> Iterator[OperationChange]:
    """Each operation that is in both; claims hold for all of them at once (Bonferroni)."""
    if before is None or after is None:
        return
    others = {timing.name: timing for timing in after.timings}
    both = [(timing, others[timing.name]) for timing in before.timings if timing.name in others]
    for one, other in both:
        yield _operation(one, other, len(both) * results)


def _operation(before: Timing, after: Timing, family: int) -> OperationChange:
    sides = _logs(before), _logs(after)
    ratio = after.ratio.value / before.ratio.value - 1
    shown = None
    if sides[0] and sides[1]:
        shown = worded(change_of(sides[0], sides[1], family), CONFIDENCE, DELTA)
    return OperationChange(
        name=before.name,
        before=before.ratio.value,
        after=after.ratio.value,
        ratio=ratio,
        low=shown.low if shown else None,
        high=shown.high if shown else None,
        verdict=verdict(before.name, shown, None, DELTA),
    )


def _logs(timing: Timing) -> Known | None:
    """The log of an operation's ratio, with its error from its interval; absent without one."""
    low, high = timing.ratio.low, timing.ratio.high
    if low is None or high is None:
        return None
    df = timing.rounds - 1.0
    half = (math.log(high) - math.log(low)) / 2
    return math.log(timing.ratio.value), half / t_quantile(0.5 + CONFIDENCE / 2, df), df


def several(results: Sequence[Measured]) -> tuple[Compared, ...]:
    """Every result against the first."""
    return tuple(compare(results[0], each, len(results) - 1) for each in results[1:])
