"""Several applications beside each other: what tracing costs a request of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.records import Summary
from bench.analysis.setup_records import Cost, SetupSummary
from bench.app.setups import EVERYTHING
from bench.report import vega
from bench.report.document import Chart, Document, Section, document, section
from bench.report.words import ABSENT, MICROSECONDS, Table, duration, half_width, percent, plural

FILE = "applications.json"
ABOUT = (
    "Each row is a run of its own: an application against its own untraced baseline, everything sampled, "
    "batch processor, OTLP over http. Microseconds are those of this machine; percentages depend on what the "
    "rest of a request costs, so a cheap request has a large one. Where nothing else is said, load is light; "
    "busy CPU and throughput belong together. Per span is the slope through the setups "
    "of a run that export in batches: what one more span adds, without what being instrumented costs at all."
)

ABOUT_FRAMEWORKS = (
    "The same application with the same work in each request; what differs is the framework and its "
    "instrumentation. More spans are more work: an ASGI instrumentation has spans of receive and send, too."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApplicationCost:
    """What tracing everything costs one application.

    Attributes:
        name: of the application.
        valid: whether its run counts.
        complete: whether every span is accounted for.
        cpu_per_request_s: of the baseline.
        spans: of a request; absent where none was received.
        cost: of tracing everything; absent without such a setup.
        per_span_s: CPU seconds of one more span; absent where too few setups differ in spans.
        saturation_ratio: overhead at full load; absent without full load.
        off_ratio: overhead with nothing sampled; absent without such a setup.
        throughput: change of a busy instance's requests per second.
    """

    name: str
    valid: bool
    complete: bool
    cpu_per_request_s: float | None = None
    spans: float | None = None
    cost: Cost | None = None
    per_span_s: float | None = None
    saturation_ratio: float | None = None
    off_ratio: float | None = None
    throughput: float | None = None


def cost_of(summary: Summary) -> ApplicationCost:
    """A run's row."""
    setup, off = summary.setup(EVERYTHING), summary.setup("always-off")
    base = summary.setups[0].cost
    return ApplicationCost(
        name=summary.app.name,
        valid=summary.valid,
        complete=all(setup.accounting.complete is True for setup in summary.setups),
        cpu_per_request_s=base.cpu_per_request_s if base else None,
        spans=_spans(setup) if setup else None,
        cost=setup.cost if setup else None,
        per_span_s=summary.cost_model.per_span_s if summary.cost_model else None,
        saturation_ratio=setup.saturation.ratio if setup and setup.saturation else None,
        off_ratio=off.cost.ratio if off and off.cost else None,
        throughput=setup.throughput.ratio if setup and setup.throughput else None,
    )


def _spans(setup: SetupSummary) -> float | None:
    accounting = setup.accounting
    return (
        accounting.spans_received / accounting.requests
        if accounting.requests and accounting.spans_received
        else None
    )


def _added_s(row: ApplicationCost) -> float:
    return (row.cost.added_s if row.cost else None) or 0.0


def table(costs: Sequence[ApplicationCost]) -> Table:
    """An application each, from cheap to dear."""
    rows = [(row.cost or Cost(), row) for row in sorted(costs, key=_added_s)]
    return Table(
        heads=(
            "application", "CPU us", "spans", "added us", "95 % interval", "CPU %", "+-",
            "full-load CPU %", "throughput %", "nothing sampled %", "us per span", "accounting",
        ),
        left=(0, 11),
        rows=tuple(
            (
                row.name,
                MICROSECONDS.figure(row.cpu_per_request_s),
                ABSENT if row.spans is None else f"{row.spans:g}",
                MICROSECONDS.figure(cost.added_s, sign=True),
                MICROSECONDS.interval(cost.added_low_s, cost.added_high_s),
                percent(cost.ratio),
                half_width(cost.low, cost.high),
                percent(row.saturation_ratio),
                percent(row.throughput),
                percent(row.off_ratio),
                MICROSECONDS.figure(row.per_span_s),
                "complete" if row.complete else "NOT COMPLETE",
            )
            for cost, row in rows
        ),
        red=frozenset(at for at, (_, row) in enumerate(rows) if not (row.valid and row.complete)),
    )  # fmt: skip


def chart(costs: Sequence[ApplicationCost]) -> Chart | None:
    """What tracing everything costs each application, and what a busy one answers less."""
    rows = [
        vega.change_row(row.name, "CPU", row.cost.ratio, (row.cost.low, row.cost.high))
        for row in sorted(costs, key=_added_s)
        if row.valid and row.cost and row.cost.ratio is not None
        if row.cost.low is not None and row.cost.high is not None
    ]
    return vega.changes(
        rows, "change of CPU per request, %", "What tracing everything costs, with 95 % intervals"
    )


def report(costs: Sequence[ApplicationCost], *more: Section) -> Document:
    """The page, which ends with further sections."""
    invalid = [cost.name for cost in costs if not cost.valid]
    return document(
        "What tracing costs these applications",
        [_answer(costs)],
        section(
            "Tracing everything",
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


def _answer(costs: Sequence[ApplicationCost]) -> str:
    """The range, in a sentence."""
    known = [row.cost for row in costs if row.valid and row.cost and row.cost.ratio is not None]
    ratios = sorted(cost.ratio or 0.0 for cost in known)
    added = sorted(cost.added_s or 0.0 for cost in known)
    if not known:
        return "No run is valid."
    return (
        f"Tracing everything costs these {plural(len(known), 'application')} between "
        f"{percent(ratios[0])} and {percent(ratios[-1])} % CPU: {duration(added[0])} to "
        f"{duration(added[-1])} per request."
    )


def _frameworks(costs: Sequence[ApplicationCost]) -> list[tuple[str, list[ApplicationCost]]]:
    """Runs of one application on several frameworks: their names differ in what follows the last dash."""
    by_name: dict[str, list[ApplicationCost]] = {}
    for cost in costs:
        by_name.setdefault(cost.name.rpartition("-")[0], []).append(cost)
    return [(name, alike) for name, alike in by_name.items() if name and len(alike) > 1]
