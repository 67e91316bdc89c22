"""Export requests as the sink keeps them, and all that is read from them later.

Of the harness only this module and `otlp_json` import OpenTelemetry, and only its message types.
"""

import asyncio
import contextlib
import gzip
import math
import secrets
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from bench.plan.readings import Account
from bench.sink.accounting import Span, account
from bench.sink.messages import (
    EPOCH_ATTRIBUTE,
    KINDS,
    SETUP_ATTRIBUTE,
    STATUSES,
    STRAY,
    CloseAccounts,
    Seen,
    SpanEvent,
    TraceSpan,
    Value,
)

SERVICE_ATTRIBUTE = "service.name"
PROTOBUF = "application/x-protobuf"
MARKER = "bench.marker"
"""Set-up of a span that only shows how far a collector has come; it is in no account."""
UNREADABLE = (DecodeError, OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Body:
    """An export request as it came."""

    content: bytes
    encoding: str = ""

    def unpacked(self) -> bytes:
        """Its OTLP message.

        Raises:
            OSError, EOFError, zlib.error: it is not encoded as it says.
        """
        if self.encoding == "gzip":
            return gzip.decompress(self.content)
        return zlib.decompress(self.content) if self.encoding == "deflate" else self.content


@dataclass(frozen=True, slots=True)
class Part:
    """What one set-up has in one body: its spans, and its share of the bytes."""

    setup: str
    spans: list[Span]
    size_bytes: int


class Bodies:
    """Everything received since the last account."""

    def __init__(self) -> None:
        self._traces: list[Body] = []
        self._metrics: list[Body] = []
        self._closed: list[Body] = []
        self._seen: dict[str, Seen] = {}
        self._peeked = 0
        self._arrived = asyncio.Event()
        self._count = 0

    def keep_traces(self, body: Body) -> None:
        """Keep an export request with spans."""
        self._traces.append(body)
        self._count += 1
        self._arrived.set()

    def keep_metrics(self, body: Body) -> None:
        """Keep an export request with metrics."""
        self._metrics.append(body)
        self._count += 1
        self._arrived.set()

    @property
    def count(self) -> int:
        """Export requests received so far."""
        return self._count

    def peek(self) -> dict[str, Seen]:
        """What came so far, by set-up; every body is decoded once for it."""
        for body in self._traces[self._peeked :]:
            for part in _parts(body)[0]:
                before = self._seen.get(part.setup, Seen())
                self._seen[part.setup] = Seen(
                    spans=before.spans + len(part.spans),
                    exports=before.exports + 1,
                    bytes=before.bytes + part.size_bytes,
                )
        self._peeked = len(self._traces)
        return self._seen

    def spans(self) -> list[TraceSpan]:
        """All spans received since the last account, with everything that they say."""
        return [span for body in self._traces for span in _trace_spans(body)]

    def raw(self) -> tuple[Body, ...]:
        """The export requests with spans since the last account."""
        return tuple(self._traces)

    def slowest(self) -> dict[str, list[TraceSpan]]:
        """The trace with the longest root span of every set-up in the last account."""
        slowest: dict[str, tuple[int, bytes]] = {}
        for body in self._closed:
            for resource_spans in _request(body).resource_spans:
                setup, root = _attributes(resource_spans.resource)[0], _longest_root(resource_spans)
                if root is not None and root > slowest.get(setup, (0, b"")):
                    slowest[setup] = root
        setups = {trace.hex(): setup for setup, (_, trace) in slowest.items() if setup != STRAY}
        traces: dict[str, list[TraceSpan]] = {}
        for body in self._closed:
            for span in _trace_spans(body, setups):
                traces.setdefault(setups[span.trace_id], []).append(span)
        return traces

    def close(self, request: CloseAccounts) -> dict[str, Account]:
        """The accounts by set-up of everything received; the next ones begin anew."""
        self._closed, self._traces = self._traces, []
        metric_bodies, self._metrics = self._metrics, []
        self._seen, self._peeked = {}, 0
        spans: defaultdict[str, list[Span]] = defaultdict(list)
        exports: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        undecodable: Counter[str] = Counter()
        metrics: Counter[str] = Counter()
        for body in metric_bodies:
            shares, failed = _metric_shares(body)
            undecodable[STRAY] += failed
            metrics.update(dict.fromkeys(shares, 1))
            sizes.update(shares)
        for body in self._closed:
            parts, failed = _parts(body)
            undecodable[STRAY] += failed
            for part in parts:
                exports[part.setup] += 1
                sizes[part.setup] += part.size_bytes
                spans[part.setup] += part.spans
        return {
            setup: replace(
                account(
                    spans[setup],
                    request.shapes.get(setup, ()),
                    start_shapes=request.start_shapes,
                    epoch=request.epoch,
                    learn=request.learn,
                ),
                exports=exports[setup],
                bytes=sizes[setup],
                undecodable=undecodable[setup],
                metrics=metrics[setup],
            )
            for setup in exports | metrics
            if setup != MARKER
        }

    async def wait_for_marker(self, trace: bytes, quiet_s: float, limit_s: float) -> bool:
        """Wait for a marker's trace, and until nothing more comes after it; False if it did not come.

        Args:
            trace: id of the marker's trace.
            quiet_s: without any export request: what a collector sends in parallel may come later.
            limit_s: longest wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        searched, arrived = 0, False
        while loop.time() < deadline:
            self._arrived.clear()
            arrived = arrived or any(trace in _message(body) for body in self._traces[searched:])
            searched = len(self._traces)
            patience_s = quiet_s if arrived else deadline - loop.time()
            try:
                await asyncio.wait_for(self._arrived.wait(), patience_s)
            except TimeoutError:
                return arrived
        return False


def marker() -> tuple[bytes, bytes]:
    """An export request with one span that belongs to nobody, and its trace's id."""
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
    """What each set-up has in an export request.

    Raises:
        DecodeError, OSError, EOFError, zlib.error: the body is not what it says.
    """
    request = ExportTraceServiceRequest.FromString(body.unpacked())
    spans: dict[str, list[Span]] = {}
    sizes: Counter[str] = Counter()
    for resource_spans in request.resource_spans:
        setup, service, epoch = _attributes(resource_spans.resource)
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
                epoch,
            )
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        )
    shares = _shares(len(body.content), sizes)
    return [Part(setup, spans.get(setup, []), size) for setup, size in shares.items()]


def _message(body: Body) -> bytes:
    """A body's message; empty where it cannot be unpacked."""
    try:
        return body.unpacked()
    except UNREADABLE:
        return b""


def _request(body: Body) -> ExportTraceServiceRequest:
    """A body's message; an empty one where it cannot be read."""
    request = ExportTraceServiceRequest()
    with contextlib.suppress(*UNREADABLE):
        request.MergeFromString(body.unpacked())
    return request


def _parts(body: Body) -> tuple[list[Part], bool]:
    """What each set-up has in a body, and whether it could not be decoded."""
    try:
        return decode(body), False
    except UNREADABLE:
        return [Part(STRAY, [], len(body.content))], True


def _metric_shares(body: Body) -> tuple[dict[str, int], bool]:
    """Bytes of each set-up in an export request with metrics, and whether it could not be decoded."""
    try:
        request = ExportMetricsServiceRequest.FromString(body.unpacked())
    except UNREADABLE:
        return {STRAY: len(body.content)}, True
    sizes: Counter[str] = Counter()
    for resource_metrics in request.resource_metrics:
        sizes[_attributes(resource_metrics.resource)[0]] += resource_metrics.ByteSize()
    return _shares(len(body.content), sizes), False


def _shares(size_bytes: int, weights: Counter[str]) -> dict[str, int]:
    """A body's bytes by set-up, adding up to all of them; stray where it is empty."""
    whole = weights.total()
    if not whole:
        return {STRAY: size_bytes}
    shares = {setup: size_bytes * weight // whole for setup, weight in weights.items()}
    shares[next(iter(shares))] += size_bytes - sum(shares.values())
    return shares


def _attributes(resource: Resource) -> tuple[str, str, int | None]:
    """Set-up, service and epoch that a resource names."""
    values = {item.key: item.value.string_value for item in resource.attributes}
    epoch = values.get(EPOCH_ATTRIBUTE, "")
    return (
        values.get(SETUP_ATTRIBUTE, STRAY),
        values.get(SERVICE_ATTRIBUTE, ""),
        int(epoch) if epoch.isdecimal() and len(epoch) < 9 else None,
    )


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if number < len(words) else words[0]


def _longest_root(resource_spans: ResourceSpans) -> tuple[int, bytes] | None:
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


def _trace_spans(body: Body, traces: Iterable[str] | None = None) -> Iterator[TraceSpan]:
    """A body's spans.

    Args:
        body: one that cannot be decoded has none.
        traces: only spans of these, in hexadecimal; None: of all.
    """
    message = _message(body)
    if traces is not None and not any(bytes.fromhex(trace) in message for trace in traces):
        return
    yield from spans_of(_request(body), traces)


def spans_of(request: ExportTraceServiceRequest, traces: Iterable[str] | None = None) -> Iterator[TraceSpan]:
    """An export request's spans.

    Args:
        request: the message.
        traces: only spans of these, in hexadecimal; None: of all.
    """
    for resource_spans in request.resource_spans:
        setup, service, _ = _attributes(resource_spans.resource)
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
