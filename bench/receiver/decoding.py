"""What OTLP bodies say: spans, their sizes by setup, counts of metrics and logs.

Of the harness only this package imports OpenTelemetry, and only its message types. Nothing here trusts
a body: what cannot be unpacked or decoded within the limits of `messages` belongs to no setup and is counted.
"""

import contextlib
import math
import secrets
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from bench.receiver import intakes
from bench.receiver.messages import (
    KINDS,
    MAX_BODY_BYTES,
    MAX_PARTS,
    REPLICATE_ATTRIBUTE,
    SETUP_ATTRIBUTE,
    STATUSES,
    STRAY,
    Format,
    SpanEvent,
    TraceSpan,
    Value,
)
from bench.receiver.spans import Span

M = TypeVar("M", bound=Message)
SERVICE_ATTRIBUTE = "service.name"
PROTOBUF = "application/x-protobuf"
MARKER = "bench.marker"
"""Setup of a span that only shows how far a collector has come; it is in no account."""
MAX_MEMBERS = 100
"""Most gzip members in a body; an exporter sends one."""
GZIP_WINDOW = 31
"""`wbits` for a gzip header and checksum."""


class TooLargeError(ValueError):
    """A body that unpacks to more than `MAX_BODY_BYTES`, or into more parts than `MAX_PARTS`."""


UNREADABLE = (DecodeError, EOFError, zlib.error, TooLargeError, *intakes.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Body:
    """An export request as it came."""

    content: bytes
    encoding: str = ""
    format: Format = Format.OTLP

    def unpacked(self) -> bytes:
        """Its message.

        Raises:
            EOFError, zlib.error: it is not encoded as it says.
            TooLargeError: it unpacks to too many bytes.
        """
        if self.encoding == "gzip":
            return _inflated(self.content, GZIP_WINDOW)
        return _inflated(self.content, zlib.MAX_WBITS) if self.encoding == "deflate" else self.content


def _inflated(content: bytes, window: int) -> bytes:
    """Unpacked bytes of one or several compressed streams, never more than `MAX_BODY_BYTES`."""
    parts: list[bytes] = []
    size = 0
    while content:
        if len(parts) == MAX_MEMBERS:
            raise TooLargeError(f"it has more than {MAX_MEMBERS} compressed members")
        stream = zlib.decompressobj(window)
        part = stream.decompress(content, MAX_BODY_BYTES - size + 1)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise TooLargeError(f"it unpacks to more than {MAX_BODY_BYTES} bytes")
        if not stream.eof:
            raise EOFError("it is cut short")
        parts.append(part)
        content = stream.unused_data
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Part:
    """What one setup has in one body: its spans, and its share of the bytes."""

    setup: str
    spans: list[Span]
    size_bytes: int


@dataclass(slots=True)
class Measured:
    """What one setup has in bodies with metrics and logs.

    Attributes:
        requests: export requests with metrics.
        sums: by metric, the counts of its histograms and the values of its sums, added up.
        records: log records by instrumentation scope.
        size_bytes: of both.
    """

    requests: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0


def marker() -> tuple[bytes, bytes]:
    """An export request with one span that belongs to no setup, and its trace's id."""
    trace = secrets.token_bytes(16)
    span = OtlpSpan(trace_id=trace, span_id=secrets.token_bytes(8), name="marker")
    attributes = {SETUP_ATTRIBUTE: MARKER, SERVICE_ATTRIBUTE: MARKER}
    resource = Resource(
        attributes=[
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()
        ]
    )
    spans = ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])
    return ExportTraceServiceRequest(resource_spans=[spans]).SerializeToString(), trace


def rejected_spans(answer: bytes, content_type: str) -> int:
    """How many spans of an export request a receiver says that it did not take (partial success)."""
    response = ExportTraceServiceResponse()
    if content_type.partition(";")[0].strip() == PROTOBUF:
        with contextlib.suppress(DecodeError):
            response.MergeFromString(answer)
    return int(response.partial_success.rejected_spans)


def decode(body: Body) -> list[Part]:
    """What each setup has in an export request.

    Raises:
        Exception: one of `UNREADABLE`; the body is not what it says, or beyond the receiver's limits.
    """
    if body.format is not Format.OTLP:
        others = intakes.spans_of(body.unpacked(), body.format)
        weights = Counter({setup: len(spans) + 1 for setup, spans in others.items()})
        # What holds nothing of any setup, such as a sign of life, is no export.
        sizes_of = _shares(len(body.content), weights) if others else {}
        return [Part(setup, others[setup], size) for setup, size in sizes_of.items()]
    request = _parsed(body, ExportTraceServiceRequest())
    spans: dict[str, list[Span]] = {}
    sizes: Counter[str] = Counter()
    for resource_spans in request.resource_spans:
        setup, service, replicate = attributes_of(resource_spans.resource)
        sizes[setup] += resource_spans.ByteSize()
        spans.setdefault(setup, []).extend(
            Span(
                service,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                scope_spans.scope.name,
                _word(KINDS, span.kind),
                span.name,
                replicate,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
            )
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        )
    shares = _shares(len(body.content), sizes)
    return [Part(setup, spans.get(setup, []), size) for setup, size in shares.items()]


def _parsed(body: Body, request: M) -> M:
    """A body's message.

    Raises:
        DecodeError, EOFError, zlib.error: the body is not what it says.
        TooLargeError: it is beyond the receiver's limits.
    """
    request.ParseFromString(body.unpacked())
    # A part of nothing takes two bytes on the wire, a hundred in memory, and microseconds to look at.
    resources = _below(request)
    if len(resources) <= MAX_PARTS:
        scopes = [_below(resource) for resource in resources]
        if sum(map(len, scopes)) <= MAX_PARTS and _leaves(scopes) <= MAX_PARTS:
            return request
    raise TooLargeError(f"it has more than {MAX_PARTS} resources, scopes or spans")


LISTS = (
    "resource_spans", "scope_spans", "spans",
    "resource_metrics", "scope_metrics", "metrics",
    "resource_logs", "scope_logs", "log_records",
)  # fmt: skip


def _below(part: Message) -> Sequence[Message]:
    """The list of an export request, a resource or a scope."""
    name = next(name for name in LISTS if name in part.DESCRIPTOR.fields_by_name)
    below: Sequence[Message] = getattr(part, name)
    return below


def _leaves(scopes: Iterable[Sequence[Message]]) -> int:
    """How many spans, metrics or log records there are in all."""
    return sum(len(_below(scope)) for group in scopes for scope in group)


def message_of(body: Body) -> bytes:
    """A body's message; empty where it cannot be unpacked."""
    try:
        return body.unpacked()
    except UNREADABLE:
        return b""


def request_of(body: Body) -> ExportTraceServiceRequest:
    """A body's OTLP message; an empty one where it cannot be read, or is none."""
    if body.format is not Format.OTLP:
        return ExportTraceServiceRequest()
    try:
        return _parsed(body, ExportTraceServiceRequest())
    except UNREADABLE:
        return ExportTraceServiceRequest()


def parts_of(body: Body) -> tuple[list[Part], bool]:
    """What each setup has in a body, and whether it could not be decoded."""
    try:
        return decode(body), False
    except UNREADABLE:
        return [Part(STRAY, [], len(body.content))], True


def measured(metrics: Iterable[Body], logs: Iterable[Body]) -> tuple[dict[str, Measured], int]:
    """What each setup has in bodies with metrics and logs, and how many could not be decoded."""
    by_setup: defaultdict[str, Measured] = defaultdict(Measured)
    undecodable = 0
    for body in metrics:
        request, failed = _read(body, ExportMetricsServiceRequest())
        undecodable += failed
        sizes: Counter[str] = Counter()
        for resource_metrics in request.resource_metrics:
            setup = attributes_of(resource_metrics.resource)[0]
            sizes[setup] += resource_metrics.ByteSize()
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    by_setup[setup].sums[metric.name] += _sum_of(metric)
        for setup, size_bytes in _shares(len(body.content), sizes).items():
            by_setup[setup].requests += 1
            by_setup[setup].size_bytes += size_bytes
    for body in logs:
        log_request, failed = _read(body, ExportLogsServiceRequest())
        undecodable += failed
        sizes = Counter()
        for resource_logs in log_request.resource_logs:
            setup = attributes_of(resource_logs.resource)[0]
            sizes[setup] += resource_logs.ByteSize()
            for scope_logs in resource_logs.scope_logs:
                by_setup[setup].records[scope_logs.scope.name] += len(scope_logs.log_records)
        for setup, size_bytes in _shares(len(body.content), sizes).items():
            by_setup[setup].size_bytes += size_bytes
    return by_setup, undecodable


def _sum_of(metric: Metric) -> int:
    """The counts of a histogram, or the values of a sum, over all its points."""
    if metric.HasField("histogram"):
        return sum(point.count for point in metric.histogram.data_points)
    return sum(point.as_int for point in metric.sum.data_points)


def _read(body: Body, request: M) -> tuple[M, bool]:
    """A body's message, and whether it could not be decoded; it is empty then."""
    try:
        return _parsed(body, request), False
    except UNREADABLE:
        request.Clear()
        return request, True


def _shares(size_bytes: int, weights: Counter[str]) -> dict[str, int]:
    """A body's bytes by setup, adding up to all of them; stray where it is empty."""
    whole = weights.total()
    if not whole:
        return {STRAY: size_bytes}
    shares = {setup: size_bytes * weight // whole for setup, weight in weights.items()}
    shares[next(iter(shares))] += size_bytes - sum(shares.values())
    return shares


def attributes_of(resource: Resource) -> tuple[str, str, int | None]:
    """Setup, service and replicate that a resource names."""
    values = {item.key: item.value.string_value for item in resource.attributes}
    replicate = values.get(REPLICATE_ATTRIBUTE, "")
    return (
        values.get(SETUP_ATTRIBUTE, STRAY),
        values.get(SERVICE_ATTRIBUTE, ""),
        int(replicate) if replicate.isdecimal() and len(replicate) < 9 else None,
    )


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else words[0]


def longest_root(resource_spans: ResourceSpans) -> tuple[int, bytes] | None:
    """Length in ns and trace of the longest span without a parent; None without such spans."""
    return max(
        (
            (span.end_time_unix_nano - span.start_time_unix_nano, span.trace_id)
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
            if not span.parent_span_id
        ),
        default=None,
    )


def trace_spans(body: Body, traces: Iterable[str] | None = None) -> Iterator[TraceSpan]:
    """A body's spans.

    Args:
        body: one that cannot be decoded has none.
        traces: only spans of these, in hexadecimal; None: of all.
    """
    message = message_of(body)
    if traces is not None and not any(bytes.fromhex(trace) in message for trace in traces):
        return
    yield from spans_of(request_of(body), traces)


def spans_of(request: ExportTraceServiceRequest, traces: Iterable[str] | None = None) -> Iterator[TraceSpan]:
    """An export request's spans.

    Args:
        request: the message.
        traces: only spans of these, in hexadecimal; None: of all.
    """
    for resource_spans in request.resource_spans:
        setup, service, _ = attributes_of(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if traces is None or span.trace_id.hex() in traces:
                    yield _trace_span(span, service, scope_spans.scope.name, setup)


def _trace_span(span: OtlpSpan, service: str, scope: str, setup: str) -> TraceSpan:
    return TraceSpan(
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=_word(KINDS, span.kind),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=_word(STATUSES, span.status.code),
        message=span.status.message,
        attributes=_values(span.attributes),
        events=tuple(
            SpanEvent(name=event.name, at_ns=event.time_unix_nano, attributes=_values(event.attributes))
            for event in span.events
        ),
        scope=scope,
        setup=setup,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes as they are; lists, and numbers that JSON does not have, as text."""
    values = {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in attributes
    }
    return {
        name: value if isinstance(value, (str, bool, int)) or _is_finite(value) else str(value)
        for name, value in values.items()
    }


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
