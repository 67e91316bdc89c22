"""What else the machine does while a run measures: steal, other programs, our own helpers.

Only the CPUs that the run may use are read: on a large machine, other cores do not matter.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from bench.plan.readings import MachineReading
from bench.testbed.pausing import cpu_clock_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineClocks:
    """Readings of the machine's clocks, in seconds so far."""

    at_s: float
    steal_s: float
    busy_s: float
    load_s: float
    receiver_s: float
    harness_s: float
    collector_s: float


class MachineMeter:
    """Reads the machine's clocks."""

    def __init__(
        self,
        cpus: Sequence[int],
        load_pids: Callable[[], Sequence[int]],
        receiver_pid: int,
        collector_pid: int | None = None,
    ) -> None:
        """Remember whose clocks to read.

        Args:
            cpus: those that the run may use.
            load_pids: returns the load's processes.
            receiver_pid: the receiver.
            collector_pid: a collector that the run started, if it has one.
        """
        self._cpus = tuple(cpus)
        self._load_pids = load_pids
        self._receiver_pid = receiver_pid
        self._collector_pid = collector_pid
        self._last_ns: dict[int, int] = {}

    def now(self) -> MachineClocks:
        """All clocks."""
        steal_s, busy_s = cpu_times(self._cpus)
        for pid in self._load_pids():
            self._cpu_s(pid)
        load_s = sum(
            ns / 1e9
            for pid, ns in self._last_ns.items()
            if pid not in {self._receiver_pid, self._collector_pid}
        )
        return MachineClocks(
            at_s=time.monotonic(),
            steal_s=steal_s,
            busy_s=busy_s,
            load_s=load_s,
            receiver_s=self._cpu_s(self._receiver_pid),
            harness_s=time.process_time(),
            collector_s=self._cpu_s(self._collector_pid) if self._collector_pid else 0.0,
        )

    def _cpu_s(self, pid: int) -> float:
        """CPU time so far; the last reading of a process that has ended.

        A receiver or load worker that died must not hide the step in which it did: the accounting and the
        rows say so.
        """
        with contextlib.suppress(OSError):
            self._last_ns[pid] = cpu_clock_ns(pid)
        return self._last_ns.get(pid, 0) / 1e9


def between(before: MachineClocks, after: MachineClocks, services_s: float) -> MachineReading:
    """The machine over a phase in which the application used `services_s` of CPU."""
    load_s, receiver_s = after.load_s - before.load_s, after.receiver_s - before.receiver_s
    harness_s, collector_s = after.harness_s - before.harness_s, after.collector_s - before.collector_s
    foreign_s = after.busy_s - before.busy_s - services_s - load_s - receiver_s - harness_s - collector_s
    return MachineReading(
        duration_s=after.at_s - before.at_s,
        steal_s=after.steal_s - before.steal_s,
        foreign_s=max(foreign_s, 0.0),
        load_s=load_s,
        receiver_s=receiver_s,
        harness_s=harness_s,
        collector_s=collector_s,
    )


def cpu_times(cpus: Sequence[int] | None) -> tuple[float, float]:
    """Steal and busy seconds so far of some CPUs together; None: of all."""
    every = psutil.cpu_times(percpu=True)
    chosen = [every[cpu] for cpu in cpus if cpu < len(every)] if cpus is not None else every
    steal_s = sum(getattr(times, "steal", 0.0) for times in chosen)
    fields = ("user", "nice", "system", "irq", "softirq")
    return steal_s, sum(getattr(times, field, 0.0) for times in chosen for field in fields)
