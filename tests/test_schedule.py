"""The timetable follows from the seed, every round runs every instance, arrivals are in active time."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.app.records import App, Request
from bench.plan.budget import BUDGETS, MAX_PAUSE_S, duration_s, phase, phases
from bench.plan.records import Closed, Kind, Learned, Open, Phase, Plan
from bench.plan.schedule import (
    LEAD_ROUNDS,
    is_overloaded,
    lead_rounds,
    light_rates,
    schedule,
    search_ends,
    start_order,
    step_of,
)
from tests import make

RATES = dict.fromkeys(make.NAMES, 20.0)
LEARNED = Learned(rates=RATES)


def light(plan: Plan, replicate: int = 0, blocks: int = 4) -> tuple[list[tuple[int, int]], Open]:
    step = step_of(plan, LEARNED, replicate, 5, Kind.LIGHT, blocks)
    assert isinstance(step.load, Open)
    return [(time_slice.instance, time_slice.block) for time_slice in step.slices], step.load


@pytest.fixture
def plan() -> Plan:
    return make.plan()


def test_the_same_seed_makes_the_same_timetable(plan: Plan) -> None:
    assert light(plan) == light(plan)
    assert light(plan) != light(replace(plan, seed=8))
    assert light(plan, 0) != light(plan, 1)


def test_every_round_gives_every_instance_one_slice(plan: Plan) -> None:
    slices, _ = light(plan)
    count = len(plan.setups)
    rounds = [slices[at : at + count] for at in range(0, len(slices), count)]
    assert all(sorted(instance for instance, _ in time_slice) == list(range(count)) for time_slice in rounds)
    assert len({tuple(instance for instance, _ in time_slice) for time_slice in rounds}) > 1


def test_slices_do_not_overlap(plan: Plan) -> None:
    slices = step_of(plan, LEARNED, 0, 5, Kind.LIGHT, 4).slices
    assert all(one.stop_ns < other.start_ns for one, other in itertools.pairwise(slices))


@given(st.integers(0, 1000), st.floats(1.0, 200.0))
def test_arrivals_fall_into_their_instances_slices_one_in_every_slot_of_active_time(
    seed: int, rate: float
) -> None:
    plan = make.plan(seed=seed)
    step = step_of(plan, Learned(rates=dict.fromkeys(make.NAMES, rate)), 0, 5, Kind.LIGHT, 4)
    assert isinstance(step.load, Open)
    for instance in range(len(plan.setups)):
        slices = [time_slice for time_slice in step.slices if time_slice.instance == instance]
        offsets = [each.offset_ns for each in step.load.arrivals if each.instance == instance]
        own = []
        for offset in offsets:
            place = next(
                number
                for number, time_slice in enumerate(slices)
                if time_slice.start_ns <= offset < time_slice.stop_ns
            )
            own.append((place * 200_000_000 + offset - slices[place].start_ns) / 1e9)
        assert len(own) == int(plan.light.active_s * rate)
        assert [int(at * rate + 1e-6) for at in own] == pytest.approx(range(len(own)), abs=1)


def test_all_instances_get_the_same_kinds_by_weight() -> None:
    app = replace_requests([Request(path="/a", weight=3.0), Request(path="/b")])
    plan = make.plan(app=app)
    _, load = light(plan)
    kinds = {
        instance: [each.request for each in load.arrivals if each.instance == instance]
        for instance in range(len(plan.setups))
    }
    assert all(mine == kinds[0] for mine in kinds.values())
    counts = Counter(kinds[0])
    assert 2.0 < counts[0] / counts[1] < 4.5


def replace_requests(requests: list[Request]) -> App:
    import msgspec

    return msgspec.structs.replace(make.APP, request=requests)


def test_steps_stand_in_the_order_of_the_method(plan: Plan) -> None:
    first = [kind for kind, _ in schedule(plan, 0)]
    assert first == [
        Kind.START, Kind.LEARN, Kind.WARM_UP, Kind.CAPACITY, Kind.FLUSH, Kind.REST,
        Kind.LIGHT, Kind.FLUSH, Kind.EMPTY_FLUSH, Kind.SATURATION, Kind.FLUSH, Kind.EMPTY_FLUSH, Kind.SETTLE,
    ]  # fmt: skip
    later = [kind for kind, _ in schedule(plan, 1)]
    assert later == [kind for kind in first if kind not in {Kind.LEARN, Kind.CAPACITY}]


def test_a_load_without_blocks_is_left_out(plan: Plan) -> None:
    without = replace(plan, saturation=replace(plan.saturation, blocks=0))
    assert Kind.SATURATION not in [kind for kind, _ in schedule(without, 0)]


def test_instances_elsewhere_are_not_started(plan: Plan) -> None:
    away = replace(plan, targets={"none": "http://10.0.0.1"})
    assert Kind.START not in [kind for kind, _ in schedule(away, 0)]


def test_saturation_is_a_closed_loop_that_has_filled_before_its_first_block(plan: Plan) -> None:
    saturation = step_of(plan, LEARNED, 0, 8, Kind.SATURATION, 2)
    assert saturation.load == Closed(users=4)
    lead = LEAD_ROUNDS * len(plan.setups)
    assert {time_slice.block for time_slice in saturation.slices[:lead]} == {-1}
    assert {time_slice.block for time_slice in saturation.slices[lead:]} == {0, 1}


def test_a_slow_application_takes_longer_to_fill() -> None:
    long = make.plan(saturation=Phase(slice_s=0.03, rounds=20, blocks=3))
    # Four users of requests of 10 ms: 80 ms are three slices. Of 50 ms: 400 ms are 14.
    for capacity, rounds in ((100.0, 3), (20.0, 14), (1.0, 20)):
        capacities = dict.fromkeys(make.NAMES, capacity)
        assert lead_rounds(long, Learned(capacities=capacities, rates=RATES)) == rounds
    # A setup that cannot hold the light rate is not waited for.
    slow = {**dict.fromkeys(make.NAMES, 100.0), "batch": 5.0}
    assert lead_rounds(long, Learned(capacities=slow, rates={**RATES, "batch": 2.5})) == 3


def test_a_setup_that_cannot_hold_the_rate_gets_half_of_what_it_can_do(plan: Plan) -> None:
    capacities = {"none": 100.0, "none-aa": 120.0, "injected": 100.0, "always-off": 80.0, "batch": 30.0}
    rates = light_rates(plan, capacities)
    assert rates["none"] == rates["always-off"] == pytest.approx(33.0)
    assert rates["batch"] == pytest.approx(15.0)
    learned = Learned(rates=rates)
    assert is_overloaded(plan, learned, "batch")
    assert not is_overloaded(plan, learned, "always-off")


def test_a_rate_that_the_user_states_is_kept(plan: Plan) -> None:
    rates = light_rates(replace(plan, rate_per_s=12.0), dict.fromkeys(make.NAMES, 100.0))
    assert set(rates.values()) == {12.0}


def test_instances_start_in_another_order_each_replicate(plan: Plan) -> None:
    orders = {start_order(plan, replicate) for replicate in range(10)}
    assert len(orders) > 1
    assert all(sorted(order) == list(range(len(plan.setups))) for order in orders)


def test_a_search_begins_between_half_and_a_little_more_than_capacity(plan: Plan) -> None:
    low, high = search_ends(plan, 0, 1)
    assert 0.45 <= low <= 0.65
    assert 1.0 <= high <= 1.1


@pytest.mark.parametrize("instances", [2, 8, 30])
def test_no_instance_is_stopped_for_long(instances: int) -> None:
    _, light, saturation = phases(BUDGETS["default"], instances, (None, None, None, None))
    assert light.slice_s * instances <= MAX_PAUSE_S + 1e-9
    assert saturation.slice_s * instances <= MAX_PAUSE_S
    assert light.active_s == pytest.approx(BUDGETS["default"].light_s, rel=0.35)


@given(st.floats(0.1, 60.0), st.integers(2, 40))
def test_a_phase_has_about_the_active_time_that_was_asked_for(active_s: float, instances: int) -> None:
    found = phase(active_s, 0.05, instances)
    assert found.active_s == pytest.approx(active_s, rel=0.4, abs=0.2)
    assert found.blocks >= 1


def test_a_longer_budget_takes_longer() -> None:
    durations = []
    for budget in ("smoke", "quick", "default", "long"):
        chosen = BUDGETS[budget]
        warm_up, light, saturation = phases(chosen, 8, (None, None, None, None))
        plan = make.plan(replicates=chosen.replicates, warm_up=warm_up, light=light, saturation=saturation)
        durations.append(duration_s(plan))
    assert durations == sorted(durations)


def test_the_active_time_of_a_block_is_the_same_for_all(plan: Plan) -> None:
    slices = step_of(plan, LEARNED, 0, 5, Kind.LIGHT, 4).slices
    counts = Counter((time_slice.instance, time_slice.block) for time_slice in slices)
    assert set(counts.values()) == {plan.light.rounds}
    assert np.unique([time_slice.stop_ns - time_slice.start_ns for time_slice in slices]).tolist() == [
        200_000_000
    ]
