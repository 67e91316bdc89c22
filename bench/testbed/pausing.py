"""Groups of processes that are stopped, let go and metered as one: an instance with all its workers.

A control group (version 2) does all of it for whole process trees, whatever they fork. Where none
can be made, signals stop the process groups, and CPU clocks are read one by one.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil

from bench.errors import MeasurementError

MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
KILL_LIMIT_S = 5.0
_JOIN = 'echo 0 > "$0/cgroup.procs" && exec "$@"'


class Group(Protocol):
    """The processes of an instance."""

    @property
    def prefix(self) -> list[str]:
        """Words in front of a command that make it a member from its first instruction on."""

    def add(self, pid: int) -> None:
        """Tell of a process that was started with the prefix."""

    def pause(self) -> None:
        """Stop all members; they keep memory and sockets."""

    def resume(self) -> None:
        """Let all members run."""

    def cpu_ns(self) -> int:
        """CPU time of all members so far, those that have ended included."""

    def pids(self) -> tuple[int, ...]:
        """Members that live."""

    def kill(self) -> None:
        """End all members by force, stopped or not."""

    @property
    def join_and_leave_files(self) -> tuple[str, ...]:
        """The files through which a process joins and leaves; empty if members cannot leave."""


def cpu_clock_ns(pid: int) -> int:
    """CPU time of all threads of a process so far; 0.5 us to read.

    The clock id is the kernel's encoding of "the scheduler's clock of process PID"
    (linux/posix-timers.h: ~pid << 3 | CPUCLOCK_SCHED).

    Raises:
        OSError: the process has ended.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


class ControlGroup:
    """A control group of version 2."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self._freeze = os.open(path / "cgroup.freeze", os.O_WRONLY)
        self._stat = os.open(path / "cpu.stat", os.O_RDONLY)

    @property
    def prefix(self) -> list[str]:
        return ["/bin/sh", "-c", _JOIN, str(self._path)]

    def add(self, pid: int) -> None:
        """Nothing: a process joins by itself, and its children with it."""

    def pause(self) -> None:
        os.write(self._freeze, b"1")

    def resume(self) -> None:
        os.write(self._freeze, b"0")

    def cpu_ns(self) -> int:
        # The first line is usage_usec.
        return int(os.pread(self._stat, 64, 0).split(None, 2)[1]) * 1000

    def pids(self) -> tuple[int, ...]:
        try:
            return tuple(map(int, (self._path / "cgroup.procs").read_text("ascii").split()))
        except OSError:
            return ()  # it was ended and removed meanwhile

    @property
    def join_and_leave_files(self) -> tuple[str, ...]:
        # It leaves for the harness's group, the parent of the run's group, which is the parent of this one.
        return tuple(str(folder / "cgroup.procs") for folder in (self._path, self._path.parent.parent))

    def kill(self) -> None:
        kill_control_group(self._path)
        for descriptor in (self._freeze, self._stat):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class SignalGroup:
    """Process trees, stopped and let go by signals."""

    def __init__(self) -> None:
        self._roots: list[int] = []
        self._ns: dict[int, int] = {}
        self._others: tuple[int, ...] = ()

    @property
    def prefix(self) -> list[str]:
        return []

    @property
    def join_and_leave_files(self) -> tuple[str, ...]:
        return ()

    def add(self, pid: int) -> None:
        self._roots.append(pid)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        # Every root leads a process group; a child that left it is signalled by its id.
        for pid in self._roots:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        for pid in self._others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cpu_ns(self) -> int:
        for pid in self._ns or self.pids():
            with contextlib.suppress(OSError):
                self._ns[pid] = cpu_clock_ns(pid)
        return sum(self._ns.values())

    def pids(self) -> tuple[int, ...]:
        """Members that live; looks for new ones."""
        pids = tuple(dict.fromkeys(self._tree()))
        others = []
        for pid in pids:
            self._ns.setdefault(pid, 0)
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) not in self._roots:
                    others.append(pid)
        self._others = tuple(others)
        return pids

    def _tree(self) -> Iterator[int]:
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(root)
                yield root
                yield from (child.pid for child in process.children(recursive=True))

    def kill(self) -> None:
        self.pids()
        self._send(signal.SIGKILL)


def control_group_root() -> Path | None:
    """Where control groups of version 2 can be made; None where they cannot."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        own = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
        for mount in MOUNTS:
            root = mount / own.lstrip("/")
            if (mount / "cgroup.controllers").exists() and _is_usable(root):
                return root
    return None


def _is_usable(root: Path) -> bool:
    """True if a group can be made there, joined, and frozen."""
    trial = root / f"bench-trial-{os.getpid()}"
    try:
        trial.mkdir()
    except OSError:
        return False
    try:
        writable = os.access(trial / "cgroup.procs", os.W_OK) and os.access(root / "cgroup.procs", os.W_OK)
        return writable and (trial / "cgroup.freeze").exists() and (trial / "cpu.stat").exists()
    finally:
        trial.rmdir()


def kill_control_group(path: Path) -> None:
    """End all members of a control group by force and remove it.

    Raises:
        MeasurementError: it is still there after a while.
    """
    deadline = time.monotonic() + KILL_LIMIT_S
    while path.exists():
        with contextlib.suppress(OSError):
            (path / "cgroup.kill").write_text("1", "ascii")
        with contextlib.suppress(OSError):
            # Processes cannot be killed while their group is being frozen by an older kernel.
            (path / "cgroup.freeze").write_text("0", "ascii")
        with contextlib.suppress(OSError):
            path.rmdir()
            return
        if time.monotonic() > deadline:
            raise MeasurementError(f"processes of {path.name} do not end", "look for them with `ps -ef`")
        time.sleep(0.005)
