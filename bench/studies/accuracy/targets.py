"""The targets of accuracy, and whether the intervals show that they are met."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.analysis.proportions import Rate
from bench.analysis.stats import Interval
from bench.studies.accuracy.records import WEIGHED, Accuracy, Better, FigureName, Known
from bench.studies.accuracy.trials import APART, SOUGHT, is_exact

Shown: TypeAlias = Literal["yes", "NO", "not shown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the harness has to reach: a sentence, the value, and whether its interval shows that it does."""

    what: str
    value: str
    shown: Shown


def shown(
    low: float | None, high: float | None, at_least: float = -math.inf, at_most: float = math.inf
) -> Shown:
    """Whether an interval shows that something lies within bounds, shows that it does not, or neither."""
    if low is None or high is None:
        return "not shown"
    if at_least <= low and high <= at_most:
        return "yes"
    return "NO" if high < at_least or low > at_most else "not shown"


def _few(false: Rate) -> Shown:
    """Whether false verdicts are few: their share at most 5 %, and at most 10 % by its interval."""
    if false.share <= 0.05 and false.high <= 0.10:
        return "yes"
    return "NO" if false.low > 0.05 else "not shown"


def targets(accuracy: Accuracy) -> tuple[Target, ...]:
    """Compare the harness with its targets."""
    false, covered, in_services = accuracy.false_verdicts, accuracy.coverage, accuracy.coverage_in_services
    return (
        Target(
            what="false verdicts between identical setups at most 5 %, at most 10 % by the interval",
            value=in_words(false),
            shown=_few(false),
        ),
        Target(
            what="95 % intervals cover the truth in 90 to 98 %, runs as the unit: nothing, or burnt apart",
            value=in_words(covered),
            shown=shown(covered.low, covered.high, 0.90, 0.98),
        ),
        Target(
            what="likewise: burnt in services",
            value=in_words(in_services),
            shown=shown(in_services.low, in_services.high, 0.90, 0.98),
        ),
        *_bias_targets(accuracy.known),
        Target(
            what=f"a cost of {APART[SOUGHT] * 100:.0f} % is found in at least 95 % of runs of two minutes",
            value=in_words(accuracy.sought),
            shown=shown(accuracy.sought.low, accuracy.sought.high, at_least=0.95),
        ),
        *(
            Target(
                what=f"{WORDS[better.figure]}: error at least 10 times smaller than one after the other, "
                f"{better.active_s:.0f} s of load each",
                value=f"{better.times:.1f} times {ends_of_times(better)}",
                shown=shown(better.low, better.high, at_least=10),
            )
            for better in accuracy.better
        ),
    )


WORDS: Mapping[FigureName, str] = {
    "light": "light CPU",
    "saturation": "full-load CPU",
    "throughput": "throughput",
    "p50": "p50",
    "p90": "p90",
    "p99": "p99",
}


def _bias_targets(known: Sequence[Known]) -> Iterator[Target]:
    """The injected cost nearest to its bound, or beyond it, for each figure; apart and in services."""
    for exact, figure in itertools.product((True, False), WEIGHED):
        costs = [
            one
            for one in known
            if one.figure == figure and one.share and one.coverage.of and is_exact(one.setup) == exact
        ]
        if not costs:
            continue
        place = "burnt apart" if exact else "burnt in services"
        worst = max(costs, key=lambda one: _farthest(one.bias) / one.bound)
        scale, unit = (1e6, "µs") if figure != "throughput" else (100.0, "%")
        bound = worst.bound * scale
        yield Target(
            what=f"{WORDS[figure]}: an injected cost, {place}, is off by at most 3 % of itself and 10 µs",
            value=f"{worst.setup}: {worst.bias.value * scale:+.1f} {unit} "
            f"{ends_of(worst.bias, scale)}, bound {bound:.1f}",
            shown=shown(worst.bias.low, worst.bias.high, -worst.bound, worst.bound),
        )


def _farthest(mean: Interval) -> float:
    """How far from 0 a mean may be by its interval."""
    return max(abs(end) for end in (mean.value, mean.low or 0.0, mean.high or 0.0))


def ends_of(mean: Interval, scale: float) -> str:
    """The ends of a mean's interval."""
    if mean.low is None or mean.high is None:
        return "[not known]"
    return f"[{mean.low * scale:+.1f}, {mean.high * scale:+.1f}]"


def ends_of_times(better: Better) -> str:
    """The ends of the interval of how much larger an error is."""
    if better.low is None or better.high is None:
        return "[not known]"
    return f"[{better.low:.1f}, {better.high:.1f}]"


def in_words(one: Rate) -> str:
    """A rate in words."""
    return (
        f"{one.count} of {one.of} ({one.share * 100:.1f} %; 95 % interval {one.low * 100:.1f} to "
        f"{one.high * 100:.1f} %)"
    )
