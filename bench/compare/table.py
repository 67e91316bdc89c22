"""Several applications beside each other: what tracing every request costs each of them."""

from collections.abc import Sequence

from bench.analysis.records import Cost
from bench.compare.comparison import AppCost
from bench.report import vega
from bench.report.document import Chart, Document, Section, document, section
from bench.report.words import (
    ABSENT,
    MICROSECONDS,
    Table,
    change_percent,
    duration,
    half_width,
    percent,
    plural,
)

ABOUT = (
    "Each row is a run of its own: an application relative to its own untraced baseline, every request "
    "sampled, batch processor, OTLP over HTTP. Microseconds are those of this machine; percentages depend on "
    "what the rest of a request costs, so a cheap request has a high one. Load is light unless the heading "
    "says otherwise. µs per span is the slope over the setups of a run that export in batches: the cost of "
    "one more span, without the fixed cost of instrumentation."
)

ABOUT_FRAMEWORKS = (
    "The same application does the same work in each request; the framework and its instrumentation differ. "
    "More spans cost more: ASGI instrumentations also create receive and send spans."
)


def _added_s(row: AppCost) -> float:
    return (row.cost.added_s if row.cost else None) or 0.0


def table(costs: Sequence[AppCost]) -> Table:
    """An application each, from cheap to expensive."""
    rows = [(row.cost or Cost(), row) for row in sorted(costs, key=_added_s)]
    return Table(
        heads=(
            "application", "CPU µs", "spans", "added µs", "95 % interval", "CPU %", "±",
            "full-load CPU %", "throughput %", "nothing sampled %", "µs per span", "accounting",
        ),
        left=(0, 11),
        rows=tuple(
            (
                row.name,
                MICROSECONDS.figure(row.cpu_per_request_s),
                ABSENT if row.spans is None else f"{row.spans:g}",
                MICROSECONDS.figure(cost.added_s, sign=True),
                MICROSECONDS.interval(cost.added_low_s, cost.added_high_s),
                change_percent(cost.change),
                half_width(cost.change),
                percent(row.saturation_ratio),
                percent(row.throughput_ratio),
                percent(row.off_ratio),
                # A slope below zero is noise: no span has a negative cost.
                ABSENT if (row.per_span_s or 0.0) < 0 else MICROSECONDS.figure(row.per_span_s),
                "complete" if row.complete else "INCOMPLETE",
            )
            for cost, row in rows
        ),
        red=frozenset(at for at, (_, row) in enumerate(rows) if not (row.valid and row.complete)),
    )  # fmt: skip


def chart(costs: Sequence[AppCost]) -> Chart | None:
    """What tracing every request costs each application."""
    rows = [
        vega.change_row(row.name, "CPU", row.cost.change)
        for row in sorted(costs, key=_added_s)
        if row.valid and row.cost and row.cost.change
    ]
    return vega.changes(
        rows, "change of CPU per request, %", "What tracing every request costs, with 95 % intervals"
    )


def report(costs: Sequence[AppCost], *more: Section) -> Document:
    """The page, which ends with further sections."""
    invalid = [cost.name for cost in costs if not cost.valid]
    return document(
        "What tracing costs these applications",
        [_answer(costs)],
        section(
            "Tracing every request",
            chart(costs),
            table(costs),
            ABOUT,
            f"Not valid, see its own report: {', '.join(invalid)}." if invalid else None,
        ),
        *(
            section(f"{name} on several frameworks", table(alike), ABOUT_FRAMEWORKS)
            for name, alike in _frameworks(costs)
        ),
        *more,
    )


def _answer(costs: Sequence[AppCost]) -> str:
    """The range, in a sentence."""
    known = [row.cost for row in costs if row.valid and row.cost and row.cost.change]
    ratios = sorted(cost.change.ratio for cost in known if cost.change)
    added = sorted(cost.added_s or 0.0 for cost in known)
    if not known:
        return "No run is valid."
    return (
        f"Tracing every request costs these {plural(len(known), 'application')} between "
        f"{percent(ratios[0])} and {percent(ratios[-1])} % CPU: {duration(added[0])} to "
        f"{duration(added[-1])} per request."
    )


def _frameworks(costs: Sequence[AppCost]) -> list[tuple[str, list[AppCost]]]:
    """Runs of one application on several frameworks: their names differ in what follows the last dash."""
    by_name: dict[str, list[AppCost]] = {}
    for cost in costs:
        by_name.setdefault(cost.name.rpartition("-")[0], []).append(cost)
    return [(name, alike) for name, alike in by_name.items() if name and len(alike) > 1]
