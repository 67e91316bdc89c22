"""A plan's timetable: its steps in order, every time slice and every planned arrival.

Instances run in interleaved time slices: one runs, all others are stopped. A round gives every instance one
time slice, in a freshly shuffled order, so that no setup is always first and disturbances affect
all alike. Arrivals are planned in active time, which passes only in an instance's own slices.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from bench.app.records import AA, BASELINE
from bench.plan.records import Arrival, Closed, Kind, Learned, Load, Open, Phase, Plan, Quiet, Slice, Step

SWITCH_NS = 500_000
"""Between two slices: time to stop one instance, read its clock, and let the next one run."""
OVERLOADED = 0.8
"""A rate above this share of its capacity overloads an instance: it gets no percentiles."""
OVERLOADED_SHARE = 0.5
"""The rate of an overloaded setup, as a share of its capacity."""
LEARN_REQUESTS = 60
"""Requests of every kind from whose traces shapes are learned."""
LEAD_ROUNDS = 2
"""Rounds of a closed loop before its first block, at least."""
PROBE_ROUNDS = 4
"""Rounds of one step of the search for the highest rate."""
_STREAMS = {"order": 0, "times": 1, "kinds": 2, "start": 3, "hash": 4, "search": 5}


def _rng(plan: Plan, stream: str, *where: int) -> np.random.Generator:
    """Random numbers of their own for every purpose and place."""
    return np.random.default_rng([plan.seed, _STREAMS[stream], *where])


def schedule(plan: Plan, replicate: int) -> Iterator[tuple[Kind, int]]:
    """The steps of a replicate in order: what for, and how many blocks of slices.

    The rates of light load are known only after the first replicate's capacity step, so a step is made
    by `step_of` when it begins.
    """
    if not plan.targets:
        yield Kind.START, 0
    if replicate == 0:
        yield Kind.LEARN, 0
    yield Kind.WARM_UP, plan.warm_up.blocks
    if replicate == 0:
        yield Kind.CAPACITY, plan.warm_up.blocks
    yield Kind.FLUSH, 0
    if plan.rest_s:
        yield Kind.REST, 0
    for kind, blocks in ((Kind.LIGHT, plan.light.blocks), (Kind.SATURATION, plan.saturation.blocks)):
        if blocks:
            yield kind, blocks
            yield Kind.FLUSH, 0
            yield Kind.EMPTY_FLUSH, 0
    for _ in range(plan.probes):
        yield Kind.PROBE, 1
    if plan.probes:
        yield Kind.FLUSH, 0
    yield Kind.SETTLE, 0


def step_of(  # noqa: PLR0913, PLR0917 - what a step follows from
    plan: Plan,
    learned: Learned,
    replicate: int,
    number: int,
    kind: Kind,
    blocks: int = 0,
    *,
    rates: Sequence[float] = (),
) -> Step:
    """A step with its slices and arrivals.

    Args:
        plan: of the run.
        learned: with rates, for light load.
        replicate: of the step.
        number: of the step in its replicate.
        kind: what it is for.
        blocks: how many blocks of slices.
        rates: of a probe: arrivals per second of each instance.
    """
    slices = _slices(plan, learned, replicate, number, kind, blocks) if blocks else ()
    load: Load = Quiet(seconds=plan.rest_s if kind is Kind.REST else 0.0)
    match kind:
        case Kind.WARM_UP | Kind.CAPACITY | Kind.SATURATION:
            load = Closed(users=plan.users)
        case Kind.LIGHT:
            load = _open(plan, replicate, number, slices, [learned.rates[name] for name in plan.names])
        case Kind.PROBE:
            load = _open(plan, replicate, number, slices, rates)
        case _:
            pass
    return Step(replicate=replicate, number=number, kind=kind, slices=slices, load=load)


def _phase(plan: Plan, kind: Kind) -> Phase:
    match kind:
        case Kind.LIGHT:
            return plan.light
        case Kind.SATURATION:
            return plan.saturation
        case Kind.PROBE:
            return Phase(slice_s=plan.light.slice_s, rounds=PROBE_ROUNDS, blocks=1)
        case _:
            return plan.warm_up


def _slices(  # noqa: PLR0913, PLR0917 - what a timetable follows from
    plan: Plan, learned: Learned, replicate: int, number: int, kind: Kind, blocks: int
) -> tuple[Slice, ...]:
    rng, phase = _rng(plan, "order", replicate, number), _phase(plan, kind)
    length_ns = round(phase.slice_s * 1e9)
    slices, now_ns = [], 0
    leads = [-1] * (lead_rounds(plan, learned) if kind is Kind.SATURATION else 0)
    for block in [*leads, *(block for block in range(blocks) for _ in range(phase.rounds))]:
        for instance in rng.permutation(len(plan.setups)):
            slices.append(Slice(int(instance), block, now_ns, now_ns + length_ns))
            now_ns += length_ns + SWITCH_NS
    return tuple(slices)


def lead_rounds(plan: Plan, learned: Learned) -> int:
    """Rounds in which a closed loop fills before its first block.

    At the start nothing is in flight, so an early block would count the work of more requests than it sees
    completed. The lead lasts about twice as long as the slowest request; overloaded setups are ignored,
    because their figures differ by far more.
    """
    if not learned.capacities:
        return LEAD_ROUNDS
    capacities = [learned.capacities[name] for name in plan.names if not is_overloaded(plan, learned, name)]
    wanted = math.ceil(2 * plan.users / min(capacities) / plan.saturation.slice_s)
    return max(min(wanted, plan.saturation.rounds * plan.saturation.blocks // 3), LEAD_ROUNDS)


def _open(plan: Plan, replicate: int, number: int, slices: Sequence[Slice], rates: Sequence[float]) -> Open:
    """Planned arrivals of all instances, in order of time.

    Stratified jitter: one arrival in every slot of 1/rate of active time, at a uniform place in it.
    Irregular like real traffic, but without the long gaps and bursts of a Poisson process, which
    would cost precision. Instances with the same rate get the same arrivals in active time: the effect of a
    cluster of arrivals on latency then cancels out in every comparison.
    """
    arrivals: list[tuple[int, int, int]] = []
    for instance, rate in enumerate(rates):
        own = [time_slice for time_slice in slices if time_slice.instance == instance]
        length_ns = np.cumsum([0, *(time_slice.stop_ns - time_slice.start_ns for time_slice in own)])
        count = int(length_ns[-1] / 1e9 * rate)
        if not count:
            continue
        rng = _rng(plan, "times", replicate, number)
        active_ns = np.minimum((np.arange(count) + rng.random(count)) / rate * 1e9, length_ns[-1] - 1)
        chosen = np.searchsorted(length_ns, active_ns, side="right") - 1
        starts = np.array([time_slice.start_ns for time_slice in own])
        offsets = (starts[chosen] + active_ns - length_ns[chosen]).astype(np.int64)
        kinds = drawn_kinds(plan, count, replicate, number)
        arrivals += [(int(offset), instance, int(kind)) for offset, kind in zip(offsets, kinds, strict=True)]
    return Open(arrivals=tuple(Arrival(*arrival) for arrival in sorted(arrivals)))


def drawn_kinds(plan: Plan, count: int, *where: int) -> list[int]:
    """Kinds of `count` requests, drawn by weight; the same for every instance of a step.

    Args:
        plan: with the application's requests.
        count: how many.
        where: replicate and number of the step.
    """
    weights = np.array([request.weight for request in plan.app.request])
    if len(weights) == 1:
        return [0] * count
    rng = _rng(plan, "kinds", *where)
    return [int(kind) for kind in rng.choice(len(weights), size=count, p=weights / weights.sum())]


def start_order(plan: Plan, replicate: int) -> tuple[int, ...]:
    """The order in which a replicate's instances are started."""
    return tuple(int(instance) for instance in _rng(plan, "start", replicate).permutation(len(plan.setups)))


def hash_seed(plan: Plan, replicate: int) -> int:
    """PYTHONHASHSEED of all processes of a replicate: the same for all instances, another each replicate."""
    return int(_rng(plan, "hash", replicate).integers(1, 2**32 - 1))


def light_rates(plan: Plan, capacities: dict[str, float]) -> dict[str, float]:
    """Light rate of every setup, from what each can do in a closed loop.

    Args:
        plan: with the share of the baseline's capacity, or a rate of the user's.
        capacities: requests per second of active time, by setup.
    """
    references = [capacities[name] for name in plan.names if name in {BASELINE, AA}]
    rate = round(plan.rate_per_s or plan.share * sum(references) / len(references), 3)
    wanted = {name: _wanted(plan, name, rate) for name in plan.names}
    return {
        name: wanted[name]
        if wanted[name] <= OVERLOADED * capacities[name]
        else round(OVERLOADED_SHARE * capacities[name], 3)
        for name in plan.names
    }


def is_overloaded(plan: Plan, learned: Learned, name: str) -> bool:
    """True if a setup has a rate of its own because it cannot hold the light rate."""
    return bool(learned.rates) and learned.rates[name] < _wanted(plan, name, max(learned.rates.values()))


def _wanted(plan: Plan, name: str, rate_per_s: float) -> float:
    """The light rate that a plan asks of a setup."""
    return round(rate_per_s * plan.rate_shares.get(name, 1.0), 3)


def search_ends(plan: Plan, replicate: int, instance: int) -> tuple[float, float]:
    """Where a search for the highest rate begins, as shares of the rate that a closed loop has just reached.

    Drawn anew for every search: with fixed ends a few steps could find a few values only, and
    instances that differ by less than a step would agree exactly, in every replicate.
    """
    low, high = _rng(plan, "search", replicate, instance).random(2)
    return 0.45 + 0.2 * float(low), 1.0 + 0.1 * float(high)
