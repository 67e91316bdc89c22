"""Reads the meters: CPU clocks of other processes in nanoseconds, their memory, the machine's steal.

Rule 1: CPU time comes from the kernel's process clock, which counts all threads, ended
ones included, to the nanosecond; `/proc/PID/stat` has ticks of 10 ms, and
`/proc/PID/schedstat` only the main thread.
Rule 2: user and system time are never told apart: the kernel samples that split by ticks.
Rule 3: memory is read outside windows; walking the page tables takes milliseconds.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from bench.errors import ServiceError
from bench.model import MachineReading


def cpu_ns(pid: int) -> int:
    """CPU time that a process has used so far.

    The clock id is the kernel's encoding of "the scheduler's clock of process PID"
    (linux/posix-timers.h: ~pid << 3 | CPUCLOCK_SCHED); reading it takes 0.5 us.

    Raises:
        ServiceError: the process has ended.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        raise ServiceError(
            f"process {pid} ended while it was being measured", "its last words stand in the log above"
        ) from None


def memory_bytes(pid: int) -> tuple[int, int, int]:
    """PSS, USS and peak RSS of a process.

    Raises:
        ServiceError: the process has ended.
    """
    try:
        info = psutil.Process(pid).memory_full_info()
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except (psutil.NoSuchProcess, OSError):
        raise ServiceError(
            f"process {pid} ended before its memory was read", "its last words stand in the log above"
        ) from None
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(info.pss), int(info.uss), int(peak_kib) * 1024


def pin(pid: int, cpus: Iterable[int]) -> None:
    """All threads of a process on these CPUs, those to come included.

    `sched_setaffinity` of a process id moves its main thread alone; a batch processor's
    thread would stay where it was.
    """
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cpus)


class MachineMeter:
    """Reads what else the machine does while a run measures.

    Args:
        load_pids: the load's processes.
        sink_pid: the sink.
        collector_pid: a collector that the run started, if it has one.
    """

    def __init__(self, load_pids: Sequence[int], sink_pid: int, collector_pid: int | None = None) -> None:
        self._load_pids = tuple(load_pids)
        self._sink_pid = sink_pid
        self._collector_pid = collector_pid
        self._last_ns: dict[int, int] = {}

    def now(self) -> tuple[float, float, tuple[int, ...]]:
        """Steal and busy seconds of all CPUs so far, and the CPU ns of load, sink, harness and collector."""
        times = psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq
        load = sum(map(self._cpu_ns, self._load_pids))
        collector = self._cpu_ns(self._collector_pid) if self._collector_pid else 0
        return times.steal, busy, (load, self._cpu_ns(self._sink_pid), time.process_time_ns(), collector)

    def _cpu_ns(self, pid: int) -> int:
        """CPU time so far; the last reading of a process that has ended.

        A sink or a load worker that died must not hide the window in which it did: the ledger
        and the rows say so.
        """
        with contextlib.suppress(ServiceError):
            self._last_ns[pid] = cpu_ns(pid)
        return self._last_ns.get(pid, 0)

    def collector_s(self, before: tuple[float, float, Sequence[int]]) -> float:
        """CPU seconds that the collector has used since then, until now."""
        return (self.now()[2][3] - before[2][3]) / 1e9

    @staticmethod
    def between(
        before: tuple[float, float, Sequence[int]],
        after: tuple[float, float, Sequence[int]],
        services_ns: int,
    ) -> MachineReading:
        """The machine's reading of a stretch in which the services used `services_ns`."""
        load, sink, harness, collector = ((b - a) / 1e9 for a, b in zip(before[2], after[2], strict=True))
        busy = after[1] - before[1]
        foreign = busy - services_ns / 1e9 - load - sink - harness - collector
        return MachineReading(
            steal_s=after[0] - before[0],
            foreign_s=max(foreign, 0.0),
            load_s=load,
            sink_s=sink,
            harness_s=harness,
            collector_s=collector,
        )
