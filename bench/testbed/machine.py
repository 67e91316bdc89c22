"""What this machine is, and whether it is fit to measure.

No host name, no user, no path: a result is sent to colleagues.
"""

import contextlib
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from bench.errors import UsageError
from bench.plan.machine import Machine
from bench.testbed.meter import cpu_times
from bench.testbed.pausing import control_group_root

DISTRIBUTION = "tracing-overhead-bench"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpus:
    """Which CPUs a run uses.

    Attributes:
        usable: how many.
        services: those of the application; empty: not pinned.
        others: those of load, sink and harness; empty: not pinned.
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
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
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

    The first CPU is for load, sink and harness: interrupts and the system's own work tend to be there,
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
        text = _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
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
    text = _read("/sys/fs/cgroup/cpu.max")
    if text and not text.startswith("max"):
        quota, period = map(float, text.split())
        return quota / period
    quota_us = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period_us = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
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
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1] if match else platform.processor() or "unknown"


def _cpu_flags() -> list[str]:
    match = re.search(r"^flags\s*:\s*(.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return match[1].split() if match else []


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return None


# ---------------------------------------------------------------- is it fit?


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One look at the machine.

    Attributes:
        name: what was looked at.
        value: what was seen.
        fit: whether that is good enough.
        advice: what to do if not.
    """

    name: str
    value: str
    fit: bool
    advice: str = ""


def examine(seconds: float = 1.0) -> tuple[Check, ...]:
    """Whether this machine is fit to measure, question by question."""
    cpus = len(os.sched_getaffinity(0))
    free = psutil.virtual_memory().available / 2**30
    steal, busy = stolen_and_busy(seconds)
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    quota = quota_cpus()
    pairs = siblings()
    return (
        Check(
            name="system",
            value=f"{platform.system()} {platform.release()}",
            fit=sys.platform.startswith("linux"),
            advice="measuring needs Linux",
        ),
        Check(
            name="CPUs",
            value=f"{cpus} usable" + (f", {len(pairs)} pairs share a core" if pairs else ""),
            fit=cpus >= 2,
            advice="with one, load and application share it: nothing is pinned, latency means little",
        ),
        Check(
            name="CPU quota",
            value="none" if quota is None else f"{quota:g} CPUs",
            fit=quota is None or quota >= cpus,
            advice="a cgroup throttles what runs here: latency and throughput are the quota's",
        ),
        Check(
            name="pausing",
            value="control groups" if control_group_root() else "signals",
            fit=True,
        ),
        Check(
            name="memory",
            value=f"{free:.1f} GiB free",
            fit=free >= 2,
            advice="an instance needs a few hundred MB; choose fewer set-ups with --setups",
        ),
        Check(
            name="other programs",
            value=f"{busy * 100:.1f} % of a core",
            fit=busy <= 0.10,
            advice="close them; a measured run wants a quiet machine",
        ),
        Check(
            name="steal",
            value=f"{steal * 100:.1f} % of a core",
            fit=steal <= 0.02,
            advice="the host is busy; a dedicated machine measures better",
        ),
        Check(
            name="governor",
            value=governor or "not told (a virtual machine?)",
            fit=governor in {None, "performance"},
            advice="`cpupower frequency-set -g performance` keeps the clock steady",
        ),
    )


def stolen_and_busy(seconds: float) -> tuple[float, float]:
    """Shares of a core that the host takes away, and that other programs use, looked at for so long."""
    cpus = sorted(os.sched_getaffinity(0))
    before, own = cpu_times(cpus), time.process_time()
    time.sleep(seconds)
    after = cpu_times(cpus)
    busy_s = after[1] - before[1] - (time.process_time() - own)
    return (after[0] - before[0]) / seconds, max(busy_s, 0.0) / seconds
