"""One trace as a scenario: its spans in order, where the time went, and who is to blame.

Everything follows from the spans alone, as for a reader who has only a trace backend. A span whose
parent is not there begins a tree of its own; nothing is left out. Attribute names are those of both of
OpenTelemetry's semantic conventions for HTTP, old and new.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.receiver.messages import TraceSpan, Value

PORT = ("server.port", "net.host.port", "net.peer.port")
URL = ("url.full", "http.url")
FAILED, BROKEN, TIMED_OUT = 400, 500, 504
GAP_SHARE = 0.5
"""Share of a request above which a gap is reported; work between two spans takes less."""
LATE = ("Timeout", "timed out", "did not answer within")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A span in its place in the tree: how deep it stands."""

    span: TraceSpan
    depth: int


def rows(spans: Sequence[TraceSpan]) -> tuple[Row, ...]:
    """The spans of one or more traces, each below its parent, in the order of time."""
    known = {span.span_id for span in spans}
    children: dict[str, list[TraceSpan]] = {}
    for span in sorted(spans, key=lambda other: (other.start_ns, -other.end_ns)):
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    rows_: list[Row] = []
    open_ = [(span, 0) for span in reversed(children.get("", []))]
    while open_:
        span, depth = open_.pop()
        rows_.append(Row(span=span, depth=depth))
        open_ += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
    return tuple(rows_)


def traces(spans: Iterable[TraceSpan]) -> dict[str, tuple[TraceSpan, ...]]:
    """Spans by trace, the earliest trace first."""
    by_trace: dict[str, list[TraceSpan]] = {}
    for span in sorted(spans, key=lambda other: other.start_ns):
        by_trace.setdefault(span.trace_id, []).append(span)
    return {trace_id: tuple(members) for trace_id, members in by_trace.items()}


def tree(spans: Iterable[TraceSpan]) -> Counter[tuple[str, ...]]:
    """The identity of a tree: service, ids, parent, name (in lower case) and kind of each span.

    Spans are counted: a tree in which a span occurs twice is a different tree.
    """
    return Counter(
        (
            span.service,
            span.trace_id,
            span.span_id,
            span.parent_id,
            span.name.lower(),
            span.kind,
        )
        for span in spans
    )


def export_gaps(spans: Sequence[TraceSpan]) -> str | None:
    """How long no innermost span ran, in a sentence, for a setup that exports every span as it ends.

    What a service does between two spans of its own is in there, too; so nothing is said of a small share.
    """
    parents = {span.parent_id for span in spans}
    root = rows(spans)[0].span if spans else None
    if root is None:
        return None
    leaves = sorted(
        (max(span.start_ns, root.start_ns), min(span.end_ns, root.end_ns))
        for span in spans
        if span.span_id not in parents
    )
    ran_ns, until_ns = 0, root.start_ns
    for start_ns, end_ns in leaves:
        ran_ns += max(end_ns - max(start_ns, until_ns), 0)
        until_ns = max(until_ns, end_ns)
    gap_s = root.duration_s - ran_ns / 1e9
    if gap_s < root.duration_s * GAP_SHARE:
        return None
    return (
        f"In {seconds(gap_s)} of the {seconds(root.duration_s)} no span ran: the simple processor exports "
        "each one as it ends, in the thread that answers requests."
    )


def diagnosis(spans: Sequence[TraceSpan]) -> str:
    """What happened, in one sentence; from the first root span and what lies below it."""
    ordered = rows(spans)
    if not ordered:
        return "There are no spans: nothing was sampled."
    apart = len(traces(spans))
    if apart > 1:
        return (
            f"{apart} traces and nothing that ties them together: each service sees its own part only, and "
            "none of them says whose request it was."
        )
    root = ordered[0].span
    saw = (
        f"the client saw {root.answered}"
        if root.answered
        else f"the client waited {seconds(root.duration_s)}"
    )
    calls = [row for row in ordered if row.span.kind == "client"]
    broken = [row for row in calls if row.span.failed]
    if broken:
        # The deepest call that failed: what is above it only passed the failure on; the first one,
        # because what was called off afterwards is a consequence.
        deepest = max(row.depth for row in broken)
        first = min((row.span for row in broken if row.depth == deepest), key=lambda span: span.start_ns)
        return f"{_failure(first, spans)}; {saw}."
    if root.failed or not calls:
        return f"{root.service} did this itself in {seconds(root.duration_s)}; {saw}."
    slowest = max((row.span for row in calls), key=lambda span: span.duration_s - _below(span, spans))
    share = f"{slowest.duration_s / max(root.duration_s, 1e-9) * 100:.0f} %"
    return (
        f"{slowest.service} waited {seconds(slowest.duration_s)} for {_peer(slowest, spans)}, {share} of the "
        f"{seconds(root.duration_s)} that the request took; {saw}."
    )


def _failure(call: TraceSpan, spans: Sequence[TraceSpan]) -> str:
    """What went wrong with a call, in half a sentence."""
    peer, status = _peer(call, spans), call.answered
    if status == TIMED_OUT or _timed_out(call):
        return f"{call.service} waited {seconds(call.duration_s)} for {peer}, which timed out"
    if status is None:
        return f"{peer} failed {call.service} ({call.message or 'without saying why'})"
    if status < BROKEN:
        return f"{peer} said no to {call.service} ({status}{_reason(call, spans)})"
    return f"{peer} failed {call.service} ({status})"


def _timed_out(call: TraceSpan) -> bool:
    """Whether a call says so: by the exception that ended it, or by its status."""
    texts = [str(event.attributes.get("exception.type", "")) for event in call.events]
    texts += [str(event.attributes.get("exception.message", "")) for event in call.events]
    return any(word in text for text in [*texts, call.message] for word in LATE)


def _below(span: TraceSpan, spans: Sequence[TraceSpan]) -> float:
    """Seconds of the calls that were made to answer this one."""
    inside = [other for other in spans if other.parent_id == span.span_id]
    calls = [other for other in inside if other.kind == "client"]
    return sum(other.duration_s for other in calls) + sum(
        _below(other, spans) for other in inside if other not in calls
    )


def _peer(call: TraceSpan, spans: Sequence[TraceSpan]) -> str:
    """The called service: the one with a span below the call, or the one that listens on its port."""
    below = next((other.service for other in spans if other.parent_id == call.span_id), None)
    if below and below != call.service:
        return below
    ports = {
        value: other.service
        for other in spans
        if other.kind == "server"
        for value in (_first(other.attributes, PORT),)
        if value
    }
    port = _first(call.attributes, PORT) or _port_of(_first(call.attributes, URL) or "")
    return ports.get(port or "", "what it called")


def _port_of(url: str) -> str | None:
    host = url.partition("://")[2].partition("/")[0]
    return host.rpartition(":")[2] if ":" in host else None


def _reason(call: TraceSpan, spans: Sequence[TraceSpan]) -> str:
    """The event that says why, if one does."""
    inside = [other for other in spans if other.parent_id == call.span_id]
    deep = [*inside, *(other for span in inside for other in spans if other.parent_id == span.span_id)]
    named = next((event.name for other in deep for event in other.events if event.name != "exception"), "")
    return f", {named}" if named else ""


def _first(attributes: Mapping[str, Value], names: Sequence[str]) -> str | None:
    return next((str(attributes[name]) for name in names if name in attributes), None)


def seconds(length_s: float) -> str:
    """A length of time as a person says it."""
    return f"{length_s:.1f} s" if length_s >= 1 else f"{length_s * 1e3:.0f} ms"
