"""What the sink keeps: export requests as they came, and all that is read from them later.

Rule 1: a set-up's part of a body is what its resource names; a collector puts several into one.
Rule 2: the only module of the harness that imports OpenTelemetry, and only its message types.
"""

import asyncio
import contextlib
import gzip
import math
import secrets
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

from bench.journey import Event, Told, Value
from bench.ledger import Span, account
from bench.model import Account
from bench.otlp import KINDS, STATUSES
from bench.sink import STRAY, Seen

SETUP_ATTRIBUTE = "bench.setup"
SERVICE_ATTRIBUTE = "service.name"
PROTOBUF = "application/x-protobuf"
MARKER = "bench.marker"
"""The set-up of a span that only shows how far a collector has come; it is in no account."""
UNREADABLE = (DecodeError, OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Body:
    """An export request as it came."""

    content: bytes
    encoding: str = ""

    def unpacked(self) -> bytes:
        """Its OTLP message.

        Raises:
            OSError, EOFError, zlib.error: it is not what it says.
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
    """What came in since the last account."""

    def __init__(self) -> None:
        self._kept: list[Body] = []
        self._closed: list[Body] = []
        self._metrics: list[Body] = []
        self._seen: dict[str, Seen] = {}
        self._peeked = 0
        self._closed_at_ns = 0
        self._came = asyncio.Event()

    def keep(self, body: Body) -> None:
        """One export request with spans."""
        self._kept.append(body)
        self._came.set()

    def keep_metrics(self, body: Body) -> None:
        """One export request with metrics."""
        self._metrics.append(body)
        self._came.set()

    def peek(self) -> dict[str, Seen]:
        """What was kept so far, by set-up; each body is decoded once for it."""
        for body in self._kept[self._peeked :]:
            for part in _parts(body)[0]:
                before = self._seen.get(part.setup, Seen())
                self._seen[part.setup] = Seen(
                    spans=before.spans + len(part.spans),
                    exports=before.exports + 1,
                    bytes=before.bytes + part.size_bytes,
                )
        self._peeked = len(self._kept)
        return self._seen

    def tell(self) -> list[Told]:
        """Everything that the spans kept so far say; nothing is forgotten."""
        return [told for body in self._kept for told in _told_of(body)]

    def raw(self) -> tuple[Body, ...]:
        """The export requests with spans kept so far."""
        return tuple(self._kept)

    def exemplars(self) -> dict[str, list[Told]]:
        """The slowest trace of every set-up in the last account, as far as it came."""
        slowest: dict[str, tuple[int, bytes]] = {}
        for body in self._closed:
            for resource_spans in _request(body).resource_spans:
                setup, root = _setup_of(resource_spans.resource), _slowest_root(resource_spans)
                if root is not None and root > slowest.get(setup, (0, b"")):
                    slowest[setup] = root
        wanted = {trace.hex(): setup for setup, (_, trace) in slowest.items() if setup != STRAY}
        found: dict[str, list[Told]] = {}
        for body in self._closed:
            for told in _told_of(body, wanted):
                found.setdefault(wanted[told.trace_id], []).append(told)
        return found

    def close(self, shapes: dict[str, dict[str, int]]) -> dict[str, Account]:
        """The accounts by set-up of everything kept; the next ones begin anew."""
        kept, self._kept = self._kept, []
        self._closed = kept
        self._seen, self._peeked = {}, 0
        since_ns, self._closed_at_ns = self._closed_at_ns, time.time_ns()
        spans: defaultdict[str, list[Span]] = defaultdict(list)
        exports: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        undecodable: Counter[str] = Counter()
        metrics: Counter[str] = Counter()
        measured, self._metrics = self._metrics, []
        for body in measured:
            shares, failed = _metric_shares(body)
            undecodable[STRAY] += failed
            metrics.update(dict.fromkeys(shares, 1))
            sizes.update(shares)
        for body in kept:
            parts, failed = _parts(body)
            undecodable[STRAY] += failed
            for part in parts:
                exports[part.setup] += 1
                sizes[part.setup] += part.size_bytes
                spans[part.setup] += part.spans
        return {
            setup: account(
                spans[setup],
                shapes.get(setup, {}),
                exports=exports[setup],
                size_bytes=sizes[setup],
                undecodable=undecodable[setup],
                metrics=metrics[setup],
                since_ns=since_ns,
            )
            for setup in exports | metrics
            if setup != MARKER
        }

    async def came_through(self, trace: bytes, quiet_s: float, limit_s: float) -> bool:
        """Whether a marker has come, and nothing after it for a while; waits for both.

        Args:
            trace: id of the marker's trace.
            quiet_s: without any export request: what a collector sends in parallel may come later.
            limit_s: longest wait.
        """
        deadline = time.monotonic() + limit_s
        looked, marked = 0, False
        while time.monotonic() < deadline:
            self._came.clear()
            marked = marked or any(trace in _bytes(body) for body in self._kept[looked:])
            looked = len(self._kept)
            patience = quiet_s if marked else deadline - time.monotonic()
            try:
                await asyncio.wait_for(self._came.wait(), patience)
            except TimeoutError:
                return marked
        return False


def marker() -> tuple[bytes, bytes]:
    """An export request with one span that belongs to nobody, and its trace's id."""
    trace, now = secrets.token_bytes(16), time.time_ns()
    span = OtlpSpan(
        trace_id=trace,
        span_id=secrets.token_bytes(8),
        name="marker",
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    attributes = {SETUP_ATTRIBUTE: MARKER, SERVICE_ATTRIBUTE: MARKER}
    resource = Resource(
        attributes=[
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()
        ]
    )
    spans = ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])
    return ExportTraceServiceRequest(resource_spans=[spans]).SerializeToString(), trace


def rejected_spans(answer: bytes, kind: str) -> int:
    """How many spans of an export request a receiver says that it did not take (partial success)."""
    response = ExportTraceServiceResponse()
    if kind.partition(";")[0].strip() == PROTOBUF:
        with contextlib.suppress(DecodeError):
            response.MergeFromString(answer)
    return int(response.partial_success.rejected_spans)


def _bytes(body: Body) -> bytes:
    """A body's message; nothing where it cannot be unpacked."""
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
    """What each set-up has in a body, and whether it is none of OTLP's."""
    try:
        return decode(body), False
    except UNREADABLE:
        return [Part(STRAY, [], len(body.content))], True


def decode(body: Body) -> list[Part]:
    """What each set-up has in an export request; '' is the set-up of what names none.

    Raises:
        DecodeError, OSError, EOFError, zlib.error: the body is not what it says.
    """
    request = ExportTraceServiceRequest.FromString(body.unpacked())
    spans: dict[str, list[Span]] = {}
    sizes: Counter[str] = Counter()
    for resource_spans in request.resource_spans:
        attributes = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
        setup, service = attributes.get(SETUP_ATTRIBUTE, STRAY), attributes.get(SERVICE_ATTRIBUTE, "")
        sizes[setup] += resource_spans.ByteSize()
        spans.setdefault(setup, []).extend(
            Span(
                service,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                scope_spans.scope.name,
                span.start_time_unix_nano,
            )
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        )
    shares = _shares(len(body.content), sizes)
    return [Part(setup, spans.get(setup, []), size) for setup, size in shares.items()]


def _metric_shares(body: Body) -> tuple[dict[str, int], bool]:
    """The bytes of each set-up in an export request with metrics, and whether it is none of OTLP's."""
    try:
        request = ExportMetricsServiceRequest.FromString(body.unpacked())
    except UNREADABLE:
        return {STRAY: len(body.content)}, True
    sizes: Counter[str] = Counter()
    for resource_metrics in request.resource_metrics:
        sizes[_setup_of(resource_metrics.resource)] += resource_metrics.ByteSize()
    return _shares(len(body.content), sizes), False


def _shares(size_bytes: int, weights: Counter[str]) -> dict[str, int]:
    """A body's bytes by set-up, which add up to all of them; those of nobody where it is empty."""
    whole = weights.total()
    if not whole:
        return {STRAY: size_bytes}
    shares = {setup: size_bytes * weight // whole for setup, weight in weights.items()}
    shares[next(iter(shares))] += size_bytes - sum(shares.values())
    return shares


def _setup_of(resource: Resource) -> str:
    """The set-up that a resource names; '' for none."""
    named = (item.value.string_value for item in resource.attributes if item.key == SETUP_ATTRIBUTE)
    return next(named, STRAY)


def _slowest_root(resource_spans: ResourceSpans) -> tuple[int, bytes] | None:
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


def _told_of(body: Body, traces: Iterable[str] | None = None) -> Iterator[Told]:
    """Everything that a body's spans say.

    Args:
        body: nothing comes of one that is none of OTLP's.
        traces: only spans of these, in hexadecimal; absent: of all.
    """
    message = _bytes(body)
    if traces is not None and not any(bytes.fromhex(trace) in message for trace in traces):
        return
    for resource_spans in _request(body).resource_spans:
        service = str(_values(resource_spans.resource.attributes).get(SERVICE_ATTRIBUTE, ""))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if traces is None or span.trace_id.hex() in traces:
                    yield _told(span, service, scope_spans.scope.name)


def _told(span: OtlpSpan, service: str, scope: str) -> Told:
    return Told(
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS[span.kind] if span.kind < len(KINDS) else KINDS[0],
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=STATUSES[span.status.code] if span.status.code < len(STATUSES) else STATUSES[0],
        message=span.status.message,
        attributes=_values(span.attributes),
        events=tuple(
            Event(name=event.name, at_ns=event.time_unix_nano, attributes=_values(event.attributes))
            for event in span.events
        ),
        scope=scope,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes as they are; lists and the like as text, and so what JSON has no number for."""
    found = {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in attributes
    }
    return {
        name: value if isinstance(value, (str, bool, int)) or _is_number(value) else str(value)
        for name, value in found.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
