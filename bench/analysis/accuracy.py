"""What the harness's own figures are worth: known costs, measured again and again.

A trial is a whole run in small: fresh processes, turns, and the very statistics that a run is judged
by; only what is known beforehand is compared with it. Every rate has an interval of its own (Clopper
and Pearson, 1934): a claim about the harness is no better founded than one about a set-up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.analysis.records import Summary
from bench.analysis.setup_records import Cost
from bench.analysis.summary import summarise
from bench.app.records import BASELINE, TWIN, Setup
from bench.plan.readings import Ending, Raw, Reading, Row
from bench.plan.records import SCHEMA, Plan

SHARES = (0.0, 0.01, 0.02, 0.05, 0.10)
"""Weights as shares of what a request of the baseline costs."""
CONFIDENCE = 0.95
WANTED_POWER = 0.80
REPLICATES = 2000
"""Resamples of whole trials; for the interval of a ratio of errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run of the accuracy measurement; raw, a line of `trials.jsonl.gz`.

    Attributes:
        plan: as it was carried out.
        readings: of all steps.
        rows: requests of every step with turns: epoch, number of the step, requests.
        sequential: CPU seconds per request of the same instances afterwards, one after the other;
            empty in trials without that.
    """

    plan: Plan
    readings: tuple[Reading, ...]
    rows: tuple[tuple[int, int, tuple[Row, ...]], ...]
    sequential: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How often something happened, and the ends of its interval.

    Attributes:
        count: how often.
        trials: of how many.
        low: lower end of the share's 95 % interval.
        high: upper end.
    """

    count: int
    trials: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """How often, as a share."""
        return self.count / self.trials if self.trials else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Weighing:
    """One known cost in one trial; ratios are logs of one plus the overhead.

    Attributes:
        trial: number of the trial.
        share: of the baseline that was added, as planned.
        true: what was added, as a log ratio to this trial's baseline.
        found: what the run says.
        low: lower end of its interval.
        high: upper end.
        claimed: whether its verdict says that there is an overhead.
        mde: smallest log ratio that the run says it would find in 80 % of cases.
        sequential: what a comparison of one after the other says; absent without one.
    """

    trial: int
    share: float
    true: float
    found: float
    low: float
    high: float
    claimed: bool
    mde: float
    sequential: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One known cost over all trials.

    Attributes:
        share: of the baseline.
        added_s: CPU seconds added to a request.
        found_s: mean of what was found.
        error_s: root of the mean squared error.
        coverage: of the 95 % intervals.
        detected: how often an overhead was claimed.
    """

    share: float
    added_s: float
    found_s: float
    error_s: float
    coverage: Rate
    detected: Rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """The harness's data sheet; `accuracy.json`.

    Attributes:
        schema: format of the folder.
        trials: how many runs.
        measuring_s: planned load of one, in seconds.
        spoiled: trials that a check has made invalid; they count here all the same.
        false_verdicts: overheads claimed between identical set-ups.
        coverage: of the 95 % intervals over all weights.
        weights: one known cost each.
        smallest: smallest share that 80 % of the trials would find, interpolated between weights;
            absent where not even the largest was.
        mde: what the trials said of themselves: median of their minimal detectable effects.
        error: root of the mean squared error of a log ratio, over all weights, in trials with a
            sequential comparison.
        sequential_error: the same of those comparisons.
        times: sequential error over error, and the ends of its interval.
        weighings: all of them.
    """

    schema: int = SCHEMA
    trials: int
    measuring_s: float
    spoiled: int
    false_verdicts: Rate
    coverage: Rate
    weights: tuple[Weight, ...]
    smallest: float | None
    mde: float
    error: float | None
    sequential_error: float | None
    times: tuple[float, float, float] | None
    weighings: tuple[Weighing, ...]


def name_of(share: float) -> str:
    """A weight's set-up."""
    return f"weight-{share * 100:g}"


def setups() -> tuple[Setup, ...]:
    """The baseline, its twin, and a set-up for every weight."""
    weights = (
        Setup(name=name_of(share), tracing="none", description=f"The baseline plus {share:.0%} of its CPU.")
        for share in SHARES
    )
    return (
        Setup(name=BASELINE, tracing="none", description="The baseline."),
        Setup(name=TWIN, tracing="none", description="The baseline once more."),
        *weights,
    )


def burns_s(baseline_s: float) -> dict[str, float]:
    """CPU seconds per request that every weight burns.

    Args:
        baseline_s: CPU seconds of a request without any.
    """
    return {name_of(share): round(share * baseline_s, 6) for share in SHARES}


def rate(count: int, trials: int) -> Rate:
    """A share with its exact interval."""
    if not trials:
        return Rate(count=0, trials=0, low=0.0, high=1.0)
    # A second of every command would go into this import.
    from scipy.stats import binomtest

    interval = binomtest(count, trials).proportion_ci(CONFIDENCE, method="exact")
    return Rate(count=count, trials=trials, low=float(interval.low), high=float(interval.high))


def accuracy(trials: Sequence[Trial]) -> Accuracy:
    """What follows from some trials."""
    summaries = [_summary(trial) for trial in trials]
    weighings = [
        weighing
        for number, (trial, summary) in enumerate(zip(trials, summaries, strict=True))
        for weighing in _weighings(number, trial, summary)
    ]
    twins = [_claims(cost) for summary in summaries if (cost := _cost(summary, TWIN))]
    same = twins + [weighing.claimed for weighing in weighings if weighing.share == 0.0]
    covered = [weighing.low <= weighing.true <= weighing.high for weighing in weighings]
    weights = tuple(_weight(share, trials, summaries, weighings) for share in SHARES)
    both = [weighing for weighing in weighings if weighing.sequential is not None]
    plan = trials[0].plan if trials else None
    return Accuracy(
        trials=len(trials),
        measuring_s=plan.epochs * plan.light.own_s * len(plan.setups) if plan else 0.0,
        spoiled=sum(not summary.valid for summary in summaries),
        false_verdicts=rate(sum(same), len(same)),
        coverage=rate(sum(covered), len(covered)),
        weights=weights,
        smallest=_smallest(weights),
        mde=float(np.median([weighing.mde for weighing in weighings])) if weighings else 0.0,
        error=_rms([weighing.found - weighing.true for weighing in both]),
        sequential_error=_rms([(weighing.sequential or 0.0) - weighing.true for weighing in both]),
        times=_times(both),
        weighings=tuple(weighings),
    )


def _summary(trial: Trial) -> Summary:
    rows = {(epoch, number): rows for epoch, number, rows in trial.rows}
    raw = Raw(plan=trial.plan, readings=trial.readings, rows=rows, ending=Ending(complete=True))
    return summarise(raw)


def _cost(summary: Summary, name: str) -> Cost | None:
    """A set-up's figure at light load, if it has one."""
    setup = summary.setup(name)
    return setup.light if setup and setup.light and setup.light.ratio is not None else None


def _claims(cost: Cost) -> bool:
    """True if an overhead would be claimed, whatever the checks say."""
    return not (cost.claim_low or 0.0) <= 0.0 <= (cost.claim_high or 0.0)


def _level_s(summary: Summary) -> float:
    """CPU seconds of a request of the baseline and its twin."""
    references = [summary.setup(name) for name in (BASELINE, TWIN)]
    levels = [setup.light.cpu_per_request_s or 0.0 for setup in references if setup and setup.light]
    return float(np.mean(levels))


def _weighings(number: int, trial: Trial, summary: Summary) -> list[Weighing]:
    weighings = []
    base_s = _level_s(summary)
    for share in SHARES:
        name = name_of(share)
        cost = _cost(summary, name)
        if cost is None:
            continue
        weighings.append(
            Weighing(
                trial=number,
                share=share,
                true=math.log1p(trial.plan.burns_s[name] / base_s),
                found=math.log1p(cost.ratio or 0.0),
                low=math.log1p(cost.low or 0.0),
                high=math.log1p(cost.high or 0.0),
                claimed=_claims(cost),
                mde=math.log1p(cost.mde or 0.0),
                sequential=_sequential(trial, name),
            )
        )
    return weighings


def _sequential(trial: Trial, name: str) -> float | None:
    """The log ratio of an instance to the baseline's two, each measured alone, one after the other."""
    costs = trial.sequential
    if not {BASELINE, TWIN, name} <= costs.keys():
        return None
    return math.log(costs[name]) - (math.log(costs[BASELINE]) + math.log(costs[TWIN])) / 2


def _weight(
    share: float, trials: Sequence[Trial], summaries: Sequence[Summary], weighings: Sequence[Weighing]
) -> Weight:
    chosen = [weighing for weighing in weighings if weighing.share == share]
    levels = [_level_s(summaries[weighing.trial]) for weighing in chosen]
    added = [trials[weighing.trial].plan.burns_s[name_of(share)] for weighing in chosen]
    recovered = [math.expm1(weighing.found) * level for weighing, level in zip(chosen, levels, strict=True)]
    errors = [one - other for one, other in zip(recovered, added, strict=True)]
    return Weight(
        share=share,
        added_s=float(np.mean(added)) if added else 0.0,
        found_s=float(np.mean(recovered)) if recovered else 0.0,
        error_s=_rms(errors) or 0.0,
        coverage=rate(
            sum(weighing.low <= weighing.true <= weighing.high for weighing in chosen), len(chosen)
        ),
        detected=rate(sum(weighing.claimed for weighing in chosen), len(chosen)),
    )


def _smallest(weights: Sequence[Weight]) -> float | None:
    """Where the detection rate reaches 80 %, on straight lines between the weights."""
    shares = [weight.share for weight in weights]
    rates = list(np.maximum.accumulate([weight.detected.share for weight in weights]))
    for at in range(1, len(shares)):
        if rates[at] >= WANTED_POWER > rates[at - 1]:
            part = (WANTED_POWER - rates[at - 1]) / (rates[at] - rates[at - 1])
            return float(shares[at - 1] + part * (shares[at] - shares[at - 1]))
    return None


def _rms(errors: Sequence[float]) -> float | None:
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else None


def _times(both: Sequence[Weighing]) -> tuple[float, float, float] | None:
    """How much larger the sequential error is, with a bootstrap over whole trials."""
    numbers = sorted({weighing.trial for weighing in both})
    if len(numbers) < 2:
        return None
    squares = np.array(
        [
            [
                sum((weighing.found - weighing.true) ** 2 for weighing in both if weighing.trial == number),
                sum(
                    ((weighing.sequential or 0.0) - weighing.true) ** 2
                    for weighing in both
                    if weighing.trial == number
                ),
            ]
            for number in numbers
        ]
    )
    drawn = np.random.default_rng(1).multinomial(
        len(numbers), np.full(len(numbers), 1 / len(numbers)), REPLICATES
    )
    ours, theirs = (drawn @ squares).T
    low, high = np.quantile(np.sqrt(theirs / ours), [0.025, 0.975])
    total = squares.sum(axis=0)
    return float(np.sqrt(total[1] / total[0])), float(low), float(high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What the harness has to reach: a sentence, the value, and whether it does."""

    what: str
    value: str
    reached: bool


def targets(accuracy: Accuracy) -> tuple[Target, ...]:
    """The harness against what is asked of it."""
    five = next((weight for weight in accuracy.weights if weight.share == 0.05), None)
    detected = five.detected if five else rate(0, 0)
    return (
        Target(
            what="false verdicts between identical set-ups at most 5 %, in 40 comparisons or more",
            value=_of(accuracy.false_verdicts),
            reached=accuracy.false_verdicts.share <= 0.05 and accuracy.false_verdicts.trials >= 40,
        ),
        Target(
            what="95 % intervals cover the truth in 90 to 99 %",
            value=_of(accuracy.coverage),
            reached=0.90 <= accuracy.coverage.share <= 0.99,
        ),
        Target(
            what=f"a cost of 5 % is found in at least 95 % of runs of {accuracy.measuring_s:g} s",
            value=_of(detected),
            reached=detected.share >= 0.95,
        ),
        Target(
            what="error at least 5 times smaller than one after the other",
            value="not measured"
            if accuracy.times is None
            else f"{accuracy.times[0]:.1f} times [{accuracy.times[1]:.1f}, {accuracy.times[2]:.1f}]",
            reached=accuracy.times is not None and accuracy.times[0] >= 5,
        ),
    )


def _of(proportion: Rate) -> str:
    return (
        f"{proportion.count} of {proportion.trials} ({proportion.share * 100:.1f} %; "
        f"95 % interval {proportion.low * 100:.1f} to {proportion.high * 100:.1f} %)"
    )
