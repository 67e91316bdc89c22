"""What clients notice when the tracing backend fails, and what happens to the spans."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bench.app.records import BASELINE
from bench.plan.records import Count

NO_EFFECT, ALIKE = "no effect on clients", ", as without tracing"
FELT_S, FELT_TIMES = 0.05, 2.0
"""Clients notice a median that grows by this much and by this factor: setups share the machine, and each of
them slows the others down."""
LATE_S = 0.5
"""Some clients notice if the longest answer takes this much longer."""
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


class LostAt(StrEnum):
    """Where spans were lost."""

    REFUSED = "refused by the backend"
    UNDELIVERED = "never delivered"
    QUEUE = "pushed out of the queue"
    KILLED = "queued when it was killed"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultResult:
    """One setup under one fault, with requests at planned times.

    Attributes:
        fault: what was wrong.
        setup: how the application was traced.
        latencies_s: of requests answered as expected, from the planned send.
        failed: requests answered otherwise, or not in time.
        duration_s: from the first planned arrival to the last answer.
        stall_s: the longest silence of an event loop; None where the application does not note it.
        growth_bytes: of memory, from the beginning of the load to its end.
        made: spans that ended and were sampled since before the fault; None where it cannot be known.
        received: of these, duplicates left out.
        duplicated: spans that came more than once.
        rejected: spans that the backend saw and refused every time.
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
        """A quantile of latency; None where that request failed."""
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
        """Spans that never came; None where it cannot be known."""
        return None if self.made is None else max(self.made - self.received, 0)

    @property
    def where(self) -> LostAt | None:
        """Where most of them were lost."""
        if not self.lost:
            return None
        if self.rejected * 2 >= self.lost:
            return LostAt.REFUSED
        if self.fault is Fault.OVERFLOW:
            return LostAt.QUEUE
        return LostAt.KILLED if self.fault is Fault.KILL else LostAt.UNDELIVERED


def clients(result: FaultResult, results: Sequence[FaultResult]) -> str:
    """What clients notice, compared with the same setup and a healthy backend.

    With a healthy backend, a setup is compared with the untraced one.

    Args:
        result: whose.
        results: of the whole measurement.
    """
    healthy, plain = _of(results, Fault.NONE, result.setup), _of(results, result.fault, BASELINE)
    without = ""
    if result.fault is Fault.NONE and result.setup != BASELINE:
        healthy, without = plain, " without tracing"
    sentences = []
    if result.failed > (healthy.failed if healthy else 0):
        alike = ALIKE if plain and plain is not result and result.failed <= plain.failed * 1.1 + 1 else ""
        sentences.append(f"{result.failed} of {result.requests} requests fail{alike}")
    median, usual = result.quantile_s(0.5), healthy.quantile_s(0.5) if healthy else None
    longest, usual_longest = result.max_s, healthy.max_s if healthy else None
    slower = _slower(results, result.fault)
    if (
        median is not None
        and usual is not None
        and median > usual * slower * FELT_TIMES
        and median - usual > FELT_S
    ):
        sentences.append(f"half of them wait {_s(median)} or more instead of {_s(usual)}{without}")
    elif longest is not None and usual_longest is not None and longest - usual_longest * slower > LATE_S:
        sentences.append(f"some wait up to {_s(longest)}")
    return "; ".join(sentences) or NO_EFFECT


def _slower(results: Sequence[FaultResult], fault: Fault) -> float:
    """How much slower the machine was than with the healthy backend, as the untraced setup shows it."""
    now, before = (_of(results, when, BASELINE) for when in (fault, Fault.NONE))
    medians = [one.quantile_s(0.5) if one else None for one in (now, before)]
    if medians[0] is None or not medians[1]:
        return 1.0
    return max(medians[0] / medians[1], 1.0)


def spans(result: FaultResult) -> str:
    """What happened to the spans."""
    if result.lost is None:
        return f"{result.received:,} spans arrived, out of an unknown number"
    text = (
        "no span lost"
        if not result.lost
        else f"{result.lost:,} of {result.made:,} spans lost ({result.where})"
    )
    return f"{text}, {result.duplicated:,} came twice" if result.duplicated else text


def verdict(result: FaultResult, results: Sequence[FaultResult]) -> str:
    """A result in words."""
    parts = [clients(result, results), *([spans(result)] if result.made != 0 else [])]
    healthy = _of(results, Fault.NONE, result.setup)
    if result.stop_s >= result.stop_limit_s:
        parts.append(f"had not stopped after {result.stop_limit_s:.0f} s and was killed")
    elif result.stop_s - (healthy.stop_s if healthy else 0.0) > SLOW_STOP_S:
        parts.append(f"takes {result.stop_s:.0f} s to stop")
    if healthy and result.growth_bytes - healthy.growth_bytes > GROWTH_BYTES:
        parts.append(f"memory grows by {result.growth_bytes / 2**20:.0f} MB")
    return "; ".join(parts)


def is_harmful(result: FaultResult, results: Sequence[FaultResult]) -> bool:
    """True if clients notice it and would not notice it without tracing."""
    return result.setup != BASELINE and not clients(result, results).endswith((NO_EFFECT, ALIKE))


def _of(results: Sequence[FaultResult], fault: Fault, setup: str) -> FaultResult | None:
    return next((result for result in results if (result.fault, result.setup) == (fault, setup)), None)


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
