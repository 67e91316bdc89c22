"""Span trees of a checkout across four real processes, for every way of making spans."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench.app.records import Setup
from bench.testbed.instance import LocalInstance
from bench.testbed.pausing import SignalGroup
from tests.instances import APP, launch

SHAPES = {word: counts for word, counts in APP.tracing.spans.items() if isinstance(counts, dict)}
CHECKOUT: dict[str, object] = APP.request[0].json
PATH = APP.request[0].path

INTERNAL, SERVER, CLIENT = Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
CHECKOUTS_BEFORE_STOP = 5
UNSET, OK, ERROR = Status.STATUS_CODE_UNSET, Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR


@dataclass(frozen=True)
class Node:
    """A span and the service that made it."""

    service: str
    span: Span
    resource: dict[str, str]


class Collector(ThreadingHTTPServer):
    """Keeps the spans of every checkout, by setup."""

    def __init__(self) -> None:
        self.nodes: defaultdict[str, list[Node]] = defaultdict(list)
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        for resource_spans in message.resource_spans:
            resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    node = Node(resource["service.name"], span, resource)
                    self.server.nodes[resource["bench.setup"]].append(node)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        return None


Trees = dict[str, dict[str, list[Node]]]


def modes() -> list[Setup]:
    """A setup per way of making spans."""
    return [Setup(name=mode, spans=mode) for mode in SHAPES]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    """The spans of a good checkout and of a declined one, by mode and outcome."""
    collector = Collector()
    endpoints = {"http/protobuf": f"http://127.0.0.1:{collector.server_port}"}
    logs: Path = tmp_path_factory.mktemp("logs")
    with ThreadPoolExecutor(4) as pool:
        launches = [launch(setup, logs, endpoints) for setup in modes()]
        instances = list(pool.map(lambda how: LocalInstance(how, SignalGroup(), ()), launches))
    found: Trees = {}
    try:
        for instance in instances:
            mode, outcomes = _visit(instance, collector)
            found[mode] = outcomes
        lean = next(instance for instance in instances if instance.setup.name == "lean")
        found["lean"]["stopped"] = _stop_early(lean, collector)
        yield found
    finally:
        for instance in instances:
            instance.stop()
        collector.shutdown()
        collector.server_close()


def _visit(instance: LocalInstance, collector: Collector) -> tuple[str, dict[str, list[Node]]]:
    outcomes = {}
    for outcome, token, status in (("good", "tok_visa", 201), ("declined", "tok_declined", 402)):
        body = {**CHECKOUT, "payment_token": token}
        assert httpx.post(instance.url + PATH, json=body, timeout=20, trust_env=False).status_code == status
        assert instance.flush() == ()
        outcomes[outcome] = collector.nodes.pop(instance.setup.name)
    return instance.setup.name, outcomes


def _stop_early(instance: LocalInstance, collector: Collector) -> list[Node]:
    """What arrives if SIGTERM comes long before the batch processor's five seconds are over."""
    for _ in range(CHECKOUTS_BEFORE_STOP):
        assert httpx.post(instance.url + PATH, json=CHECKOUT, timeout=20, trust_env=False).status_code == 201
    instance.stop()
    return collector.nodes["lean"]


def lines(nodes: list[Node]) -> list[str]:
    """A trace as an indented list: service, name, kind."""
    children: defaultdict[bytes, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=lambda node: node.span.start_time_unix_nano):
        children[node.span.parent_span_id].append(node)

    def walk(parent: bytes, depth: int) -> Iterator[str]:
        for node in children[parent]:
            kind = Span.SpanKind.Name(node.span.kind).removeprefix("SPAN_KIND_").lower()
            yield f"{'  ' * depth}{node.service}: {node.span.name} ({kind})"
            yield from walk(node.span.span_id, depth + 1)

    return list(walk(b"", 0))


LEAN = """\
frontend-app: POST /checkout (server)
  frontend-app: POST (client)
    order-service: POST /orders (server)
      order-service: POST (client)
        payment-service: POST /payments (server)
      order-service: POST (client)
        inventory-service: POST /reservations (server)
          inventory-service: UPDATE (client)
          inventory-service: UPDATE (client)
          inventory-service: INSERT (client)"""

MANUAL = """\
frontend-app: checkout-process (server)
  frontend-app: submit-order (client)
    order-service: create-order (server)
      order-service: process-payment (client)
        payment-service: charge-card (server)
      order-service: update-inventory (client)
        inventory-service: reserve-stock (server)"""


@pytest.mark.parametrize("mode", SHAPES)
def test_a_checkout_is_one_trace_with_the_known_number_of_spans(trees: Trees, mode: str) -> None:
    nodes = trees[mode]["good"]
    assert len({node.span.trace_id for node in nodes}) == 1
    counts: defaultdict[str, int] = defaultdict(int)
    for node in nodes:
        counts[node.service] += 1
    assert dict(counts) == SHAPES[mode]


@pytest.mark.parametrize("mode", SHAPES)
def test_every_parent_is_there_and_the_frontend_is_the_root(trees: Trees, mode: str) -> None:
    nodes = trees[mode]["good"]
    ids = {node.span.span_id for node in nodes}
    roots = [node for node in nodes if not node.span.parent_span_id]
    assert [root.service for root in roots] == ["frontend-app"]
    assert all(node.span.parent_span_id in ids for node in nodes if node not in roots)


@pytest.mark.parametrize("mode", SHAPES)
def test_the_services_name_is_in_the_resource_and_not_on_spans(trees: Trees, mode: str) -> None:
    for node in trees[mode]["good"]:
        assert node.resource["service.name"] == node.service
        assert "service.name" not in {item.key for item in node.span.attributes}


@pytest.mark.parametrize("mode", ["lean", "native"])
def test_lean_and_native_spans_are_servers_clients_and_queries(trees: Trees, mode: str) -> None:
    assert lines(trees[mode]["good"]) == LEAN.splitlines()


def test_auto_adds_receive_and_send_spans_and_nothing_else(trees: Trees) -> None:
    asgi = (" http receive", " http send")
    nodes = trees["auto"]["good"]
    extra = [node for node in nodes if node.span.name.endswith(asgi)]
    assert len(extra) == 12
    assert all(node.span.kind == INTERNAL for node in extra)
    assert lines([node for node in nodes if node not in extra]) == LEAN.splitlines()


def test_the_hand_written_scenario(trees: Trees) -> None:
    assert lines(trees["manual"]["good"]) == MANUAL.splitlines()


def test_hand_written_spans_end_ok_and_tell_what_happened(trees: Trees) -> None:
    nodes = {node.span.name: node.span for node in trees["manual"]["good"]}
    assert {span.status.code for span in nodes.values()} == {OK}
    events = {name: [event.name for event in span.events] for name, span in nodes.items()}
    assert events["checkout-process"] == ["checkout.received"]
    assert events["process-payment"] == ["payment.charged"]
    assert events["update-inventory"] == ["stock.reserved"]
    assert events["charge-card"] == ["card.charged"]


def test_a_declined_card_is_an_error_with_its_exception_where_it_happened(trees: Trees) -> None:
    nodes = {node.span.name: node.span for node in trees["manual"]["declined"]}
    assert set(nodes) == {
        "checkout-process",
        "submit-order",
        "create-order",
        "process-payment",
        "charge-card",
    }
    assert {span.status.code for span in nodes.values()} == {ERROR}
    assert [event.name for event in nodes["charge-card"].events] == ["card.declined", "exception"]
    exception = {item.key: item.value.string_value for item in nodes["process-payment"].events[0].attributes}
    assert exception["exception.message"] == "The card was declined."


@pytest.mark.parametrize("mode", ["auto", "lean", "native"])
def test_a_declined_card_reserves_nothing_in_the_trace_either(trees: Trees, mode: str) -> None:
    assert "inventory-service" not in {node.service for node in trees[mode]["declined"]}


def test_kinds_and_status_of_instrumented_spans(trees: Trees) -> None:
    declined = {(node.service, node.span.kind): node.span.status.code for node in trees["lean"]["declined"]}
    # 4xx is the client's error and no server's (semantic conventions for HTTP spans).
    assert declined["payment-service", SERVER] == UNSET
    assert declined["order-service", CLIENT] == ERROR


def test_services_told_to_stop_lose_no_span(trees: Trees) -> None:
    assert len(trees["lean"]["stopped"]) == CHECKOUTS_BEFORE_STOP * sum(SHAPES["lean"].values())
