"""The services: every answer a client can get, over real sockets, and what it leaves behind."""

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from asgi_lifespan import LifespanManager
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.app.records import Setup
from bench.testbed.instance import LocalInstance
from bench.testbed.pausing import SignalGroup
from services import inventory, orders, payments
from services.__main__ import SERVICES
from services.__main__ import main as services_main
from services.burning import burning
from services.server import bind
from services.telemetry import ConfigurationError, configure
from services.tracing import NoTracing
from tests.instances import launch

BODY: dict[str, Any] = {
    "items": [{"sku": "keyboard", "quantity": 1}],
    "amount": 4999,
    "currency": "EUR",
    "payment_token": "tok_visa",
}
ITEM = {"sku": "keyboard", "quantity": 1}


class Shop:
    """The four services as a client and an operator see them."""

    def __init__(self, instance: LocalInstance, urls: dict[str, str]) -> None:
        self.instance = instance
        self.url = instance.url + "/checkout"
        self.client = httpx.Client(timeout=10, trust_env=False)
        self.urls = urls

    def checkout(self, **changes: Any) -> httpx.Response:
        return self.client.post(self.url, json={**BODY, **changes})

    def reservations(self) -> int:
        return int(self.client.get(f"{self.urls['inventory-service']}/reservations").json()["reservations"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running instance of the baseline."""
    setup = Setup(name="none", tracing="none")
    how = launch(setup, tmp_path_factory.mktemp("logs"), {})
    instance = LocalInstance(how, SignalGroup(), ())
    running = Shop(instance, {service: how.url(service) for service in SERVICES})
    try:
        yield running
    finally:
        running.client.close()
        instance.stop()


def test_a_checkout_is_confirmed(shop: Shop) -> None:
    before = shop.reservations()
    answer = shop.checkout()
    assert answer.status_code == 201
    assert set(answer.json()) == {"order_id", "transaction_id", "inventory_status", "timestamp"}
    assert answer.json()["inventory_status"] == "reserved"
    assert shop.reservations() == before + 1


def test_a_declined_card_reserves_no_stock(shop: Shop) -> None:
    before = shop.reservations()
    answer = shop.checkout(payment_token="tok_declined")
    assert answer.status_code == 402
    assert answer.json()["error"] == "payment_declined"
    assert shop.reservations() == before


def test_what_is_sold_out_voids_the_payment(shop: Shop) -> None:
    answer = shop.checkout(items=[ITEM, {"sku": "typewriter", "quantity": 1}])
    assert answer.status_code == 409
    assert answer.json()["error"] == "out_of_stock"
    assert answer.json()["upstream"] == "inventory-service"


def test_a_payment_that_times_out_is_said_to_be_the_payments_fault(shop: Shop) -> None:
    before = shop.reservations()
    answer = shop.checkout(payment_token="tok_timeout")
    assert answer.status_code == 504
    assert answer.json()["upstream"] == "payment-service"
    assert shop.reservations() == before


def test_an_upstream_that_fails_is_a_bad_gateway(shop: Shop) -> None:
    answer = shop.checkout(payment_token="tok_broken")
    assert answer.status_code == 502
    assert answer.json()["upstream"] == "payment-service"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "much"}, "amount"),
        ({"amount": 0}, "amount"),
        ({"items": []}, "items"),
        ({"items": [ITEM, {"sku": "mouse", "quantity": 0}]}, "items[1].quantity"),
        ({"items": [{"sku": "mouse"}]}, "items[0].quantity"),
        ({"currency": "euro"}, "currency"),
        ({"payment_token": ""}, "payment_token"),
        ({"coupon": "x"}, "coupon"),
    ],
)
def test_a_bad_body_is_refused_with_the_field_named(shop: Shop, changes: dict[str, Any], field: str) -> None:
    answer = shop.checkout(**changes)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_a_missing_field_is_named(shop: Shop) -> None:
    body = {key: value for key, value in BODY.items() if key != "amount"}
    answer = shop.client.post(shop.url, json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "amount")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[1]", b"\xff"])
def test_what_is_no_checkout_at_all_is_refused(shop: Shop, content: bytes) -> None:
    answer = shop.client.post(shop.url, content=content)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


def test_a_body_over_64_kib_is_refused_declared_or_not(shop: Shop) -> None:
    big = b" " * (64 * 1024 + 1)
    assert shop.client.post(shop.url, content=big).status_code == 413
    assert shop.client.post(shop.url, content=iter([big])).status_code == 413
    assert shop.client.post(shop.url, content=b" " * (64 * 1024)).status_code == 422


def test_every_service_answers_its_admin_paths(shop: Shop) -> None:
    for service, url in shop.urls.items():
        assert shop.client.get(f"{url}/admin/health").json() == {"service": service, "status": "ok"}
        assert shop.client.post(f"{url}/admin/flush").json()["flushed"] is True
        usage = shop.client.get(f"{url}/admin/usage").json()
        assert psutil.pid_exists(usage["pid"])
        assert 0 < usage["cpu_ns"] <= shop.instance.cpu_ns()
        assert (
            0 < usage["memory_bytes"]["uss"] <= usage["memory_bytes"]["pss"] <= usage["memory_bytes"]["rss"]
        )


def test_the_baseline_has_not_imported_opentelemetry(shop: Shop) -> None:
    shop.checkout()
    assert [usage.opentelemetry_modules for usage in shop.instance.usage().values()] == [0, 0, 0, 0]


def test_stock_never_runs_dry(shop: Shop) -> None:
    statuses = [shop.checkout(items=[{"sku": "monitor", "quantity": 600}]).status_code for _ in range(4)]
    assert statuses == [201] * 4


def test_an_idle_service_burns_nothing(shop: Shop) -> None:
    shop.checkout()
    before = shop.instance.cpu_ns()
    time.sleep(0.5)  # the stretch of quiet is what is measured
    assert shop.instance.cpu_ns() - before < 1_000_000


@pytest.mark.parametrize(("when", "stage"), [("before", 0), ("after", 1), ("answered", 2), ("waited", None)])
def test_what_is_burnt_is_burnt_where_it_is_asked_for(when: str, stage: int | None) -> None:
    """Stages of a request: before the application sees it, with its answer, and after it."""
    marks = [(time.thread_time(), time.monotonic())]

    def mark() -> None:
        marks.append((time.thread_time(), time.monotonic()))

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        mark()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            mark()

    burns = burning(app, {"BENCH_INJECTED_CPU_US": "20000", "BENCH_INJECTED_WHEN": when})

    async def request() -> None:
        await burns({"type": "http"}, receive, send)

    asyncio.run(request())
    mark()
    burnt = [after[0] - before[0] > 0.015 for before, after in itertools.pairwise(marks)]
    assert burnt == [stage == number for number in range(3)]
    assert marks[1][1] - marks[0][1] > 0.015 or stage in {1, 2}


class Wired(httpx.AsyncBaseTransport):
    """order-service's two upstreams in process, with every call written down."""

    def __init__(self, stock: ASGIApp, *, break_inventory: bool = False) -> None:
        self.calls: list[str] = []
        self._break = break_inventory
        self._payments = httpx.ASGITransport(payments.build(NoTracing()))
        self._inventory = httpx.ASGITransport(stock)
        self.charged: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.url.host}{request.url.path.replace(self.charged or '-', 'ID')}")
        if request.url.host == "payments":
            if request.url.path == "/payments":
                self.charged = httpx.Response(200, content=request.content).json()["order_id"]
            return await self._payments.handle_async_request(request)
        if self._break:
            raise httpx.ConnectError("nobody there")
        return await self._inventory.handle_async_request(request)


@dataclass(frozen=True)
class Ordered:
    """What became of an order: its answer, the calls that it caused, its payment's state."""

    status: int
    body: dict[str, Any]
    calls: list[str]
    payment: str | None


def ordered(*, break_inventory: bool = False, **changes: Any) -> Ordered:
    """An order, with its upstreams in process."""

    async def order() -> Ordered:
        async with LifespanManager(inventory.build(NoTracing())) as stock:
            wired = Wired(stock.app, break_inventory=break_inventory)
            app = orders.build(
                NoTracing(), payment_url="http://payments", inventory_url="http://inventory", transport=wired
            )
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://orders"
            ) as client:
                answer = await client.post("/orders", json={**BODY, **changes})
            calls = list(wired.calls)
            async with httpx.AsyncClient(transport=wired) as client:
                payment = (await client.get(f"http://payments/payments/{wired.charged}")).json().get("state")
        return Ordered(answer.status_code, answer.json(), calls, payment)

    return asyncio.run(order())


def test_payment_comes_first_and_a_good_order_stays_charged() -> None:
    order = ordered()
    assert (order.status, order.payment) == (201, "charged")
    assert order.calls == ["payments/payments", "inventory/reservations"]


def test_a_failed_reservation_voids_the_payment() -> None:
    order = ordered(items=[{"sku": "typewriter", "quantity": 1}])
    assert (order.status, order.payment) == (409, "voided")


def test_a_declined_payment_is_not_followed_by_a_reservation() -> None:
    order = ordered(payment_token="tok_declined")
    assert (order.status, order.payment) == (402, None)
    assert order.calls == ["payments/payments"]


def test_an_unreachable_inventory_is_a_bad_gateway_and_voids_the_payment() -> None:
    order = ordered(break_inventory=True)
    assert (order.status, order.body["upstream"], order.payment) == (502, "inventory-service", "voided")


def test_a_reservation_takes_all_items_or_none() -> None:
    async def reserve() -> tuple[int, int, int]:
        async with (
            LifespanManager(inventory.build(NoTracing())) as stock,
            httpx.AsyncClient(transport=httpx.ASGITransport(stock.app), base_url="http://x") as client,
        ):
            items = [ITEM, {"sku": "unheard-of", "quantity": 1}]
            refused = await client.post("/reservations", json={"order_id": "1", "items": items})
            taken = await client.post("/reservations", json={"order_id": "2", "items": [ITEM]})
            count = (await client.get("/reservations")).json()["reservations"]
        return refused.status_code, taken.status_code, count

    assert asyncio.run(reserve()) == (409, 201, 1)


@pytest.mark.parametrize(
    "environ",
    [
        {"BENCH_TRACING": "fast"},
        {"BENCH_TRACING": "api", "BENCH_SPANS": "many"},
        {"BENCH_TRACING": "batch", "OTEL_TRACES_EXPORTER": "jaeger"},
        {"BENCH_TRACING": "batch", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    ],
)
def test_a_tracing_variable_that_does_not_exist_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=list(environ)[-1]):
        configure("x", environ)


def test_a_port_in_use_is_said_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with bind(0) as taken:
        port = taken.getsockname()[1]
        assert services_main(["payment-service", "--port", str(port)]) == 3
    message = capsys.readouterr().err
    assert f"port {port}" in message
    assert "hint: stop the program" in message


def third_of_three() -> socket.socket:
    """A socket on a port below which two others are free."""
    while True:
        taken = bind(0)
        try:
            for below in (1, 2):
                bind(taken.getsockname()[1] - below).close()
        except OSError:
            taken.close()
        else:
            return taken


def test_all_four_start_only_where_all_four_ports_are_free(capsys: pytest.CaptureFixture[str]) -> None:
    with third_of_three() as taken:
        port = taken.getsockname()[1]
        assert services_main(["all", "--port", str(port - 2)]) == 3
    printed = capsys.readouterr()
    assert f"payment-service cannot listen on port {port}" in printed.err
    assert printed.out == ""


def test_a_service_stops_with_the_program_that_started_it() -> None:
    with bind(0) as listener:
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services",
                "payment-service",
                "--fd",
                str(listener.fileno()),
                "--stop-on-eof",
            ],
            stdin=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            cwd=Path(__file__).parent.parent,
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/admin/health"
        assert httpx.get(url, timeout=20, trust_env=False).status_code == 200
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(10) == 0


def test_a_tracer_that_is_not_installed_is_told_in_a_sentence() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services", "payment-service", "--port", "0"],
        env=os.environ | {"BENCH_TRACING": "batch", "BENCH_SPANS": "ddtrace"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: BENCH_SPANS='ddtrace': its package is not installed")
    assert "hint: install the package" in ended.stderr
