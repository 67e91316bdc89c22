"""Does anything grow under load for long? A table with slopes, and a chart of memory over time."""

from bench.report import vega
from bench.report.document import Chart, Document, Section, document, section
from bench.report.words import Table, plural
from bench.studies.soak.figures import Growth, Soak

KIB = 1024
ABOUT = (
    "{instances} at half of the capacity (open model). Every ten "
    "seconds, with no requests in flight, memory (what a process has written and does not share), threads, "
    "open files and temporary files are read. The first fifth of the time is ignored. A slope is that of a "
    "line through the medians of eight phases; its 95 % interval holds for all processes at once. A process "
    "grows if its whole interval is over the smallest relevant growth, 10 KB for 1,000 requests. Threads "
    "and open files are the minimum in the first and in the last quarter of that time. The receiver, the "
    "load and the harness are the harness's own processes; they are no part of the answer."
)


def report(result: Soak, *more: Section) -> Document:
    """The whole report, which ends with further sections."""
    return document(
        "Does anything grow under load?",
        [_answer(result), ABOUT.format(instances=_instances(result))],
        section("Memory, threads and files", _chart(result), table(result)),
        *more,
    )


def _instances(result: Soak) -> str:
    if not result.setups:
        return "One instance, every request traced by the batch processor,"
    return f"Instances of {', '.join(result.setups)} side by side, each"


def _answer(result: Soak) -> str:
    minutes = plural(round(result.seconds / 60), "minute")
    expected = result.spans_expected
    lost = "" if expected is None else f", {expected - result.spans} of {expected:,} spans lost"
    growing = [growth.name for growth in result.growths if growth.grows and not growth.own]
    what = f"Growing: {', '.join(growing)};" if growing else "Nothing grows"
    return (
        f"{what} in {minutes} at {result.rate_per_s:.0f} requests/s: {result.completed:,} "
        f"answered, {result.failed} failed{lost}; temporary files: {result.files[0]} at the beginning, "
        f"{result.files[1]} at the end."
    )


def table(result: Soak) -> Table:
    """A process each."""
    return Table(
        heads=(
            "process",
            "MB",
            "at the end",
            "KB per min",
            "95 % interval",
            "threads",
            "open files",
            "verdict",
        ),
        left=(0, 7),
        rows=tuple(
            (
                growth.name,
                f"{growth.first_bytes / 2**20:.1f}",
                f"{growth.last_bytes / 2**20:.1f}",
                _per_minute(growth.per_s),
                "-" if growth.low is None else f"[{_per_minute(growth.low)}, {_per_minute(growth.high)}]",
                f"{growth.threads[0]} to {growth.threads[1]}",
                f"{growth.descriptors[0]} to {growth.descriptors[1]}",
                _verdict(growth),
            )
            for growth in result.growths
        ),
        red=frozenset(
            number for number, growth in enumerate(result.growths) if growth.grows and not growth.own
        ),
    )


def _per_minute(per_s: float | None) -> str:
    return "-" if per_s is None else f"{per_s * 60 / KIB:+.2f}"


def _verdict(growth: Growth) -> str:
    if growth.per_s is None or growth.low is None or growth.high is None:
        return "too short to tell"
    if growth.low > growth.relevant_per_s:
        return f"grows by {growth.per_s * 3600 / 2**20:.2f} MB an hour"
    if growth.grows:
        return "holds more threads or files"
    return "does not grow" if growth.high < growth.relevant_per_s else "inconclusive: run for longer"


def _chart(result: Soak) -> Chart:
    """Memory over time, a line for each process."""
    rows: vega.Rows = [
        {
            "minute": at_s / 60,
            "MB": size / 2**20,
            "process": growth.name,
            "figure": f"{growth.name}: {growth.course[0][1] / 2**20:.1f} MB at first, "
            f"{growth.course[-1][1] / 2**20:.1f} MB at the end",
        }
        for growth in result.growths
        for at_s, size in growth.course
    ]
    names = [growth.name for growth in result.growths]
    line: vega.Spec = {
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "minute", "type": "quantitative", "title": "minutes"},
            "y": {"field": "MB", "type": "quantitative", "title": "MB"},
            "color": vega.kinds("process", names),
            "tooltip": vega.tooltip("figure"),
        },
    }
    return vega.chart("Memory over time", rows, [line], (9, vega.ROW))
