"""What a run will do, decided before its first window: budgets, order and every planned arrival.

Rule 1: everything follows from one seed; the same plan gives the same arrivals.
Rule 2: every cycle of arrivals visits all fleets once, in a freshly shuffled order, so
that no set-up is ever first, and whatever the machine does meets all of them alike.
Rule 3: nothing is decided by looking at results: testing after every block and stopping
when significant gives 21 % false positives.
"""

from dataclasses import dataclass

import numpy as np

from bench.model import Arrival, Plan
from bench.setups import DEFAULT, QUICK


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long a run may take, and how it spends that time.

    Attributes:
        name: on the command line.
        setups: what it compares unless told otherwise.
        epochs: fresh processes so many times.
        windows: in an epoch.
        spare: windows that may be repeated in all.
        window_s: length of one.
        warm_up_s: load before an epoch's first window.
        idle_s: quiet stretch per epoch.
    """

    name: str
    setups: tuple[str, ...]
    epochs: int
    windows: int
    spare: int
    window_s: float
    warm_up_s: float
    idle_s: float


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            name="smoke",
            setups=QUICK,
            epochs=2,
            windows=2,
            spare=0,
            window_s=4.0,
            warm_up_s=2.0,
            idle_s=1.0,
        ),
        Budget(
            name="quick",
            setups=QUICK,
            epochs=3,
            windows=3,
            spare=3,
            window_s=7.0,
            warm_up_s=2.5,
            idle_s=1.0,
        ),
        Budget(
            name="default",
            setups=DEFAULT,
            epochs=5,
            windows=5,
            spare=5,
            window_s=8.0,
            warm_up_s=2.5,
            idle_s=1.0,
        ),
    )
}
"""smoke: does everything work (a verdict from it is luck). quick: a first answer.
default: the answer to send to a colleague."""

UTILISATION = 0.55
"""Aim of the arrival rate: as many requests as the services' CPU serves without queueing much."""
CALIBRATION_RATE_PER_S = 20.0
"""Arrivals per second while the cost of a checkout is not known yet."""
MAX_RATE_PER_S = 400.0
"""What one load process sends with a lag far below a millisecond."""

FIRST_WINDOW = 16
"""Windows before the first one have negative numbers; a seed has not."""

START_S_PER_FLEET = 1.1
OVERHEAD_S_PER_WINDOW = 0.6
STOP_S_PER_EPOCH = 1.0
PREFLIGHT_S = 12.0
"""Estimates of what is not load, seen on two cores; used for the expected duration only."""


def duration_s(plan: Plan, repeated: int = 0) -> float:
    """How long a run will take, roughly, if so many windows have to be repeated."""
    start = START_S_PER_FLEET * len(plan.setups)
    epoch = start + plan.warm_up_s + plan.idle_s + STOP_S_PER_EPOCH
    epoch += plan.windows * (plan.window_s + OVERHEAD_S_PER_WINDOW)
    return PREFLIGHT_S + plan.epochs * epoch + repeated * (plan.window_s + OVERHEAD_S_PER_WINDOW)


def rate_per_s(plan: Plan, cpu_per_checkout_s: float) -> float:
    """The arrival rate at which the services' CPUs are busy as planned.

    Args:
        plan: with its utilisation and CPUs.
        cpu_per_checkout_s: mean over the set-ups; a cycle visits each once.
    """
    return min(plan.utilisation * plan.service_cpus / cpu_per_checkout_s, MAX_RATE_PER_S)


def arrivals(plan: Plan, epoch: int, window: int, length_s: float | None = None) -> tuple[Arrival, ...]:
    """The planned requests of a window, in order of time.

    Stratified jitter: one arrival in every slot of 1/rate, at a uniform place in it. As
    irregular as visitors are, without the long gaps and crowds of a Poisson process,
    which would cost precision.
    """
    rng = np.random.default_rng([plan.seed, epoch, window + FIRST_WINDOW])
    length = plan.window_s if length_s is None else length_s
    names = [setup.name for setup in plan.setups]
    cycles = max(int(length * plan.rate_per_s) // len(names), 1)
    order = np.concatenate([rng.permutation(len(names)) for _ in range(cycles)])
    slots = np.arange(len(order)) + rng.random(len(order))
    offsets = np.round(slots / plan.rate_per_s * 1e9).astype(np.int64)
    return tuple(
        Arrival(offset_ns=int(offset), setup=names[index])
        for offset, index in zip(offsets, order, strict=True)
    )


def start_order(plan: Plan, epoch: int) -> tuple[str, ...]:
    """The order in which an epoch's fleets are started: shuffled, so that no set-up is always first."""
    rng = np.random.default_rng([plan.seed, epoch, 0, 1])
    return tuple(plan.setups[int(index)].name for index in rng.permutation(len(plan.setups)))


def hash_seed(plan: Plan, epoch: int) -> int:
    """PYTHONHASHSEED of all processes of an epoch: the same for all fleets, another each epoch."""
    rng = np.random.default_rng([plan.seed, epoch, 0, 2])
    return int(rng.integers(1, 2**32 - 1))
