"""What the load generator itself costs, beside Locust's own users and wrk, on the same echo service.

Everybody takes turns, in shuffled order, round after round: a generator that is measured while the
machine is slow looks dear. CPU is that of the generator's process per completed request; the echo service
is not counted. Only an open loop knows how late it sends; closed loops have no lag to show.
"""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from bench.analysis import stats
from bench.app.records import Request
from bench.errors import MeasurementError, ServiceError
from bench.plan.readings import Row
from bench.plan.records import Arrival
from bench.runner.run import Progress
from bench.testbed.echo import start_echo
from bench.testbed.instance import memory_of
from bench.testbed.load import Load, Order, kinds_of
from bench.testbed.machine import split_cpus
from bench.testbed.pausing import cpu_clock_ns
from bench.testbed.process import ROOT, Child, plain_environ

ECHO = Request(method="POST", path="/", json={"items": [1, 2], "amount": 12_997}, expect=200)
"""What everybody sends to the echo service."""
LEAD_S = 0.1
ROUNDS = 6
SLICE_S = 2.0
RATE_PER_S = 400.0
"""At which CPU is compared: what a measured run sends at most. A process that wakes up for
each request spends most of its CPU on waking up, whatever it does then: flat out
FastHttpUser costs a third."""
USERS = 4
"""Of the loops that go flat out; the paced ones have a single user, who wakes as often as ours."""
OURS, FAST, PLAIN = "open loop (ours)", "FastHttpUser", "HttpUser"
FAST_FLAT, PLAIN_FLAT, WRK = "FastHttpUser, flat out", "HttpUser, flat out", "wrk, flat out"
LAG_LIMIT_S = 1e-3
RATES_PER_S = (400, 800, 1200, 1600, 2000, 2500, 3000)
TRIES = 3
"""Of each rate: what the host takes away makes it late, too, so the best of some is the truest."""
FAILURES = 2
"""Rates in a row that were not held, after which no higher one is tried."""
LAG_S = 2.0
MIN_LAG_SAMPLES = 2000
"""Requests that a 99th percentile of lag needs; slower rates are sent for longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """What a load generator needs.

    Attributes:
        name: of the generator.
        cpu_s: CPU seconds per request, median over rounds.
        per_s: requests per second while that was read, median over rounds.
        ratio: CPU per request over FastHttpUser's, paired in rounds; absent for that itself.
        low: lower end of its 95 % interval.
        high: upper end.
        memory_bytes: PSS; peak RSS for a program that ends with its turn.
        held_per_s: highest rate tried at which the 99th percentile of lag stays under a millisecond;
            absent for a closed loop.
    """

    name: str
    cpu_s: float
    per_s: float
    ratio: float | None
    low: float | None
    high: float | None
    memory_bytes: int
    held_per_s: float | None


Turn = Callable[[], tuple[float, float, int]]
"""One turn of a generator: CPU seconds per request, requests per second, memory."""


def compare(shown: Progress, rounds: int = ROUNDS) -> tuple[tuple[Generator, ...], float]:
    """All generators that there are, side by side, and the share of a core that the host took away.

    Raises:
        ServiceError: a process does not start or ended.
        MeasurementError: requests failed.
    """
    cpus = split_cpus(pinned=True)
    services_cpus, other_cpus = cpus.services, cpus.others
    before = os.sched_getaffinity(0)
    steal_s, started = psutil.cpu_times().steal, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        logs = Path(folder)
        children: list[Child] = []
        load = None
        try:
            if other_cpus:
                os.sched_setaffinity(0, other_cpus)
            shown.say("starting the echo service")
            child, url = start_echo(logs, services_cpus)
            children.append(child)
            load = Load(logs)
            turns: dict[str, Turn] = {
                OURS: lambda: _ours(load, url),
                FAST: lambda: _closed("fast", url, logs, RATE_PER_S),
                PLAIN: lambda: _closed("plain", url, logs, RATE_PER_S),
                FAST_FLAT: lambda: _closed("fast", url, logs),
                PLAIN_FLAT: lambda: _closed("plain", url, logs),
            }
            if shutil.which("wrk"):
                turns[WRK] = lambda: _wrk(url)
            readings = _rounds(turns, rounds, shown)
            held = _held(load, url, shown)
        finally:
            if load is not None:
                load.stop()
            for child in children:
                child.stop(3.0)
            os.sched_setaffinity(0, before)
    steal = (psutil.cpu_times().steal - steal_s) / (time.monotonic() - started)
    return tuple(_summary(name, readings, held if name == OURS else None) for name in turns), steal


def _rounds(
    turns: dict[str, Turn], rounds: int, shown: Progress
) -> dict[str, list[tuple[float, float, int]]]:
    readings: dict[str, list[tuple[float, float, int]]] = {name: [] for name in turns}
    order = list(turns)
    shuffled = random.Random(1)
    for number in range(rounds + 1):
        shuffled.shuffle(order)
        for name in order:
            shown.say(f"round {number} of {rounds}: {name}" if number else f"warming up: {name}")
            turn = turns[name]()
            if number:
                readings[name].append(turn)
    return readings


def _ours(load: Load, url: str) -> tuple[float, float, int]:
    """The measured run's own generator, as it is used there."""
    count = int(RATE_PER_S * SLICE_S)
    cpu, started = cpu_clock_ns(load.child.pid), time.monotonic()
    rows = _send(load, url, RATE_PER_S, count)
    used, length = cpu_clock_ns(load.child.pid) - cpu, time.monotonic() - started
    completed = sum(row.status in ECHO.statuses for row in rows)
    if completed < count:
        raise MeasurementError(
            f"{count - completed} of {count} requests failed", "is the machine overloaded?"
        )
    return used / 1e9 / completed, completed / length, memory_of([load.child.pid]).pss_bytes


def _send(load: Load, url: str, rate_per_s: float, count: int) -> tuple[Row, ...]:
    """Requests at even distances."""
    order = Order(
        start_ns=time.monotonic_ns() + int(LEAD_S * 1e9),
        targets=[url],
        names=["echo"],
        kinds=kinds_of([ECHO]),
        arrivals=[Arrival(int(number * 1e9 / rate_per_s), 0, 0) for number in range(count)],
    )
    load.send(order)
    return load.rows()


def _closed(kind: str, url: str, logs: Path, rate_per_s: float = 0.0) -> tuple[float, float, int]:
    """One of Locust's own users, in a process of its own that says what it used."""
    users = 1 if rate_per_s else USERS
    environ = plain_environ() | {
        "BENCH_USER": kind,
        "BENCH_SLICE_S": str(SLICE_S),
        "BENCH_USERS": str(users),
        "BENCH_RATE_PER_S": str(rate_per_s),
    }
    child = Child(
        f"Locust with {kind} users",
        [
            "-m", "locust", "-f", str(ROOT / "locustfiles" / "closed.py"), "--headless", "--only-summary",
            "--host", url, "--users", str(users), "--spawn-rate", str(users), "--loglevel", "ERROR",
        ],
        environ=environ,
        log=logs / "closed.log",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = child.read_line()
        if not line:
            raise child.death()
    finally:
        child.stop(5.0)
    answer = json.loads(line)
    if answer["failed"] or not answer["requests"]:
        raise MeasurementError(
            f"{answer['failed']} requests of {kind} users failed", "is the machine overloaded?"
        )
    return answer["cpu_s"] / answer["requests"], answer["requests"] / answer["length_s"], answer["pss_bytes"]


def _wrk(url: str) -> tuple[float, float, int]:
    """wrk, which knows no open loop either; a GET, because a POST would need a script."""
    command = ["wrk", "-t1", f"-c{USERS}", f"-d{SLICE_S:g}s", url + "/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        printed = wrk.stdout.read() if wrk.stdout else ""
        _, code, usage = os.wait4(wrk.pid, 0)
        wrk.returncode = os.waitstatus_to_exitcode(code)
    match = re.search(r"(\d+) requests in ([\d.]+)s", printed)
    if match is None:
        raise ServiceError(f"wrk ended with code {wrk.returncode}", f"`{' '.join(command)}` shows why")
    requests, length = int(match[1]), float(match[2])
    return (usage.ru_utime + usage.ru_stime) / requests, requests / length, usage.ru_maxrss * 1024


def _held(load: Load, url: str, shown: Progress) -> float | None:
    """The highest rate at which the open loop is late by less than the limit, 99 times in 100."""
    held, failures = None, 0
    for rate in RATES_PER_S:
        shown.say(f"open loop at {rate} requests/s")
        if any(_lag_p99_s(load, url, rate) < LAG_LIMIT_S for _ in range(TRIES)):
            held, failures = float(rate), 0
        else:
            failures += 1
        if failures == FAILURES:
            break
    return held


def _lag_p99_s(load: Load, url: str, rate_per_s: float) -> float:
    """The 99th percentile of lag at a rate."""
    count = max(int(rate_per_s * LAG_S), MIN_LAG_SAMPLES)
    rows = _send(load, url, rate_per_s, count)
    return float(np.quantile([(row.sent_ns - row.planned_ns) / 1e9 for row in rows], 0.99))


def _summary(name: str, readings: dict[str, list[tuple[float, float, int]]], held: float | None) -> Generator:
    own, fast = readings[name], readings[FAST]
    ratio = low = high = None
    if name != FAST and len(own) > 1:
        logs = np.log([turn[0] / other[0] for turn, other in zip(own, fast, strict=True)])
        half = stats.t_quantile(0.975, len(logs) - 1) * float(np.std(logs, ddof=1)) / len(logs) ** 0.5
        ratio, low, high = (float(np.exp(np.mean(logs) + end)) for end in (0.0, -half, half))
    return Generator(
        name=name,
        cpu_s=float(np.median([turn[0] for turn in own])),
        per_s=float(np.median([turn[1] for turn in own])),
        ratio=ratio,
        low=low,
        high=high,
        memory_bytes=max(turn[2] for turn in own),
        held_per_s=held,
    )
