"""OTLP's JSON, as spans are printed and as trace backends answer.

Rule 1: opentelemetry-proto, JSON encoding: ids in hexadecimal, 64-bit numbers as text, enumerations
as numbers. What a backend adds to it is ignored.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench.sink.messages import KINDS, STATUSES, SpanEvent, TraceSpan, Value


class _Any(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | None = None

    @property
    def value(self) -> Value:
        """What it holds; '' for lists and the like."""
        if self.int_value is not None:
            return int(self.int_value)
        held = (self.string_value, self.bool_value, self.double_value)
        return next((each for each in held if each is not None), "")


class _Attribute(msgspec.Struct):
    key: str
    value: _Any = msgspec.field(default_factory=_Any)


class _Event(msgspec.Struct, rename="camel"):
    name: str = ""
    time_unix_nano: str = "0"
    attributes: list[_Attribute] = []


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str
    span_id: str
    name: str = ""
    parent_span_id: str = ""
    kind: int = 0
    start_time_unix_nano: str = "0"
    end_time_unix_nano: str = "0"
    attributes: list[_Attribute] = []
    events: list[_Event] = []
    status: _Status = msgspec.field(default_factory=_Status)


class _Scope(msgspec.Struct):
    name: str = ""


class _ScopeSpans(msgspec.Struct):
    scope: _Scope = msgspec.field(default_factory=_Scope)
    spans: list[_Span] = []


class _Resource(msgspec.Struct):
    attributes: list[_Attribute] = []


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource = msgspec.field(default_factory=_Resource)
    scope_spans: list[_ScopeSpans] = []


class Traces(msgspec.Struct, rename="camel"):
    """A message with spans."""

    resource_spans: list[_ResourceSpans] = []


def decode(message: Traces) -> tuple[TraceSpan, ...]:
    """All spans of a message."""
    found = []
    for resource_spans in message.resource_spans:
        service = str(_values(resource_spans.resource.attributes).get("service.name", ""))
        for scope_spans in resource_spans.scope_spans:
            found += [_trace_span(span, service, scope_spans.scope.name) for span in scope_spans.spans]
    return tuple(found)


def _trace_span(span: _Span, service: str, scope: str) -> TraceSpan:
    return TraceSpan(
        service=service,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        name=span.name,
        kind=KINDS[span.kind] if 0 <= span.kind < len(KINDS) else KINDS[0],
        start_ns=int(span.start_time_unix_nano),
        end_ns=int(span.end_time_unix_nano),
        status=STATUSES[span.status.code] if 0 <= span.status.code < len(STATUSES) else STATUSES[0],
        message=span.status.message,
        attributes=_values(span.attributes),
        events=tuple(
            SpanEvent(name=event.name, at_ns=int(event.time_unix_nano), attributes=_values(event.attributes))
            for event in span.events
        ),
        scope=scope,
    )


def _values(attributes: Iterable[_Attribute]) -> dict[str, Value]:
    return {item.key: item.value.value for item in attributes}


def encode(spans: Sequence[TraceSpan]) -> dict[str, object]:
    """The spans as a message."""
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for span in spans:
        found.setdefault((span.service, span.scope), []).append(
            {
                "traceId": span.trace_id,
                "spanId": span.span_id,
                **({"parentSpanId": span.parent_id} if span.parent_id else {}),
                "name": span.name,
                "kind": KINDS.index(span.kind),
                "startTimeUnixNano": str(span.start_ns),
                "endTimeUnixNano": str(span.end_ns),
                "attributes": _attributes(span.attributes),
                "events": [
                    {
                        "timeUnixNano": str(event.at_ns),
                        "name": event.name,
                        "attributes": _attributes(event.attributes),
                    }
                    for event in span.events
                ],
                "status": {"code": STATUSES.index(span.status), "message": span.message},
            }
        )
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": service})},
                "scopeSpans": [{"scope": {"name": scope}, "spans": mine}],
            }
            for (service, scope), mine in found.items()
        ]
    }


def _attributes(values: Mapping[str, Value]) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, object]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": value}
