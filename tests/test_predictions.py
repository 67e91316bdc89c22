"""Predictions of layers: the difference between two steps of a ladder, priced by microbenchmarks."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.accounting import Traffic
from bench.app.records import Setup
from bench.plan.records import Plan
from bench.studies.micro.predictions import BATCHES, Price, predicted, predictor, priced, steps
from bench.testbed.app_files import load
from tests import make

SCOPES = {"opentelemetry.instrumentation.starlette": 8, "x.httpx": 6, "x.sqlite3": 4}


def ladder() -> Plan:
    app = load(None).app
    return make.plan(("none", *app.preset["layers"]), app=app)


def traffic(plan: Plan) -> dict[str, Traffic]:
    sent = replace(make.whole(2), spans={"order-service": 18}, exports=2, scopes=SCOPES)
    idle = replace(sent, spans={}, exports=0, scopes={})
    return {
        setup.name: Traffic(
            account=sent if any(name.startswith("export") for name in setup.operations) else idle,
            completed=2, failed=0, sampled=None, discarded=0,
        )
        for setup in plan.setups
    }  # fmt: skip


def prices(setups: tuple[Setup, ...]) -> dict[str, Price]:
    return {name: Price(cpu_s=(at + 1) ** 2 * 1e-6) for at, name in enumerate(sorted(priced(setups)))}


def test_every_layer_of_the_checkout_is_predicted() -> None:
    plan = ladder()
    found = predictor(prices(plan.setups))(plan, traffic(plan))
    assert set(found) == {setup.name for setup in plan.setups if setup.layer}


def test_operations_are_added_in_an_order_that_no_hash_seed_decides() -> None:
    plan = ladder()
    for counts in steps(plan, traffic(plan)).values():
        assert list(counts) == sorted(counts)


def test_an_instrumentation_is_paid_for_as_often_as_a_request_makes_its_span() -> None:
    plan = ladder()
    first = steps(plan, traffic(plan))["layer-api"]
    # Of two requests: eight spans of servers, six of calls, four of statements.
    assert first["server/lean-no-provider"] == -first["server/bare"] == 4
    assert first["httpx-async/no-provider"] == -first["httpx-async/bare"] == 3
    assert first["sqlite/no-provider"] == -first["sqlite/bare"] == 2


def test_the_layers_add_up_to_the_whole_difference() -> None:
    plan = ladder()
    counts = steps(plan, traffic(plan))
    rungs = ("layer-api", "layer-off", "layer-propagate", "layer-record")
    together: dict[str, float] = {}
    for rung in rungs:
        for name, count in counts[rung].items():
            together[name] = together.get(name, 0.0) + count
    assert {name: count for name, count in together.items() if abs(count) > 1e-9} == pytest.approx(
        {
            "server/lean": 4, "server/bare": -4, "httpx-async/sampled": 3, "httpx-async/bare": -3,
            "sqlite/sampled": 2, "sqlite/bare": -2,
        }
    )  # fmt: skip


def test_without_a_price_nothing_is_predicted() -> None:
    plan = ladder()
    assert not predictor({})(plan, traffic(plan))


def test_a_ladder_that_names_no_operations_is_not_predicted() -> None:
    plan = ladder()
    unnamed = tuple(Setup(name=setup.name, layer=setup.layer, against=setup.against) for setup in plan.setups)
    assert not steps(replace(plan, setups=unnamed), traffic(plan))


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(-50, 50), min_size=1))
def test_a_prediction_holds_its_value_and_is_as_wide_as_its_prices_are_uncertain(
    counts: dict[str, float],
) -> None:
    exact = {name: Price(cpu_s=1e-6) for name in "abcd"}
    value, low, high = predicted(counts, exact)
    assert value == low == high == pytest.approx(sum(counts.values()) * 1e-6)
    uncertain = {name: Price(cpu_s=1e-6, standard_error=1e-7, df=8) for name in "abcd"}
    value, low, high = predicted(counts, uncertain)
    assert low <= value <= high


def test_a_batch_is_priced_by_its_two_ends() -> None:
    setup = Setup(name="x", operations=["export/http", "span/batch"])
    one, many, _ = BATCHES["export/http"]
    assert priced([setup]) == {one, many, "span/batch"}
