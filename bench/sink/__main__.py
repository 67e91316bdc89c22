"""The sink's process: `python -m bench.sink [HOST HTTP GRPC]` prints its ports, then receives.

It ends with its standard input.

Rule 1: during a window a body is only kept. What a set-up exports must not cost it a
slow answer, and decoding on the same machine would be CPU that the window pays for.
Rule 2: the only module of the harness that imports OpenTelemetry, and only its message types.
"""

import asyncio
import errno
import gzip
import os
import socket
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio
import msgspec
import uvicorn
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from bench.journey import Event, Told, Value
from bench.ledger import Span, account
from bench.model import Account
from bench.sink import STRAY, Ports, Seen

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS_SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
SETUP_ATTRIBUTE = "bench.setup"
SERVICE_ATTRIBUTE = "service.name"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Bodies:
    """What came in since the last account."""

    def __init__(self) -> None:
        self._kept: list[tuple[bytes, str]] = []
        self._metrics: list[tuple[bytes, str]] = []
        self._seen: dict[str, Seen] = {}
        self._peeked = 0

    def keep(self, body: bytes, encoding: str = "") -> None:
        """One export request's body, as it came."""
        self._kept.append((body, encoding))

    def keep_metrics(self, body: bytes, encoding: str = "") -> None:
        """One export request with metrics."""
        self._metrics.append((body, encoding))

    def peek(self) -> dict[str, Seen]:
        """What was kept so far, by set-up; each body is decoded once for it."""
        for body, encoding in self._kept[self._peeked :]:
            setup, spans, _ = _decoded(body, encoding)
            before = self._seen.get(setup, Seen())
            self._seen[setup] = Seen(
                spans=before.spans + len(spans),
                exports=before.exports + 1,
                bytes=before.bytes + len(body),
            )
        self._peeked = len(self._kept)
        return self._seen

    def tell(self) -> list[Told]:
        """Everything that the spans kept so far say; nothing is forgotten."""
        return [span for body, encoding in self._kept for span in told(body, encoding)]

    def close(self, shapes: dict[str, dict[str, int]]) -> dict[str, Account]:
        """The accounts by set-up of everything kept, which is then forgotten."""
        kept, self._kept = self._kept, []
        self._seen, self._peeked = {}, 0
        spans: defaultdict[str, list[Span]] = defaultdict(list)
        exports: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        undecodable: Counter[str] = Counter()
        metrics: Counter[str] = Counter()
        measured, self._metrics = self._metrics, []
        for body, encoding in measured:
            setup, failed = _setup_of_metrics(body, encoding)
            metrics[setup] += 1
            undecodable[setup] += failed
            sizes[setup] += len(body)
        for body, encoding in kept:
            setup, decoded, failed = _decoded(body, encoding)
            undecodable[setup] += failed
            exports[setup] += 1
            sizes[setup] += len(body)
            spans[setup] += decoded
        return {
            setup: account(
                spans[setup],
                shapes.get(setup, {}),
                exports=exports[setup],
                size_bytes=sizes[setup],
                undecodable=undecodable[setup],
                metrics=metrics[setup],
            )
            for setup in exports | metrics
        }


def _decoded(body: bytes, encoding: str) -> tuple[str, list[Span], bool]:
    """A body's set-up and spans, and whether it is none of OTLP's."""
    try:
        return *decode(body, encoding), False
    except (DecodeError, OSError, EOFError, zlib.error):
        return STRAY, [], True


def decode(body: bytes, encoding: str) -> tuple[str, list[Span]]:
    """The set-up that an export request names ('' for none) and its spans.

    Raises:
        DecodeError, OSError, EOFError, zlib.error: the body is not what it says.
    """
    request = ExportTraceServiceRequest.FromString(_unpacked(body, encoding))
    setup, spans = STRAY, []
    for resource_spans in request.resource_spans:
        attributes = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
        setup = attributes.get(SETUP_ATTRIBUTE, STRAY)
        service = attributes.get(SERVICE_ATTRIBUTE, "")
        spans += [
            Span(service, span.trace_id, span.span_id, span.parent_span_id, scope_spans.scope.name)
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]
    return setup, spans


def told(body: bytes, encoding: str) -> list[Told]:
    """Everything that an export request's spans say; nothing of a body that is none of OTLP's."""
    try:
        request = ExportTraceServiceRequest.FromString(_unpacked(body, encoding))
    except (DecodeError, OSError, EOFError, zlib.error):
        return []
    found = []
    for resource_spans in request.resource_spans:
        service = str(_values(resource_spans.resource.attributes).get(SERVICE_ATTRIBUTE, ""))
        for scope_spans in resource_spans.scope_spans:
            found += [_told(span, service, scope_spans.scope.name) for span in scope_spans.spans]
    return found


def _told(span: OtlpSpan, service: str, scope: str) -> Told:
    return Told(
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=OtlpSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
        message=span.status.message,
        attributes=_values(span.attributes),
        events=tuple(
            Event(name=event.name, at_ns=event.time_unix_nano, attributes=_values(event.attributes))
            for event in span.events
        ),
        scope=scope,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes as they are; lists and the like as text."""
    found = {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in attributes
    }
    return {
        name: value if isinstance(value, (str, bool, int, float)) else str(value)
        for name, value in found.items()
    }


def _setup_of_metrics(body: bytes, encoding: str) -> tuple[str, bool]:
    """The set-up that an export request with metrics names ('' for none), and whether it is none."""
    try:
        request = ExportMetricsServiceRequest.FromString(_unpacked(body, encoding))
    except (DecodeError, OSError, EOFError, zlib.error):
        return STRAY, True
    attributes = [item for each in request.resource_metrics for item in each.resource.attributes]
    named = (item.value.string_value for item in attributes if item.key == SETUP_ATTRIBUTE)
    return next(named, STRAY), False


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def http_app(bodies: Bodies) -> Any:  # noqa: ANN401 - an ASGI callable
    """The receiver for OTLP over http, and the harness's own path."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        chunks, more = [], True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(chunks)
        answer, status, kind = b"", 200, b"application/x-protobuf"
        if scope["path"] == "/v1/traces":
            encoding = dict(scope["headers"]).get(b"content-encoding", b"")
            bodies.keep(body, encoding.decode("latin-1"))
        elif scope["path"] == "/v1/metrics":
            encoding = dict(scope["headers"]).get(b"content-encoding", b"")
            bodies.keep_metrics(body, encoding.decode("latin-1"))
        elif scope["path"] == "/account":
            shapes = msgspec.json.decode(body, type=dict[str, dict[str, int]])
            answer, kind = msgspec.json.encode(bodies.close(shapes)), b"application/json"
        elif scope["path"] == "/spans":
            answer, kind = msgspec.json.encode(bodies.tell()), b"application/json"
        elif scope["path"] == "/peek":
            answer, kind = msgspec.json.encode(bodies.peek()), b"application/json"
        else:
            status = 404
        # Without a length the answer would be chunked: two packets, and a client that waits
        # 40 ms for the second because the kernel delays the first one's acknowledgement.
        headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def grpc_server(bodies: Bodies, address: str) -> tuple[grpc.aio.Server, int]:
    """The receiver for OTLP over grpc and its port; messages stay bytes.

    Raises:
        OSError: the address is taken.
    """

    async def export(request: bytes, _context: object) -> bytes:
        bodies.keep(request)
        return b""

    async def export_metrics(request: bytes, _context: object) -> bytes:
        bodies.keep_metrics(request)
        return b""

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    for service, called in ((TRACE_SERVICE, export), (METRICS_SERVICE, export_metrics)):
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(called)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), address) from None


async def main(host: str = "127.0.0.1", http_port: str = "0", grpc_port: str = "0") -> None:
    """Receives until standard input ends."""
    bodies = Bodies()
    config = uvicorn.Config(
        http_app(bodies),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
    )
    http = uvicorn.Server(config)
    # With the protocol named: asyncio turns Nagle's algorithm off for such sockets only.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(http_port)))
        server, grpc_at = grpc_server(bodies, f"{host}:{grpc_port}")
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}, ports {http_port} and {grpc_port}: {error.strerror}\n")
        return
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    sys.stdout.buffer.write(msgspec.json.encode(Ports(http=listener.getsockname()[1], grpc=grpc_at)) + b"\n")
    sys.stdout.flush()
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await serving
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
