"""What a trace backend's own API says of a trace, as spans.

What a backend cannot keep (Zipkin knows no internal spans and writes names in small letters) is read
as it is; `journey.tree` compares what all of them can.
"""

import msgspec

from bench.receiver import otlp_json as otlp
from bench.receiver.messages import SpanEvent, TraceSpan


class _Endpoint(msgspec.Struct, rename="camel"):
    service_name: str = ""


class _Annotation(msgspec.Struct):
    timestamp: int
    value: str


class _Zipkin(msgspec.Struct, rename="camel"):
    trace_id: str
    id: str
    timestamp: int = 0
    duration: int = 0
    name: str = ""
    parent_id: str = ""
    kind: str = "INTERNAL"
    local_endpoint: _Endpoint = msgspec.field(default_factory=_Endpoint)
    tags: dict[str, str] = {}
    annotations: list[_Annotation] = []


def jaeger(body: bytes) -> tuple[TraceSpan, ...]:
    """The spans of an answer of Jaeger's `/api/v3/traces/ID`.

    Raises:
        DecodeError: it is none.
    """
    return _otlp(body, "result")


def aspire(body: bytes) -> tuple[TraceSpan, ...]:
    """The spans of an answer of the Aspire dashboard's `/api/telemetry/traces/ID`.

    Raises:
        DecodeError: it is none.
    """
    return _otlp(body, "data")


def _otlp(body: bytes, key: str) -> tuple[TraceSpan, ...]:
    content = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get(key)
    return otlp.decode(msgspec.json.decode(content, type=dict[str, object])) if content else ()


def zipkin(body: bytes) -> tuple[TraceSpan, ...]:
    """The spans of an answer of Zipkin's `/api/v2/trace/ID`; times there are in microseconds.

    Raises:
        DecodeError: it is none.
    """
    return tuple(
        TraceSpan(
            service=span.local_endpoint.service_name,
            trace_id=span.trace_id,
            span_id=span.id,
            parent_id=span.parent_id,
            name=span.name,
            kind=span.kind.lower(),
            start_ns=span.timestamp * 1000,
            end_ns=(span.timestamp + span.duration) * 1000,
            status="error" if "error" in span.tags else "unset",
            message=span.tags.get("error", ""),
            attributes=dict(span.tags),
            events=tuple(
                SpanEvent(name=annotation.value, at_ns=annotation.timestamp * 1000)
                for annotation in span.annotations
            ),
        )
        for span in msgspec.json.decode(body, type=list[_Zipkin])
    )
