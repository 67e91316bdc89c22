"""Results over time: a trend per set-up, among those that can be compared.

Rule 1: only what was measured alike is in one trend: same machine, same method, same work.
Rule 2: a change is marked where the intervals support one, all steps of a trend considered at once.
Rule 3: of a summary only what a trend needs is read: a thousand results are looked at at once.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from bench.model import CONTROL, SCHEMA, TWIN, Machine, Plan

CONFIDENCE = 0.95
WATCHED = (
    "locust", "starlette", "uvicorn", "uvloop", "httpx", "protobuf", "grpcio",
)  # fmt: skip
"""Packages whose versions stand beside a trend, besides OpenTelemetry's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastOverhead:
    """As much of an overhead as a trend needs."""

    ratio: float
    low: float
    high: float
    standard_error: float = 0.0
    df: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PastSetup:
    """As much of a set-up."""

    name: str
    invalid: bool
    overhead: PastOverhead | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """As much of a run's summary."""

    schema: int
    baseline: str
    valid: bool
    plan: Plan
    setups: tuple[PastSetup, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """One result of many: its folder's name, what it found, and where."""

    name: str
    run: PastRun
    machine: Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One result of a trend.

    Attributes:
        result: name of its folder.
        started: when it was measured; empty where nobody wrote it down.
        ratio: the overhead.
        low: lower end of its interval.
        high: upper end.
        invalid: whether a gate forbids the figure; it is shown and never compared.
        change: against the last valid result before it, where the intervals support one: the ratio,
            and the ends of its interval.
        versions: packages and Python, where they differ from the result before.
    """

    result: str
    started: str
    ratio: float
    low: float
    high: float
    invalid: bool
    change: tuple[float, float, float] | None
    versions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """A set-up over time.

    Attributes:
        setup: its name.
        points: in the order of time.
    """

    setup: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Results that can be compared.

    Attributes:
        what: they have in common, in words.
        results: how many.
        trends: a set-up each.
    """

    what: str
    results: int
    trends: tuple[Trend, ...]


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


def history(found: Sequence[Past], skipped: Mapping[str, str], others: Sequence[str]) -> History:
    """Results in groups of what can be compared, in the order of time.

    Args:
        found: every run.
        skipped: folders that could not be read, with the reason.
        others: folders with results of another kind.
    """
    groups: defaultdict[tuple[str, ...], list[Past]] = defaultdict(list)
    for each in sorted(found, key=lambda each: (each.machine.started, each.name)):
        groups[_key(each)].append(each)
    made = [_group(key, each) for key, each in groups.items()]
    return History(
        groups=tuple(sorted(made, key=lambda group: -group.results)),
        skipped=dict(skipped),
        others=tuple(others),
    )


def _key(found: Past) -> tuple[str, ...]:
    """What has to be alike for two results to be compared; the words of a group."""
    machine, plan = found.machine, found.run.plan
    return (
        f"{machine.cpu}, {machine.cpus_usable} CPUs usable",
        "services pinned" if plan.services_cpus else "not pinned",
        *(("fleets elsewhere",) if plan.targets else ()),
        f"{plan.connections} connections to an upstream",
        f"method {plan.method}",
    )


def _group(key: tuple[str, ...], mine: Sequence[Past]) -> Group:
    rows: defaultdict[tuple[str, str], list[tuple[Past, PastSetup]]] = defaultdict(list)
    for result in mine:
        envs = {setup.name: setup.env for setup in result.run.plan.setups}
        for setup in result.run.setups:
            if setup.overhead is not None and setup.name != CONTROL:
                # A set-up with another environment is another set-up, whatever it is called.
                rows[setup.name, str(sorted(envs.get(setup.name, {}).items()))].append((result, setup))
    return Group(
        what=", ".join(key),
        results=len(mine),
        trends=tuple(Trend(setup=name, points=_points(each)) for (name, _), each in rows.items()),
    )


def _points(mine: Sequence[tuple[Past, PastSetup]]) -> tuple[Point, ...]:
    changes = _changes(mine)
    points, before = [], None
    for at, (result, setup) in enumerate(mine):
        overhead = setup.overhead
        if overhead is None:
            continue
        points.append(
            Point(
                result=result.name,
                started=result.machine.started,
                ratio=overhead.ratio,
                low=overhead.low,
                high=overhead.high,
                invalid=setup.invalid,
                change=changes.get(at),
                versions=tuple(_versions(before, result.machine)) if before else (),
            )
        )
        before = result.machine
    return tuple(points)


def _changes(mine: Sequence[tuple[Past, PastSetup]]) -> dict[int, tuple[float, float, float]]:
    """The steps between one valid result and the next that the intervals support.

    Two runs share nothing, so the squares of their standard errors add up, with Welch's degrees of
    freedom; the quantile is Bonferroni's for all steps of the trend. Both runs' twins widen it by
    what they differ by, where they do.
    """
    valid = [at for at, (_, setup) in enumerate(mine) if setup.overhead and not setup.invalid]
    if len(valid) < 2:
        return {}
    overheads = [overhead for at in valid if (overhead := mine[at][1].overhead)]
    logs = np.log1p([each.ratio for each in overheads])
    variances = np.square([each.standard_error for each in overheads])
    dfs = np.array([each.df for each in overheads])
    bias = np.array([_bias(mine[at][0].run) for at in valid])
    total = variances[1:] + variances[:-1]
    heads = variances[1:] ** 2 / dfs[1:] + variances[:-1] ** 2 / dfs[:-1]
    df = np.divide(total**2, heads, out=np.ones_like(total), where=heads > 0)
    half = distributions.t.ppf(1 - (1 - CONFIDENCE) / 2 / len(total), df) * np.sqrt(total)
    half += bias[1:] + bias[:-1]
    steps = np.diff(logs)
    return {
        valid[at + 1]: (
            math.expm1(steps[at]),
            math.expm1(steps[at] - half[at]),
            math.expm1(steps[at] + half[at]),
        )
        for at in np.flatnonzero(np.abs(steps) > half)
    }


def _bias(run: PastRun) -> float:
    twin = next((each.overhead for each in run.setups if each.name == TWIN), None)
    return 0.0 if twin is None or twin.low <= 0.0 <= twin.high else abs(math.log1p(twin.ratio))


def _versions(before: Machine, after: Machine) -> Iterator[str]:
    """What changed in Python and in the packages that matter."""
    yield from _differs("Python", {"Python": before.python}, {"Python": after.python})
    for name in sorted({*before.packages, *after.packages}):
        if name.startswith("opentelemetry-") or name in WATCHED:
            yield from _differs(name, before.packages, after.packages)


def _differs(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    versions = before.get(name, "-"), after.get(name, "-")
    if versions[0] != versions[1]:
        yield f"{name} {versions[0]} to {versions[1]}"
