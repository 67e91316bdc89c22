"""The plan: order, times and seeds."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.plan import BUDGETS, MAX_RATE_PER_S, arrivals, duration_s, hash_seed, rate_per_s, start_order
from bench.setups import DEFAULT
from tests import make

PLAN = make.plan()
NAMES = [setup.name for setup in PLAN.setups]

seeds = st.integers(0, 2**32 - 1)
rates = st.floats(1, MAX_RATE_PER_S)


@given(seeds, rates, st.integers(0, 50), st.integers(-3, 50))
def test_every_cycle_visits_every_setup_once(seed: int, rate: float, epoch: int, window: int) -> None:
    sent = arrivals(replace(PLAN, seed=seed, rate_per_s=rate), epoch, window)
    order = [arrival.setup for arrival in sent]
    cycles = [order[at : at + len(NAMES)] for at in range(0, len(order), len(NAMES))]
    assert all(sorted(cycle) == sorted(NAMES) for cycle in cycles)


@given(seeds, rates)
def test_there_is_one_arrival_in_every_slot(seed: int, rate: float) -> None:
    sent = arrivals(replace(PLAN, seed=seed, rate_per_s=rate), 0, 0)
    slot_ns = 1e9 / rate
    for at, arrival in enumerate(sent):
        assert at * slot_ns - 1 <= arrival.offset_ns <= (at + 1) * slot_ns + 1


@given(seeds)
def test_the_same_seed_gives_the_same_plan_and_another_window_another(seed: int) -> None:
    plan = replace(PLAN, seed=seed)
    assert arrivals(plan, 0, 0) == arrivals(plan, 0, 0)
    assert arrivals(plan, 0, 0) != arrivals(plan, 0, 1)
    assert arrivals(plan, 0, 0) != arrivals(plan, 1, 0)


def test_no_setup_is_always_first() -> None:
    long = replace(PLAN, window_s=400.0)
    first = Counter(arrival.setup for arrival in arrivals(long, 0, 0)[:: len(NAMES)])
    assert set(first) == set(NAMES)
    assert max(first.values()) < 1.3 * min(first.values())


def test_fleets_start_in_another_order_every_epoch() -> None:
    orders = {start_order(PLAN, epoch) for epoch in range(10)}
    assert len(orders) > 3
    assert all(sorted(order) == sorted(NAMES) for order in orders)


def test_an_epoch_has_one_hash_seed_and_the_next_another() -> None:
    assert hash_seed(PLAN, 0) == hash_seed(PLAN, 0)
    assert len({hash_seed(PLAN, epoch) for epoch in range(10)}) == 10


def test_the_rate_makes_the_services_as_busy_as_planned() -> None:
    # 10 ms a checkout, one CPU half busy: 50 a second.
    assert rate_per_s(PLAN, 0.010) == 50.0
    assert rate_per_s(replace(PLAN, services_cpus=(1, 2)), 0.010) == 100.0
    assert rate_per_s(PLAN, 1e-6) == MAX_RATE_PER_S


def test_budgets_keep_their_promises() -> None:
    def planned(name: str) -> float:
        budget = BUDGETS[name]
        plan = make.plan(budget.setups, epochs=budget.epochs, windows=budget.windows)
        return duration_s(
            replace(plan, window_s=budget.window_s, warm_up_s=budget.warm_up_s, idle_s=budget.idle_s)
        )

    assert BUDGETS["default"].setups == DEFAULT
    assert BUDGETS["smoke"].epochs * BUDGETS["smoke"].windows * BUDGETS["smoke"].window_s < 60
    # Even if every spare window is needed.
    assert planned("quick") + 3 * 7.6 < 150
    assert planned("default") + 5 * 8.6 < 360
