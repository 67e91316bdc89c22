"""What the load is told for a step."""

from collections.abc import Sequence

from bench.plan.records import Closed, Open, Plan, Step
from bench.plan.schedule import kinds_of
from bench.testbed.instance import Instance
from bench.testbed.load import Order
from bench.testbed.load import kinds_of as request_kinds

SEQUENCE = 509
"""Length of the sequence of request kinds that a user of a closed loop asks."""


def order_of(plan: Plan, step: Step, start_ns: int, instances: Sequence[Instance]) -> Order:
    """The load of a step in turns, for some instances.

    Args:
        plan: with the application's requests and limits.
        step: with turns and load.
        start_ns: its start on the monotonic clock.
        instances: in the plan's order.
    """
    closed = step.load if isinstance(step.load, Closed) else None
    windows: list[list[tuple[int, int]]] = []
    if closed and plan.targets:
        # An instance that cannot be stopped is asked in its turns alone.
        windows = [
            [(turn.start_ns, turn.stop_ns) for turn in step.turns if turn.instance == number]
            for number in range(len(instances))
        ]
    return Order(
        start_ns=start_ns,
        targets=[instance.url for instance in instances],
        names=[instance.setup.name for instance in instances],
        kinds=request_kinds(plan.app.request),
        arrivals=list(step.load.arrivals) if isinstance(step.load, Open) else [],
        users=closed.users if closed else 0,
        sequence=kinds_of(plan, SEQUENCE, step.epoch, step.number) if closed else [],
        windows=windows,
        length_ns=step.turns[-1].stop_ns,
        in_flight=plan.in_flight,
        timeout_s=plan.timeout_s * len(instances),
    )
