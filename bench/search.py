"""The search for the highest arrival rate at which latency stays under a limit.

Rule 1: a rate holds if not more than one arrival in a hundred took longer than the limit,
failed or was not sent, *and* the fleet kept up: a short slice above capacity ends before
its queue has grown to the limit.
Rule 2: exports come later than the requests that cause them. What a fleet can do is what it can
do with them: a flush after a closed loop and after a probe belongs to it.
Rule 3: every visit searches anew; how much its answers scatter over blocks is the interval.
"""

from collections.abc import Sequence

from bench.model import CREATED, Request, Slice

TAIL = 0.01
"""One minus the quantile that has to stay under the limit."""
KEEPS_UP = 0.95
"""A fleet that completes less than this share of the planned rate is saturated."""
LOWEST = (0.55, 0.65)
HIGHEST = (1.0, 1.1)
"""Where the ends of the bracket lie, in units of what a closed loop has just reached. An open
loop cannot do more for long; a tenth more may be noise of the closed loop. They are drawn
anew for every search: with fixed ends a few steps could find a few values only, and
fleets that differ by less than a step would agree exactly, in every block. A rate that was
tried and lies inside takes the end's place."""


class Search:
    """Bisects for the highest rate that holds.

    Args:
        capacity_per_s: throughput of the closed loop just before.
        draws: two numbers between 0 and 1 that place the ends of the bracket.
    """

    def __init__(self, capacity_per_s: float, draws: tuple[float, float]) -> None:
        self._ends = tuple(
            (low + draw * (high - low)) * capacity_per_s
            for (low, high), draw in zip((LOWEST, HIGHEST), draws, strict=True)
        )
        self._held: list[float] = []
        self._failed: list[float] = []

    def _bracket(self) -> tuple[float, float]:
        """The highest rate that held, and the lowest one above it that did not."""
        low = max(self._held, default=self._ends[0])
        # A rate that failed far above what the fleet can do says nothing: the drawn end is nearer.
        end = self._ends[1] if self._ends[1] > low else 1.05 * low
        high = min([rate for rate in self._failed if rate > low] + [end])
        if not self._held:
            low = min(low, high / 2)
        return low, high

    @property
    def rate_per_s(self) -> float:
        """The rate to try next."""
        return sum(self._bracket()) / 2

    def tell(self, rate_per_s: float, *, held: bool) -> None:
        """How a rate went, whether it was tried for this search or not."""
        (self._held if held else self._failed).append(rate_per_s)

    @property
    def found_per_s(self) -> float | None:
        """The answer: the middle of what is left; absent where no rate has held."""
        return self.rate_per_s if self._held else None


def achieved_per_s(requests: Sequence[Request], rate_per_s: float) -> float:
    """Completed checkouts per second of an open-loop slice, at most what was planned.

    Over the time that the fleet had for them: its planned length, or longer if it lagged
    behind; the latency that the fastest request had counts as no lag.
    """
    done = [request for request in requests if request.status == CREATED]
    if not done:
        return 0.0
    planned_s = len(requests) / rate_per_s
    fastest_ns = min(request.done_ns - request.planned_ns for request in done)
    used_s = (max(request.done_ns for request in done) - fastest_ns) / 1e9
    return len(done) / max(planned_s, used_s)


def closed_per_s(requests: Sequence[Request], length_s: float, export_s: float = 0.0) -> float:
    """Completed checkouts per second of a closed loop, while all of its users asked.

    From the first answer to the last one before the users stop: before and after that fewer
    are under way than the loop has users, which counts where a checkout takes long.

    Args:
        requests: its rows.
        length_s: how long users began new requests.
        export_s: how much longer the flush after it took than one with nothing to flush. Without it
            a loop that is shorter than the batch processor's delay (5 s) would leave the exports to
            whoever comes next: 0.7 s of it showed 87 checkouts/s where a steady load reached 65 to 72.
    """
    done = sorted(request.done_ns / 1e9 for request in requests if request.status == CREATED)
    steady = [at for at in done if at <= length_s]
    if len(steady) < STEADY_LEAST:
        return len(done) / (done[-1] + max(export_s, 0.0)) if done else 0.0
    each_s = (steady[-1] - steady[0]) / (len(steady) - 1)
    return 1 / (each_s + max(export_s, 0.0) / len(done))


STEADY_LEAST = 3
"""With fewer answers before the users stop there is no stretch between them."""


def late_share(requests: Sequence[Request], limit_s: float) -> float:
    """The share of arrivals that took longer than the limit, failed or were not sent."""
    late = sum(
        request.status != CREATED or (request.done_ns - request.planned_ns) / 1e9 > limit_s
        for request in requests
    )
    return late / max(len(requests), 1)


def holds(requests: Sequence[Request], rate_per_s: float, limit_s: float, busy: float) -> bool:
    """Whether a fleet held a rate.

    Args:
        requests: the rows of a slice.
        rate_per_s: as planned.
        limit_s: what 99 in 100 have to stay under.
        busy: CPU time that the services used for the slice (of a probe: its exports included) as a
            share of what they had in its planned length.
    """
    kept_up = achieved_per_s(requests, rate_per_s) >= KEEPS_UP * rate_per_s
    return kept_up and busy <= 1.0 and late_share(requests, limit_s) <= TAIL


def busy_share(piece: Slice, requests: Sequence[Request], cpus: int) -> float:
    """CPU time of an open-loop slice as a share of what there was in its planned length."""
    planned_s = len(requests) / piece.rate_per_s if piece.rate_per_s else 0.0
    used_s = sum(piece.reading.cpu_ns.values()) / 1e9
    return used_s / (planned_s * cpus) if planned_s else 0.0
