"""Operations of an export: spans encoded, serialised, compressed and sent to the real receiver."""

import gzip as compression
import itertools
import json
import os
import urllib.request
from http import HTTPStatus

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind

from bench.studies.micro.spans import RESOURCE
from bench.studies.micro.timed import Subject, repeated, require, timed

RECEIVER_HTTP_VARIABLE = "BENCH_RECEIVER_HTTP"
RECEIVER_GRPC_VARIABLE = "BENCH_RECEIVER_GRPC"
RECEIVER_CONTROL_VARIABLE = "BENCH_RECEIVER_CONTROL"
ATTRIBUTES: dict[str, str | int] = {
    "http.scheme": "http", "http.host": "127.0.0.1:8001", "net.host.port": 8001, "http.flavor": "1.1",
    "http.target": "/items", "http.url": "http://127.0.0.1:8001/items", "http.method": "POST",
    "http.server_name": "127.0.0.1:8001", "http.user_agent": "python-httpx/0.28.1",
    "net.peer.ip": "127.0.0.1", "http.route": "/items", "http.status_code": 200,
}  # fmt: skip
"""What the instrumentation writes on a server span of a request."""


def spans_of(count: int, setup: str = "micro") -> list[ReadableSpan]:
    """Ended server spans as a request has them."""
    resource = RESOURCE.merge(Resource({"bench.setup": setup}))
    tracer = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False).get_tracer("bench")
    made: list[ReadableSpan] = []
    for _ in range(count):
        span = tracer.start_span("POST /items", kind=SpanKind.SERVER, attributes=ATTRIBUTES)
        span.end()
        if isinstance(span, ReadableSpan):
            made.append(span)
    return made


def _count(body: bytes) -> int:
    message = ExportTraceServiceRequest.FromString(body)
    return sum(
        len(scope.spans) for resource_spans in message.resource_spans for scope in resource_spans.scope_spans
    )


def encode(spans: int) -> Subject:
    """Spans turned into an OTLP message."""
    batch = spans_of(spans)

    def check() -> None:
        held = _count(encode_spans(batch).SerializeToString())
        require(true=held == spans, otherwise=f"the message holds {held} spans")

    return repeated(lambda: encode_spans(batch), check)


def serialise(spans: int) -> Subject:
    """An OTLP message turned into bytes."""
    message = encode_spans(spans_of(spans))

    def check() -> None:
        held = _count(message.SerializeToString())
        require(true=held == spans, otherwise=f"the bytes hold {held} spans")

    return repeated(message.SerializeToString, check)


def gzip(spans: int) -> Subject:
    """OTLP bytes compressed, as the exporter does it."""
    body = encode_spans(spans_of(spans)).SerializeToString()

    def check() -> None:
        packed = compression.compress(body)
        require(
            true=compression.decompress(packed) == body, otherwise="what was packed is not what comes out"
        )
        require(true=spans == 1 or len(packed) < len(body), otherwise="it did not become smaller")

    return repeated(lambda: compression.compress(body), check)


def _exporter(protocol: str) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=os.environ[RECEIVER_GRPC_VARIABLE], insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=os.environ[RECEIVER_HTTP_VARIABLE] + "/v1/traces")


def export(protocol: str, spans: int) -> Subject:
    """Spans exported over a real socket; the receiver counts them."""
    setup = f"micro-{os.getpid()}"
    batch, exporter = spans_of(spans, setup), _exporter(protocol)
    failed = 0

    def run(loops: int) -> None:
        nonlocal failed
        for _ in itertools.repeat(None, loops):
            failed += exporter.export(batch) is not SpanExportResult.SUCCESS

    def check(done: int) -> None:
        arrived = _seen(setup)
        require(true=not failed, otherwise=f"{failed} of {done} exports failed")
        require(
            true=arrived == done * spans, otherwise=f"{arrived} of {done * spans} spans are at the receiver"
        )

    return Subject(time=timed(run), check=check, close=exporter.shutdown)


def _seen(setup: str) -> int:
    """How many spans of a setup the receiver has."""
    url = os.environ[RECEIVER_CONTROL_VARIABLE] + "/peek"
    with urllib.request.urlopen(url, data=b"", timeout=60) as response:  # noqa: S310 - our own http address
        require(true=response.status == HTTPStatus.OK, otherwise="the receiver does not answer")
        return int(json.load(response).get(setup, {}).get("spans", 0))
