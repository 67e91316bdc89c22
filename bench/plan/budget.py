"""Budgets: how long a run may take, and how it spends that time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.app.records import App, Setup
from bench.app.setups import DEFAULT, QUICK
from bench.plan.records import Plan, Stretch
from bench.plan.schedule import LEAD_ROUNDS

LIGHT_TURN_S = 0.05
"""The shorter, the more rounds, and the less of the machine's moods is left: a third of the variance
of 200 ms. Latencies do not differ from those of longer turns (results/design)."""
MAX_PAUSE_S = 2.0
"""About the longest time for which an instance is stopped: an application's own timeouts go on in wall
time meanwhile, and so do servers that close idle connections."""
WARM_UP_TURN_S, MAX_WARM_UP_TURN_S = 0.05, 0.5
"""Where longer turns are asked for, so are those of the warm-up: the clocks of instances elsewhere are
read over HTTP, which takes as long as a short turn."""
BUSY_TURN_S = 0.03
"""Turns of 5 ms cool the caches, above 200 ms noise grows (results/design)."""
BLOCK_S = 4.0
"""About the length of a block: long against a turn, short against the machine's moods."""


NOTHING = Stretch(turn_s=0.0, rounds=0, blocks=0)
BudgetName: TypeAlias = Literal["smoke", "quick", "default", "long"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How a run spends its time; own seconds are those of one instance in one epoch.

    Attributes:
        name: on the command line.
        setups: what it compares unless told otherwise.
        epochs: fresh processes so many times.
        light_s: own seconds of light load.
        busy_s: own seconds of busy load.
        warm_up_s: own seconds before that.
        spare: blocks of each load that may be repeated.
    """

    name: BudgetName
    setups: tuple[str, ...]
    epochs: int
    light_s: float
    busy_s: float
    warm_up_s: float
    spare: int


BUDGETS: dict[BudgetName, Budget] = {
    budget.name: budget
    for budget in (
        Budget(name="smoke", setups=QUICK, epochs=2, light_s=0.8, busy_s=0.4, warm_up_s=0.4, spare=0),
        Budget(name="quick", setups=QUICK, epochs=3, light_s=2.1, busy_s=0.9, warm_up_s=0.5, spare=1),
        Budget(name="default", setups=DEFAULT, epochs=4, light_s=5.0, busy_s=2.8, warm_up_s=0.5, spare=2),
        Budget(name="long", setups=DEFAULT, epochs=10, light_s=12.0, busy_s=3.0, warm_up_s=1.0, spare=10),
    )
}
"""smoke: does everything work (a verdict from it is luck). quick: a first answer. default: the
answer to send to a colleague. long: the 99th percentiles of slow machines, too."""

PREFLIGHT_S = 8.0
START_S = 1.1
"""Until the processes of one instance answer, by experience; for the expected duration only."""
EPOCH_S = 2.0
SETTLE_S = 7.0
"""Without a flush path a run waits for the batch timer."""
DRAIN_S = 0.15
"""Of a stretch, for each instance: turns in which requests under way are finished."""


def stretch(own_s: float, turn_s: float, instances: int) -> Stretch:
    """A stretch of about so much own time, in blocks of about `BLOCK_S`."""
    turns = max(round(own_s / turn_s), 1)
    rounds = max(round(BLOCK_S / (turn_s * instances)), 1)
    blocks = max(round(turns / rounds), 2 if turns > 1 else 1)
    return Stretch(turn_s=turn_s, rounds=max(round(turns / blocks), 1), blocks=blocks)


def without_load(name: str, app: App, setups: Sequence[Setup], rest_s: float = 0.0) -> Plan:
    """A plan as far as a few requests need it, which nobody times."""
    nothing = Stretch(turn_s=1.0, rounds=1, blocks=0)
    return Plan(
        name=name, budget=name, seed=0, app=app, setups=tuple(setups), epochs=1,
        warm_up=nothing, light=nothing, busy=nothing, rest_s=rest_s,
    )  # fmt: skip


def duration_s(plan: Plan, repeated: int = 0) -> float:
    """How long a run will take, roughly.

    Args:
        plan: not carried out yet.
        repeated: blocks of each load that have to be repeated.
    """
    instances = len(plan.setups)
    start_s = 0.0 if plan.targets else sum(_start_s(plan) for _ in plan.setups)
    lead_s = LEAD_ROUNDS * plan.busy.turn_s if plan.busy.blocks else 0.0
    own_s = plan.warm_up.own_s + plan.light.own_s + lead_s + plan.busy.own_s + 3 * DRAIN_S
    settle_s = 0.0 if plan.app.tracing.flush else SETTLE_S
    probes_s = plan.probes * (plan.light.turn_s * 4 + DRAIN_S)
    epoch_s = start_s + instances * (own_s + probes_s) + plan.rest_s + settle_s + EPOCH_S
    blocks_s = sum(stretch.turn_s * stretch.rounds for stretch in (plan.light, plan.busy)) * instances
    preflight_s = PREFLIGHT_S + plan.warm_up.own_s * instances + settle_s
    return preflight_s + plan.epochs * epoch_s + repeated * blocks_s


def _start_s(plan: Plan) -> float:
    return START_S * max(len(plan.app.process) / 4, 0.8)


def stretches(budget: Budget, instances: int, overrides: Sequence[float | None]) -> tuple[Stretch, ...]:
    """Warm-up, light and busy stretches of a budget.

    Args:
        budget: with own seconds.
        instances: how many take turns.
        overrides: own seconds of the three, and the length of a light turn, where the user chose them.
    """
    warm_up_s, light_s, busy_s, turn_s = overrides
    light_turn_s = turn_s or min(LIGHT_TURN_S, MAX_PAUSE_S / instances)
    busy_turn_s = turn_s or BUSY_TURN_S
    warm_up_turn_s = min(max(turn_s or 0.0, WARM_UP_TURN_S), MAX_WARM_UP_TURN_S)
    return (
        Stretch(
            turn_s=warm_up_turn_s,
            rounds=max(round((warm_up_s or budget.warm_up_s) / warm_up_turn_s), 1),
            blocks=1,
        ),
        stretch(budget.light_s if light_s is None else light_s, light_turn_s, instances),
        stretch(budget.busy_s if busy_s is None else busy_s, busy_turn_s, instances),
    )


def without_timetable(name: str, app: App, setups: Sequence[Setup]) -> Plan:
    """Set-ups that run without turns: all at once, or one after the other, as whoever starts them likes."""
    return Plan(
        name=name, budget="", seed=0, app=app, setups=tuple(setups), epochs=1,
        warm_up=NOTHING, light=NOTHING, busy=NOTHING,
    )  # fmt: skip
