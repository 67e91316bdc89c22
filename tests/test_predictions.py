"""Predictions of layers: each is made of what its setup does, and together of what all of them do."""

from dataclasses import replace

import pytest

from bench.analysis.accounting import Traffic
from bench.studies.micro.predictions import FULL, LEAN, PRICED, Price, contributions, operations, predictor
from bench.testbed.app_files import load
from tests import make

SCOPES = {"opentelemetry.instrumentation.starlette": 8, "x.httpx": 6, "x.sqlite3": 4}


def traffic() -> dict[str, Traffic]:
    sent = replace(make.whole(2), spans={"order-service": 18}, exports=2, scopes=SCOPES)
    full = replace(sent, spans={"order-service": 42})
    return {
        name: Traffic(account=account, completed=2, failed=0, sampled=None, discarded=0)
        for name, account in ((LEAN, sent), (FULL, full))
    }


PRICES = {name: Price(cpu_s=(number + 1) ** 2 * 1e-6) for number, name in enumerate(PRICED)}


def test_operations_are_counted_where_each_makes_one_span() -> None:
    assert operations(traffic()) == {"requests served": 4, "calls": 3, "SQL statements": 2}
    assert not predictor({})(traffic())


def test_a_step_is_priced_with_the_receive_and_send_spans_that_its_setups_have() -> None:
    app, parts = load(None).app, contributions(operations(traffic()), traffic(), PRICES)
    rungs = {setup.name: setup for setup in app.setup if setup.name in parts and setup.layer}
    assert len(rungs) >= 8
    for name, rung in rungs.items():
        servers = {part for part, count in parts[name].items() if part.startswith("server/") and count}
        if rung.spans == "lean":
            assert all(part == "server/bare" or part.startswith("server/lean") for part in servers), name


def test_the_steps_add_up_to_all_that_is_done() -> None:
    found = predictor(PRICES)(traffic())
    rungs = ("layer-api", "layer-off", "layer-propagate", "layer-record")
    price = {name: price.cpu_s for name, price in PRICES.items()}
    whole = 4 * (price["server/lean"] - price["server/bare"])
    whole += 3 * (price["httpx-async/sampled"] - price["httpx-async/bare"])
    whole += 2 * (price["sqlite/sampled"] - price["sqlite/bare"])
    assert sum(found[rung][0] for rung in rungs) == pytest.approx(whole)
