"""What limited full load: the application's CPU, the load generator, or what the application waits for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.blocks import MeasuredPhase
from bench.analysis.claims import Caveat
from bench.plan.records import Plan

IDLE_LIMIT = 0.01
"""Share of its time slices that an instance may idle at full load; the edges of time slices take as much."""
OUTSIDE_LIMIT = 0.10
"""Share of the users that may be on their way from one answer to the next request."""
GENERATOR_LIMIT = 0.70
"""Share of its CPUs above which the generator keeps answers waiting, and so is the limit of what idles."""
BLOCKED_LIMIT = 0.10
"""An instance that uses this much less CPU than the busiest one, although all users wait for it, waits for
something itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What was the limit of setups that did not use all of their CPU at full load.

    Attributes:
        generator: setups for which the load generator was the limit.
        blocked: setups that idled while their users waited.
        caveats: a sentence about each.
    """

    generator: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    caveats: tuple[Caveat, ...] = ()


def limits_of(phases: Sequence[MeasuredPhase], plan: Plan) -> Limits:
    """What limited each setup at full load.

    Time that the host or other programs took is no idling.
    """
    found = tuple(_caveats(phases, plan))
    return Limits(
        generator=frozenset(caveat.setup for caveat in found if caveat.setup and caveat.code == "idle"),
        blocked=frozenset(caveat.setup for caveat in found if caveat.setup and caveat.code == "blocked"),
        caveats=found,
    )


def _caveats(phases: Sequence[MeasuredPhase], plan: Plan) -> Iterator[Caveat]:
    taken = _taken_by_others(phases)
    used = [_used(phases, number) for number in range(len(plan.setups))]
    for number, setup in enumerate(plan.setups):
        idle = 1 - used[number] - taken
        # A service that runs on one of several CPUs can use no more than its busiest instance.
        idle_of_usable = 1 - (used[number] + taken) / min(max(used), 1.0) if max(used) else 0.0
        if idle <= IDLE_LIMIT:
            continue
        outside = max(phase.outside(number) for phase in phases)
        if outside > OUTSIDE_LIMIT or generator_share(phases, number, plan) > GENERATOR_LIMIT:
            yield Caveat(
                code="idle",
                message=f"at full load the load generator was the limit: the CPU of {setup.name} idled "
                f"{idle * 100:.1f} % of its time slices",
                advice="throughput is CPU-bound throughput, derived from CPU per request for all setups; "
                "more --workers may drive it",
                setup=setup.name,
                load="saturation",
            )
        elif idle_of_usable > BLOCKED_LIMIT:
            yield Caveat(
                code="blocked",
                message=f"at full load {setup.name} used {idle_of_usable * 100:.0f} % less CPU than others "
                "while its users waited",
                advice="it waits for something else, such as a lock, a timer, an exporter or a database; its "
                "throughput is what was measured",
                setup=setup.name,
                load="saturation",
            )


def _used(phases: Sequence[MeasuredPhase], instance: int) -> float:
    """Share of its CPUs that an instance used, mean over replicates."""
    shares = [phase.utilization(instance) for phase in phases if phase.active_s(instance)]
    return sum(shares) / len(shares) if shares else 1.0


def _taken_by_others(phases: Sequence[MeasuredPhase]) -> float:
    """CPUs that the host and other programs took, on average."""
    blocks = [block for phase in phases for block in phase.blocks]
    length_s = sum(block.duration_s for block in blocks)
    return sum(max(block.steal_s + block.foreign_s, 0.0) for block in blocks) / length_s if length_s else 0.0


def generator_share(phases: Sequence[MeasuredPhase], instance: int, plan: Plan) -> float:
    """Share of its CPUs that the load generator used while an instance ran.

    Its CPU is read for all instances together; a request costs it the same, whichever instance answers.
    """
    load_s = sum(block.load_s for phase in phases for block in phase.blocks)
    every = sum(phase.completed(number) for phase in phases for number in range(len(plan.setups)))
    active_s = sum(phase.active_s(instance) for phase in phases)
    if not every or not active_s:
        return 0.0
    completed = sum(phase.completed(instance) for phase in phases)
    return load_s / every * completed / active_s / plan.load_cpus
