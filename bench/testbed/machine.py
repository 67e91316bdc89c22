"""What this machine is, and whether it is fit to measure.

No host name, no user, no path: a result is sent to colleagues.
"""

import contextlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from bench.errors import UsageError
from bench.plan.machine import Machine

DISTRIBUTION = "tracing-overhead-bench"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpus:
    """Which CPUs a run uses.

    Attributes:
        usable: how many.
        services: those of the application; empty: not pinned.
        others: those of load, receiver and harness; empty: not pinned.
    """

    usable: int
    services: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


def describe(cpus: Cpus) -> Machine:
    """The machine, as far as it can be told before anything of a run has started."""
    return Machine(
        started=datetime.now(UTC).isoformat(),
        cpu=_cpu_model(),
        cpus=os.cpu_count(),
        cpus_usable=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        siblings=siblings(),
        quota_cpus=quota_cpus(),
        memory_bytes=psutil.virtual_memory().total,
        hypervisor="hypervisor" in _cpu_flags(),
        governor=text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        system=platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        libc=" ".join(platform.libc_ver()),
        python=platform.python_version(),
        python_implementation=platform.python_implementation(),
        packages=packages(),
    )


def version() -> str:
    """This project's version."""
    return metadata.version(DISTRIBUTION)


def packages() -> dict[str, str]:
    """Every installed package and its version."""
    return dict(sorted((dist.metadata["Name"].lower(), dist.version) for dist in metadata.distributions()))


def split_cpus(*, pinned: bool) -> Cpus:
    """Which CPUs the application gets, and which everything else.

    The first CPU is for load, receiver and harness: interrupts and the system's own work tend to be there,
    too. A sibling of it on the same core is left to them where there are others.
    """
    usable = tuple(sorted(os.sched_getaffinity(0)))
    if not pinned or len(usable) < 2:
        return Cpus(usable=len(usable))
    helpers = {usable[0]}
    for pair in siblings():
        if usable[0] in pair and len(usable) > 2:
            helpers |= set(pair)
    services = tuple(cpu for cpu in usable if cpu not in helpers) or usable[-1:]
    return Cpus(
        usable=len(usable),
        services=services,
        others=tuple(cpu for cpu in usable if cpu not in services),
    )


def siblings() -> tuple[tuple[int, ...], ...]:
    """Groups of usable CPUs that share a core."""
    groups = set()
    for cpu in os.sched_getaffinity(0):
        text = text_of(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        group = tuple(sorted(set(_cpu_list(text)) & os.sched_getaffinity(0)))
        if len(group) > 1:
            groups.add(group)
    return tuple(sorted(groups))


def _cpu_list(text: str) -> Iterator[int]:
    """CPUs of a list such as `0-3,8`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        with contextlib.suppress(ValueError):
            yield from range(int(first), int(last or first) + 1)


def quota_cpus() -> float | None:
    """How many CPUs a cgroup of this process allows; None without a limit."""
    text = text_of("/sys/fs/cgroup/cpu.max")
    if text and not text.startswith("max"):
        quota, period = map(float, text.split())
        return quota / period
    quota_us = text_of("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period_us = text_of("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota_us and period_us and int(quota_us) > 0:
        return int(quota_us) / int(period_us)
    return None


def require_linux() -> None:
    """Raise UsageError anywhere else: the CPU clock of another process cannot be read in ns there."""
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"measuring needs Linux, and this is {platform.system()}", "run it in a Linux virtual machine"
        )


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", text_of("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1] if match else platform.processor() or "unknown"


def _cpu_flags() -> list[str]:
    match = re.search(r"^flags\s*:\s*(.+)$", text_of("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1].split() if match else []


def text_of(path: str) -> str | None:
    """A small file of the kernel's; None where there is none."""
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return None
