"""Locust's own users against the echo service, for `tracing-overhead generator`.

A line on standard output says what this process used between the first request that counts
and the last: CPU seconds, requests, length, PSS.
"""

import os
import time
from typing import Any

import gevent
import psutil
from locust import FastHttpUser, HttpUser, constant, constant_throughput, events, task

from bench.runner.generator import ECHO

WARM_UP_S = 0.5
LENGTH_S = float(os.environ.get("BENCH_SLICE_S", "2"))
KIND = os.environ.get("BENCH_USER", "fast")
RATE_PER_S = float(os.environ.get("BENCH_RATE_PER_S", "0"))
"""Of all users together; 0 for as fast as they can."""
USERS = int(os.environ.get("BENCH_USERS", "1"))
PACE: Any = constant_throughput(RATE_PER_S / USERS) if RATE_PER_S else constant(0)


class Fast(FastHttpUser):
    """Locust's fast client."""

    abstract = KIND != "fast"
    wait_time = PACE

    @task
    def ask(self) -> None:
        """The same request as the measured run sends."""
        self.client.post(ECHO.path, data=ECHO.content, headers=ECHO.all_headers, name="echo")


class Plain(HttpUser):
    """Locust's usual client, on requests."""

    abstract = KIND != "plain"
    wait_time = PACE

    @task
    def ask(self) -> None:
        """The same request as the measured run sends."""
        self.client.post(ECHO.path, data=ECHO.content, headers=ECHO.all_headers, name="echo")


def _measure(environment: Any) -> None:  # noqa: ANN401
    gevent.sleep(WARM_UP_S)
    total = environment.runner.stats.total
    cpu_s, requests, failed = time.process_time(), total.num_requests, total.num_failures
    started = time.monotonic()
    gevent.sleep(LENGTH_S)
    import json

    said = {
        "cpu_s": time.process_time() - cpu_s,
        "requests": total.num_requests - requests,
        "failed": total.num_failures - failed,
        "length_s": time.monotonic() - started,
        "pss_bytes": psutil.Process().memory_full_info().pss,
    }
    os.write(1, json.dumps(said).encode() + b"\n")
    environment.runner.quit()


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def on_spawned(user_count: int, **_rest: object) -> None:
    """All users are there: the clock starts."""
    if user_count:
        gevent.spawn(_measure, _environments[0])


_environments: list[Any] = []


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Remembers the environment for the event that does not tell it."""
    _environments.append(environment)
