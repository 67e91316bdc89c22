"""The measured run's Locust file: one dispatcher that sends planned arrivals, open loop.

`bench.load` starts it; a person's load is `checkout.py`. Locust's users are closed loops:
they wait for an answer before they send again, so a slow service is asked less often and
its slowness counted once. Here one user (`fixed_count = 1`) spawns a greenlet per planned
arrival, whatever became of the earlier ones.

Rule 1: latency counts from the *planned* send, so that what waited for its turn has waited.
Rule 2: an arrival that cannot be sent, because too many are under way, is counted as dropped.
Rule 3: no `traceparent` is sent: a parent would decide the sampling.
"""

import ctypes
import gc
import logging
import os
import socket
import struct
import time

import gevent
import msgspec
from gevent.pool import Pool
from locust import FastHttpUser, task

from bench.load import CONTROL_FD_VARIABLE, Order, Rows
from bench.model import DROPPED

TIMER_ABSOLUTE = 1
TIMER_NONBLOCKING = os.O_NONBLOCK
MAX_IN_FLIGHT = 1024


class Clock:
    """Wakes a greenlet at a time of the monotonic clock.

    gevent's own timers round up to whole milliseconds; a timerfd watched by its hub is
    late by a tenth of one. (Python has timerfds from 3.13 on.)
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, TIMER_NONBLOCKING)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        hub = gevent.get_hub()
        self._hub = hub
        self._watcher = hub.loop.io(self._fd, 1)

    def sleep_until(self, when_ns: int) -> None:
        """Returns at `when_ns`, or at once if that is past."""
        if when_ns <= time.monotonic_ns():
            return
        # struct itimerspec: interval (none), then the absolute time.
        spec = struct.pack("qqqq", 0, 0, *divmod(when_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self._fd, TIMER_ABSOLUTE, spec, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._hub.wait(self._watcher)
        os.read(self._fd, 8)


class PlannedCheckouts(FastHttpUser):
    """The dispatcher: takes an order, sends its arrivals, answers with a row each."""

    host = "http://127.0.0.1"
    fixed_count = 1
    concurrency = MAX_IN_FLIGHT
    connection_timeout = 10.0
    network_timeout = 10.0

    @task
    def work(self) -> None:
        """Carries out orders until the harness closes the control socket."""
        control = socket.socket(fileno=int(os.environ[CONTROL_FD_VARIABLE]))
        clock = Clock()
        try:
            control.sendall(b"ready\n")
            for line in control.makefile("rb"):
                order = msgspec.json.decode(line, type=Order)
                control.sendall(msgspec.json.encode(self.carry_out(order, clock)) + b"\n")
        except OSError:
            # The harness is gone. Locust would call this task again and again.
            logging.getLogger(__name__).warning("the harness closed the control socket")
        self.environment.runner.quit()

    def carry_out(self, order: Order, clock: Clock) -> Rows:
        """Sends an order's arrivals at their times and waits for the last answer."""
        rows: list[tuple[int, int, int]] = [(0, 0, DROPPED)] * len(order.arrivals)
        pool = Pool(min(order.in_flight, MAX_IN_FLIGHT))
        # A collection in a window would be lag; the next pause has time for it.
        gc.collect()
        gc.disable()
        try:
            for number, (offset_ns, target) in enumerate(order.arrivals):
                clock.sleep_until(order.start_ns + offset_ns)
                if pool.free_count() > 0:
                    pool.spawn(self.send, order, number, offset_ns, target, rows)
                else:
                    now = time.monotonic_ns() - order.start_ns
                    rows[number] = (now, now, DROPPED)
            pool.join(timeout=2 * order.timeout_s)
            pool.kill()
        finally:
            gc.enable()
        return Rows(rows)

    def send(
        self, order: Order, number: int, offset_ns: int, target: int, rows: list[tuple[int, int, int]]
    ) -> None:
        """One checkout; its row is kept whatever happens to it."""
        sent = time.monotonic_ns() - order.start_ns
        rows[number] = (sent, sent + int(order.timeout_s * 1e9), 0)
        with self.client.post(
            order.targets[target],
            data=order.body,
            headers={"content-type": "application/json"},
            name=order.names[target],
            catch_response=True,
        ) as response:
            done = time.monotonic_ns() - order.start_ns
            rows[number] = (sent, done, response.status_code)
            response.request_meta["response_time"] = (done - offset_ns) / 1e6
            if response.status_code == 201:
                response.success()
            else:
                response.failure(f"answered {response.status_code}")
