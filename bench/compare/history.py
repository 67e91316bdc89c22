"""Results over time: a history per setup, among those that can be compared.

A history holds comparable results only: same application, same machine, same method. A change is
marked where the intervals support one, all results of all histories considered at once.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from bench.analysis.claims import Change
from bench.analysis.records import SetupSummary, Summary
from bench.analysis.stats import Estimate, welch, welch_df
from bench.app.records import BASELINE, INJECTED
from bench.compare.comparison import bias as bias_of
from bench.compare.differences import WATCHED
from bench.errors import ResultsError
from bench.plan.machine import Machine
from bench.plan.records import SCHEMA, Plan
from bench.results.folder import SUMMARY, is_run, read_summary
from bench.results.store import read_machine

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """One result of many: its folder's name, what it found, and where."""

    name: str
    run: Summary
    machine: Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryPoint:
    """One result of a setup's history.

    Attributes:
        result: name of its folder.
        started: when it was measured; empty where it is unknown.
        overhead: against the run's own baseline.
        invalid: whether a check invalidates the figure; it is shown and never compared.
        change: against the level since the last change, where the intervals support one: the ratio,
            and the ends of its interval.
        versions: packages and Python, where they differ from the result before.
    """

    result: str
    started: str
    overhead: Change
    invalid: bool
    change: tuple[float, float, float] | None
    versions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupHistory:
    """A setup over time.

    Attributes:
        setup: its name.
        points: in the order of time.
    """

    setup: str
    points: tuple[HistoryPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Results that can be compared.

    Attributes:
        what: they have in common, in words.
        results: how many.
        setups: the history of each setup.
    """

    what: str
    results: int
    setups: tuple[SetupHistory, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """All results of a folder.

    Attributes:
        schema: format of this record.
        groups: the largest first.
        skipped: folders that could not be read, with the reason.
        others: folders with results of another kind.
    """

    schema: int = SCHEMA
    groups: tuple[Group, ...]
    skipped: dict[str, str]
    others: tuple[str, ...]


def history(runs: Sequence[Past], skipped: Mapping[str, str], others: Sequence[str]) -> History:
    """Results in groups of what can be compared, in the order of time.

    Args:
        runs: every run.
        skipped: folders that could not be read, with the reason.
        others: folders with results of another kind.
    """
    groups: defaultdict[tuple[str, ...], list[Past]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.machine.started, run.name)):
        groups[_key(run)].append(run)
    made = [_group(key, members) for key, members in groups.items()]
    return History(
        groups=tuple(sorted(made, key=lambda group: -group.results)),
        skipped=dict(skipped),
        others=tuple(others),
    )


def _key(past_run: Past) -> tuple[str, ...]:
    """What two results need in common to be compared; the name of a group."""
    machine, plan = past_run.machine, past_run.run.plan
    return (
        f"{plan.app.name} on {machine.cpu}, {machine.cpus_usable} CPUs usable",
        "application pinned" if plan.services_cpus else "not pinned",
        *(("instances elsewhere",) if plan.targets else ()),
        *((f"through {plan.collector}",) if plan.collector else ()),
        *(_environment(plan)),
        f"method {plan.method}",
    )


def _environment(plan: Plan) -> tuple[str, ...]:
    """The baseline's variables; results with different baselines are not compared."""
    env = next((setup.env for setup in plan.setups if setup.name == BASELINE), {})
    return tuple(f"{name}={value}" for name, value in sorted(env.items()))


def _group(key: tuple[str, ...], members: Sequence[Past]) -> Group:
    rows: defaultdict[tuple[str, str], list[tuple[Past, SetupSummary]]] = defaultdict(list)
    for result in members:
        envs = {
            setup.name: (setup.tracing, setup.spans, sorted(setup.env.items()))
            for setup in result.run.plan.setups
        }
        for setup in result.run.setups:
            if setup.overhead is not None and setup.name != INJECTED:
                # A setup with another environment is another setup, whatever it is called.
                rows[setup.name, str(envs.get(setup.name))].append((result, setup))
    return Group(
        what=", ".join(key),
        results=len(members),
        setups=tuple(
            SetupHistory(setup=name, points=_points(results, len(rows) * max(len(members) - 1, 1)))
            for (name, _), results in rows.items()
        ),
    )


def _points(results: Sequence[tuple[Past, SetupSummary]], family: int) -> tuple[HistoryPoint, ...]:
    changes = _changes(results, family)
    points, before = [], None
    for at, (result, setup) in enumerate(results):
        overhead = setup.overhead
        if overhead is None:
            continue
        points.append(
            HistoryPoint(
                result=result.name,
                started=result.machine.started,
                overhead=overhead,
                invalid=setup.invalid,
                change=changes.get(at),
                versions=tuple(_versions(before, result.machine)) if before else (),
            )
        )
        before = result.machine
    return tuple(points)


def _changes(
    results: Sequence[tuple[Past, SetupSummary]], family: int
) -> dict[int, tuple[float, float, float]]:
    """The results that differ from the level since the last change, by more than their intervals.

    A result is compared with a level, not with its neighbour, to find a slow drift, too. Claims hold for
    all results of all histories at once; the difference between identical setups widens their intervals.
    """
    changes: dict[int, tuple[float, float, float]] = {}
    since: list[Estimate] = []
    bias = 0.0
    for at, (result, setup) in enumerate(results):
        overhead = setup.overhead
        if overhead is None or setup.invalid:
            continue
        now = overhead.estimate
        if not since:
            since, bias = [now], bias_of(result.run)
            continue
        step = welch(level_of(since), now, family)
        # Far out in the tail, where claims over many results begin, the smaller degrees of freedom count.
        step = replace(step, df=min(step.df, now.df))
        low, high = step.claim(CONFIDENCE)
        low, high = low - bias - bias_of(result.run), high + bias + bias_of(result.run)
        if low <= 0.0 <= high:
            since, bias = [*since, now], max(bias, bias_of(result.run))
        else:
            changes[at] = (math.expm1(step.log_ratio), math.expm1(low), math.expm1(high))
            since, bias = [now], bias_of(result.run)
    return changes


def level_of(estimates: Sequence[Estimate]) -> Estimate:
    """Some results together, each with the same weight.

    Weights by standard error would favour results whose error is small by luck: the level of ten results of
    two replicates covered 75 % instead of 95.
    """
    variances = [estimate.standard_error**2 for estimate in estimates]
    return Estimate(
        log_ratio=fmean(estimate.log_ratio for estimate in estimates),
        standard_error=math.sqrt(sum(variances)) / len(estimates),
        df=welch_df(variances, [estimate.df for estimate in estimates]),
        shares_variance=False,
    )


def _versions(before: Machine, after: Machine) -> Iterator[str]:
    """What changed in Python and in the packages that matter."""
    old, new = ({"Python": machine.python, **machine.packages} for machine in (before, after))
    for name in sorted({*old, *new}):
        versions = old.get(name, "-"), new.get(name, "-")
        if name.startswith(("Python", *WATCHED)) and versions[0] != versions[1]:
            yield f"{name} {versions[0]} to {versions[1]}"


def past(folder: Path) -> History:
    """All runs in a folder's folders; what cannot be read is named and left out.

    Raises:
        ResultsError: it is no folder, or holds no run.
    """
    if not folder.is_dir():
        raise ResultsError(
            f"{folder} is not a folder", "name one that holds results folders, such as results/"
        )
    runs: list[Past] = []
    skipped: dict[str, str] = {}
    others: list[str] = []
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            if is_run(path):
                runs.append(_past(path))
            else:
                others.append(path.name)
        except ResultsError as error:
            skipped[path.name] = f"{error} ({error.hint})"
    if not runs and not skipped:
        raise ResultsError(
            f"{folder} holds no runs", "name the folder that holds results folders, such as results/"
        )
    return history(runs, skipped, others)


def _past(path: Path) -> Past:
    """A run, as far as a history needs it."""
    if not (path / SUMMARY).exists():
        raise ResultsError(f"it has no {SUMMARY}", f"`tracing-overhead report {path}` makes it")
    return Past(name=path.name, run=read_summary(path), machine=read_machine(path) or Machine())
