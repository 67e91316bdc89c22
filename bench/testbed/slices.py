"""Runs time slices: one instance runs, all others are paused, clocks are read at every switch."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence

from bench.app.records import Setup
from bench.plan.readings import UNSENT, InstanceReading, MachineReading, RequestRow, Switch
from bench.plan.records import Plan, Slice
from bench.testbed import meter
from bench.testbed.instance import Instance
from bench.testbed.load import Load

MAX_DRAIN_ROUNDS = 400
"""Rounds of time slices in which requests under way are finished, at most."""


class SliceRunner:
    """Gives instances their slices."""

    def __init__(self, instances: Sequence[Instance], start_ns: int, machine: meter.MachineMeter) -> None:
        self._instances = instances
        self._start_ns = start_ns
        self._machine = machine
        self.switches: list[Switch] = []
        self.blocks: list[MachineReading] = []
        self._clock_ns = [0] * len(instances)
        self._first_ns = [0] * len(instances)

    @property
    def used_ns(self) -> list[int]:
        """CPU time of every instance since the first time slice."""
        return [now - first for now, first in zip(self._clock_ns, self._first_ns, strict=True)]

    def run(self, slices: Sequence[Slice], tell: Callable[[int], None]) -> None:
        """Run the time slices of all instances as planned."""
        for instance in self._instances:
            instance.pause()
        _sleep_until(self._start_ns - 2_000_000)
        self._clock_ns = [instance.cpu_ns() for instance in self._instances]
        self._first_ns = list(self._clock_ns)
        for block, members in itertools.groupby(slices, lambda time_slice: time_slice.block):
            clocks, used = self._machine.now(), sum(self._clock_ns)
            if block >= 0:
                tell(block)
            for time_slice in members:
                self._slice(time_slice)
            if block >= 0:
                services_s = (sum(self._clock_ns) - used) / 1e9
                self.blocks.append(meter.between(clocks, self._machine.now(), services_s))

    def _slice(self, time_slice: Slice) -> None:
        instance, number = self._instances[time_slice.instance], time_slice.instance
        before_ns = instance.cpu_ns()
        _sleep_until(self._start_ns + time_slice.start_ns)
        start_ns = time.monotonic_ns()
        instance.resume()
        _sleep_until(self._start_ns + time_slice.stop_ns)
        instance.pause()
        stop_ns = time.monotonic_ns()
        after_ns = instance.cpu_ns()
        self.switches.append(
            Switch(
                number,
                time_slice.block,
                start_ns - self._start_ns,
                stop_ns - self._start_ns,
                after_ns - before_ns,
                before_ns - self._clock_ns[number],
            )
        )
        self._clock_ns[number] = after_ns

    def drain(self, slices: Sequence[Slice], load: Load) -> None:
        """Further time slices in which requests under way are finished."""
        length_ns = slices[-1].stop_ns - slices[-1].start_ns
        order = [time_slice.instance for time_slice in slices[-len(self._instances) :]]
        for _ in range(MAX_DRAIN_ROUNDS):
            for number in order:
                if load.is_finished():
                    return
                now_ns = time.monotonic_ns() - self._start_ns
                self._slice(Slice(number, -1, now_ns, now_ns + length_ns))


def _sleep_until(when_ns: int) -> None:
    """Return at `when_ns` on the monotonic clock, or at once if that is past."""
    delay_ns = when_ns - time.monotonic_ns()
    if delay_ns > 0:
        time.sleep(delay_ns / 1e9)


def counted(
    plan: Plan, setup: Setup, number: int, rows: Sequence[RequestRow], cpu_ns: int
) -> InstanceReading:
    """An instance's requests, counted by what became of them."""
    expected = plan.app.statuses
    outcomes = Counter(
        "unsent" if row.status in UNSENT else "completed" if row.status in expected[row.request] else "failed"
        for row in rows
        if row.instance == number
    )
    return InstanceReading(
        setup=setup.name,
        cpu_ns=cpu_ns,
        completed=outcomes["completed"],
        failed=outcomes["failed"],
        unsent=outcomes["unsent"],
    )
