"""The receiver on the wire: who may ask it what, how much it takes, and how it fails when it is told to."""

import gzip
import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import psutil
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bench.plan.readings import Account
from bench.receiver.messages import MAX_BODY_BYTES, Answering, CloseAccounts, Format, Signal
from bench.receiver.server import RETRY_KEY, SERVICES
from bench.testbed.receiver import Receiver
from tests.make import trace_of
from tests.test_intakes import BODIES
from tests.test_receiver import body

SPANS = body("batch", trace_of(0))
MORE_MEMORY = 400 * 1024 * 1024
"""What a hostile body may cost the receiver: the largest one of nothing but empty parts takes most of it."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path_factory.mktemp("receiver"))
    try:
        yield receiver
    finally:
        receiver.stop()


@pytest.fixture
def receiver(running: Receiver) -> Iterator[Receiver]:
    running.close_accounts(CloseAccounts(replicate=0))
    yield running
    running.answer(Answering())


def post(receiver: Receiver, path: str, content: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        receiver.endpoints["http/protobuf"] + path,
        content=content,
        headers=headers,
        trust_env=False,
        timeout=30,
    )


def export(receiver: Receiver, signal: str, content: bytes) -> bytes:
    """An export over grpc, as any client makes it."""
    with grpc.insecure_channel(urlsplit(receiver.endpoints["grpc"]).netloc) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICES[Signal(signal)]}/Export"
        )
        return call(content, timeout=10)


def accounts(receiver: Receiver) -> dict[str, Account]:
    return receiver.close_accounts(CloseAccounts(replicate=0))


def test_who_sends_spans_cannot_ask_the_harness_questions(receiver: Receiver) -> None:
    paths = ("account", "answer", "count", "drain", "forward", "peek", "kept", "spans")
    assert {post(receiver, f"/{path}", b"{}").status_code for path in paths} == {404}


def test_all_three_signals_are_counted_over_both_protocols(receiver: Receiver) -> None:
    metrics, logs = ExportMetricsServiceRequest(), ExportLogsServiceRequest()
    resources = (metrics.resource_metrics.add(), logs.resource_logs.add())
    for resource in resources:
        attribute = resource.resource.attributes.add()
        attribute.key, attribute.value.string_value = "bench.setup", "batch"
    metric = resources[0].scope_metrics.add().metrics.add()
    metric.name = "requests"
    metric.histogram.data_points.add().count = 40
    scope = resources[1].scope_logs.add()
    scope.scope.name = "app"
    # What goes up and down may have gone down, and bytes are many.
    for name, value in (("active", -1), ("bytes", 2**40)):
        metric = resources[0].scope_metrics[0].metrics.add()
        metric.name = name
        metric.sum.data_points.add().as_int = value
    for text in ("one", "two"):
        scope.log_records.add().body.string_value = text
    for signal, content in (
        ("traces", SPANS), ("metrics", metrics.SerializeToString()), ("logs", logs.SerializeToString()),
    ):  # fmt: skip
        assert post(receiver, f"/v1/{signal}", content).status_code == 200
        export(receiver, signal, content)
    account = accounts(receiver)["batch"]
    assert (account.exports, account.metrics, account.logs) == (2, 2, {"app": 4})
    assert account.sums == {"requests": 80, "active": -2, "bytes": 2**41}


@pytest.mark.parametrize("format_", BODIES)
def test_other_tracers_are_answered_as_by_their_makers_and_counted(
    receiver: Receiver, format_: Format
) -> None:
    paths = {
        Format.DATADOG_04: "/v0.4/traces",
        Format.DATADOG_05: "/v0.5/traces",
        Format.ELASTIC: "/intake/v2/events?flushed=true",
        Format.SENTRY: "/api/1/envelope/",
    }
    answer = post(receiver, paths[format_], BODIES[format_]())
    assert answer.is_success
    assert answer.headers["content-type"] == "application/json"
    if answer.content:
        assert isinstance(answer.json(), dict)
    account = accounts(receiver)["mine"]
    assert (sum(account.spans.values()), account.exports, account.undecodable) == (3, 1, 0)


def test_agents_learn_what_they_talk_to(receiver: Receiver) -> None:
    url = receiver.endpoints["http/protobuf"]
    assert httpx.get(f"{url}/", trust_env=False).json()["version"].startswith("8.")
    assert "/v0.5/traces" in httpx.get(f"{url}/info", trust_env=False).json()["endpoints"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v0.4/traces", b"\xdd\x00\xff\xff\xf0" + b"\x90" * 0xFFFFF0),
        ("/v0.5/traces", b"\x92\x90\xdd\x00\xff\xff\xf0" + b"\x90" * 0xFFFFF0),
        ("/v0.4/traces", b"\x91" * 2**20),
        ("/intake/v2/events", b'{"metadata":' + b"[" * 2**22),
        ("/intake/v2/events", b"[" + b"[]," * (2**24 // 3 - 2) + b"[]]"),
        ("/api/1/envelope/", b'{}\n{"type":"transaction","length":-1}\n' * 2**15),
    ],
    ids=["lists", "lists without words", "deep", "deep json", "json lists", "backwards"],
)
def test_a_hostile_body_of_another_tracers_costs_little(
    receiver: Receiver, path: str, content: bytes
) -> None:
    process = psutil.Process(receiver.child.pid)
    before = process.memory_info().rss
    began = time.monotonic()
    assert post(receiver, path, content[:MAX_BODY_BYTES]).is_success
    assert accounts(receiver)[""].undecodable == 1
    assert process.memory_info().rss - before < MORE_MEMORY
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (gzip.compress(b"\0" * 200 * 2**20), {"content-encoding": "gzip"}),
        (gzip.compress(b"\0" * 100) + b"rubbish", {"content-encoding": "gzip"}),
        (gzip.compress(b"") * 100_000, {"content-encoding": "gzip"}),
        (b"\x0a\x00" * (MAX_BODY_BYTES // 2 - 8), {}),
        (b"\x0a\xfe\xff\xff\x07" + b"\x12\x00" * (8 * 2**20 - 8), {}),
    ],
    ids=["bomb", "rubbish", "many members", "empty resources", "cut short"],
)
def test_a_hostile_body_is_counted_and_costs_little(
    receiver: Receiver, content: bytes, headers: dict[str, str]
) -> None:
    before = psutil.Process(receiver.child.pid).memory_info().rss
    started = time.monotonic()
    assert post(receiver, "/v1/traces", content, **headers).status_code == 200
    assert accounts(receiver)[""].undecodable == 1
    assert time.monotonic() - started < 10
    assert psutil.Process(receiver.child.pid).memory_info().rss - before < MORE_MEMORY


def test_what_is_too_large_is_refused_and_counted(receiver: Receiver) -> None:
    address = urlsplit(receiver.endpoints["http/protobuf"])
    client = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=10)
    client.putrequest("POST", "/v1/traces")
    client.putheader("content-length", str(MAX_BODY_BYTES + 1))
    client.endheaders()
    assert client.getresponse().status == 413
    client.close()
    with pytest.raises(grpc.RpcError) as refusal:
        export(receiver, "traces", b"\0" * (MAX_BODY_BYTES + 1))
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert accounts(receiver)[""].refused == 1, "what grpc refuses itself never gets to us"


@pytest.mark.parametrize("head", [b"x-a: " + b"a" * 2**20, b"x: y\r\n" * 2**18])
def test_a_head_without_end_ends_the_connection(receiver: Receiver, head: bytes) -> None:
    port = urlsplit(receiver.endpoints["http/protobuf"]).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            endlessly(client, head)
    assert accounts(receiver) == {}


def endlessly(client: socket.socket, part: bytes) -> None:
    """Send until the other side has enough."""
    while True:
        client.sendall(part)


def test_trailers_without_end_end_the_connection(receiver: Receiver) -> None:
    port = urlsplit(receiver.endpoints["http/protobuf"]).port or 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            endlessly(client, b"x-a: y\r\n" * 10_000)


def test_a_backend_that_fails_says_so_and_the_spans_are_known(receiver: Receiver) -> None:
    receiver.answer(Answering(status=503, retry_after_s=7))
    answer = post(receiver, "/v1/traces", SPANS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    with pytest.raises(grpc.RpcError) as refusal:
        export(receiver, "traces", SPANS)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    told: Any = refusal.value.trailing_metadata()
    retry = RetryInfo.FromString(dict(told)[RETRY_KEY])
    assert retry.retry_delay.seconds == 7
    assert accounts(receiver)["batch"].rejected == len(trace_of(0))


def test_spans_that_come_at_last_were_not_lost(receiver: Receiver) -> None:
    receiver.answer(Answering(status=503))
    post(receiver, "/v1/traces", SPANS)
    receiver.answer(Answering())
    post(receiver, "/v1/traces", SPANS)
    account = accounts(receiver)["batch"]
    assert (account.rejected, sum(account.spans.values())) == (0, len(trace_of(0)))


def test_a_slow_backend_answers_late(receiver: Receiver) -> None:
    receiver.answer(Answering(delay_s=0.2))
    started = time.monotonic()
    assert post(receiver, "/v1/traces", SPANS).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_the_harness_alone_may_be_wrong_without_a_traceback(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    try:
        for content in (b"", b"[]", b"\xff", b"[" * 100_000):
            assert (
                httpx.post(f"{receiver.control}/account", content=content, trust_env=False).status_code == 400
            )
    finally:
        receiver.stop()
    assert "Traceback" not in (tmp_path / "receiver.log").read_text("utf-8")
