"""One comparison of several results: what differs between them, and what that did to the overheads.

What differs is reported before any figure; what makes figures incomparable forbids the verdict. Results of
different applications are not compared but listed in one table.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.claims import Change, Verdict, VerdictKind, change_of
from bench.analysis.records import Cost, SetupSummary, Summary, Throughput
from bench.analysis.stats import welch
from bench.analysis.summary import cost_of, verdict
from bench.app.records import AA, INJECTED
from bench.app.setups import EVERYTHING
from bench.compare.differences import Difference, RunSide, differences
from bench.plan.records import SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureChange:
    """A figure of a setup in two results.

    Attributes:
        setup: its name.
        figure: light CPU, full-load CPU, throughput, p50, p90 or p99.
        before: change against the baseline in the first result.
        after: in the second.
        change: (1 + after) / (1 + before) - 1.
        verdict: what may be claimed of it.
    """

    setup: str
    figure: str
    before: float
    after: float
    change: Change
    verdict: Verdict

    @property
    def is_invalid(self) -> bool:
        """True if it has no verdict."""
        return self.verdict.kind is VerdictKind.INVALID

    @property
    def is_worse(self) -> bool:
        """True if the second result is surely worse: more CPU, more latency or less throughput."""
        worse = self.change.ratio < 0 if self.figure == "throughput" else self.change.ratio > 0
        return self.verdict.kind is VerdictKind.DIFFERENT and worse


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """A result against the first one.

    Attributes:
        before: name of the first result.
        after: name of the other one.
        differences: what is not the same.
        changes: figures that are in both.
        missing: setups that are in one of them only.
    """

    before: str
    after: str
    differences: tuple[Difference, ...]
    changes: tuple[FigureChange, ...]
    missing: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """True if every verdict counts."""
        decisive = any(difference.decisive and difference.setup is None for difference in self.differences)
        return not decisive and not any(change.is_invalid for change in self.changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class AppCost:
    """What tracing every request costs one application.

    Attributes:
        name: of the application.
        valid: whether its run counts.
        complete: whether every span is accounted for.
        cpu_per_request_s: of the baseline.
        spans: of a request; absent where none was received.
        cost: of tracing every request; absent without such a setup.
        per_span_s: CPU seconds of one more span; absent where too few setups differ in spans.
        saturation_ratio: overhead at saturation; absent without that load.
        off_ratio: overhead with nothing sampled; absent without such a setup.
        throughput_ratio: change of requests per second at saturation.
    """

    name: str
    valid: bool
    complete: bool
    cpu_per_request_s: float | None = None
    spans: float | None = None
    cost: Cost | None = None
    per_span_s: float | None = None
    saturation_ratio: float | None = None
    off_ratio: float | None = None
    throughput_ratio: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Several results; `compare.json`.

    Attributes:
        schema: format of this record.
        pairings: every result against the first one, of results of one application.
        apps: what tracing every request costs each application, of results of several.
    """

    schema: int = SCHEMA
    pairings: tuple[Pairing, ...] = ()
    apps: tuple[AppCost, ...] = ()

    @property
    def valid(self) -> bool:
        """True if every figure counts."""
        return all(pairing.valid for pairing in self.pairings) and all(app.valid for app in self.apps)

    @property
    def is_changed(self) -> bool:
        """True if any figure surely changed."""
        return any(
            change.verdict.kind is VerdictKind.DIFFERENT
            for pairing in self.pairings
            for change in pairing.changes
        )


def compare(sides: Sequence[RunSide]) -> Comparison:
    """Several results: each against the first, or one table where they measured different applications."""
    if len({side.summary.app.name for side in sides}) > 1:
        return Comparison(apps=tuple(app_cost(side.summary) for side in sides))
    return Comparison(pairings=tuple(pairing(sides[0], side, len(sides) - 1) for side in sides[1:]))


def pairing(before: RunSide, after: RunSide, results: int = 1) -> Pairing:
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
    return Pairing(
        before=before.name,
        after=after.name,
        differences=all_differences,
        changes=tuple(changes),
        missing=tuple(sorted(set(sides[0]) ^ set(sides[1]))),
    )


def app_cost(summary: Summary) -> AppCost:
    """What tracing every request costs the application of a run."""
    setup, off = summary.setup(EVERYTHING), summary.setup("always-off")
    base = summary.setups[0].cost
    accounting = setup.accounting if setup else None
    received = accounting is not None and accounting.requests and accounting.spans_received
    return AppCost(
        name=summary.app.name,
        valid=summary.valid,
        complete=all(setup.accounting.complete is True for setup in summary.setups),
        cpu_per_request_s=base.cpu_per_request_s if base else None,
        spans=accounting.spans_received / accounting.requests if accounting and received else None,
        cost=setup.cost if setup else None,
        per_span_s=summary.cost_model.per_span_s if summary.cost_model else None,
        saturation_ratio=_ratio(setup.saturation if setup else None),
        off_ratio=_ratio(off.cost if off else None),
        throughput_ratio=_ratio(setup.throughput if setup else None),
    )


def _ratio(figure: Cost | Throughput | None) -> float | None:
    return figure.change.ratio if figure and figure.change else None


def _setups(summary: Summary) -> dict[str, SetupSummary]:
    """The setups that are compared; the injected cost is the harness's own."""
    return {setup.name: setup for setup in summary.setups if setup.name not in {INJECTED, summary.baseline}}


def figures_of(setup: SetupSummary) -> Iterator[tuple[str, Change]]:
    """A setup's changes against the baseline, with the figures' names."""
    if setup.light and setup.light.change:
        yield "light CPU", setup.light.change
    if setup.saturation and setup.saturation.change:
        yield "full-load CPU", setup.saturation.change
    if setup.throughput and setup.throughput.change:
        yield "throughput", setup.throughput.change
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
    invalid = "one of the runs is not valid" if before.invalid or after.invalid else None
    for name, one in figures_of(before):
        other = others.get(name)
        if other is not None:
            estimate = welch(one.estimate, other.estimate, family)
            yield FigureChange(
                setup=before.name,
                figure=name,
                before=one.ratio,
                after=other.ratio,
                change=change_of(estimate, plan.confidence),
                verdict=verdict(cost_of(estimate, plan, widening), forbidden or invalid, plan.delta),
            )


def bias(summary: Summary) -> float:
    """The log of what a run's identical setups differ by, where their interval excludes 0; else 0."""
    aa = summary.setup(AA)
    change = aa.overhead if aa else None
    return abs(math.log1p(change.ratio)) if change and change.is_significant else 0.0
