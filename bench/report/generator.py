"""The comparison of load generators as people read it."""

from collections.abc import Sequence

from bench.report.words import ABSENT, Table, count, megabytes
from bench.runner.generator import Generator


def generators_table(generators: Sequence[Generator]) -> Table:
    """What each generator needs."""
    return Table(
        heads=(
            "generator", "CPU us per request", "times FastHttpUser", "95 % interval", "requests/s meanwhile",
            "rate held with\nlag p99 < 1 ms", "memory MB",
        ),
        right=(False, *([True] * 6)),
        rows=tuple(
            (
                generator.name,
                f"{generator.cpu_s * 1e6:.0f}",
                ABSENT if generator.ratio is None else f"{generator.ratio:.2f}",
                _interval(generator),
                count(round(generator.per_s)),
                ABSENT if generator.held_per_s is None else count(round(generator.held_per_s)),
                megabytes(generator.memory_bytes),
            )
            for generator in generators
        ),
    )  # fmt: skip


def _interval(generator: Generator) -> str:
    if generator.low is None or generator.high is None:
        return ABSENT
    return f"[{generator.low:.2f}, {generator.high:.2f}]"
