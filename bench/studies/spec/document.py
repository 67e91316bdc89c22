"""The specification's report as people read it."""

from bench.analysis.stats import Interval
from bench.report.document import Caveats, Document, Section, Text, document, section
from bench.report.words import ABSENT, Table, count, percent, plural, significant
from bench.studies.spec.figures import AtRate, SpecReport

ABOUT = (
    "Spans have no parent; the service has a name and a version of ten characters and an instance id; "
    "every span is sampled; processors have their default settings. The receiver is a separate process that "
    "responds at once and keeps the bytes; it counts the spans after each iteration. A span is delivered "
    "when the receiver has it."
)
ITEMS = {
    "throughput": "Throughput: spans created and exported, ten attributes of 20 + 20 characters, one core",
    "cpu": "CPU and delivery at {rate} spans/s, one integer attribute and one event each",
    "memory": "Memory in the same scenario",
}


def report(measured: SpecReport, *more: Section) -> Document:
    """The report that the specification asks for.

    Args:
        measured: what the iterations found.
        more: what else a report ends with.
    """
    times = plural(measured.replicates, "replicate")
    return document(
        "OpenTelemetry's performance benchmark: the SDK for Python",
        [
            Text(
                text=f"{times}, OTLP over {measured.protocol}. {ABOUT}",
            ),
            *(Text(text=sentence, red=True) for sentence in verdicts(measured)),
        ],
        section(ITEMS["throughput"], throughput_table(measured)),
        section(ITEMS["cpu"].format(rate=f"{measured.rate_per_s:,.0f}"), cpu_table(measured)),
        section(ITEMS["memory"], memory_table(measured)),
        section("Caveats", Caveats(caveats=measured.caveats)),
        *more,
        section("Files", "The iterations are in `iterations.jsonl`, the figures in `spec.json`."),
    )


def throughput_table(report: SpecReport) -> Table:
    """Item 1."""
    return Table(
        heads=(
            "processor", "spans/s on one core", "95 % interval",
            "spans per CPU second", "95 % interval", "lost",
        ),
        rows=tuple(
            (
                row.processor,
                _value(row.per_s),
                _ends(row.per_s),
                _value(row.per_cpu_s),
                _ends(row.per_cpu_s),
                count(row.lost),
            )
            for row in report.throughput
        ),
        red=frozenset(at for at, row in enumerate(report.throughput) if row.lost),
    )  # fmt: skip


def cpu_table(report: SpecReport) -> Table:
    """Item 2."""
    return Table(
        heads=(
            "processor", "rate held", "created/s", "delivered/s", "delivered of created",
            "average CPU %", "95 % interval", "peak CPU %", "CPU µs per span",
        ),
        left=(0, 1),
        rows=tuple(
            (
                row.processor,
                "yes" if row.held else "NO",
                _value(row.achieved_per_s),
                _value(row.delivered_per_s),
                f"{count(row.delivered)} of {count(row.created)}",
                f"{row.cpu.value * 100:.1f}",
                _ends(row.cpu, 100),
                f"{row.cpu_peak * 100:.1f}",
                significant(row.cpu_per_span_s.value * 1e6),
            )
            for row in report.at_rate
        ),
        red=frozenset(at for at, row in enumerate(report.at_rate) if not row.held),
    )  # fmt: skip


def memory_table(report: SpecReport) -> Table:
    """Item 3."""
    return Table(
        heads=("processor", "growth MB", "95 % interval", "largest USS MB"),
        rows=tuple(
            (
                row.processor,
                f"{row.growth_bytes.value / 1e6:.1f}",
                _ends(row.growth_bytes, 1e-6),
                f"{row.uss_peak_bytes / 1e6:.1f}",
            )
            for row in report.at_rate
        ),
    )


def verdicts(report: SpecReport) -> tuple[str, ...]:
    """Each rate that was not held, in a sentence."""
    return tuple(_verdict(row, report.rate_per_s) for row in report.at_rate if not row.held)


IDLE = 0.5
"""Peak share of a CPU below which the process itself did not limit the rate."""


def _verdict(row: AtRate, rate_per_s: float) -> str:
    lost = row.created - row.delivered
    share = f" and {count(lost)} spans ({percent(lost / max(row.created, 1), sign=False)} %) were lost"
    if not lost and row.cpu_peak < IDLE:
        return (
            f"{count(round(rate_per_s))} spans/s were not held with the {row.processor} processor, which "
            f"had {row.cpu.value * 100:.0f} % of a CPU and lost nothing: the machine or a short iteration "
            f"is the cause; {count(round(row.achieved_per_s.value))}/s were created."
        )
    return (
        f"{count(round(rate_per_s))} spans/s cannot be held here with the {row.processor} processor: "
        f"{count(round(row.achieved_per_s.value))}/s were created{share if lost else ''}, "
        f"{count(round(row.delivered_per_s.value))}/s arrived."
    )


def _value(interval: Interval) -> str:
    return count(round(interval.value))


def _ends(interval: Interval, scale: float = 1.0) -> str:
    if interval.low is None or interval.high is None:
        return ABSENT
    return f"[{significant(interval.low * scale)}, {significant(interval.high * scale)}]"
