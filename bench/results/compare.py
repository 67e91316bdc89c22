"""Two results against each other: what differs between them, and what that did to the overheads.

Only changes against each run's own baseline are compared, never absolutes: what a request costs in
microseconds is the machine's affair, what tracing adds to it in percent is tracing's. What differs is
told before any figure; what makes figures incomparable forbids the verdict.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.analysis.records import Summary
from bench.analysis.setup_records import Change, Cost, SetupSummary, Throughput
from bench.analysis.stats import Estimate, welch
from bench.analysis.summary import cost_of, verdict
from bench.app.records import AA, INJECTED
from bench.plan.records import SCHEMA
from bench.results.differences import Difference, RunSide, differences

Figure: TypeAlias = Cost | Throughput | Change


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureChange:
    """A figure of a setup in two results.

    Attributes:
        setup: its name.
        figure: light CPU, busy CPU, throughput, p50, p90 or p99.
        before: change against the baseline in the first result.
        after: in the second.
        ratio: (1 + after) / (1 + before) - 1.
        low: lower end of its interval.
        high: upper end.
        verdict: in the words of a run.
        invalid: whether there must be none.
    """

    setup: str
    figure: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    verdict: str
    invalid: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two results against each other.

    Attributes:
        schema: format of this record.
        before: name of the first result.
        after: name of the second.
        differences: what is not the same.
        changes: figures that are in both.
        missing: setups that are in one of them only.
    """

    schema: int = SCHEMA
    before: str
    after: str
    differences: tuple[Difference, ...]
    changes: tuple[FigureChange, ...]
    missing: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """True if every verdict counts."""
        decisive = any(difference.decisive and difference.setup is None for difference in self.differences)
        return not decisive and not any(change.invalid for change in self.changes)


def compare(before: RunSide, after: RunSide, results: int = 1) -> Comparison:
    """The second result against the first.

    Args:
        before: the first.
        after: the second.
        results: how many are compared with the first; verdicts hold for all of them at once.
    """
    all_differences = tuple(differences(before, after))
    whole = next(
        (
            difference.what
            for difference in all_differences
            if difference.decisive and difference.setup is None
        ),
        None,
    )
    reasons = {
        difference.setup: difference.what
        for difference in all_differences
        if difference.decisive and difference.setup is not None
    }
    sides = [_setups(side.summary) for side in (before, after)]
    both = [name for name in sides[0] if name in sides[1]]
    widening = math.fsum(bias(side.summary) for side in (before, after))
    # Every figure of every setup, in every result, is a chance to claim a change.
    figures = sum(1 for name in both for _ in figures_of(sides[0][name]))
    changes = [
        change
        for name in both
        for change in _changes(
            sides[0][name], sides[1][name], before.summary, widening, figures * results,
            whole or reasons.get(name),
        )
    ]  # fmt: skip
    return Comparison(
        before=before.name,
        after=after.name,
        differences=all_differences,
        changes=tuple(changes),
        missing=tuple(sorted(set(sides[0]) ^ set(sides[1]))),
    )


def several(sides: Sequence[RunSide]) -> tuple[Comparison, ...]:
    """Every result against the first."""
    return tuple(compare(sides[0], side, len(sides) - 1) for side in sides[1:])


def _setups(summary: Summary) -> dict[str, SetupSummary]:
    """The setups that are compared; what the injected cost costs is ours."""
    return {setup.name: setup for setup in summary.setups if setup.name not in {INJECTED, summary.baseline}}


def figures_of(setup: SetupSummary) -> Iterator[tuple[str, Figure]]:
    """A setup's figures with their names."""
    if setup.light:
        yield "light CPU", setup.light
    if setup.saturation:
        yield "full-load CPU", setup.saturation
    if setup.throughput:
        yield "throughput", setup.throughput
    if setup.latency:
        yield from setup.latency.changes.items()


def _changes(  # noqa: PLR0913, PLR0917 - what a verdict depends on
    before: SetupSummary,
    after: SetupSummary,
    summary: Summary,
    widening: float,
    family: int,
    forbidden: str | None,
) -> Iterator[FigureChange]:
    others = dict(figures_of(after))
    plan = summary.plan
    for name, figure in figures_of(before):
        one, other = estimate_of(figure), estimate_of(others[name]) if name in others else None
        if one is None or other is None:
            continue
        change = welch(one, other, family)
        low, high = change.ratios(plan.confidence)
        cost = cost_of(change, plan, widening)
        why = forbidden or ("one of the runs is not valid" if before.invalid or after.invalid else None)
        yield FigureChange(
            setup=before.name,
            figure=name,
            before=one.ratio,
            after=other.ratio,
            ratio=change.ratio,
            low=low,
            high=high,
            # What changed between two runs is no overhead.
            verdict=verdict(before.name, cost, why, plan.delta).replace("overhead", "change", 1),
            invalid=why is not None,
        )


def estimate_of(figure: Figure) -> Estimate | None:
    """A stored figure as an estimate; None where it has no standard error."""
    if figure.ratio is None or figure.standard_error is None or figure.df is None or figure.ratio <= -1:
        return None
    return Estimate(log_ratio=math.log1p(figure.ratio), standard_error=figure.standard_error, df=figure.df)


def bias(summary: Summary) -> float:
    """The log of what a run's aa differs by, where its interval excludes 0; else 0."""
    aa = summary.setup(AA)
    cost = (aa.light or aa.saturation) if aa else None
    if cost is None or cost.ratio is None or cost.low is None or cost.high is None:
        return 0.0
    return 0.0 if cost.low <= 0.0 <= cost.high else abs(math.log1p(cost.ratio))
