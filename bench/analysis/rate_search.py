"""The search for the highest arrival rate at which latency stays under a limit.

A rate holds if not more than one request in a hundred took longer than the limit or failed, and the
instance kept up: in a short step above capacity, the queue does not reach the latency limit.
"""

from collections.abc import Sequence

import numpy as np

from bench.analysis.active_time import requests_of
from bench.analysis.blocks import closed_loop_rates
from bench.plan.readings import Raw, RequestRow, StepReading
from bench.plan.records import Kind, Plan
from bench.plan.schedule import search_ends

TAIL = 0.01
"""One minus the quantile that has to stay under the limit."""
KEEPS_UP = 0.95
"""An instance that answers less than this share of the planned requests in time is overloaded."""


class RateSearch:
    """Bisects for the highest rate of one instance that holds."""

    def __init__(self, plan: Plan, instance: int, low: float, high: float) -> None:
        """Begin between two rates; the lower one is believed to hold."""
        self._plan = plan
        self._instance = instance
        self._low = low
        self._high = high
        self._held = False

    @property
    def rate_per_s(self) -> float:
        """The rate to try next; after the last step, the answer."""
        return round((self._low + self._high) / 2, 3)

    @property
    def found_per_s(self) -> float | None:
        """The answer; None where no rate has held."""
        return self.rate_per_s if self._held else None

    def tell(self, rate: float, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        """Learn from a step at a rate."""
        if holds(self._plan, reading, rows, self._instance):
            self._low, self._held = rate, True
        else:
            self._high = rate
            if not self._held:
                self._low = min(self._low, rate / 2)


def holds(plan: Plan, reading: StepReading, rows: Sequence[RequestRow], instance: int) -> bool:
    """True if an instance held the rate of a step."""
    expected = plan.app.statuses
    requests = requests_of(reading, rows, instance, expected)
    count = len(requests.completed)
    if not count:
        return True
    in_time = int(np.count_nonzero(requests.done_block >= 0))
    late = int(np.count_nonzero(requests.latency_s > plan.latency_limit_s))
    # A request that was under way when the step ended is no sign of a queue.
    return in_time >= KEEPS_UP * count - 1 and late <= TAIL * count


def searches(plan: Plan, replicate: int, raw: Raw) -> tuple[RateSearch, ...]:
    """One search per instance, around the rate that it reached in the replicate's closed loop."""
    loops = [
        reading
        for reading in raw.readings
        if reading.replicate == replicate and reading.kind in {Kind.SATURATION, Kind.WARM_UP}
    ]
    loop = next((reading for reading in loops if reading.kind is Kind.SATURATION), loops[0])
    capacity = closed_loop_rates(loop, raw.rows[replicate, loop.number], plan)
    searches_ = []
    for instance, name in enumerate(plan.names):
        low, high = search_ends(plan, replicate, instance)
        searches_.append(RateSearch(plan, instance, low * capacity[name], high * capacity[name]))
    return tuple(searches_)


def rates_found(raw: Raw) -> dict[str, list[float | None]]:
    """The highest rate under the limit by setup, one value per replicate with a whole search."""
    rates: dict[str, list[float | None]] = {name: [] for name in raw.plan.names}
    for replicate in range(raw.plan.replicates):
        probes = [
            reading
            for reading in raw.readings
            if reading.replicate == replicate and reading.kind is Kind.PROBE
        ]
        if len(probes) < raw.plan.probes or not probes:
            continue
        made = searches(raw.plan, replicate, raw)
        for reading in probes:
            for search, rate in zip(made, reading.rates, strict=True):
                search.tell(rate, reading, raw.rows[replicate, reading.number])
        for name, search in zip(raw.plan.names, made, strict=True):
            rates[name].append(search.found_per_s)
    return rates
