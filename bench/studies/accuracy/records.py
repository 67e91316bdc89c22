"""Figures of the accuracy measurement: what was known, what was found."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.analysis.proportions import Rate
from bench.analysis.stats import Interval
from bench.plan.records import SCHEMA
from bench.studies.accuracy.trials import Beside

FigureName: TypeAlias = Literal["light", "saturation", "throughput", "p50", "p90", "p99"]
WEIGHED: tuple[FigureName, ...] = ("light", "saturation", "throughput")
"""Figures in which a known CPU cost has a known effect."""
LATENCIES: tuple[FigureName, ...] = ("p50", "p90", "p99")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighing:
    """One setup in one figure of one trial; values are logs of one plus the change.

    Attributes:
        trial: number of the trial.
        setup: with the injected cost.
        figure: in which it is looked for.
        true: what is known.
        found: what the run says.
        low: lower end of its interval.
        high: upper end.
        claimed: whether its verdict says that there is an overhead; of light CPU alone.
        alone: what a comparison of one after the other says; absent without one.
        base: of the figure, without the cost: seconds, or requests per second.
    """

    trial: int
    setup: str
    figure: FigureName
    true: float
    found: float
    low: float
    high: float
    claimed: bool | None = None
    alone: float | None = None
    base: float = 0.0

    @property
    def covers(self) -> bool:
        """True if the interval holds what is known."""
        return self.low <= self.true <= self.high

    @property
    def error(self) -> float:
        """By how much it is off."""
        return self.found - self.true


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One injected cost in one figure, over all trials.

    Attributes:
        setup: with the cost.
        figure: in which it is looked for.
        share: of the baseline, in CPU.
        true: mean of what is known, as a change.
        found: mean of what was found.
        bias: mean of found less true: CPU seconds of a request, or a share of the throughput.
        bound: how large that may be: 3 % of the cost and 10 us; of throughput the same as a share.
        error: root of the mean squared error, as a change.
        coverage: of the 95 % intervals.
        detected: how often an overhead over the baseline was claimed; absent where no verdict rests on it.
    """

    setup: str
    figure: FigureName
    share: float
    true: float
    found: float
    bias: Interval
    bound: float
    error: float
    coverage: Rate
    detected: Rate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Same:
    """Two identical setups in one figure, over all trials.

    Attributes:
        figure: which.
        trials: with that figure: a high percentile needs many requests.
        difference: mean of what they differ by, as a change.
        error: root of the mean squared difference.
        coverage: of the 95 % intervals around no difference.
    """

    figure: FigureName
    trials: int
    difference: Interval
    error: float
    coverage: Rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """A traced setup against the baseline, in time slices and alone, over all trials with both.

    Attributes:
        setup: which.
        figure: of it.
        scaled: whether the batch processor's timer was slowed down by the number of instances.
        trials: with both.
        in_slices: mean change.
        alone: mean change of the same instances, one after the other.
        difference: mean of what they differ by, in logs.
    """

    setup: str
    figure: FigureName
    scaled: bool
    trials: int
    in_slices: float
    alone: float
    difference: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Better:
    """The errors of time slices and of one after the other, in one figure of runs of one length.

    Attributes:
        figure: which.
        active_s: planned seconds of load of one instance in such a run, over all replicates.
        trials: with both.
        error: in time slices, root of the mean squared error of a log ratio.
        alone: one after the other.
        times: the ratio of `alone` to `error`.
        low: lower end of the interval of `times`; None with few trials.
        high: upper end.
    """

    figure: FigureName
    active_s: float
    trials: int
    error: float
    alone: float
    times: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How much was measured of one panel.

    Attributes:
        panel: its name.
        trials: how many runs.
        setups: that each of them compares.
        replicates: of each.
        measuring_s: planned load of each, over all instances.
    """

    panel: str
    trials: int
    setups: int
    replicates: int
    measuring_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """The harness's data sheet; `accuracy.json`.

    Attributes:
        schema: format of the folder.
        trials: how many runs.
        beside: what another program on the machine did meanwhile.
        extents: how much was measured, by panel.
        spoiled: trials that a check has made invalid; they count here all the same.
        spoiled_by: how many trials each check has made invalid, in its words; a trial can have several.
        false_verdicts: overheads claimed between identical setups.
        coverage: of the 95 % intervals, in all figures, where the truth is exact.
        coverage_in_services: likewise, of what is burnt in services.
        known: one injected cost in one figure each.
        same: identical setups, by figure.
        sought: how often `SOUGHT` was found in runs of two minutes.
        better: against one after the other, by figure.
        agreements: unknown costs in time slices and alone.
        weighings: all of them.
    """

    schema: int = SCHEMA
    trials: int
    beside: Beside
    extents: tuple[Extent, ...]
    spoiled: int
    spoiled_by: dict[str, int]
    false_verdicts: Rate
    coverage: Rate
    coverage_in_services: Rate
    known: tuple[Known, ...]
    same: tuple[Same, ...]
    sought: Rate
    better: tuple[Better, ...]
    agreements: tuple[Agreement, ...]
    weighings: tuple[Weighing, ...]
