"""What this machine is, and whether it is fit to measure.

Rule 1: no host name, no user, no path, no secret: a result is sent to colleagues.
Rule 2: a doubt is a sentence with a piece of advice.
"""

import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from bench.errors import UsageError
from bench.model import Machine, Setup

SECRET = re.compile(r"HEADERS|TOKEN|SECRET|PASSWORD|API_?KEY|CERTIFICATE|CLIENT_KEY", re.IGNORECASE)
CREDENTIALS = re.compile(r"//[^/@\s]+@")
REDACTED = "(redacted)"


Cpus = tuple[int, tuple[int, ...], tuple[int, ...]]
"""How many CPUs there are, which of them the services get, and which everything else."""


def describe(cpus: Cpus, environs: Mapping[str, Mapping[str, str]]) -> Machine:
    """What the results folder says of the machine; `machine.json`.

    Args:
        cpus: for what is pinned where.
        environs: the environment of every set-up's services.
    """
    return Machine(
        started=datetime.now(UTC).isoformat(),
        cpu=_cpu_model(),
        cpus=os.cpu_count(),
        cpus_usable=cpus[0],
        services_cpus=cpus[1],
        other_cpus=cpus[2],
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
        setups={name: effective(environ) for name, environ in environs.items()},
    )


def version() -> str:
    """This project's version."""
    return metadata.version("tracing-overhead-bench")


def packages() -> dict[str, str]:
    """Every installed package and its version."""
    return dict(sorted((dist.metadata["Name"].lower(), dist.version) for dist in metadata.distributions()))


def effective(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that configure tracing, with whatever may be secret redacted."""
    return {
        name: _redacted(name, value)
        for name, value in sorted(environ.items())
        if name.startswith(("OTEL_", "BENCH_")) and name != "BENCH_PADDING"
    }


def _redacted(name: str, value: str) -> str:
    """A variable's value, without what may be secret: by its name, or a password in a URL."""
    return REDACTED if SECRET.search(name) else CREDENTIALS.sub(f"//{REDACTED}@", value)


def redact(setups: Sequence[Setup]) -> tuple[Setup, ...]:
    """Set-ups as they may be stored: values that may be secret are redacted."""
    return tuple(
        Setup(
            name=setup.name,
            description=setup.description,
            env={name: _redacted(name, value) for name, value in setup.env.items()},
            spans_per_checkout=setup.spans_per_checkout,
        )
        for setup in setups
    )


def split_cpus(*, pinned: bool) -> Cpus:
    """How many CPUs there are, which of them the services get, and which everything else.

    The services get the last one: interrupts and the system's own work tend to be on the first.
    """
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    if not pinned or len(cpus) < 2:
        return len(cpus), (), ()
    return len(cpus), cpus[-1:], cpus[:-1]


def require_linux() -> None:
    """Nothing, on Linux.

    Raises:
        UsageError: anywhere else, where the CPU clock of another process cannot be read in ns.
    """
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
    """One answer of the doctor.

    Attributes:
        name: what was looked at.
        found: what was seen.
        fit: whether that is good enough.
        advice: what to do if not.
    """

    name: str
    found: str
    fit: bool
    advice: str = ""


def examine(seconds: float = 1.0) -> tuple[Check, ...]:
    """Whether this machine is fit to measure, question by question."""
    cpus = len(os.sched_getaffinity(0))
    free = psutil.virtual_memory().available / 2**30
    steal, busy = _stolen_and_busy(seconds)
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return (
        Check(
            name="system",
            found=f"{platform.system()} {platform.release()}",
            fit=sys.platform.startswith("linux"),
            advice="measuring needs Linux",
        ),
        Check(
            name="CPUs",
            found=f"{cpus} usable",
            fit=cpus >= 2,
            advice="with one, load and services share it: nothing is pinned, latency means little",
        ),
        Check(
            name="memory",
            found=f"{free:.1f} GiB free",
            fit=free >= 4,
            advice="nine fleets need about 3 GiB; choose fewer set-ups with --setups",
        ),
        Check(
            name="other programs",
            found=f"{busy:.1%} of a core",
            fit=busy <= 0.05,
            advice="close them; a measured run wants a quiet machine",
        ),
        Check(
            name="steal",
            found=f"{steal:.1%} of a core",
            fit=steal <= 0.02,
            advice="the host is busy; a dedicated machine measures better",
        ),
        Check(
            name="governor",
            found=governor or "not told (a virtual machine?)",
            fit=governor in {None, "performance"},
            advice="`cpupower frequency-set -g performance` keeps the clock steady",
        ),
    )


def _stolen_and_busy(seconds: float) -> tuple[float, float]:
    before, own = psutil.cpu_times(), time.process_time()
    time.sleep(seconds)
    after = psutil.cpu_times()
    fields = ("user", "nice", "system", "irq", "softirq")
    busy = sum(getattr(after, field) - getattr(before, field) for field in fields)
    return (after.steal - before.steal) / seconds, max(busy - (time.process_time() - own), 0.0) / seconds
