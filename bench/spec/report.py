"""The specification's report as people read it."""

from bench.analysis.stats import Interval
from bench.report.document import Caveats, Document, Section, Text, document, section
from bench.report.words import ABSENT, Table, count, percent, significant
from bench.spec.emission import AtRate, SpecReport

ABOUT = (
    "Spans have no parent; the service has a name and a version of ten characters and an instance id; "
    "every span is sampled; processors have their default settings. The receiver is a process of its own "
    "that answers at once and keeps the bytes; it counts after an iteration, and a span counts when it is "
    "there."
)
ITEMS = {
    "throughput": "Throughput: spans created and exported, ten attributes of 20 + 20 characters, one core",
    "cpu": "CPU and delivery at {rate} spans/s, one integer attribute and one event each",
    "memory": "Memory in the same scenario",
}


def report(found: SpecReport, *more: Section) -> Document:
    """The report that the specification asks for.

    Args:
        found: what the iterations found.
        more: what else a report ends with.
    """
    times = "1 repeat" if found.repeats == 1 else f"{found.repeats} repeats"
    return document(
        "OpenTelemetry's performance benchmark: the SDK for Python",
        [
            Text(
                text=f"{times}, OTLP over {found.protocol}. {ABOUT}",
            ),
            *(Text(text=sentence, red=True) for sentence in verdicts(found)),
        ],
        section(ITEMS["throughput"], throughput_table(found)),
        section(ITEMS["cpu"].format(rate=f"{found.rate_per_s:,.0f}"), cpu_table(found)),
        section(ITEMS["memory"], memory_table(found)),
        section("Caveats", Caveats(caveats=found.caveats)),
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
        right=(False, True, True, True, True, True),
        rows=tuple(
            (
                each.processor,
                _value(each.per_s),
                _ends(each.per_s),
                _value(each.per_cpu_s),
                _ends(each.per_cpu_s),
                count(each.lost),
            )
            for each in report.throughput
        ),
        red=frozenset(at for at, each in enumerate(report.throughput) if each.lost),
    )  # fmt: skip


def cpu_table(report: SpecReport) -> Table:
    """Item 2."""
    return Table(
        heads=(
            "processor", "rate held", "created/s", "delivered/s", "delivered of created",
            "average CPU %", "95 % interval", "peak CPU %", "CPU us per span",
        ),
        right=(False, False, *([True] * 7)),
        rows=tuple(
            (
                each.processor,
                "yes" if each.held else "NO",
                _value(each.achieved_per_s),
                _value(each.delivered_per_s),
                f"{count(each.delivered)} of {count(each.created)}",
                f"{each.cpu.value * 100:.1f}",
                _ends(each.cpu, 100),
                f"{each.cpu_peak * 100:.1f}",
                significant(each.cpu_per_span_s.value * 1e6),
            )
            for each in report.at_rate
        ),
        red=frozenset(at for at, each in enumerate(report.at_rate) if not each.held),
    )  # fmt: skip


def memory_table(report: SpecReport) -> Table:
    """Item 3."""
    return Table(
        heads=("processor", "growth MB", "95 % interval", "largest USS MB"),
        right=(False, True, True, True),
        rows=tuple(
            (
                each.processor,
                f"{each.growth_bytes.value / 1e6:.1f}",
                _ends(each.growth_bytes, 1e-6),
                f"{each.uss_peak_bytes / 1e6:.1f}",
            )
            for each in report.at_rate
        ),
    )


def verdicts(report: SpecReport) -> tuple[str, ...]:
    """Each rate that was not held, in a sentence."""
    return tuple(_verdict(each, report.rate_per_s) for each in report.at_rate if not each.held)


IDLE = 0.5
"""A process that had so little of a CPU was not what kept the rate from being held."""


def _verdict(each: AtRate, rate_per_s: float) -> str:
    lost = each.created - each.delivered
    share = f" and {count(lost)} spans ({percent(lost / max(each.created, 1), sign=False)} %) were lost"
    if not lost and each.cpu_peak < IDLE:
        return (
            f"{count(round(rate_per_s))} spans/s were not held with the {each.processor} processor, which "
            f"had {each.cpu.value * 100:.0f} % of a CPU and lost nothing: the machine or a short iteration "
            f"is the reason; {count(round(each.achieved_per_s.value))}/s were created."
        )
    return (
        f"{count(round(rate_per_s))} spans/s cannot be held here with the {each.processor} processor: "
        f"{count(round(each.achieved_per_s.value))}/s were created{share if lost else ''}, "
        f"{count(round(each.delivered_per_s.value))}/s arrived."
    )


def _value(interval: Interval) -> str:
    return count(round(interval.value))


def _ends(interval: Interval, scale: float = 1.0) -> str:
    if interval.low is None or interval.high is None:
        return ABSENT
    return f"[{significant(interval.low * scale)}, {significant(interval.high * scale)}]"
