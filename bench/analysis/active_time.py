"""An instance's active time: the time during which it has run.

Arrivals are planned and latency is measured in active time, from the recorded switches: a
request under way when its instance is stopped goes on in the next time slice, and the pause does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.plan.readings import RequestRow, StepReading, Switch

Times = NDArray[np.int64]


class ActiveClock:
    """Converts times of a step to the active time of one instance.

    Attributes:
        active_s: active time of all its time slices that belong to blocks.
        total_s: of all its slices.
    """

    def __init__(self, switches: Sequence[Switch], instance: int) -> None:
        """Make the clock of one instance of a step."""
        own = [switch for switch in switches if switch.instance == instance]
        self._starts = np.array([switch.start_ns for switch in own], np.int64)
        self._lengths = np.array([switch.stop_ns - switch.start_ns for switch in own], np.int64)
        self._before = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        self._blocks = np.array([switch.block for switch in own], np.int64)
        self.active_s = float(self._lengths[self._blocks >= 0].sum()) / 1e9
        self.total_s = float(self._lengths.sum()) / 1e9

    def at(self, times_ns: Times) -> Times:
        """Active time in ns at times of the step."""
        if not len(self._starts):
            return np.zeros_like(times_ns)
        at = np.searchsorted(self._starts, times_ns, side="right") - 1
        inside = np.minimum(times_ns - self._starts[np.maximum(at, 0)], self._lengths[np.maximum(at, 0)])
        return np.asarray(np.where(at >= 0, self._before[np.maximum(at, 0)] + inside, 0), np.int64)

    def block_at(self, times_ns: Times) -> Times:
        """Block of the last time slice that had begun; -1 before the first and after the last."""
        if not len(self._starts):
            return np.full_like(times_ns, -1)
        at = np.searchsorted(self._starts, times_ns, side="right") - 1
        return np.asarray(np.where(at >= 0, self._blocks[np.maximum(at, 0)], -1), np.int64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """The requests of one instance in one step; arrays of one value per request.

    Attributes:
        latency_s: in active time, from the planned send; infinite where the request failed.
        service_s: the same from the actual send.
        lag_s: actual less planned send; of those that were sent.
        planned_block: block in which it was planned.
        done_block: block in which it was answered as expected; -1 for all others.
        completed: whether it was answered as expected.
    """

    latency_s: NDArray[np.float64]
    service_s: NDArray[np.float64]
    lag_s: NDArray[np.float64]
    planned_block: Times
    done_block: Times
    completed: NDArray[np.bool_]


def requests_of(
    reading: StepReading, rows: Sequence[RequestRow], instance: int, expected: Sequence[frozenset[int]]
) -> Requests:
    """An instance's requests in its active time.

    Args:
        reading: of a step with slices.
        rows: of the step.
        instance: its number.
        expected: statuses of a completed request, by kind.
    """
    own = [row for row in rows if row.instance == instance]
    clock = ActiveClock(reading.switches, instance)
    planned, sent, done = (
        np.array([getattr(row, name) for row in own], np.int64)
        for name in ("planned_ns", "sent_ns", "done_ns")
    )
    completed = np.array([row.status in expected[row.request] for row in own], bool)
    was_sent = np.array([row.status >= 0 for row in own], bool)
    active_done = clock.at(done)
    return Requests(
        latency_s=np.where(completed, (active_done - clock.at(planned)) / 1e9, np.inf),
        service_s=np.where(completed, (active_done - clock.at(sent)) / 1e9, np.inf),
        lag_s=((sent - planned) / 1e9)[was_sent],
        planned_block=clock.block_at(planned),
        done_block=np.where(completed, clock.block_at(done), -1),
        completed=completed,
    )
