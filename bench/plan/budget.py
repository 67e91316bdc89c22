"""Budgets: how long a run may take, and how it spends that time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.app.records import App, Setup
from bench.app.setups import DEFAULT, QUICK
from bench.plan.records import Phase, Plan
from bench.plan.schedule import LEAD_ROUNDS, PROBE_ROUNDS

LIGHT_SLICE_S = 0.05
"""Shorter slices give more rounds, which average out more machine noise: a third of the variance
with slices of 200 ms. Latencies do not differ from those of longer slices (results/design)."""
MAX_PAUSE_S = 2.0
"""About the longest time for which an instance is stopped: an application's own timeouts go on in wall
time meanwhile, and so do servers that close idle connections."""
WARM_UP_SLICE_S, MAX_WARM_UP_SLICE_S = 0.05, 0.5
"""Limits of a warm-up slice where the user chose longer slices: the clocks of instances elsewhere are
read over HTTP, which takes as long as a short time slice."""
SATURATION_SLICE_S = 0.03
"""Time slices of 5 ms cool the caches, above 200 ms noise grows (results/design)."""
BLOCK_S = 4.0
"""About the length of a block: long against a time slice, short against the machine's fluctuations."""


NOTHING = Phase(slice_s=0.0, rounds=0, blocks=0)
BudgetName: TypeAlias = Literal["smoke", "quick", "default", "long"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How a run spends its time; active seconds are those of one instance in one replicate.

    Attributes:
        name: on the command line.
        setups: what it compares unless told otherwise.
        replicates: number of replicates (process restarts).
        light_s: active seconds of light load.
        saturation_s: active seconds of full load.
        warm_up_s: active seconds before that.
        spare: blocks of each load that may be repeated.
    """

    name: BudgetName
    setups: tuple[str, ...]
    replicates: int
    light_s: float
    saturation_s: float
    warm_up_s: float
    spare: int


BUDGETS: dict[BudgetName, Budget] = {
    budget.name: budget
    for budget in (
        Budget(
            name="smoke", setups=QUICK, replicates=2, light_s=0.8, saturation_s=0.4, warm_up_s=0.4, spare=0
        ),
        Budget(
            name="quick", setups=QUICK, replicates=3, light_s=2.1, saturation_s=0.9, warm_up_s=0.5, spare=1
        ),
        Budget(
            name="default",
            setups=DEFAULT,
            replicates=4,
            light_s=5.0,
            saturation_s=2.8,
            warm_up_s=0.5,
            spare=2,
        ),
        Budget(
            name="long",
            setups=DEFAULT,
            replicates=10,
            light_s=12.0,
            saturation_s=3.0,
            warm_up_s=1.0,
            spare=10,
        ),
    )
}
"""smoke: does everything work (a verdict from it is luck). quick: a first answer. default: the
answer to send to a colleague. long: the 99th percentiles of slow machines, too."""

PREFLIGHT_S = 8.0
START_S = 1.1
"""Until the processes of one instance answer, by experience; for the expected duration only."""
REPLICATE_S = 2.0
SETTLE_S = 7.0
"""Without a flush path a run waits for the batch timer."""
DRAIN_S = 0.15
"""Time at the end of a phase, per instance, in which requests under way are finished."""


def phase(active_s: float, slice_s: float, instances: int) -> Phase:
    """A phase of about `active_s`, in blocks of about `BLOCK_S`."""
    slices = max(round(active_s / slice_s), 1)
    rounds = max(round(BLOCK_S / (slice_s * instances)), 1)
    blocks = max(round(slices / rounds), 2 if slices > 1 else 1)
    return Phase(slice_s=slice_s, rounds=max(round(slices / blocks), 1), blocks=blocks)


def without_load(name: str, app: App, setups: Sequence[Setup], rest_s: float = 0.0) -> Plan:
    """A plan without time slices: its caller sends the requests."""
    return Plan(
        name=name, budget=name, seed=0, app=app, setups=tuple(setups), replicates=1,
        warm_up=NOTHING, light=NOTHING, saturation=NOTHING, rest_s=rest_s,
    )  # fmt: skip


def duration_s(plan: Plan, repeated: int = 0) -> float:
    """How long a run will take, roughly.

    Args:
        plan: not carried out yet.
        repeated: blocks of each load that have to be repeated.
    """
    instances = len(plan.setups)
    start_s = 0.0 if plan.targets else sum(_start_s(plan) for _ in plan.setups)
    lead_s = LEAD_ROUNDS * plan.saturation.slice_s if plan.saturation.blocks else 0.0
    active_s = plan.warm_up.active_s + plan.light.active_s + lead_s + plan.saturation.active_s + 3 * DRAIN_S
    settle_s = 0.0 if plan.app.tracing.flush else SETTLE_S
    probes_s = plan.probes * (plan.light.slice_s * PROBE_ROUNDS + DRAIN_S)
    replicate_s = start_s + instances * (active_s + probes_s) + plan.rest_s + settle_s + REPLICATE_S
    blocks_s = sum(phase.slice_s * phase.rounds for phase in (plan.light, plan.saturation)) * instances
    preflight_s = PREFLIGHT_S + plan.warm_up.active_s * instances + settle_s
    return preflight_s + plan.replicates * replicate_s + repeated * blocks_s


def _start_s(plan: Plan) -> float:
    return START_S * max(len(plan.app.process) / 4, 0.8)


def phases(budget: Budget, instances: int, overrides: Sequence[float | None]) -> tuple[Phase, ...]:
    """Warm-up, light load and saturation of a budget.

    Args:
        budget: with active seconds.
        instances: how many run in interleaved time slices.
        overrides: active seconds of the three, and the length of a time slice, where the user chose them.
    """
    warm_up_s, light_s, saturation_s, slice_s = overrides
    light_slice_s = slice_s or min(LIGHT_SLICE_S, MAX_PAUSE_S / instances)
    saturation_slice_s = slice_s or SATURATION_SLICE_S
    warm_up_slice_s = min(max(slice_s or 0.0, WARM_UP_SLICE_S), MAX_WARM_UP_SLICE_S)
    return (
        Phase(
            slice_s=warm_up_slice_s,
            rounds=max(round((warm_up_s or budget.warm_up_s) / warm_up_slice_s), 1),
            blocks=1,
        ),
        phase(budget.light_s if light_s is None else light_s, light_slice_s, instances),
        phase(budget.saturation_s if saturation_s is None else saturation_s, saturation_slice_s, instances),
    )
