"""Microbenchmark readings become figures that do not depend on the machine's speed of the moment."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.claims import Severity
from bench.errors import ServiceError
from bench.studies.micro.figures import MicroRun, WorkerReading, reference_s, summarise, timings
from bench.studies.micro.instructions import STACK_BYTES, guess, padded
from bench.testbed.environ import stack_bytes

speeds = st.lists(st.floats(0.2, 5.0), min_size=2, max_size=8)


def reading(name: str, number: int, value_s: float, reference: float = 1e-6) -> WorkerReading:
    return WorkerReading(name=name, replicate=number, values_s=(value_s,) * 3, references_s=(reference,) * 3)


@given(speeds, st.floats(0.01, 1000))
def test_a_machine_that_changes_its_speed_does_not_change_the_ratio(speed: list[float], ratio: float) -> None:
    rows = [reading("a", number, ratio * 1e-6 * each, 1e-6 * each) for number, each in enumerate(speed)]
    (found,) = timings(rows)
    assert found.ratio.value == pytest.approx(ratio)
    assert found.ratio.low == pytest.approx(ratio)
    assert found.cpu_s.value == pytest.approx(ratio * reference_s(rows))


def test_the_interval_covers_what_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        rows = [reading("a", number, 5e-6 * math.exp(0.1 * rng.standard_normal())) for number in range(5)]
        (found,) = timings(rows)
        assert found.ratio.low is not None
        assert found.ratio.high is not None
        covered += found.ratio.low <= 5.0 <= found.ratio.high
    assert 930 <= covered <= 970


def test_values_of_one_process_are_no_replicates() -> None:
    """Three equal values of two processes that differ say no more than one of each."""
    thin = timings(
        [
            WorkerReading(name="a", replicate=number, values_s=(value,), references_s=(1.0,))
            for number, value in enumerate((1, 2))
        ]
    )
    thick = timings(
        [
            WorkerReading(name="a", replicate=number, values_s=(value,) * 9, references_s=(1.0,) * 9)
            for number, value in enumerate((1, 2))
        ]
    )
    assert thin == thick


def test_one_preempted_value_does_not_move_a_reading() -> None:
    (found,) = timings(
        [WorkerReading(name="a", replicate=0, values_s=(1.0, 9.0, 1.0), references_s=(1.0, 1.0, 1.0))]
    )
    assert found.ratio.value == pytest.approx(1.0)
    assert found.ratio.low is None


def test_every_value_is_divided_by_what_plain_python_cost_beside_it() -> None:
    (found,) = timings(
        [WorkerReading(name="a", replicate=0, values_s=(1.0, 2.0, 8.0), references_s=(1.0, 2.0, 8.0))]
    )
    assert found.ratio.value == pytest.approx(1.0)


def test_readings_of_one_replicate_are_one_value() -> None:
    (found,) = timings([reading("a", 0, 1e-6), reading("a", 0, 4e-6), reading("a", 1, 2e-6)])
    assert found.replicates == 2
    assert found.ratio.value == found.ratio.low == found.ratio.high == pytest.approx(2.0)


def test_a_price_carries_the_standard_error_of_its_replicates() -> None:
    logs = (-0.02, 0.0, 0.01, 0.01, 0.0)
    rows = [reading("a", number, 5e-6 * math.exp(log)) for number, log in enumerate(logs)]
    rows.append(reading("once", 0, 5e-6))
    prices = summarise(MicroRun(replicates=5, seed=1, steal=0.0), rows).prices
    assert prices.keys() == {"a"}, "one replicate has no error that is known"
    assert prices["a"].standard_error == pytest.approx(5e-6 * np.std(logs, ddof=1) / 5**0.5, rel=0.01)
    assert prices["a"].df == 4


def test_an_operation_without_a_proof_makes_the_whole_invalid() -> None:
    run = MicroRun(replicates=5, seed=1, steal=0.0, failures={"span/root": "no span ended"})
    summary = summarise(run, [])
    assert not summary.valid
    assert [caveat.severity for caveat in summary.caveats] == [Severity.INVALID]
    assert "span/root" in summary.caveats[0].message


def test_a_count_that_failed_spoils_no_timing() -> None:
    run = MicroRun(replicates=5, seed=1, steal=0.0, uncounted={"simple": "1 of 40 requests failed"})
    summary = summarise(run, [])
    assert summary.valid
    assert [caveat.code for caveat in summary.caveats] == ["count"]


@given(st.text("/abc:", max_size=400), st.lists(st.text("xyz", max_size=30), max_size=5))
def test_what_is_counted_starts_with_a_stack_of_one_size(path: str, arguments: list[str]) -> None:
    environ = padded({"PATH": path, "PYTHONHASHSEED": "1234"}, arguments)
    assert environ["PYTHONHASHSEED"] == "0"
    assert stack_bytes(environ) + sum(len(argument) + 1 for argument in arguments) == STACK_BYTES


def test_a_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ServiceError, match="PATH and what is counted take"):
        padded({"PATH": "x" * STACK_BYTES}, ["python"])


def test_a_try_says_that_it_is_one() -> None:
    run = MicroRun(replicates=2, budget="quick", seed=1, steal=0.3)
    assert {caveat.code for caveat in summarise(run, []).caveats} == {"try", "steal"}


@pytest.mark.parametrize("cost", [40, 400, 20_000, 3_000_000])
def test_a_cheap_operation_is_not_guessed_from_what_two_starts_differ_by(cost: int) -> None:
    asked = []

    def count(loops: int) -> int:
        asked.append(loops)
        # A start takes more the first time than ever after.
        return 900_000_000 + cost * loops - 2_000 * (len(asked) > 1)

    assert guess(count) == pytest.approx(cost, rel=0.1)
    assert max(asked) * cost < 100e6
