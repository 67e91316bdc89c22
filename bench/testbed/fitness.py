"""Is this machine fit to measure, and is it quiet?"""

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from bench.errors import MeasurementError
from bench.testbed.machine import quota_cpus, siblings, text_of
from bench.testbed.meter import cpu_times
from bench.testbed.pausing import control_group_root

QUIET_FOREIGN, QUIET_STEAL = 0.10, 0.02
"""Shares of a core that others may use, and the host take away, on a quiet machine."""
QUIET_LOOKS = 3
"""Number of consecutive quiet seconds to wait for."""
QUIET_LIMIT_S = 600.0


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
    cpus, pairs, quota = len(os.sched_getaffinity(0)), len(siblings()), quota_cpus()
    free = psutil.virtual_memory().available / 2**30
    steal, busy = steal_and_foreign(seconds)
    governor = text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    system = f"{platform.system()} {platform.release()}"
    usable = f"{cpus} usable" + (f", {pairs} pairs share a core" if pairs else "")
    pausing = "control groups" if control_group_root() else "signals"
    rows = (
        ("system", system, sys.platform.startswith("linux"), "measuring needs Linux"),
        ("CPUs", usable, cpus >= 2,
         "with one, load and application share it: nothing is pinned, latency means little"),
        ("CPU quota", "none" if quota is None else f"{quota:g} CPUs", quota is None or quota >= cpus,
         "a cgroup throttles what runs here: latency and throughput are the quota's"),
        ("pausing", pausing, True, ""),
        ("memory", f"{free:.1f} GiB free", free >= 2,
         "an instance needs a few hundred MB; choose fewer setups with --setups"),
        ("other programs", f"{busy * 100:.1f} % of a core", busy <= QUIET_FOREIGN,
         "close them, or run with --wait-for-quiet"),
        ("steal", f"{steal * 100:.1f} % of a core", steal <= QUIET_STEAL,
         "the host is busy; a dedicated machine measures better"),
        ("governor", governor or "unknown, as in a virtual machine", governor in {None, "performance"},
         "`cpupower frequency-set -g performance` keeps the clock steady"),
    )  # fmt: skip
    return tuple(Check(name=name, value=value, fit=fit, advice=advice) for name, value, fit, advice in rows)


def wait_until_quiet(tell: Callable[[str], None], limit_s: float = QUIET_LIMIT_S) -> None:
    """Wait until no other program uses the CPUs, three seconds in a row.

    Args:
        tell: called with the reason for waiting.
        limit_s: longest wait.

    Raises:
        MeasurementError: they are used all the time.
    """
    deadline, quiet = time.monotonic() + limit_s, 0
    while quiet < QUIET_LOOKS:
        steal, busy = steal_and_foreign(1.0)
        quiet = quiet + 1 if busy <= QUIET_FOREIGN and steal <= QUIET_STEAL else 0
        if not quiet:
            what = f"other programs use {busy * 100:.0f} %, the host takes {steal * 100:.0f} % of a core"
            tell(f"waiting for a quiet machine: {what}")
            if time.monotonic() > deadline:
                raise MeasurementError(
                    f"the machine did not become quiet within {limit_s / 60:.0f} minutes: {what}",
                    "close other programs, or measure without --wait-for-quiet and look at the caveats",
                )


def steal_and_foreign(seconds: float) -> tuple[float, float]:
    """Shares of a core that the host takes away, and that other programs use, looked at for so long."""
    cpus = sorted(os.sched_getaffinity(0))
    before, own = cpu_times(cpus), time.process_time()
    time.sleep(seconds)
    after = cpu_times(cpus)
    busy_s = after[1] - before[1] - (time.process_time() - own)
    return (after[0] - before[0]) / seconds, max(busy_s, 0.0) / seconds
