"""What is not the same in two results.

Rule 1: everything that differs is said; what makes a checkout another piece of work forbids a comparison.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from bench.analysis.records import Summary
from bench.model import BASELINE, CONTROL, Machine, Plan
from bench.micro.timings import MicroSummary

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
    "collector": "collector between services and sink",
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


def differences(before: Measured, after: Measured) -> Iterator[Difference]:
    """Everything that is not the same, in reading order."""
    if before.machine and after.machine:
        yield from _machines(before.machine, after.machine)
    one, other = before.summary, after.summary
    if one and other:
        yield from _plans(one.plan, other.plan)
    if before.micro and after.micro:
        yield from _micros(before.micro, after.micro)


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


def _micros(before: MicroSummary, after: MicroSummary) -> Iterator[Difference]:
    sides = [
        {
            "rounds": each.run.rounds,
            "fast, all CPUs at the same time": each.run.fast,
            "what speaks against it": tuple(caveat.code for caveat in each.caveats),
        }
        for each in (before, after)
    ]
    for what, value in sides[0].items():
        if value != sides[1][what]:
            yield Difference(
                area="microbenchmarks", what=what, before=_shown(value), after=_shown(sides[1][what])
            )


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
