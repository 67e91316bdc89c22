"""Two results against each other: only overheads, and only where they can be compared."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import Compared, change_of, compare, several
from bench.differences import Difference, Measured
from bench.findings import Summary
from bench.model import Machine, Setup
from bench.overhead import summarise
from bench.report import compare as said
from bench.report import html, markdown
from bench.timings import MicroRun, Reading
from bench.timings import summarise as summarise_micro
from tests import make
from tests.test_overhead import COSTS, requests, windows

PLAN = make.plan(epochs=6)
MACHINE = Machine(cpu="one", python="3.11.1", packages={"httpx": "1", "opentelemetry-sdk": "1.45.1"})


def summary(costs: Mapping[str, float] = COSTS, seed: int = 3) -> Summary:
    return summarise(make.raw(PLAN, windows(PLAN, costs, seed=seed), requests(PLAN)))


def measured(name: str, found: Summary | None = None, machine: Machine = MACHINE) -> Measured:
    return Measured(name=name, summary=found or summary(), machine=machine)


def of(found: Compared, setup: str) -> str:
    return next(each.verdict for each in found.setups if each.setup == setup)


def what(found: Compared) -> list[str]:
    return [each.what for each in found.differences]


def test_the_same_result_twice_has_not_changed() -> None:
    one = summary()
    found = compare(measured("a", one), measured("b", one))
    assert found.differences == ()
    assert found.valid
    assert all(each.ratio == 0.0 for each in found.setups)
    assert not any(each.verdict.startswith("overhead") for each in found.setups)
    assert "control" not in {each.setup for each in found.setups}, "what it costs is ours"


def test_a_faster_machine_is_no_change_and_dearer_tracing_is() -> None:
    slow = summary({name: 3 * cost for name, cost in COSTS.items()} | {"control": 0.0306})
    assert of(compare(measured("a"), measured("b", slow)), "batch").startswith(
        ("no overhead", "inconclusive")
    )
    dearer = compare(measured("a"), measured("b", summary(COSTS | {"batch": 0.0165}, 4)))
    assert of(dearer, "batch").startswith("overhead +")
    assert next(each.ratio for each in dearer.setups if each.setup == "batch") == pytest.approx(0.1, abs=0.01)
    cheaper = compare(measured("b", summary(COSTS | {"batch": 0.0165}, 4)), measured("a"))
    assert of(cheaper, "batch").startswith("overhead -")


def test_the_interval_of_a_change_covers_it() -> None:
    """Overheads from few epochs each, with errors as those of a run: 95 % and no more."""
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(2000):
        sides = []
        for epochs, spread in ((4, 0.02), (9, 0.01)):
            values = rng.normal(0.3, spread, epochs)
            sides.append((float(values.mean()), float(values.std(ddof=1)) / epochs**0.5, epochs - 1.0))
        low, high = change_of(sides[0], sides[1]).interval(0.95)
        covered += low <= 0.0 <= high
    assert 0.935 <= covered / 2000 <= 0.975


@given(st.floats(1e-4, 0.1), st.floats(1e-4, 0.1), st.floats(1, 100), st.floats(1, 100))
def test_welchs_degrees_of_freedom_lie_between_the_sides_and_their_sum(
    one: float, other: float, df: float, other_df: float
) -> None:
    found = change_of((0.0, one, df), (0.0, other, other_df))
    assert min(df, other_df) - 1e-6 <= found.df <= df + other_df + 1e-6
    assert found.standard_error == pytest.approx(math.hypot(one, other))


def test_what_differs_is_listed_first_and_does_not_forbid() -> None:
    newer = replace(MACHINE, python="3.12.0", packages={"httpx": "2", "opentelemetry-sdk": "1.45.1"})
    found = compare(measured("a"), measured("b", machine=newer))
    assert what(found) == ["python", "httpx"]
    assert found.comparable
    text = markdown.render(said.report([found]))
    assert text.index("What is not the same") < text.index("Overheads")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": 2}, "the method"),
        ({"connections": 8}, "connections to an upstream"),
        ({"services_cpus": (1,), "cpus": 2, "other_cpus": (0,)}, "services pinned"),
        ({"targets": {"none": "http://elsewhere"}}, "fleets that run elsewhere"),
    ],
)
def test_another_method_makes_results_incomparable(change: dict[str, object], named: str) -> None:
    one = summary()
    other = replace(one, plan=replace(one.plan, **change))  # type: ignore[arg-type]
    found = compare(measured("a", one), measured("b", other))
    assert named in what(found)
    assert not found.comparable
    assert all(each.verdict == f"invalid ({named})" for each in found.setups)
    assert "INCOMPARABLE" in said.headline(found).text


def test_another_baseline_makes_results_incomparable() -> None:
    one = summary()
    base = replace(one.plan.setups[0], env={"PYTHONOPTIMIZE": "2"})
    found = compare(
        measured("a", one),
        measured("b", replace(one, plan=replace(one.plan, setups=(base, *one.plan.setups[1:])))),
    )
    assert not found.comparable
    assert all(each.invalid for each in found.setups)


def with_twin(low: float, high: float) -> Summary:
    """A run whose twin differs from the baseline by that."""
    found = summary()
    setups = tuple(
        replace(each, overhead=replace(each.overhead, ratio=(low + high) / 2, low=low, high=high))
        if each.name == "none-again" and each.overhead
        else each
        for each in found.setups
    )
    return replace(found, setups=setups)


def test_twins_that_differ_widen_the_claims_and_not_the_intervals() -> None:
    dearer = measured("b", summary(COSTS | {"batch": 0.0165}, 4))
    assert of(compare(measured("a", with_twin(-0.3, 0.3)), dearer), "batch").startswith("overhead")
    spoiled = compare(measured("a", with_twin(0.1, 0.3)), dearer)
    assert of(spoiled, "batch").startswith("inconclusive")
    assert next(each.low for each in spoiled.setups if each.setup == "batch") > 0


@pytest.mark.parametrize("rounds", [2, 5])
def test_of_many_things_that_did_not_change_one_is_seldom_said_to_have(rounds: int) -> None:
    """Family-wise: with any number of degrees of freedom and independent standard errors."""
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(400):
        logs = rng.normal(0, 0.05, (2, 31, rounds))
        means, errors = logs.mean(axis=2), logs.std(axis=2, ddof=1) / rounds**0.5
        for each in range(31):
            before, after = ((float(means[at, each]), float(errors[at, each]), rounds - 1.0) for at in (0, 1))
            low, high = change_of(before, after, 31).claim(0.95)
            if not low <= 0.0 <= high:
                wrong += 1
                break
    assert wrong / 400 <= 0.08


def test_the_more_results_are_compared_the_more_a_claim_needs() -> None:
    one, other = measured("a"), measured("b", summary(COSTS | {"batch": 0.0153}, 4))
    alone, among = compare(one, other), compare(one, other, results=50)
    assert among.setups[-1].mde > alone.setups[-1].mde
    assert among.setups[-1].low == alone.setups[-1].low


def test_a_set_up_of_the_same_name_with_another_environment_is_not_compared() -> None:
    one = summary()
    other_batch = Setup(name="batch", description="", env={"BENCH_TRACING": "batch", "OTEL_BSP": "1"})
    other = replace(one, plan=replace(one.plan, setups=(*one.plan.setups[:-1], other_batch)))
    found = compare(measured("a", one), measured("b", other))
    assert found.comparable
    assert of(found, "batch") == "invalid (environment of batch)"
    assert not of(found, "none-again").startswith("invalid")


def test_a_lossy_result_gets_no_verdict() -> None:
    one = summary()
    spoiled = replace(one, setups=tuple(replace(each, invalid=True) for each in one.setups))
    assert of(compare(measured("a", one), measured("b", spoiled)), "batch") == "invalid (gate)"


def test_set_ups_of_one_side_only_are_named() -> None:
    plan = make.plan(("none", "none-again", "control", "batch-lean"), epochs=6)
    costs = {"none": 0.01, "none-again": 0.01, "control": 0.0106, "batch-lean": 0.013}
    lean = summarise(make.raw(plan, windows(plan, costs), requests(plan)))
    assert compare(measured("a"), measured("b", lean)).missing == ("batch", "batch-lean")


def micro(factor: float, noise: float = 0.01) -> Measured:
    rng = np.random.default_rng(round(factor * 100))
    rows = [
        Reading(
            name=name,
            round=number,
            values_s=(cost * math.exp(noise * rng.standard_normal()),),
            references_s=(1e-6,),
        )
        for number in range(5)
        for name, cost in {"span/root": 2e-5 * factor, "id/trace": 1e-6}.items()
    ]
    run = MicroRun(rounds=5, fast=False, seed=1, steal=0.0)
    return Measured(name=f"m{factor}", micro=summarise_micro(run, rows), machine=MACHINE)


def test_microbenchmarks_are_compared_with_the_same_statistics() -> None:
    found = {each.name: each for each in compare(micro(1.0), micro(1.5)).operations}
    assert found["span/root"].verdict.startswith("overhead +")
    assert found["span/root"].ratio == pytest.approx(0.5, abs=0.03)
    assert not found["id/trace"].verdict.startswith("overhead")


def test_microbenchmarks_that_are_invalid_or_only_a_try_say_so() -> None:
    one, other = micro(1.0), micro(1.5)
    assert "1 of 2 operations have changed" in said.headline(compare(one, other)).text
    assert other.micro is not None
    run = replace(other.micro.run, fast=True, failures={"span/root": "no span"})
    spoiled = replace(other, micro=summarise_micro(run, []))
    found = compare(one, spoiled)
    assert not found.valid
    assert {"fast, all CPUs at the same time", "what speaks against it"} <= set(what(found))


def test_every_result_is_compared_with_the_first_and_rendered() -> None:
    found = several([measured("a"), measured("b"), measured("c", summary(COSTS | {"batch": 0.02}, 9))])
    assert [(each.before, each.after) for each in found] == [("a", "b"), ("a", "c")]
    shown = said.report(found)
    assert "a to c" in markdown.render(shown)
    assert html.render(shown).count("<svg") == 2


def test_a_difference_says_both_values() -> None:
    difference = Difference(area="plan", what="x", before="1", after="2", decisive=True)
    assert said.difference_table([difference]).rows == (("plan", "x", "1", "2", "NO"),)
