"""Orders to the load: what to send in a step."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.plan.records import Arrival, Closed, Open, Plan, Step
from bench.plan.schedule import drawn_kinds
from bench.testbed.instance import Instance
from bench.testbed.load import Load, Order, request_kinds


@dataclass(frozen=True, kw_only=True, slots=True)
class Steady:
    """Requests that come whatever becomes of those before them.

    Attributes:
        seconds: for so long.
        rate_per_s: to every instance.
        seed: of the times.
    """

    seconds: float
    rate_per_s: float
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FullLoad:
    """Users who ask again as soon as they are answered.

    Attributes:
        seconds: for so long.
        users: of every instance.
    """

    seconds: float
    users: int


SEQUENCE = 509
"""Length of the sequence of request kinds that a user of a closed loop asks."""


def order_of(plan: Plan, step: Step, start_ns: int, instances: Sequence[Instance]) -> Order:
    """The load of a step in time slices, for some instances.

    Args:
        plan: with the application's requests and limits.
        step: with slices and load.
        start_ns: its start on the monotonic clock.
        instances: in the plan's order.
    """
    closed = step.load if isinstance(step.load, Closed) else None
    return Order(
        start_ns=start_ns,
        targets=[instance.url for instance in instances],
        names=[instance.setup.name for instance in instances],
        kinds=request_kinds(plan.app.request),
        arrivals=list(step.load.arrivals) if isinstance(step.load, Open) else [],
        users=closed.users if closed else 0,
        sequence=drawn_kinds(plan, SEQUENCE, step.replicate, step.number) if closed else [],
        windows=windows_of(plan, step),
        length_ns=step.slices[-1].stop_ns,
        in_flight=plan.in_flight,
        timeout_s=plan.timeout_s * len(instances),
    )


def windows_of(plan: Plan, step: Step) -> list[list[tuple[int, int]]]:
    """When the users of a closed loop may ask, for every instance, ns from the start; empty: at any time.

    An instance that cannot be paused gets requests only in its time slices; one without any in a step gets
    none: it would not answer.
    """
    number_of = range(len(plan.setups))
    with_slices = {time_slice.instance for time_slice in step.slices}
    if not isinstance(step.load, Closed) or not (plan.targets or with_slices < set(number_of)):
        return []
    return [
        [
            (time_slice.start_ns, time_slice.stop_ns)
            for time_slice in step.slices
            if time_slice.instance == number
        ]
        for number in number_of
    ]


def order_without_slices(
    plan: Plan, load: Load, targets: Mapping[str, str], timeout_s: float, kind: Steady | FullLoad
) -> Order:
    """A load on instances that all run all the time.

    Args:
        plan: with the application's requests.
        load: that the order is for.
        targets: addresses of the instances by name.
        timeout_s: after which a request has failed.
        kind: which load.
    """
    arrivals: list[Arrival] = []
    if isinstance(kind, Steady):
        # One arrival per slot, at a random time within it, and the same for all instances.
        count = round(kind.seconds * kind.rate_per_s)
        chance = random.Random(kind.seed)
        offsets_ns = [round((slot + chance.random()) / kind.rate_per_s * 1e9) for slot in range(count)]
        arrivals = [
            Arrival(offset_ns, number, request)
            for offset_ns, request in zip(offsets_ns, drawn_kinds(plan, count, kind.seed), strict=True)
            for number in range(len(targets))
        ]
    users = kind.users if isinstance(kind, FullLoad) else 0
    return Order(
        start_ns=time.monotonic_ns() + int(load.lead_for(len(arrivals)) * 1e9),
        targets=list(targets.values()),
        names=list(targets),
        kinds=request_kinds(plan.app.request),
        arrivals=arrivals,
        users=users,
        sequence=drawn_kinds(plan, SEQUENCE) if users else [],
        length_ns=int(kind.seconds * 1e9),
        timeout_s=timeout_s,
    )
