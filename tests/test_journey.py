"""A trace as a scenario: the tree, who is to blame, and what becomes of it on a page."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.receiver import otlp_json as otlp
from bench.receiver.messages import KINDS, SpanEvent, TraceSpan
from bench.report import html, markdown
from bench.traces import report as trace_report
from bench.traces.journey import diagnosis, export_gaps, rows, seconds, traces

MS = 10**6


def span(  # noqa: PLR0917 - a span is what it is
    service: str,
    name: str,
    parent: str = "",
    kind: str = "server",
    start: int = 0,
    end: int = 100,
    status: int | None = None,
    *,
    error: bool = False,
    events: tuple[SpanEvent, ...] = (),
    trace: str = "aa",
) -> TraceSpan:
    return TraceSpan(
        service=service, trace_id=trace, span_id=name.encode().hex(), parent_id=parent.encode().hex(),
        name=name, kind=kind,
        start_ns=start * MS, end_ns=end * MS, status="error" if error else "unset",
        attributes={} if status is None else {"http.status_code": status}, events=events,
    )  # fmt: skip


def checkout(
    status: int | None,
    seen: int,
    *,
    events: tuple[SpanEvent, ...] = (),
    length: int = 150,
    error: bool = True,
) -> list[TraceSpan]:
    """A checkout whose call to payment-service ended so."""
    return [
        span("frontend-app", "root", status=seen, end=length + 20, error=error),
        span("frontend-app", "call-order", "root", "client", 5, length + 15, seen, error=error),
        span("order-service", "order", "call-order", "server", 6, length + 14, seen, error=error),
        span(
            "order-service", "call-pay", "order", "client", 7, 7 + length, status, error=error, events=events
        ),
        span("payment-service", "pay", "call-pay", "server", 8, 8 + length, status),
    ]


LATE = (SpanEvent(name="exception", at_ns=157 * MS, attributes={"exception.type": "httpx.ReadTimeout"}),)


@pytest.mark.parametrize(
    ("spans", "sentence"),
    [
        (
            checkout(201, 201, error=False),
            (
                "order-service waited 150 ms for payment-service, 88 % of the 170 ms that the request took; "
                "the client saw 201."
            ),
        ),
        (
            checkout(402, 402),
            "payment-service said no to order-service (402); the client saw 402.",
        ),
        (
            checkout(None, 504, events=LATE, length=2000),
            "order-service waited 2.0 s for payment-service, which timed out; the client saw 504.",
        ),
        (
            checkout(500, 502),
            "payment-service failed order-service (500); the client saw 502.",
        ),
        (
            checkout(None, 502),
            "payment-service failed order-service (without saying why); the client saw 502.",
        ),
        (
            [span("frontend-app", "root", status=400)],
            "frontend-app did this itself in 100 ms; the client saw 400.",
        ),
        ([], "There are no spans: nothing was sampled."),
    ],
    ids=["ok", "declined", "timeout", "broken", "silent", "itself", "none"],
)
def test_one_sentence_says_what_happened(spans: list[TraceSpan], sentence: str) -> None:
    assert diagnosis(spans) == sentence


def test_time_in_which_exports_kept_the_service_busy_is_named() -> None:
    """A child of 10 ms and another of 20 ms in a request of 100 ms."""
    spans = [
        span("web", "root", status=200),
        span("web", "first", parent="root", start=0, end=10),
        span("web", "second", parent="root", start=60, end=80),
    ]
    sentence = export_gaps(spans)
    assert sentence
    assert sentence.startswith("In 70 ms of the 100 ms no span ran")
    saturation = [*spans, span("web", "third", parent="root", start=10, end=70)]
    assert export_gaps(saturation) is None


def test_what_is_not_tied_together_is_said_to_be_so() -> None:
    apart = [span(name, name, trace=name) for name in ("a", "b", "c")]
    assert diagnosis(apart).startswith("3 traces and nothing that ties them together")
    assert list(traces(apart)) == ["a", "b", "c"]


@given(st.permutations(range(5)))
def test_the_tree_does_not_depend_on_the_order_in_which_spans_came(order: list[int]) -> None:
    spans = checkout(201, 201)
    found = rows([spans[at] for at in order])
    assert [(row.span.name, row.depth) for row in found] == [
        ("root", 0), ("call-order", 1), ("order", 2), ("call-pay", 3), ("pay", 4),
    ]  # fmt: skip


def test_a_span_whose_parent_is_missing_is_shown_all_the_same() -> None:
    assert [row.depth for row in rows(checkout(201, 201)[3:])] == [0, 1]


def test_bars_lie_where_the_time_went() -> None:
    table = trace_report.table(rows(checkout(201, 201, error=False)), width=10)
    assert table.rows[0][6] == "█" * 10
    assert table.rows[4][6].startswith("█")
    assert table.red == frozenset()
    assert trace_report.table(rows(checkout(402, 402)), 10).red == frozenset(range(5))


def test_a_page_and_markdown_tell_the_scenario() -> None:
    spans = tuple(checkout(None, 504, events=LATE))
    told = trace_report.Told(
        title="x", sentence="A late one.", spans=spans, cpu_s={"payment-service": 0.01}, how="again"
    )
    shown = trace_report.report(told)
    page = html.render(shown)
    assert "which timed out" in page
    assert "<svg" in page
    indented = "\N{ZERO WIDTH SPACE}" + "\N{NO-BREAK SPACE}" * 2 + "call-order"
    assert indented in page, "a label that begins with spaces loses them"
    assert "ReadTimeout" in markdown.render(shown)


def test_a_span_too_short_to_be_seen_is_drawn_as_a_line() -> None:
    shown = trace_report.chart(
        rows([span("frontend-app", "root", end=1000), span("frontend-app", "x", "root", end=0)])
    )
    assert shown is not None
    values = json.loads(json.dumps(shown.spec))["data"]["values"]
    assert [row["end"] for row in values] == [1000.0, 4.0]
    assert values[1]["figure"].endswith("0.00 ms")


def test_otlp_json_has_the_kinds_of_values_that_it_should() -> None:
    found = json.loads(json.dumps(otlp.encode(checkout(201, 201))))
    first = found["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert first["kind"] == 2
    assert [KINDS.index(kind) for kind in ("internal", "client")] == [1, 3]
    assert first["attributes"] == [{"key": "http.status_code", "value": {"intValue": "201"}}]
    assert "parentSpanId" not in first
    spans = [span for group in found["resourceSpans"] for span in group["scopeSpans"][0]["spans"]]
    ids = {span["name"]: span["spanId"] for span in spans}
    assert ids["root"] == b"root".hex()
    assert first["traceId"] == "aa"
    assert {span["name"]: span.get("parentSpanId") for span in spans}["order"] == ids["call-order"]
    names = {
        span["name"]
        for resource in found["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    assert names == {"root", "call-order", "order", "call-pay", "pay"}


@pytest.mark.parametrize(("length", "text"), [(0.0123, "12 ms"), (2.04, "2.0 s")])
def test_a_length_of_time_is_said_as_a_person_does(length: float, text: str) -> None:
    assert seconds(length) == text
