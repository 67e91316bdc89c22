"""Microbenchmarks as people read them."""

from bench.analysis.stats import Interval
from bench.report.document import Caveats, Document, Section, Text, document, section
from bench.report.words import ABSENT, Table, count, plural, significant
from bench.studies.micro.figures import MicroSummary, Timing

HOW = (
    "*CPU µs* is the CPU time of an operation that a process repeats in a loop, with warm caches. *Cold* is "
    "that of a single operation after an untraced request of the built-in application has used the same "
    "CPU, as in a service, and after another one where the operation waits for a response; predictions use "
    "cold figures. In each replicate a fresh process times each operation once, in a shuffled order; the "
    "95 % intervals are over replicates. Each value is divided by the cost of plain Python code (the "
    "reference) just before and after it, and multiplied by the cost of that code in the whole run, which "
    "removes changes of the machine's speed. `micro.json` has pyperf's format: `python -m pyperf stats "
    "micro.json`."
)
REQUEST = "CPU instructions of a request of the built-in application, all services in one process"


def report(summary: MicroSummary, *more: Section) -> Document:
    """The report of a microbenchmark.

    Args:
        summary: what it found.
        more: what else a report ends with.
    """
    return document(
        "What one operation of tracing costs",
        [Text(text=headline(summary), red=not summary.valid)],
        *sections(summary),
        section("Caveats", Caveats(caveats=summary.caveats)),
        *more,
    )


def sections(summary: MicroSummary | None) -> list[Section]:
    """Its tables; nothing without a microbenchmark."""
    if summary is None:
        return []
    return [
        section("Microbenchmarks", timing_table(summary), HOW),
        *([section(REQUEST, request_table(summary), level=3)] if summary.run.requests else []),
    ]


def headline(summary: MicroSummary) -> str:
    """What a microbenchmark did, in one sentence."""
    proof = (
        "every operation passed its self-check"
        if summary.valid
        else "NOT every operation passed its self-check"
    )
    counts = plural(len(summary.timings), "operation"), plural(summary.run.replicates, "replicate")
    return f"{' in '.join(counts)}; {proof}."


def timing_table(summary: MicroSummary) -> Table:
    """What each operation costs."""
    counted = any(timing.instructions for timing in summary.timings)
    cold = any(timing.cold_s for timing in summary.timings)
    return Table(
        heads=(
            "operation", "what it is", "CPU µs", "95 % interval",
            *(("cold µs", "95 % interval") if cold else ()),
            "x reference",
            *(("instructions",) if counted else ()),
        ),
        left=(0, 1),
        rows=tuple(
            (
                timing.name,
                timing.sentence,
                significant(timing.cpu_s.value * 1e6),
                _ends(timing.cpu_s, 1e6),
                *(_cold(timing) if cold else ()),
                significant(timing.ratio.value),
                *((_whole(timing.instructions),) if counted else ()),
            )
            for timing in summary.timings
        ),
    )  # fmt: skip


def request_table(summary: MicroSummary) -> Table:
    """CPU instructions of a request, all services in one process."""
    requests = summary.run.requests
    base = next(iter(requests.values()), 0.0)
    return Table(
        heads=("setup", "instructions per request", "added", "added %"),
        rows=tuple(
            (
                name,
                _whole(instructions),
                ABSENT if instructions == base else f"{instructions - base:+,.0f}",
                ABSENT if instructions == base else f"{(instructions / base - 1) * 100:+.2f}",
            )
            for name, instructions in requests.items()
        ),
    )


def _ends(interval: Interval, scale: float) -> str:
    if interval.low is None or interval.high is None:
        return ABSENT
    return f"[{significant(interval.low * scale)}, {significant(interval.high * scale)}]"


def _cold(timing: Timing) -> tuple[str, str]:
    if timing.cold_s is None:
        return ABSENT, ABSENT
    return significant(timing.cold_s.value * 1e6), _ends(timing.cold_s, 1e6)


def _whole(instructions: float | None) -> str:
    return ABSENT if instructions is None else count(round(instructions))
