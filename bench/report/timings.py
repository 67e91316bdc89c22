"""Microbenchmarks as people read them."""

from bench.report.words import ABSENT, Table, count
from bench.timings import Interval, MicroSummary, Timing


def timing_table(summary: MicroSummary, sentences: dict[str, str]) -> Table:
    """What each operation costs."""
    counted = any(timing.instructions for timing in summary.timings)
    return Table(
        heads=(
            "operation", "what it is", "CPU us", "95 % interval", "x reference",
            *(("instructions",) if counted else ()),
        ),
        right=(False, False, True, True, True, *((True,) if counted else ())),
        rows=tuple(
            (
                timing.name,
                sentences.get(timing.name, ""),
                significant(timing.cpu_s.value * 1e6),
                _ends(timing.cpu_s, 1e6),
                significant(timing.ratio.value),
                *((_whole(timing.instructions),) if counted else ()),
            )
            for timing in _sorted(summary, sentences)
        ),
        red=frozenset(),
    )  # fmt: skip


def checkout_table(summary: MicroSummary) -> Table:
    """CPU instructions of a checkout, four services in one process."""
    checkouts = summary.run.checkouts
    base = next(iter(checkouts.values()), 0.0)
    return Table(
        heads=("set-up", "instructions per checkout", "extra", "extra %"),
        right=(False, True, True, True),
        rows=tuple(
            (
                name,
                _whole(found),
                ABSENT if found == base else f"{found - base:+,.0f}",
                ABSENT if found == base else f"{(found / base - 1) * 100:+.2f}",
            )
            for name, found in checkouts.items()
        ),
        red=frozenset(),
    )


def _sorted(summary: MicroSummary, sentences: dict[str, str]) -> list[Timing]:
    """In the order of the table of operations, not in that of the first round."""
    places = {name: place for place, name in enumerate(sentences)}
    return sorted(summary.timings, key=lambda timing: places.get(timing.name, len(places)))


def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return count(round(value))
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ends(interval: Interval, scale: float) -> str:
    if interval.low is None or interval.high is None:
        return ABSENT
    return f"[{significant(interval.low * scale)}, {significant(interval.high * scale)}]"


def _whole(instructions: float | None) -> str:
    return ABSENT if instructions is None else count(round(instructions))
