"""What clients feel when the backend of tracing fails, and what becomes of the spans."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bench.app.records import BASELINE
from bench.plan.records import Count

NO_EFFECT, ALIKE = "no effect on clients", ", as without tracing"
FELT_S, FELT_TIMES = 0.05, 2.0
"""A client feels it if the median grows by so much, and to so many times what it was: all setups share
the machine, and what one does to it the others feel."""
LATE_S = 0.5
"""Some clients do if the longest answer takes so much longer."""
STALL_S = 0.1
"""An event loop that is silent for so much longer."""
SLOW_STOP_S = 3.0
GROWTH_BYTES = 10 * 1024 * 1024


class Fault(StrEnum):
    """What is wrong; the value is its name on the command line."""

    NONE = "healthy"
    CUT = "nothing-listens"
    MUTE = "never-answers"
    UNAVAILABLE = "503"
    LATER = "503-retry-after"
    ERROR = "500"
    SLOW = "answers-after-2s"
    DRIP = "byte-a-second"
    GONE = "gone-for-20s"
    OVERFLOW = "queue-overflows"
    TERM = "service-stopped"
    KILL = "service-killed"


WORDS = {
    Fault.NONE: "healthy backend",
    Fault.CUT: "nothing listens",
    Fault.MUTE: "accepts and never answers",
    Fault.UNAVAILABLE: "answers 503",
    Fault.LATER: "answers 503 with Retry-After 30",
    Fault.ERROR: "answers 500",
    Fault.SLOW: "answers after 2 s",
    Fault.DRIP: "answers a byte a second",
    Fault.GONE: "gone for 20 s and back",
    Fault.OVERFLOW: "a queue that overflows before a healthy backend",
    Fault.TERM: "the first service gets SIGTERM under load",
    Fault.KILL: "the first service gets SIGKILL under load",
}


class Where(StrEnum):
    """Where spans were lost."""

    REFUSED = "refused by the backend"
    UNDELIVERED = "never delivered"
    QUEUE = "pushed out of the queue"
    KILLED = "queued when it was killed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One setup under one fault, while clients came at planned times.

    Attributes:
        fault: what was wrong.
        setup: how the application was traced.
        latencies_s: of requests answered as expected, from the planned send.
        failed: requests answered otherwise, or not in time.
        duration_s: from the first planned arrival to the last answer.
        stall_s: the longest silence of an event loop; None where the application does not tell.
        growth_bytes: of memory, from the beginning of the load to its end.
        made: spans that ended and were sampled since before the fault; None where nobody can know.
        received: of these, duplicates left out.
        duplicated: spans that came more than once.
        rejected: spans that the backend saw, refused, and never got otherwise.
        stop_s: from SIGTERM until all processes had ended.
        stop_limit_s: after which they were killed.
    """

    fault: Fault
    setup: str
    latencies_s: tuple[float, ...]
    failed: Count
    duration_s: float
    stall_s: float | None
    growth_bytes: int
    made: Count | None
    received: Count
    duplicated: Count
    rejected: Count
    stop_s: float
    stop_limit_s: float

    @property
    def requests(self) -> int:
        """All that were sent."""
        return len(self.latencies_s) + self.failed

    @property
    def per_s(self) -> float:
        """Requests answered as expected."""
        return len(self.latencies_s) / self.duration_s if self.duration_s else 0.0

    def quantile_s(self, q: float) -> float | None:
        """A quantile of latency; None where a request stands that failed, and so took for ever."""
        values = [*self.latencies_s, *([math.inf] * self.failed)]
        if not values:
            return None
        with np.errstate(invalid="ignore"):
            value = float(np.quantile(values, q))
        return value if math.isfinite(value) else None

    @property
    def max_s(self) -> float | None:
        """The longest answer."""
        return max(self.latencies_s, default=None)

    @property
    def lost(self) -> int | None:
        """Spans that never came; None where nobody can know."""
        return None if self.made is None else max(self.made - self.received, 0)

    @property
    def where(self) -> Where | None:
        """Where most of them were lost."""
        if not self.lost:
            return None
        if self.rejected * 2 >= self.lost:
            return Where.REFUSED
        if self.fault is Fault.OVERFLOW:
            return Where.QUEUE
        return Where.KILLED if self.fault is Fault.KILL else Where.UNDELIVERED


def clients(cell: Cell, cells: Sequence[Cell]) -> str:
    """What clients feel, compared with the same setup and a healthy backend.

    Args:
        cell: whose.
        cells: of the whole measurement.
    """
    healthy, plain = _of(cells, Fault.NONE, cell.setup), _of(cells, cell.fault, BASELINE)
    sentences = []
    if cell.failed > (healthy.failed if healthy else 0):
        alike = ALIKE if plain and plain is not cell and cell.failed <= plain.failed * 1.1 + 1 else ""
        sentences.append(f"{cell.failed} of {cell.requests} requests fail{alike}")
    median, usual = cell.quantile_s(0.5), healthy.quantile_s(0.5) if healthy else None
    longest, usual_longest = cell.max_s, healthy.max_s if healthy else None
    slower = _slower(cells, cell.fault)
    if (
        median is not None
        and usual is not None
        and median > usual * slower * FELT_TIMES
        and median - usual > FELT_S
    ):
        sentences.append(f"half of them wait {_s(median)} or more instead of {_s(usual)}")
    elif longest is not None and usual_longest is not None and longest - usual_longest * slower > LATE_S:
        sentences.append(f"some wait up to {_s(longest)}")
    return "; ".join(sentences) or NO_EFFECT


def _slower(cells: Sequence[Cell], fault: Fault) -> float:
    """How much slower the machine was than with the healthy backend, as the untraced setup shows it."""
    now, before = (_of(cells, when, BASELINE) for when in (fault, Fault.NONE))
    medians = [one.quantile_s(0.5) if one else None for one in (now, before)]
    if medians[0] is None or not medians[1]:
        return 1.0
    return max(medians[0] / medians[1], 1.0)


def spans(cell: Cell) -> str:
    """What becomes of the spans."""
    if cell.lost is None:
        return f"{cell.received:,} spans arrived, out of an unknown number"
    text = "no span lost" if not cell.lost else f"{cell.lost:,} of {cell.made:,} spans lost ({cell.where})"
    return f"{text}, {cell.duplicated:,} came twice" if cell.duplicated else text


def verdict(cell: Cell, cells: Sequence[Cell]) -> str:
    """A cell in words."""
    parts = [clients(cell, cells), *([spans(cell)] if cell.made != 0 else [])]
    healthy = _of(cells, Fault.NONE, cell.setup)
    if cell.stop_s >= cell.stop_limit_s:
        parts.append(f"had not stopped after {cell.stop_limit_s:.0f} s and was killed")
    elif cell.stop_s - (healthy.stop_s if healthy else 0.0) > SLOW_STOP_S:
        parts.append(f"takes {cell.stop_s:.0f} s to stop")
    if healthy and cell.growth_bytes - healthy.growth_bytes > GROWTH_BYTES:
        parts.append(f"memory grows by {cell.growth_bytes / 2**20:.0f} MB")
    return "; ".join(parts)


def is_harmful(cell: Cell, cells: Sequence[Cell]) -> bool:
    """True if clients feel it, and would not feel it without tracing."""
    return cell.setup != BASELINE and not clients(cell, cells).endswith((NO_EFFECT, ALIKE))


def _of(cells: Sequence[Cell], fault: Fault, setup: str) -> Cell | None:
    return next((cell for cell in cells if (cell.fault, cell.setup) == (fault, setup)), None)


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
