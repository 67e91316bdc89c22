"""What a run will do, decided before its first window: budgets, order and every planned arrival.

Rule 1: everything follows from one seed; the same plan gives the same arrivals.
Rule 2: every cycle of arrivals visits all fleets once, in a freshly shuffled order, so
that no set-up is ever first, and whatever the machine does meets all of them alike.
Rule 3: nothing is decided by looking at results: testing after every block and stopping
when significant gives 21 % false positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.model import CONTROL, Arrival, Plan, Setup, Solo
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
        levels_s: solo phase: length of a slice at each level.
        closed_s: solo phase: length of a closed loop.
        probes: solo phase: steps of the search under the latency limit.
        probe_s: solo phase: length of one.
    """

    name: str
    setups: tuple[str, ...]
    epochs: int
    windows: int
    spare: int
    window_s: float
    warm_up_s: float = 2.5
    idle_s: float = 1.0
    levels_s: tuple[float, ...]
    closed_s: float
    probes: int
    probe_s: float


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            name="smoke", setups=QUICK, epochs=2, windows=2, spare=0, window_s=4.0, warm_up_s=2.0,
            levels_s=(0.7, 0.6, 0.5), closed_s=0.4, probes=1, probe_s=0.5,
        ),
        Budget(
            name="quick", setups=QUICK, epochs=3, windows=3, spare=2, window_s=7.0,
            levels_s=(1.0, 0.8, 0.6), closed_s=0.5, probes=2, probe_s=0.6,
        ),
        Budget(
            name="default", setups=DEFAULT, epochs=5, windows=4, spare=4, window_s=8.0,
            levels_s=(1.2, 0.9, 0.7), closed_s=0.7, probes=3, probe_s=0.7,
        ),
        Budget(
            name="long", setups=DEFAULT, epochs=10, windows=5, spare=10, window_s=8.0,
            levels_s=(6.0, 3.0, 2.0), closed_s=1.5, probes=4, probe_s=1.5,
        ),
    )
}  # fmt: skip
"""smoke: does everything work (a verdict from it is luck). quick: a first answer.
default: the answer to send to a colleague. long: the 99th percentiles, too."""

PHASES = ("rotation", "solo")

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
OVERHEAD_S_PER_SLICE = 0.1
OVERHEAD_S_PER_VISIT = 0.3
"""Estimates of what is not load, seen on two cores; used for the expected duration only."""


def duration_s(plan: Plan, repeated: int = 0) -> float:
    """How long a run will take, roughly, if so many windows have to be repeated."""
    start = 0.0 if plan.targets else START_S_PER_FLEET * len(plan.setups)
    epoch = start + STOP_S_PER_EPOCH
    if plan.windows:
        epoch += plan.warm_up_s + plan.idle_s + plan.windows * (plan.window_s + OVERHEAD_S_PER_WINDOW)
    if plan.solo:
        epoch += _block_s(plan.solo)
    return PREFLIGHT_S + plan.epochs * epoch + repeated * (plan.window_s + OVERHEAD_S_PER_WINDOW)


def _block_s(solo: Solo) -> float:
    """How long a block takes, roughly: about half of the fleets are saturated at a rate and cut short."""
    full = solo.closed_s + sum(solo.levels_s) + solo.probes * solo.probe_s
    slices = 2 + len(solo.levels) + solo.probes
    visit = solo.pre_roll_s + full + slices * OVERHEAD_S_PER_SLICE + OVERHEAD_S_PER_VISIT
    return len(solo.setups) * visit


LEVELS = (0.3, 0.6, 0.9)
"""Arrival rates of the solo phase as shares of the baseline's capacity."""


def solo_of(
    budget: Budget,
    setups: Sequence[Setup],
    latency_limit_s: float,
    levels: tuple[float, ...] | None = None,
) -> Solo:
    """The solo phase of a budget: every set-up but the control, which burns its CPU after the answer.

    Levels other than the usual ones get as many seconds as the usual one that is nearest.
    """
    chosen = levels or LEVELS
    nearest = [min(range(len(LEVELS)), key=lambda at: abs(LEVELS[at] - level)) for level in chosen]
    return Solo(
        setups=tuple(setup.name for setup in setups if setup.name != CONTROL),
        levels=chosen,
        levels_s=tuple(budget.levels_s[at] for at in nearest),
        closed_s=budget.closed_s,
        probes=budget.probes,
        probe_s=budget.probe_s,
        latency_limit_s=latency_limit_s,
    )


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


def block_order(plan: Plan, solo: Solo, epoch: int) -> tuple[str, ...]:
    """The order in which a block visits the fleets: shuffled, every second block the reverse of its elder.

    So what drifts steadily through two blocks meets all set-ups alike.
    """
    rng = np.random.default_rng([plan.seed, epoch // 2, 0, 3])
    order = [solo.setups[int(index)] for index in rng.permutation(len(solo.setups))]
    return tuple(order if epoch % 2 == 0 else reversed(order))


def level_order(plan: Plan, solo: Solo, epoch: int) -> tuple[int, ...]:
    """The order of the levels in all visits of a block, as numbers."""
    rng = np.random.default_rng([plan.seed, epoch // 2, 0, 4])
    order = [int(index) for index in rng.permutation(len(solo.levels))]
    return tuple(order if epoch % 2 == 0 else reversed(order))


DRAIN_S = 0.5
"""A slice at a rate above what the fleet can do is cut so short that its backlog is gone after this time."""


def slice_length_s(length_s: float, rate_per_s: float, capacity_per_s: float) -> float:
    """How long a slice may be; as planned unless its rate is above what the fleet has just reached.

    A backlog of rate x length - capacity x length takes (rate / capacity - 1) x length to work off.
    """
    if rate_per_s <= capacity_per_s:
        return length_s
    if capacity_per_s <= 0:
        return 0.0
    return min(length_s, DRAIN_S / (rate_per_s / capacity_per_s - 1))


def slice_arrivals(  # noqa: PLR0913 - what an arrival's time follows from
    plan: Plan, epoch: int, number: int, setup: str, *, rate_per_s: float, length_s: float
) -> tuple[Arrival, ...]:
    """The planned requests of a slice; the same stratified jitter as in a window."""
    rng = np.random.default_rng([plan.seed, epoch + 1, number, 5])
    count = max(int(length_s * rate_per_s), 1)
    offsets = np.round((np.arange(count) + rng.random(count)) / rate_per_s * 1e9).astype(np.int64)
    return tuple(Arrival(offset_ns=int(offset), setup=setup) for offset in offsets)


def start_order(plan: Plan, epoch: int) -> tuple[str, ...]:
    """The order in which an epoch's fleets are started: shuffled, so that no set-up is always first."""
    rng = np.random.default_rng([plan.seed, epoch, 0, 1])
    return tuple(plan.setups[int(index)].name for index in rng.permutation(len(plan.setups)))


def hash_seed(plan: Plan, epoch: int) -> int:
    """PYTHONHASHSEED of all processes of an epoch: the same for all fleets, another each epoch."""
    rng = np.random.default_rng([plan.seed, epoch, 0, 2])
    return int(rng.integers(1, 2**32 - 1))


def search_draws(plan: Plan, epoch: int, setup: str) -> tuple[float, float]:
    """The two draws that place the bracket of a visit's search."""
    names = [each.name for each in plan.setups]
    rng = np.random.default_rng([plan.seed, epoch, names.index(setup), 6])
    return float(rng.random()), float(rng.random())
