"""One trace as people read it: a waterfall, what happened in it, and CPU beside wall time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.receiver.messages import KeptTrace, TraceSpan
from bench.report import vega
from bench.report.document import Chart, Document, Items, Text, document, section
from bench.report.words import ABSENT, Table, milliseconds
from bench.traces.journey import Row, diagnosis, export_gaps, rows, traces

BAR = 40
NARROW = 24
"""Characters of the waterfall's bars, on a page and in a terminal."""
NARROWEST = 0.004
"""Smallest share of the chart's width that a span gets, so that short ones stay visible."""
INDENT = "\N{NO-BREAK SPACE}" * 2
ABOUT_CPU = (
    "Wall time is the longest span that a service has; CPU is what its process used from the request until "
    "the spans that had ended by the answer were exported. A second that a service waits is no second of "
    "work."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A trace with its explanation, whatever its source.

    Attributes:
        title: of the report.
        sentence: what goes on.
        spans: of one or more traces.
        cpu_s: CPU seconds by service; empty where they were not read.
        how: how to see it again.
        exports_inline: whether every span was exported as it ended.
        blames: whether its times say which service was slow; those of a run's time slices do not.
    """

    title: str
    sentence: str
    spans: tuple[TraceSpan, ...]
    cpu_s: Mapping[str, float]
    how: str
    exports_inline: bool = False
    blames: bool = True


def report(told: Told, width: int = BAR) -> Document:
    """A trace's report, its waterfall as wide as `width` characters."""
    spans, cpu_s = told.spans, told.cpu_s
    ordered = rows(spans)
    happened = events(ordered)
    return document(
        told.title,
        [
            told.sentence,
            export_gaps(spans) if told.exports_inline else None,
            Text(text=diagnosis(spans), red=any(row.span.failed for row in ordered)) if told.blames else None,
        ],
        section("Journey", chart(ordered), table(ordered, width)),
        section("What happened on the way", Items(items=happened) if happened else None),
        section(
            "CPU beside wall time", cpu_table(spans, cpu_s) if cpu_s else None, ABOUT_CPU if cpu_s else None
        ),
        section(
            "How to see it again",
            told.how,
            f"Trace {', '.join(f'`{trace_id}`' for trace_id in traces(spans))}." if spans else None,
        ),
    )


def table(ordered: Sequence[Row], width: int = BAR) -> Table:
    """Every span below its parent, with a bar from its start to its end."""
    begin, end = _ends(ordered)
    length = max(end - begin, 1)
    return Table(
        heads=("service", "span", "kind", "start ms", "took ms", "status", "waterfall"),
        left=(0, 1, 2, 5, 6),
        keys=2,
        rows=tuple(
            (
                row.span.service,
                f"{INDENT * row.depth}{row.span.name}",
                row.span.kind,
                milliseconds((row.span.start_ns - begin) / 1e9),
                milliseconds(row.span.duration_s),
                _status(row.span),
                _bar((row.span.start_ns - begin) / length, (row.span.end_ns - begin) / length, width),
            )
            for row in ordered
        ),
        red=frozenset(at for at, row in enumerate(ordered) if row.span.failed),
        drawn=6,
    )


def _ends(ordered: Sequence[Row]) -> tuple[int, int]:
    """The first start and the last end."""
    starts = [row.span.start_ns for row in ordered]
    return min(starts, default=0), max((row.span.end_ns for row in ordered), default=0)


def _status(span: TraceSpan) -> str:
    words = [str(span.answered)] if span.answered else []
    return " ".join([*words, *(["error"] if span.status == "error" else [])]) or ABSENT


def _bar(start: float, end: float, width: int) -> str:
    first = min(round(start * width), width - 1)
    last = max(round(end * width), first + 1)
    return "·" * first + "█" * (last - first)


def events(ordered: Sequence[Row]) -> tuple[str, ...]:
    """Everything that happened in a span, in the order of time."""
    begin, _ = _ends(ordered)
    events_ = sorted(
        ((event.at_ns, row.span, event) for row in ordered for event in row.span.events),
        key=lambda event: event[0],
    )
    lines = []
    for at_ns, span, event in events_:
        kind, message = (str(event.attributes.get(f"exception.{part}", "")) for part in ("type", "message"))
        more = f": {kind.rpartition('.')[2]} {message}".rstrip() if kind else ""
        lines.append(
            f"{milliseconds((at_ns - begin) / 1e9)} ms, {span.service}, {span.name}: {event.name}{more}"
        )
    return tuple(lines)


def cpu_table(spans: Sequence[TraceSpan], cpu_s: Mapping[str, float]) -> Table:
    """What every service waited and worked."""
    wall: dict[str, float] = {}
    for span in spans:
        wall[span.service] = max(wall.get(span.service, 0.0), span.duration_s)
    return Table(
        heads=("service", "wall ms", "CPU ms"),
        rows=tuple(
            (service, milliseconds(wall.get(service)), milliseconds(cpu)) for service, cpu in cpu_s.items()
        ),
    )


def kept_traces(kept: Sequence[KeptTrace], folder: str) -> Document:
    """The traces that a folder has kept: the slowest, and one of each damage."""
    damaged = [trace for trace in kept if trace.damage]
    return document(
        f"The slowest traces that {folder} has kept",
        [kept_table([trace for trace in kept if not trace.damage])],
        section("Damaged traces", kept_table(damaged) if damaged else None),
    )


def kept_table(kept: Sequence[KeptTrace], most: int = 10) -> Table:
    """Traces, the slowest first."""
    ordered = sorted(kept, key=lambda kept_trace: kept_trace.duration_s, reverse=True)[:most]
    is_damaged = any(trace.damage for trace in ordered)
    return Table(
        heads=("trace", "setup", "replicate", "ms", "spans", *(("damage",) if is_damaged else ())),
        left=(0, 1, 5),
        rows=tuple(
            (
                kept_trace.trace_id,
                kept_trace.setup,
                str(kept_trace.replicate),
                milliseconds(kept_trace.duration_s),
                str(len(kept_trace.spans)),
                *((kept_trace.damage,) if is_damaged else ()),
            )
            for kept_trace in ordered
        ),
    )


def chart(ordered: Sequence[Row]) -> Chart | None:
    """The waterfall, a colour a service."""
    if not ordered:
        return None
    begin, end = _ends(ordered)
    least = (end - begin) * NARROWEST
    nothing = "\N{ZERO WIDTH SPACE}"
    drawn: vega.Rows = [
        {
            # Spans with the same name need different labels: zero-width spaces differ. A label that
            # begins with spaces would lose them.
            "span": f"{nothing}{INDENT * row.depth}{row.span.name}{nothing * at}",
            "service": row.span.service,
            "start": (row.span.start_ns - begin) / 1e6,
            "end": (max(row.span.end_ns, row.span.start_ns + least) - begin) / 1e6,
            "figure": f"{row.span.service}, {row.span.name}: {milliseconds(row.span.duration_s)} ms",
        }
        for at, row in enumerate(ordered)
    ]
    services = list(dict.fromkeys(row.span.service for row in ordered))
    x = {"field": "start", "type": "quantitative", "title": "ms after the first span began"}
    y = vega.names("span", [row["span"] for row in drawn])
    axis = {"labelAlign": "left", "labelPadding": vega.LABELS, "labelLimit": vega.LABELS}
    bars: vega.Spec = {
        "mark": {"type": "bar", "height": 12, "minBandSize": 2},
        "encoding": {
            "x": x,
            "x2": {"field": "end"},
            "y": {**y, "axis": axis},
            "color": vega.kinds("service", services),
            "tooltip": vega.tooltip("figure"),
        },
    }
    return vega.chart("Where the time went, a colour a service", drawn, [bars], (len(drawn), 20))
