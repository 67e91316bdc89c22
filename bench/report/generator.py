"""The comparison of load generators as people read it."""

from collections.abc import Sequence

from bench.report.words import ABSENT, Table, count, megabytes
from bench.runner.generator import Generator


def generators_table(found: Sequence[Generator]) -> Table:
    """What each generator needs."""
    return Table(
        heads=(
            "generator", "CPU us per request", "times FastHttpUser", "95 % interval", "requests/s meanwhile",
            "rate held with\nlag p99 < 1 ms", "memory MB",
        ),
        right=(False, *([True] * 6)),
        rows=tuple(
            (
                each.name,
                f"{each.cpu_s * 1e6:.0f}",
                ABSENT if each.ratio is None else f"{each.ratio:.2f}",
                ABSENT if each.low is None or each.high is None else f"[{each.low:.2f}, {each.high:.2f}]",
                count(round(each.per_s)),
                ABSENT if each.held_per_s is None else count(round(each.held_per_s)),
                megabytes(each.memory_bytes),
            )
            for each in found
        ),
    )  # fmt: skip
