"""OTLP's JSON, as spans are printed and as trace backends answer: protobuf's own mapping.

It differs from protobuf's mapping in one thing: ids are hexadecimal instead of base64. Enumerations are
numbers. What a backend adds to it is ignored.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from bench.receiver.decoding import SERVICE_ATTRIBUTE, spans_of
from bench.receiver.messages import KINDS, STATUSES, TraceSpan, Value

IDS = ("traceId", "spanId", "parentSpanId")


def decode(document: object) -> tuple[TraceSpan, ...]:
    """All spans of a document.

    Raises:
        DecodeError: it is none.
    """
    try:
        message = json_format.ParseDict(
            _with_ids(document, lambda text: base64.b64encode(bytes.fromhex(text)).decode()),
            ExportTraceServiceRequest(),
            ignore_unknown_fields=True,
        )
    except (json_format.ParseError, ValueError) as error:
        raise msgspec.DecodeError(str(error)) from None
    # Setups are known to the receiver alone.
    return tuple(replace(span, setup="") for span in spans_of(message))


def encode(spans: Sequence[TraceSpan]) -> Any:  # noqa: ANN401 - a JSON document
    """The spans as a document."""
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.service, span.scope), []).append(_span(span))
    message = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_attributes({SERVICE_ATTRIBUTE: service})),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=scope), spans=members)],
            )
            for (service, scope), members in groups.items()
        ]
    )
    document = json_format.MessageToDict(message, use_integers_for_enums=True)
    return _with_ids(document, lambda text: base64.b64decode(text).hex())


def _span(span: TraceSpan) -> Span:
    return Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=Span.SpanKind.Name(KINDS.index(span.kind)),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(span.attributes),
        events=[
            Span.Event(name=event.name, time_unix_nano=event.at_ns, attributes=_attributes(event.attributes))
            for event in span.events
        ],
        status=Status(code=Status.StatusCode.Name(STATUSES.index(span.status)), message=span.message),
    )


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)


def _with_ids(value: Any, convert: Callable[[str], str]) -> Any:  # noqa: ANN401 - a JSON document
    """A document with its ids written in another way."""
    match value:
        case dict():
            return {
                key: convert(item) if key in IDS and isinstance(item, str) else _with_ids(item, convert)
                for key, item in value.items()
            }
        case list():
            return [_with_ids(item, convert) for item in value]
        case _:
            return value
