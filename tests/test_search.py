"""The search under the latency limit: what holds, and what is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import DROPPED, LOST, Request
from bench.search import Search, achieved_per_s, closed_per_s, holds, late_share
from tests import make

share = st.floats(0, 1)


def found(threshold: float, capacity: float, draws: tuple[float, float], steps: int) -> float | None:
    """What a search finds where rates up to a threshold hold."""
    search = Search(capacity, draws)
    for _ in range(steps):
        rate = search.rate_per_s
        search.tell(rate, held=rate <= threshold)
    return search.found_per_s


@given(threshold=st.floats(0.66, 0.99), first=share, second=share)
def test_the_search_closes_in_on_the_threshold(threshold: float, first: float, second: float) -> None:
    answer = found(threshold * 100, 100.0, (first, second), 12)
    assert answer == pytest.approx(threshold * 100, rel=0.01)


@given(threshold=st.floats(0.66, 0.99), first=share, second=share)
def test_three_steps_are_at_most_a_twelfth_off(threshold: float, first: float, second: float) -> None:
    answer = found(threshold * 100, 100.0, (first, second), 3)
    if answer is not None:
        assert abs(answer - threshold * 100) < 100 / 12


def test_where_nothing_holds_there_is_no_answer() -> None:
    assert found(0.0, 100.0, (0.5, 0.5), 6) is None


def test_rates_that_were_tried_before_narrow_the_search() -> None:
    search = Search(100.0, (0.5, 0.5))
    search.tell(30.0, held=True)
    search.tell(90.0, held=True)
    search.tell(99.0, held=False)
    assert search.rate_per_s == pytest.approx(94.5)
    assert search.found_per_s == pytest.approx(94.5)


def test_a_capacity_above_the_closed_loops_can_be_found() -> None:
    search = Search(100.0, (0.5, 0.5))
    search.tell(120.0, held=True)
    assert search.rate_per_s > 120.0


def row(planned_s: float, latency_s: float, status: int = 201) -> Request:
    planned = round(planned_s * 1e9)
    return make.row(planned, planned + round(latency_s * 1e9), status)


def slice_of(latencies: list[float], rate: float = 100.0) -> list[Request]:
    return [row(at / rate, latency) for at, latency in enumerate(latencies)]


def test_a_rate_holds_while_one_in_a_hundred_is_late() -> None:
    fine = slice_of([0.01] * 199 + [0.2])
    assert late_share(fine, 0.1) == 0.005
    late = slice_of([0.01] * 97 + [0.2] * 3)
    assert holds(slice_of([0.01] * 150 + [0.2] + [0.01] * 49), 100.0, 0.1, 0.9)
    assert not holds(late, 100.0, 0.1, 0.9)


@pytest.mark.parametrize("status", [500, 0, DROPPED, LOST])
def test_what_failed_or_was_not_sent_is_late_however_fast(status: int) -> None:
    assert late_share([row(0.0, 0.001, status)], 0.1) == 1.0


def test_a_queue_that_grows_does_not_hold_although_no_latency_is_over_the_limit_yet() -> None:
    # A tenth above capacity for half a second: the last waits 55 ms.
    growing = slice_of([0.01 + 0.0011 * at for at in range(50)])
    assert late_share(growing, 0.1) == 0.0
    assert achieved_per_s(growing, 100.0) < 95
    assert not holds(growing, 100.0, 0.1, 0.9)


def test_a_rate_whose_exports_do_not_fit_in_does_not_hold() -> None:
    fine = slice_of([0.01] * 100)
    assert holds(fine, 100.0, 0.1, 0.99)
    assert not holds(fine, 100.0, 0.1, 1.05)


def test_a_slow_fleet_that_keeps_up_is_not_saturated() -> None:
    assert achieved_per_s(slice_of([0.08] * 50), 100.0) == pytest.approx(100.0)


def test_nothing_completed_is_nothing_achieved() -> None:
    assert achieved_per_s([row(0.0, 0.1, 500)], 10.0) == 0.0
    assert closed_per_s([], 1.0) == 0.0
    assert not holds([row(0.0, 0.1, 500)], 10.0, 1.0, 0.1)


def test_a_short_closed_loop_counts_until_its_last_answer() -> None:
    rows = [row(0.0, 0.5), row(0.5, 0.5), row(1.0, 1.0)]
    assert closed_per_s(rows, 1.0) == pytest.approx(1.5)
    assert closed_per_s(rows, 1.0, 1.0) == pytest.approx(1.0)
    assert closed_per_s(rows, 1.0, -1.0) == pytest.approx(1.5)


def test_a_closed_loop_counts_while_all_its_users_ask() -> None:
    # Two users, 0.2 s each: ten a second. The last two answers come after the users have stopped.
    rows = [row(0.2 * turn, 0.2) for turn in range(6) for _ in range(2)]
    assert len(rows) / 1.2 == 10.0
    spread = [row(0.2 * turn + 0.1 * user, 0.2) for turn in range(6) for user in range(2)]
    assert closed_per_s(spread, 1.05) == pytest.approx(10.0)
    # What they export afterwards takes 0.6 s more: 12 checkouts in 1.2 + 0.6 s.
    assert closed_per_s(spread, 1.05, 0.6) == pytest.approx(1 / (0.1 + 0.05))


@given(threshold=st.floats(0.66, 0.99), first=share, second=share)
def test_a_rate_that_failed_far_above_says_nothing(threshold: float, first: float, second: float) -> None:
    search = Search(100.0, (first, second))
    search.tell(330.0, held=False)
    assert search.rate_per_s <= 110.0
    for _ in range(3):
        rate = search.rate_per_s
        search.tell(rate, held=rate <= threshold * 100)
    answer = search.found_per_s
    assert answer is None or abs(answer - threshold * 100) < 100 / 12
