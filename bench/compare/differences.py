"""What is not the same in two results.

Everything that differs is listed. A difference in the work of a request forbids a comparison; one that moves
percentages (CPU model, arrival rate, number of instances) is marked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import msgspec

from bench.analysis.records import Summary
from bench.app.records import BASELINE, INJECTED
from bench.plan.machine import Machine
from bench.plan.records import Phase, Plan

NOT_COMPARED = {"started", "packages", "app_packages", "setups"}
"""Fields of a machine that differ always, or are looked at one by one."""
PLANNED = {
    "method": "the method",
    "replicates": "replicates",
    "light": "light load",
    "saturation": "saturation",
    "users": "users of a closed loop",
    "timeout_s": "timeout, s",
    "workers": "load workers",
    "collector": "collector between application and receiver",
    "scale_timers": "timers scaled",
}
WORK = {
    "name": "the application",
    "process": "the application's processes",
    "request": "the application's requests",
    "tracing": "how the application is traced",
}
"""Parts of an application that determine the work of a request."""
TRACED_BY, PACKED_BY = ("tracing", "spans", "env", "collector_sampling"), ("python", "pip", "npm")
"""Fields that say how a setup is traced, and fields that say with which packages."""
DECISIVE = {"method", "pinned", "elsewhere", "app"}
"""Differences after which a request is not the same work."""
WATCHED = ("opentelemetry", "locust", "starlette", "uvicorn", "uvloop", "httpx", "protobuf", "grpcio")
"""Packages that can matter to a figure."""
MOVES = "percentages move with it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Something that is not the same in two results.

    Attributes:
        area: machine, packages, plan, or setup.
        what: that differs.
        before: in the first.
        after: in the second.
        decisive: whether figures of the two must not be compared because of it.
        setup: the one whose figures that is about; None: all.
    """

    area: str
    what: str
    before: str
    after: str
    decisive: bool = False
    setup: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSide:
    """One of the results that are compared.

    Attributes:
        name: of its folder.
        summary: what it measured.
        machine: what it was measured on; None where it is unknown.
    """

    name: str
    summary: Summary
    machine: Machine | None = None


def differences(before: RunSide, after: RunSide) -> Iterator[Difference]:
    """Everything that is not the same, in reading order."""
    if before.machine and after.machine:
        yield from _machines(before.machine, after.machine)
    yield from _plans(before.summary.plan, after.summary.plan)
    rates = [round(side.summary.light_rate_per_s, 1) for side in (before, after)]
    yield from _differs("rate", f"light rate per s ({MOVES})", *rates)


def _machines(before: Machine, after: Machine) -> Iterator[Difference]:
    for field in fields(Machine):
        if field.name in NOT_COMPARED:
            continue
        one, other = getattr(before, field.name), getattr(after, field.name)
        if one != other:
            what = field.name.replace("_", " ")
            what += f" ({MOVES})" if field.name == "cpu" else ""
            yield Difference(area="machine", what=what, before=_shown(one), after=_shown(other))
    versions = before.packages | before.app_packages, after.packages | after.app_packages
    rest = 0
    for name in sorted({*versions[0], *versions[1]}):
        one, other = versions[0].get(name, ""), versions[1].get(name, "")
        if one != other:
            if name.startswith(WATCHED):
                yield Difference(area="packages", what=name, before=one or "-", after=other or "-")
            else:
                rest += 1
    if rest:
        yield Difference(area="packages", what="others", before="", after=f"{rest} differ")


def _plans(before: Plan, after: Plan) -> Iterator[Difference]:
    for part, what in WORK.items():
        yield from _differs("app", what, *(getattr(plan.app, part) for plan in (before, after)))
    installed = [plan.app.environment for plan in (before, after)]
    yield from _differs("environment", "what is installed for the application", *installed)
    for name, what in PLANNED.items():
        yield from _differs(name, what, getattr(before, name), getattr(after, name))
    yield from _differs("pinned", "application pinned", bool(before.services_cpus), bool(after.services_cpus))
    yield from _differs(
        "elsewhere", "instances that run elsewhere", bool(before.targets), bool(after.targets)
    )
    counts = len(before.setups), len(after.setups)
    yield from _differs("instances", f"instances that run in interleaved time slices ({MOVES})", *counts)
    setups = [{setup.name: setup for setup in plan.setups} for plan in (before, after)]
    for name, setup in setups[0].items():
        other = setups[1].get(name)
        if other is None or name == INJECTED:
            continue
        for part in PACKED_BY:
            yield from _differs("packages", f"{part} of {name}", getattr(setup, part), getattr(other, part))
        if any(getattr(setup, part) != getattr(other, part) for part in TRACED_BY):
            yield Difference(
                area="setup",
                what=f"how {name} is traced",
                before=_shown(setup),
                after=_shown(other),
                decisive=True,
                setup=None if name == BASELINE else name,
            )


def _differs(name: str, what: str, before: object, after: object) -> Iterator[Difference]:
    if before != after:
        yield Difference(
            area="plan", what=what, before=_shown(before), after=_shown(after), decisive=name in DECISIVE
        )


def _shown(value: object) -> str:
    """A value as a short text."""
    if isinstance(value, Phase):
        return f"{value.active_s:g} s in time slices of {value.slice_s * 1e3:g} ms"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 90 else f"{text[:87]}..."
