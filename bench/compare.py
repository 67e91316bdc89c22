"""Two results against each other: what differs between them, and what that did to the overheads.

Rule 1: only overheads are compared, never absolutes: what a checkout costs in microseconds is the
machine's affair, what tracing adds to it in per cent is tracing's.
Rule 2: what differs is said before any figure; what makes figures incomparable forbids the verdict.
Rule 3: the words and the statistics of a verdict are those of a run.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from bench.findings import Overhead, SetupSummary, Summary
from bench.model import BASELINE, CONTROL, SCHEMA, TWIN, Machine, Plan
from bench.overhead import verdict
from bench.stats import Estimate, t_quantile
from bench.timings import MicroSummary, Timing

CONFIDENCE, DELTA = 0.95, 0.02
"""Of microbenchmarks; a run has its own in its plan."""
NOT_COMPARED = {"started", "packages", "setups"}
"""Fields of a machine that differ always, or are looked at one by one."""
PLANNED = {
    "method": "the method",
    "windows": "windows of an epoch",
    "epochs": "epochs",
    "window_s": "length of a window, s",
    "utilisation": "utilisation aimed at",
    "connections": "connections to an upstream",
    "timeout_s": "timeout, s",
    "workers": "load workers",
}
DECISIVE = {"method", "connections", "pinned", "elsewhere"}
"""Differences after which a checkout is not the same work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Something that is not the same in two results.

    Attributes:
        area: machine, packages, plan, or set-up.
        what: that differs.
        before: in the first.
        after: in the second.
        decisive: whether figures of the two must not be compared because of it.
        setup: the one whose figures that is about; absent: all.
    """

    area: str
    what: str
    before: str
    after: str
    decisive: bool = False
    setup: str | None = None


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
    """

    schema: int = SCHEMA
    before: str
    after: str
    differences: tuple[Difference, ...]
    setups: tuple[Comparison, ...]
    missing: tuple[str, ...]
    operations: tuple[OperationChange, ...]

    @property
    def comparable(self) -> bool:
        """Whether nothing forbids comparing the two as wholes."""
        return not any(each.decisive and each.setup is None for each in self.differences)

    @property
    def valid(self) -> bool:
        """Whether every verdict counts."""
        return self.comparable and not any(each.invalid for each in self.setups)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One result, as far as it is compared.

    Attributes:
        name: of its folder.
        summary: of a run; absent where there was none.
        micro: microbenchmarks; absent where there were none.
        machine: what it was measured on; absent where nobody wrote it down.
    """

    name: str
    summary: Summary | None = None
    micro: MicroSummary | None = None
    machine: Machine | None = None


def compare(before: Measured, after: Measured) -> Compared:
    """The second result against the first."""
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
                names[0][name], names[1][name], _widening(before, after), len(both),
                before.summary.plan if before.summary else None,
                whole or reasons.get(name),
            )
            for name in both
        ),
        missing=tuple(sorted(set(names[0]) ^ set(names[1]))),
        operations=tuple(_operations(before.micro, after.micro)),
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
    and Satterthwaite did (1946). Claims hold for `family` changes at once, however they correlate.
    """
    variances = before[1] ** 2, after[1] ** 2
    heads = variances[0] ** 2 / before[2] + variances[1] ** 2 / after[2]
    return Estimate(
        log_ratio=after[0] - before[0],
        standard_error=math.sqrt(sum(variances)),
        df=sum(variances) ** 2 / heads if heads else before[2] + after[2],
        family=max(family, 1),
        correlation=0.0,
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


# ---------------------------------------------------------------- what differs


def differences(before: Measured, after: Measured) -> Iterator[Difference]:
    """Everything that is not the same, in reading order."""
    if before.machine and after.machine:
        yield from _machines(before.machine, after.machine)
    one, other = before.summary, after.summary
    if one and other:
        yield from _plans(one.plan, other.plan)


def _machines(before: Machine, after: Machine) -> Iterator[Difference]:
    for field in fields(Machine):
        if field.name in NOT_COMPARED:
            continue
        values = getattr(before, field.name), getattr(after, field.name)
        if values[0] != values[1]:
            yield Difference(
                area="machine",
                what=field.name.replace("_", " "),
                before=_shown(values[0]),
                after=_shown(values[1]),
            )
    for name in sorted({*before.packages, *after.packages}):
        versions = before.packages.get(name), after.packages.get(name)
        if versions[0] != versions[1]:
            yield Difference(
                area="packages", what=name, before=_shown(versions[0]), after=_shown(versions[1])
            )


def _plans(before: Plan, after: Plan) -> Iterator[Difference]:
    for name, what in PLANNED.items():
        yield from _differs(name, what, getattr(before, name), getattr(after, name))
    yield from _differs("pinned", "services pinned", bool(before.services_cpus), bool(after.services_cpus))
    yield from _differs("elsewhere", "fleets that run elsewhere", bool(before.targets), bool(after.targets))
    yield from _loads(before, after)
    setups = [{setup.name: setup for setup in plan.setups} for plan in (before, after)]
    for name in setups[0]:
        if name not in setups[1] or name == CONTROL:
            continue
        one, other = setups[0][name].env, setups[1][name].env
        if one != other:
            yield Difference(
                area="set-up",
                what=f"environment of {name}",
                before=_shown(one),
                after=_shown(other),
                decisive=True,
                setup=None if name == BASELINE else name,
            )
    counts = len(before.setups), len(after.setups)
    yield from _differs("fleets", "fleets that take turns on the services' CPUs", *counts)


def _differs(name: str, what: str, before: object, after: object) -> Iterator[Difference]:
    if before != after:
        yield Difference(
            area="plan", what=what, before=_shown(before), after=_shown(after), decisive=name in DECISIVE
        )


def _loads(before: Plan, after: Plan) -> Iterator[Difference]:
    """The checkouts per second that one fleet gets: they decide how large batches are."""
    rates = [plan.rate_per_s / max(len(plan.setups), 1) for plan in (before, after)]
    if not all(rates):
        return
    factor = max(rates) / min(rates)
    if factor > 1.05:
        yield Difference(
            area="plan",
            what="checkouts per second and fleet",
            before=f"{rates[0]:.2f}",
            after=f"{rates[1]:.2f}",
        )


def _shown(value: object) -> str:
    if value is None or value in ("", (), {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- microbenchmarks


def _operations(before: MicroSummary | None, after: MicroSummary | None) -> Iterator[OperationChange]:
    """Each operation that is in both; claims hold for all of them at once (Bonferroni)."""
    if before is None or after is None:
        return
    others = {timing.name: timing for timing in after.timings}
    both = [(timing, others[timing.name]) for timing in before.timings if timing.name in others]
    for one, other in both:
        yield _operation(one, other, len(both))


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
    return tuple(compare(results[0], each) for each in results[1:])
