"""The specification's report: a rate that is not held and a span that does not arrive are reported."""

from dataclasses import replace

import pytest

from bench.report import markdown
from bench.studies.spec import document
from bench.studies.spec.figures import Iteration, Scenario, SpecReport, report


def iteration(
    processor: str = "batch",
    *,
    scenario: Scenario = Scenario.RATE,
    replicate: int = 0,
    created: int = 150_000,
    delivered: int | None = None,
    cpu_s: float = 9.0,
    length_s: float = 15.0,
    duplicated: int = 0,
) -> Iteration:
    return Iteration(
        replicate=replicate,
        scenario=scenario,
        processor=processor,
        protocol="http",
        rate_per_s=10_000.0 if scenario is Scenario.RATE else 0.0,
        length_s=length_s,
        created=created,
        wall_s=length_s,
        creating_s=length_s,
        cpu_s=cpu_s,
        peak=0.7,
        delivered=created if delivered is None else delivered,
        duplicated=duplicated,
        bytes=100 * created,
        uss_before_bytes=20_000_000,
        uss_bytes=28_000_000,
    )


def of(*iterations: Iteration) -> SpecReport:
    return report(iterations)


def test_a_rate_that_is_held_and_delivered() -> None:
    found = of(*(iteration(replicate=number) for number in range(10)))
    (batch,) = found.at_rate
    assert batch.held
    assert batch.cpu.value == pytest.approx(0.6)
    assert batch.cpu_per_span_s.value == pytest.approx(60e-6)
    assert batch.growth_bytes.value == pytest.approx(8e6)
    assert found.caveats == ()
    assert document.verdicts(found) == ()


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (iteration(created=30_000), "2,000/s were created, 2,000/s arrived"),
        (iteration(delivered=75_000), "75,000 spans (50.0 %) were lost, 5,000/s arrived"),
    ],
)
def test_one_iteration_that_does_not_hold_it_is_enough(spoiled: Iteration, said: str) -> None:
    found = of(spoiled)
    assert not found.at_rate[0].held
    assert said in document.verdicts(found)[0]
    mixed = of(iteration(replicate=0), spoiled)
    assert not mixed.at_rate[0].held
    assert "🔴" in markdown.render(document.report(mixed))


def test_a_duplicated_span_is_no_delivery() -> None:
    found = of(iteration(duplicated=3))
    assert not found.at_rate[0].held
    assert "duplicated" in {caveat.code for caveat in found.caveats}


def test_throughput_counts_what_arrived() -> None:
    flat_out = iteration(
        scenario=Scenario.THROUGHPUT, created=100_000, delivered=90_000, cpu_s=4.0, length_s=5.0
    )
    (found,) = of(flat_out).throughput
    assert found.per_s.value == pytest.approx(18_000)
    assert found.per_cpu_s.value == pytest.approx(22_500)
    assert found.lost == 10_000


def test_a_try_says_what_it_lacks() -> None:
    found = of(iteration(length_s=3.0, created=30_000))
    assert {caveat.code for caveat in found.caveats} == {"replicates", "length"}


def test_a_host_that_took_the_cpu_away_makes_it_invalid() -> None:
    assert of(iteration()).valid
    assert not of(replace(iteration(), steal=0.2)).valid


def test_both_processors_are_in_every_table() -> None:
    both = [
        iteration(processor, scenario=scenario, replicate=number)
        for processor in ("simple", "batch")
        for scenario in Scenario
        for number in range(2)
    ]
    found = of(*both)
    for table in (
        document.throughput_table(found), document.cpu_table(found), document.memory_table(found)
    ):  # fmt: skip
        assert [row[0] for row in table.rows] == ["simple", "batch"]


def test_a_replicate_that_was_cut_short_does_not_count() -> None:
    complete = [
        iteration(processor, replicate=number) for number in range(9) for processor in ("simple", "batch")
    ]
    found = of(*complete, iteration("batch", replicate=9))
    assert found.replicates == 9
    assert "replicates" in {caveat.code for caveat in found.caveats}


@pytest.mark.parametrize("nothing", [[], [iteration(delivered=0)], [iteration(length_s=0.0)]])
def test_where_nothing_arrived_there_is_no_valid_report(nothing: list[Iteration]) -> None:
    found = of(*nothing)
    assert not found.valid
    assert "nothing" in {caveat.code for caveat in found.caveats}


def test_cpu_and_delivery_are_over_the_time_until_the_last_flush() -> None:
    late = replace(iteration(cpu_s=24.0), wall_s=30.0)
    (found,) = of(late).at_rate
    assert found.cpu.value == pytest.approx(0.8)
    assert found.delivered_per_s.value == pytest.approx(5_000)
