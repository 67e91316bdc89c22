"""What is asked of processes by their ids: ports, memory, and the CPUs that they keep to."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from bench.plan.readings import Memory


def listening(pids: Iterable[int]) -> set[int]:
    """The TCP ports that some processes listen on."""
    ports = set()
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            ports |= {
                connection.laddr.port
                for connection in psutil.Process(pid).net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    return ports


def with_children(pid: int) -> list[int]:
    """A process and all processes below it."""
    with contextlib.suppress(psutil.Error):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return [pid]


def memory_of(pids: Iterable[int]) -> Memory:
    """PSS and USS of some processes together; one that has just ended counts nothing."""
    pss = uss = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            info = psutil.Process(pid).memory_full_info()
            pss, uss = pss + int(info.pss), uss + int(info.uss)
    return Memory(pss_bytes=pss, uss_bytes=uss)


def dirty_bytes_of(pid: int) -> int:
    """Memory that a process has written to and does not share.

    Pages read from a library's file are not included: they become private or shared as other programs
    begin and end.

    Raises:
        OSError: it has ended.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty:"))


def pin(pids: Iterable[int], cpus: tuple[int, ...]) -> None:
    """Keep all threads of some processes on these CPUs, those to come included.

    `sched_setaffinity` of a process id moves its main thread alone; a batch processor's thread
    would stay where it was. A thread that ends meanwhile needs no CPU.
    """
    if not cpus:
        return
    for pid in pids:
        moved: set[str] = set()
        while True:
            try:
                threads = {entry.name for entry in Path(f"/proc/{pid}/task").iterdir()} - moved
            except OSError:
                break
            if not threads:
                break
            for thread in threads:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), cpus)
            moved |= threads
