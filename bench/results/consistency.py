"""Checks that a folder's records fit together, once, so that no computation has to check again.

The type of a record says what a single value may be; this module checks what holds between records. Records
that fail were changed, or belong to two folders.
"""

from collections.abc import Iterable, Iterator

from bench.app.records import BASELINE
from bench.plan.readings import RequestRow, StepReading
from bench.plan.records import METHOD, Kind, Learned, Phase, Plan

MOST_SLICES = 2_000_000
MOST_ARRIVALS = 20_000_000
"""Most slices and arrivals of a phase, so that making its timetable again comes to an end."""


def problems_of_plan(plan: Plan) -> Iterator[str]:
    """What does not fit together in a plan."""
    names = plan.names
    for name in names:
        if "/" in name or "\\" in name or name.startswith("."):
            yield f"has a setup named {name!r}"
    if names[:1] != (BASELINE,) or len(set(names)) != len(names):
        yield f"has the setups {', '.join(map(repr, names))}: the baseline comes first, and every name once"
    if not 1 <= plan.method <= METHOD:
        yield f"has the method {plan.method}"
    if plan.targets and set(plan.targets) != set(names):
        yield "needs a target for every setup"
    yield from _problems_of_phases(plan)


def _problems_of_phases(plan: Plan) -> Iterator[str]:
    for key in ("warm_up", "light", "saturation"):
        phase: Phase = getattr(plan, key)
        if phase.rounds * phase.blocks * len(plan.names) > MOST_SLICES:
            yield f"has too many time slices of {key}"
        if phase.active_s * plan.rate_per_s * len(plan.names) > MOST_ARRIVALS:
            yield f"has too many arrivals in {key}"
        if phase.blocks and not (phase.slice_s and phase.rounds):
            yield f"has blocks without time slices of {key}"


def problems_of_learned(plan: Plan, learned: Learned) -> Iterator[str]:
    """What does not fit between a plan and what its first replicate learned."""
    names = set(plan.names)
    for key, by_setup in (("rates", learned.rates), ("capacities", learned.capacities)):
        if by_setup and (set(by_setup) != names or not all(by_setup.values())):
            yield f"needs {key} above 0 for every setup"
    longest_s = max(plan.warm_up.active_s, plan.light.active_s, plan.saturation.active_s)
    if longest_s * max(learned.rates.values(), default=0.0) * len(names) > MOST_ARRIVALS:
        yield "has rates with too many arrivals"


def problems_of_readings(plan: Plan, readings: Iterable[StepReading]) -> Iterator[str]:
    """What does not fit between a plan and its readings, with their line."""
    for line, reading in enumerate(readings, 1):
        for problem in _problems_of_reading(plan, reading):
            yield f"line {line} has {problem}"


def _problems_of_reading(plan: Plan, reading: StepReading) -> Iterator[str]:
    names = tuple(instance.setup for instance in reading.instances)
    if names != plan.names:
        yield f"the setups {', '.join(names)}, and the plan {', '.join(plan.names)}"
    if reading.replicate >= plan.replicates:
        yield f"replicate {reading.replicate}, and the plan {plan.replicates} of them"
    blocks = _blocks(plan, reading.kind)
    if reading.planned_blocks > max(blocks, plan.spare, 1):
        yield f"{reading.planned_blocks} blocks, and the plan {blocks}"
    if reading.rates and len(reading.rates) != len(names):
        yield f"{len(reading.rates)} rates"
    if sum(reading.rates) * plan.light.active_s > MOST_ARRIVALS:
        yield "rates that cannot be sent"
    if any(switch.instance >= len(names) for switch in reading.switches):
        yield "a time slice of an instance that is not in the plan"
    if any(switch.stop_ns < switch.start_ns for switch in reading.switches):
        yield "a time slice that ends before it begins"
    if any(switch.block >= len(reading.blocks) for switch in reading.switches):
        yield "a time slice in a block that does not exist"


def _blocks(plan: Plan, kind: Kind) -> int:
    match kind:
        case Kind.LIGHT:
            return plan.light.blocks
        case Kind.SATURATION:
            return plan.saturation.blocks
        case Kind.WARM_UP:
            return plan.warm_up.blocks
        case _:
            return max(plan.light.blocks, plan.saturation.blocks, plan.warm_up.blocks)


def is_request_of(plan: Plan, row: RequestRow) -> bool:
    """True if a row can be a request of a plan, at times that a clock can have."""
    times = (row.planned_ns, row.sent_ns, row.done_ns)
    return (
        0 <= row.request < len(plan.app.request)
        and 0 <= row.instance < len(plan.setups)
        and -2 <= row.status <= 999
        and all(abs(time_ns) < 2**62 for time_ns in times)
    )
