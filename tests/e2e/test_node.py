"""The scenario's order-service in JavaScript: the same contract, and one trace across two languages."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from bench.app.file import parse_app
from bench.app.records import Setup
from bench.testbed import environments
from bench.testbed.environ import Launch
from bench.testbed.instance import LocalInstance
from bench.testbed.pausing import SignalGroup
from bench.testbed.ports import free_ports
from tests.e2e.runs import COMMAND, ROOT
from tests.test_services import (
    Shop,
    test_a_bad_body_is_refused_with_the_field_named,
    test_a_body_over_64_kib_is_refused_declared_or_not,
    test_a_checkout_is_confirmed,
    test_a_declined_card_reserves_no_stock,
    test_a_missing_field_is_named,
    test_a_payment_that_times_out_is_said_to_be_the_payments_fault,
    test_an_upstream_that_fails_is_a_bad_gateway,
    test_every_service_answers_its_admin_paths,
    test_what_is_no_checkout_at_all_is_refused,
    test_what_is_sold_out_voids_the_payment,
)

__all__ = [
    "test_a_bad_body_is_refused_with_the_field_named",
    "test_a_body_over_64_kib_is_refused_declared_or_not",
    "test_a_checkout_is_confirmed",
    "test_a_declined_card_reserves_no_stock",
    "test_a_missing_field_is_named",
    "test_a_payment_that_times_out_is_said_to_be_the_payments_fault",
    "test_an_upstream_that_fails_is_a_bad_gateway",
    "test_every_service_answers_its_admin_paths",
    "test_what_is_no_checkout_at_all_is_refused",
    "test_what_is_sold_out_voids_the_payment",
]
"""The status-code table, which both order-services keep."""

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is missing")
FILE = ROOT / "services" / "checkout-node.toml"
ORDERS: dict[str, tuple[dict[str, object], str]] = {
    "amount of nothing": ({"amount": 0}, "amount"),
    "an item without a quantity": ({"items": [{"sku": "mouse"}]}, "items[0].quantity"),
    "a key too many": ({"coupon": "x"}, "coupon"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The baseline with the order-service in JavaScript."""
    app = parse_app(FILE.read_text("utf-8").replace(" --upstream-timeout 60", ""), FILE.name)
    assert app.environment
    ports = dict(zip((process.name for process in app.process), free_ports(len(app.process)), strict=True))
    how = Launch(
        app=app,
        place=environments.environment(app.environment, FILE.parent),
        setup=Setup(name="none", tracing="none"),
        ports=ports,
        tmp=tmp_path_factory.mktemp("logs") / "none",
        endpoints={},
    )
    instance = LocalInstance(how, SignalGroup(), ())
    running = Shop(instance, {process: how.url(process) for process in ports})
    try:
        yield running
    finally:
        running.client.close()
        instance.stop()


@pytest.mark.parametrize("name", ORDERS)
def test_it_validates_itself_what_it_is_asked(shop: Shop, name: str) -> None:
    changes, field = ORDERS[name]
    body = {
        "items": [{"sku": "keyboard", "quantity": 1}], "amount": 4999, "currency": "EUR",
        "payment_token": "tok_visa", **changes,
    }  # fmt: skip
    answer = shop.client.post(shop.urls["order-service"] + "/orders", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json()["service"] == "order-service"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[1]", b'{"currency": "\xff\xfe"}'])
def test_what_is_no_order_at_all_is_refused_by_it(shop: Shop, content: bytes) -> None:
    answer = shop.client.post(shop.urls["order-service"] + "/orders", content=content)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("ok", "order-service waited 1"),
        ("declined", "payment-service said no to order-service (402); the client saw 402."),
        ("out-of-stock", "inventory-service said no to order-service (409); the client saw 409."),
        ("payment-timeout", "for payment-service, which timed out; the client saw 504."),
    ],
)
def test_a_scenario_is_one_trace_across_both_languages(scenario: str, words: str) -> None:
    command = [*COMMAND, "trace", str(FILE), "--scenario", scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert words in text
    assert "nothing that ties them together" not in text
    for span in ("checkout-process", "process-payment"):
        assert f"order-service {span}" in text
