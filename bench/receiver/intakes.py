"""What other tracers send: their spans, as far as an account needs them.

Each is accepted on the paths of its maker's own server, on the receiver's port for OTLP over http. As with
OTLP nothing here trusts a body: what cannot be read belongs to no setup and is counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

from bench.receiver.messages import (
    MAX_OTHER_BYTES,
    MAX_PARTS,
    REPLICATE_ATTRIBUTE,
    SETUP_ATTRIBUTE,
    STRAY,
    Format,
)
from bench.receiver.spans import Span

Spans: TypeAlias = Iterator[tuple[str, Span | None]]
"""Spans with their setup; None stands for what it sent besides."""

DATADOG_VERSIONS = {"/v0.4/traces": Format.DATADOG_04, "/v0.5/traces": Format.DATADOG_05}
ELASTIC_PATH = "/intake/v2/events"
ANSWERS = {
    "/": {"version": "8.17.0"},
    "/info": {"version": "7.60.0", "endpoints": list(DATADOG_VERSIONS), "client_drop_p0s": False},
}
"""Self-descriptions of Elastic's and Datadog's servers, to which their agents adapt."""


UNREADABLE = (
    msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
"""Exceptions that a malformed body can raise here."""


def format_of(method: str, path: str) -> Format | None:
    """What an export request to this path holds; None for any other path."""
    if method in {"POST", "PUT"} and path in DATADOG_VERSIONS:
        return DATADOG_VERSIONS[path]
    if method == "POST" and path == ELASTIC_PATH:
        return Format.ELASTIC
    parts = path.split("/")
    if method == "POST" and parts[:2] == ["", "api"] and parts[3:] == ["envelope", ""]:
        return Format.SENTRY
    return None


ACCEPTED = {
    Format.DATADOG_04: (HTTPStatus.OK, b'{"rate_by_service":{}}'),
    Format.DATADOG_05: (HTTPStatus.OK, b'{"rate_by_service":{}}'),
    Format.ELASTIC: (HTTPStatus.ACCEPTED, b""),
    Format.SENTRY: (HTTPStatus.OK, b"{}"),
}
"""How an export request is answered."""


def spans_of(content: bytes, format_: Format) -> dict[str, list[Span]]:
    """The spans that a body holds, by setup; those that its tracer says not to keep are left out.

    Raises:
        Exception: one of `UNREADABLE`; the body is not what it says.
    """
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    if not content:
        # A flush of a tracer that has nothing.
        return spans
    if len(content) > MAX_OTHER_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_OTHER_BYTES} bytes")
    for count, (setup, span) in enumerate(READERS[format_](content)):
        if count == MAX_PARTS:
            raise ValueError(f"it has more than {MAX_PARTS} spans")
        spans[setup] += [span] if span else []
    return spans


def _number(value: object) -> bytes:
    """An id that came as a number; empty for none."""
    return int(value).to_bytes(8, "big") if isinstance(value, int) and value else b""


def _nanoseconds(value: object, unit_ns: int) -> int:
    """A time or a length in nanoseconds; 0 where it is not known.

    Args:
        value: a number, or a time in ISO 8601.
        unit_ns: what the number counts.
    """
    if isinstance(value, str):
        return round(datetime.fromisoformat(value).timestamp() * 10**9)
    return round(value * unit_ns) if isinstance(value, int | float) else 0


def _replicate(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdigit() else None


# ---------------------------------------------------------------- Datadog


KEEP = "_sampling_priority_v1"
"""Set on a trace's first span in each process; 0 or less tells the agent to drop the trace it received."""


def _datadog_04(content: bytes) -> Spans:
    """https://docs.datadoghq.com/tracing/guide/send_traces_to_agent_by_api."""
    for chunk in msgspec.msgpack.decode(content, type=list[list[dict[str, Any]]]):
        yield from _chunk(chunk)


def _datadog_05(content: bytes) -> Spans:
    """As 0.4, but every text is a number: its place in a list of texts that comes first."""
    words, chunks = msgspec.msgpack.decode(content, type=tuple[list[str], list[list[list[Any]]]])
    for chunk in chunks:
        yield from _chunk([_spelled(words, span) for span in chunk])


def _spelled(words: list[str], span: list[Any]) -> dict[str, Any]:
    service, name, resource, trace_id, span_id, parent_id, start, duration, _error, meta, metrics, _type = (
        span
    )
    return {
        "service": words[service],
        "name": words[name],
        "resource": words[resource],
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent_id,
        "start": start,
        "duration": duration,
        "meta": {words[key]: words[value] for key, value in meta.items()},
        "metrics": {words[key]: value for key, value in metrics.items()},
    }


def _chunk(spans: list[dict[str, Any]]) -> Spans:
    """The part of a trace that one process has made."""
    tags: Mapping[str, object] = next(
        (span["meta"] for span in spans if SETUP_ATTRIBUTE in span.get("meta", {})), {}
    )
    setup, replicate = str(tags.get(SETUP_ATTRIBUTE, STRAY)), _replicate(tags.get(REPLICATE_ATTRIBUTE))
    if any(span.get("metrics", {}).get(KEEP, 1) <= 0 for span in spans):
        yield setup, None
        return
    # A span may have the service of its integration; the process's own is that of the local root.
    own = {span["span_id"] for span in spans}
    service = next((span["service"] for span in spans if span.get("parent_id") not in own), "")
    for span in spans:
        meta, start_ns = span.get("meta", {}), _nanoseconds(span.get("start"), 1)
        yield (
            setup,
            Span(
                str(service),
                _number(span["trace_id"]),
                _number(span["span_id"]),
                _number(span.get("parent_id")),
                str(meta.get("component", "")),
                str(meta.get("span.kind", "")),
                str(span.get("name", "")),
                replicate,
                start_ns,
                start_ns + _nanoseconds(span.get("duration"), 1),
            ),
        )


# ---------------------------------------------------------------- Elastic


def _elastic(content: bytes) -> Spans:
    """Lines of JSON: metadata, then transactions, spans and more (Elastic's intake, version 2)."""
    lines = content.splitlines()
    metadata = msgspec.json.decode(lines[0])["metadata"]
    labels: Mapping[str, object] = metadata.get("labels", {})
    # Labels have no dots.
    setup = str(labels.get(SETUP_ATTRIBUTE.replace(".", "_"), STRAY))
    replicate = _replicate(labels.get(REPLICATE_ATTRIBUTE.replace(".", "_")))
    service = str(metadata["service"]["name"])
    yield setup, None
    for line in lines[1:]:
        event = msgspec.json.decode(line)
        for kind in ("transaction", "span"):
            if kind in event and event[kind].get("sampled", True):
                span = event[kind]
                start_ns = _nanoseconds(span.get("timestamp"), 10**3)
                yield (
                    setup,
                    Span(
                        service,
                        str(span["trace_id"]).encode(),
                        str(span["id"]).encode(),
                        str(span.get("parent_id") or "").encode(),
                        str(span.get("type", "")),
                        "server" if kind == "transaction" else "client",
                        str(span.get("name", "")),
                        replicate,
                        start_ns,
                        start_ns + _nanoseconds(span.get("duration"), 10**6),
                    ),
                )


# ---------------------------------------------------------------- Sentry


def _sentry(content: bytes) -> Spans:
    """An envelope: a line of JSON, then items, each a header and what it holds (Sentry's envelope format)."""
    # By positions: slicing off the rest after every item would take quadratic time.
    at = _end_of_line(content, 0)
    while at < len(content):
        end = _end_of_line(content, at)
        line, at = content[at:end], end
        if not line.strip():
            continue
        header = msgspec.json.decode(line, type=dict[str, Any])
        length = header.get("length")
        end = _end_of_line(content, at) if length is None else at + int(length)
        if end < at:
            raise ValueError("an item has a length below 0")
        if header.get("type") == "transaction":
            yield from _transaction(msgspec.json.decode(content[at:end], type=dict[str, Any]))
        at = end


def _end_of_line(content: bytes, start: int) -> int:
    """The place after the line that begins at a place."""
    return (content.find(b"\n", start) + 1) or len(content)


def _transaction(event: dict[str, Any]) -> Spans:
    tags = event.get("tags", {})
    setup, replicate = str(tags.get(SETUP_ATTRIBUTE, STRAY)), _replicate(tags.get(REPLICATE_ATTRIBUTE))
    root = event["contexts"]["trace"]
    for span, name in _named(event, root):
        yield (
            setup,
            Span(
                str(event.get("server_name", "")),
                str(root["trace_id"]).encode(),
                str(span["span_id"]).encode(),
                str(span.get("parent_span_id") or "").encode(),
                str(span.get("origin", "")),
                str(span.get("op", "")),
                name,
                replicate,
                _nanoseconds(span.get("start_timestamp"), 10**9),
                _nanoseconds(span.get("timestamp"), 10**9),
            ),
        )


def _named(event: dict[str, Any], root: dict[str, Any]) -> Iterable[tuple[dict[str, Any], str]]:
    times = {name: event.get(name) for name in ("start_timestamp", "timestamp")}
    yield root | times, str(event.get("transaction", ""))
    for span in event.get("spans", ()):
        yield span, str(span.get("description", ""))


READERS = {
    Format.DATADOG_04: _datadog_04,
    Format.DATADOG_05: _datadog_05,
    Format.ELASTIC: _elastic,
    Format.SENTRY: _sentry,
}
