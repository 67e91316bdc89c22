"""Active time: what was running counts, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.active_time import ActiveClock, requests_of
from bench.plan.readings import DROPPED, RequestRow, StepReading, Switch
from bench.plan.records import Kind

MS = 1_000_000
SWITCHES = (
    Switch(0, 0, 0, 100 * MS, 0, 0),
    Switch(1, 0, 110 * MS, 210 * MS, 0, 0),
    Switch(0, 1, 220 * MS, 320 * MS, 0, 0),
)


def active_ms(*times_ms: float) -> list[float]:
    times = np.array([round(time * MS) for time in times_ms], np.int64)
    return [float(own) / MS for own in ActiveClock(SWITCHES, 0).at(times)]


def test_the_clock_stands_while_others_run() -> None:
    assert active_ms(-5, 0, 50, 100, 150, 220, 270, 320, 400) == [0, 0, 50, 100, 100, 100, 150, 200, 200]


def test_a_request_under_way_goes_on_in_the_next_slice() -> None:
    reading = StepReading(replicate=0, number=0, kind=Kind.LIGHT, duration_s=1.0, switches=SWITCHES)
    rows = [
        RequestRow(90 * MS, 91 * MS, 230 * MS, 200, 0, 0),
        RequestRow(10 * MS, 10 * MS, 30 * MS, 500, 0, 0),
        RequestRow(10 * MS, 10 * MS, 10 * MS, DROPPED, 0, 0),
        RequestRow(120 * MS, 120 * MS, 130 * MS, 200, 1, 0),
    ]
    found = requests_of(reading, rows, 0, [frozenset({200})])
    assert found.latency_s[0] == pytest.approx(0.020)
    assert found.service_s[0] == pytest.approx(0.019)
    assert np.isinf(found.latency_s[1:]).all()
    assert found.lag_s.tolist() == pytest.approx([0.001, 0.0])
    assert found.planned_block.tolist() == [0, 0, 0]
    assert found.done_block.tolist() == [1, -1, -1]


@given(st.lists(st.integers(0, 400), min_size=2, max_size=20))
def test_active_time_never_runs_backwards_and_never_faster_than_time(times_ms: list[int]) -> None:
    times = np.sort(np.array(times_ms, np.int64) * MS)
    own = ActiveClock(SWITCHES, 0).at(times)
    assert (np.diff(own) >= 0).all()
    assert (np.diff(own) <= np.diff(times)).all()


def test_an_instance_without_slices_has_no_time() -> None:
    assert ActiveClock(SWITCHES, 7).at(np.array([5, 6])).tolist() == [0, 0]
