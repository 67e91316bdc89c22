"""What the harness's own figures are worth: known costs, measured again and again.

A trial is a whole run in small: fresh processes, slices, and the very statistics that a run is judged by; only
what is known beforehand is compared with it. The unit is the trial, not the interval: what is wrong with one
trial is wrong with all of its figures. Every rate and every mean has an interval of its own, over trials: a
claim about the harness is no better founded than one about a setup.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from bench.analysis.accuracy.records import (
    LATENCIES,
    WEIGHED,
    Accuracy,
    Agreement,
    Better,
    Extent,
    Figure,
    Known,
    Same,
    Weighing,
)
from bench.analysis.accuracy.trials import (
    APART,
    DELAYS,
    INSIDE,
    PATCHED,
    SAME,
    SHARES,
    SOUGHT,
    TRACED,
    TWO_MINUTES,
    Trial,
    compared_with,
    is_exact,
    name_of,
    raw_of,
    shares,
)
from bench.analysis.rates import Rate, clustered, mean_of, rate, rms
from bench.analysis.records import Summary
from bench.analysis.setup_records import Change, Severity
from bench.analysis.summary import summarise
from bench.app.records import AA, BASELINE
from bench.plan.records import Plan

FEW_TRIALS = 8
"""Fewer have no interval of a ratio of errors: two that happen to agree would make it a point."""


def accuracy(trials: Sequence[Trial]) -> Accuracy:
    """What follows from some trials."""
    summaries = [summarise(raw_of(trial)) for trial in trials]
    weighings = [
        weighing
        for number, (trial, summary) in enumerate(zip(trials, summaries, strict=True))
        for weighing in _weighings(number, trial, summary)
    ]
    known = [weighing for weighing in weighings if weighing.figure in WEIGHED]
    exact = [weighing for weighing in known if is_exact(weighing.setup)]
    in_services = [weighing for weighing in known if not is_exact(weighing.setup)]
    return Accuracy(
        trials=len(trials),
        beside=trials[0].beside if trials else "",
        extents=tuple(_extents(trials)),
        spoiled=sum(not summary.valid for summary in summaries),
        spoiled_by=dict(Counter(why for summary in summaries for why in _why_invalid(summary)).most_common()),
        false_verdicts=_false_verdicts(summaries),
        coverage=_coverage(exact),
        coverage_in_services=_coverage(in_services),
        known=tuple(
            _known(known, name, figure)
            for name in shares()
            for figure in WEIGHED
            if name != PATCHED and (name not in APART or figure != "throughput")
        ),
        same=tuple(_same(weighings, figure) for figure in (*WEIGHED, *LATENCIES)),
        sought=_sought(trials, summaries),
        better=tuple(_all_better(trials, weighings)),
        agreements=tuple(_agreements(trials, summaries)),
        weighings=tuple(weighings),
    )


def _why_invalid(summary: Summary) -> list[str]:
    """The words of every check that makes a run invalid, each once."""
    invalid = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    # In an order that no hash seed changes: a report made again is the same to the byte.
    return sorted({caveat.why or caveat.code for caveat in invalid})


def _coverage(weighings: Sequence[Weighing]) -> Rate:
    return clustered([[weighing.covers for weighing in group] for group in _by_trial(weighings)])


def _weighings(number: int, trial: Trial, summary: Summary) -> Iterator[Weighing]:
    """Every known cost, and identical setups, in every figure that the run has of them."""
    compared = {row.setup: row for row in summary.comparisons}
    for name in (*shares(), AA):
        setup = summary.setup(name)
        if setup is None or name == PATCHED:
            continue
        row = compared.get(name)
        others = _others(name) if name != AA else (BASELINE,)
        changes: dict[Figure, Change | None] = {
            "light": row.light if row else _as_change(setup.light),
            "saturation": row.saturation if row else _as_change(setup.saturation),
            "throughput": row.throughput if row else _as_change(setup.throughput),
        }
        if name in APART:
            # Burnt when nothing is measured but CPU: no request is later for it.
            del changes["throughput"]
        if name in {AA, SAME} and setup.latency:
            changes |= {quantile: setup.latency.changes.get(quantile) for quantile in LATENCIES}
        burnt_s = trial.plan.burns_s.get(name, 0.0)
        for figure, change in changes.items():
            base = _level(summary, others, figure)
            if change is None or base is None:
                continue
            yield Weighing(
                trial=number,
                setup=name,
                figure=figure,
                true=_true(summary, others, figure, burnt_s),
                found=math.log1p(change.ratio),
                low=math.log1p(change.low),
                high=math.log1p(change.high),
                claimed=_claims(summary, name) if figure == "light" and name not in INSIDE else None,
                alone=_alone(trial, figure, name, others),
                base=base,
            )


def _as_change(figure: object) -> Change | None:
    """A figure's change against the baseline, if it has one."""
    ratio, low, high = (getattr(figure, name, None) for name in ("ratio", "low", "high"))
    if ratio is None or low is None or high is None:
        return None
    return Change(ratio=ratio, low=low, high=high)


def _level(summary: Summary, names: Sequence[str], figure: Figure) -> float | None:
    """A figure's level, mean over identical setups."""
    levels = []
    for name in names:
        setup = summary.setup(name)
        if setup is None:
            return None
        match figure:
            case "light":
                level = setup.light.cpu_per_request_s if setup.light else None
            case "saturation":
                level = setup.saturation.cpu_per_request_s if setup.saturation else None
            case "throughput":
                level = setup.throughput.per_s if setup.throughput else None
            case _:
                level = getattr(setup.latency, f"{figure}_s", None)
        if level is None:
            return None
        levels.append(level)
    return float(np.mean(levels))


def _true(summary: Summary, others: Sequence[str], figure: Figure, burnt_s: float) -> float:
    """What is known of a figure, as a log ratio.

    Where a service is saturation, a request that costs so much more CPU takes so much longer: the throughput of a
    closed loop is the CPUs over what a request costs.
    """
    if not burnt_s:
        return 0.0
    base_s = _level(summary, others, "light" if figure == "light" else "saturation")
    effect = math.log1p(burnt_s / base_s) if base_s else 0.0
    return -effect if figure == "throughput" else effect


def _claims(summary: Summary, name: str) -> bool:
    """True if an overhead would be claimed, whatever the checks say."""
    setup = summary.setup(name)
    cost = setup.light if setup else None
    if cost is None or cost.claim_low is None or cost.claim_high is None:
        return False
    return not cost.claim_low <= 0.0 <= cost.claim_high


def _false_verdicts(summaries: Sequence[Summary]) -> Rate:
    """How often an overhead was claimed between identical setups."""
    return clustered(
        [[_claims(summary, name) for name in (AA, SAME) if summary.setup(name)] for summary in summaries]
    )


def _alone(trial: Trial, figure: Figure, name: str, others: Sequence[str]) -> float | None:
    """The log ratio of instances to those that they are compared with, each measured alone; mean over replicates.

    What is burnt apart is burnt between slices, and so not at all there.
    """
    ratios = [
        math.log(levels[name]) - float(np.mean([math.log(levels[other]) for other in others]))
        for levels in (replicate.get(figure, {}) for replicate in trial.alone)
        if name not in APART and {name, *others} <= levels.keys()
    ]
    return float(np.mean(ratios)) if ratios else None


def _agreements(trials: Sequence[Trial], summaries: Sequence[Summary]) -> Iterator[Agreement]:
    """Of every traced setup and figure, in time slices against alone."""
    figures: tuple[Figure, ...] = ("light", "throughput", "p50", "p90")
    # What is burnt is known, what it costs is not quite: all else that a service does gets cheaper or more expensive.
    for name in (*TRACED, *DELAYS, name_of(SHARES[-1]), "inside-all"):
        for figure in figures:
            for scaled in (False, True):
                both = [
                    (in_slices, alone)
                    for trial, summary in zip(trials, summaries, strict=True)
                    if trial.plan.scale_timers == scaled
                    and (alone := _alone(trial, figure, name, _others(name))) is not None
                    and (in_slices := _in_slices(summary, figure, name)) is not None
                ]
                if both:
                    yield Agreement(
                        setup=name,
                        figure=figure,
                        scaled=scaled,
                        trials=len(both),
                        in_slices=math.expm1(float(np.mean([in_slices for in_slices, _ in both]))),
                        alone=math.expm1(float(np.mean([alone for _, alone in both]))),
                        difference=mean_of([in_slices - alone for in_slices, alone in both]),
                    )


def _others(name: str) -> tuple[str, ...]:
    """The identical setups that one is compared with."""
    other = compared_with(name)
    return (other,) if other else (BASELINE, AA)


def _in_slices(summary: Summary, figure: Figure, name: str) -> float | None:
    """What a run says of a setup against those that it is compared with, as a log ratio."""
    level, base = _level(summary, (name,), figure), _level(summary, _others(name), figure)
    return math.log(level / base) if level and base else None


def _known(weighings: Sequence[Weighing], name: str, figure: Figure) -> Known:
    chosen = [weighing for weighing in weighings if (weighing.setup, weighing.figure) == (name, figure)]
    share = shares()[name]
    in_seconds = figure != "throughput"
    scales = [weighing.base if in_seconds else 1.0 for weighing in chosen]
    errors = [
        (math.expm1(weighing.found) - math.expm1(weighing.true)) * scale
        for weighing, scale in zip(chosen, scales, strict=True)
    ]
    cost = float(np.mean([abs(math.expm1(weighing.true)) for weighing in chosen])) if chosen else 0.0
    base_s = float(np.mean(scales)) if chosen else 0.0
    saturation_s = [
        weighing.base for weighing in weighings if weighing.figure == "saturation" and weighing.setup == name
    ]
    ten_us = 10e-6 if in_seconds else 10e-6 / float(np.mean(saturation_s)) if saturation_s else 0.0
    claims = [weighing.claimed for weighing in chosen if weighing.claimed is not None]
    return Known(
        setup=name,
        figure=figure,
        share=share,
        true=float(np.mean([math.expm1(weighing.true) for weighing in chosen])) if chosen else 0.0,
        found=float(np.mean([math.expm1(weighing.found) for weighing in chosen])) if chosen else 0.0,
        bias=mean_of(errors),
        bound=0.03 * cost * (base_s if in_seconds else 1.0) + ten_us,
        error=rms([weighing.error for weighing in chosen]) or 0.0,
        coverage=rate(sum(weighing.covers for weighing in chosen), len(chosen)),
        detected=rate(sum(claims), len(claims)) if claims else None,
    )


def _same(weighings: Sequence[Weighing], figure: Figure) -> Same:
    chosen = [
        weighing for weighing in weighings if weighing.figure == figure and weighing.setup in {AA, SAME}
    ]
    groups = _by_trial(chosen)
    return Same(
        figure=figure,
        trials=len(groups),
        difference=mean_of([float(np.mean([weighing.found for weighing in group])) for group in groups]),
        error=rms([weighing.found for weighing in chosen]) or 0.0,
        coverage=_coverage(chosen),
    )


def _extents(trials: Sequence[Trial]) -> Iterator[Extent]:
    alike: defaultdict[tuple[str, int, int], list[Plan]] = defaultdict(list)
    for trial in trials:
        alike[trial.plan.name, len(trial.plan.setups), trial.plan.replicates].append(trial.plan)
    for (panel, setups, replicates), plans in alike.items():
        yield Extent(
            panel=panel,
            trials=len(plans),
            setups=setups,
            replicates=replicates,
            measuring_s=_active_s(plans[0]) * setups,
        )


def _active_s(plan: Plan) -> float:
    """Planned seconds of load of one instance, over all replicates."""
    return plan.replicates * (plan.light.active_s + plan.saturation.active_s)


def _sought(trials: Sequence[Trial], summaries: Sequence[Summary]) -> Rate:
    """How often runs of two minutes found the cost that is sought."""
    claims = [
        _claims(summary, SOUGHT)
        for trial, summary in zip(trials, summaries, strict=True)
        if trial.plan.name == TWO_MINUTES.name and SOUGHT in trial.plan.names
    ]
    return rate(sum(claims), len(claims))


def _all_better(trials: Sequence[Trial], weighings: Sequence[Weighing]) -> Iterator[Better]:
    """By length of the runs: requests scatter in both ways alike, the machine disturbs only one of them."""
    figures: tuple[Figure, ...] = ("light", "throughput", "p50")
    for active_s in sorted({_active_s(trial.plan) for trial in trials if trial.alone}):
        of_length = [weighing for weighing in weighings if _active_s(trials[weighing.trial].plan) == active_s]
        for figure in figures:
            better = _better(of_length, figure, active_s)
            if better:
                yield better


def _better(weighings: Sequence[Weighing], figure: Figure, active_s: float) -> Better | None:
    """How much larger the error of one after the other is, of identical setups, about which all is known.

    Its interval is Student's t around the mean of a jackknife's pseudo-values over whole trials, of the log
    of the ratio. A percentile bootstrap covered 87 to 92 % with 8 to 20 trials of normal errors, this 94.
    """
    both = [
        weighing
        for weighing in weighings
        if weighing.figure == figure and weighing.setup in {AA, SAME} and weighing.alone is not None
    ]
    groups = _by_trial(both)
    squares = np.array(
        [
            [
                sum(weighing.error**2 for weighing in group),
                sum(((weighing.alone or 0.0) - weighing.true) ** 2 for weighing in group),
            ]
            for group in groups
        ]
    )
    if len(groups) < 2 or np.min(squares.sum(axis=0) - squares) <= 0:
        return None
    total = squares.sum(axis=0)
    ours, theirs = (total - squares).T
    whole, without = math.log(total[1] / total[0]) / 2, np.log(theirs / ours) / 2
    interval = mean_of(list(len(groups) * whole - (len(groups) - 1) * without))
    known = len(groups) >= FEW_TRIALS and interval.low is not None and interval.high is not None
    return Better(
        figure=figure,
        active_s=active_s,
        trials=len(groups),
        error=math.sqrt(total[0] / len(both)),
        alone=math.sqrt(total[1] / len(both)),
        times=math.exp(whole),
        low=math.exp(interval.low or 0.0) if known else None,
        high=math.exp(interval.high or 0.0) if known else None,
    )


def _by_trial(weighings: Sequence[Weighing]) -> list[list[Weighing]]:
    numbers = sorted({weighing.trial for weighing in weighings})
    return [[weighing for weighing in weighings if weighing.trial == number] for number in numbers]
