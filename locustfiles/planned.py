"""The measured run's Locust file: planned arrivals, open loop, and users, closed loop.

`bench.testbed.load` starts it; a person's load is `explore.py`. Locust's users are closed loops:
they wait for an answer before they send again, so a slow service is asked less often and its
slowness counted once. Here one user spawns a greenlet per planned arrival, whatever became of the
earlier ones. On another machine, `locust -f locustfiles/planned.py --worker --master-host H` takes
a share of the load.

An arrival that finds too many requests under way waits for its time_slice, and its latency counts from
when it was planned; one that has waited for the whole timeout is dropped and counted. No
`traceparent` is sent: a parent would decide the sampling.
"""

import gc
import logging
import os
import time
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from locust import FastHttpUser, events, task
from locust.runners import MasterRunner, WorkerRunner

from bench.plan.readings import DROPPED, RequestRow
from bench.testbed.load import MAX_IN_FLIGHT, WORKERS_VARIABLE, Order
from locustfiles.channel import Channel, LocalChannel, Master, WorkerChannel, control_socket
from locustfiles.clock import Clock

log = logging.getLogger(__name__)


class PlannedLoad(FastHttpUser):
    """Takes an order, sends its requests, answers with a row for each."""

    host = "http://127.0.0.1"
    concurrency = MAX_IN_FLIGHT
    # The clock goes on while an instance is stopped; the order's own timeout counts slices.
    connection_timeout = 300.0
    network_timeout = 300.0
    channel: ClassVar[Channel]

    @task
    def work(self) -> None:
        """Carry out orders until the harness or the master is gone."""
        # What was imported lives for ever; a collection between steps need not look at it again.
        gc.collect()
        gc.freeze()
        try:
            for order in self.channel.orders():
                self.channel.answer(*self.carry_out(order))
        except OSError:
            # Locust would call this task again and again.
            log.warning("the harness closed the control socket")
        self.environment.runner.quit()

    def carry_out(self, order: Order) -> tuple[list[RequestRow], str]:
        """Send an order's requests and wait for the last answer; returns rows and what went wrong."""
        self.errors: list[str] = []
        # A collection while requests are sent would be lag; the next pause has time for it.
        gc.collect()
        gc.disable()
        try:
            rows = self.repeat(order) if order.users else self.dispatch(order)
        finally:
            gc.enable()
            # Locust keeps a count of every second for ever; here a row tells of every request.
            self.environment.runner.stats.clear_all()
        return rows, self.errors[0] if self.errors else ""

    def dispatch(self, order: Order) -> list[RequestRow]:
        """Open loop: every arrival at its time, whatever became of the earlier ones."""
        clock = Clock()
        slots = [Semaphore(min(order.in_flight, MAX_IN_FLIGHT)) for _ in order.targets]
        left, ended = [len(order.arrivals)], Event()
        rows = [
            RequestRow(
                arrival.offset_ns,
                arrival.offset_ns,
                arrival.offset_ns,
                DROPPED,
                arrival.instance,
                arrival.request,
            )
            for arrival in order.arrivals
        ]

        def arrive(number: int) -> None:
            planned, instance, kind = rows[number].planned_ns, rows[number].instance, rows[number].request
            try:
                if slots[instance].acquire(timeout=order.timeout_s):
                    now = time.monotonic_ns() - order.start_ns
                    rows[number] = RequestRow(
                        planned, now, now + int(order.timeout_s * 1e9), 0, instance, kind
                    )
                    try:
                        rows[number] = self.send(order, planned, instance, kind)
                    finally:
                        slots[instance].release()
                else:
                    now = time.monotonic_ns() - order.start_ns
                    rows[number] = RequestRow(planned, now, now, DROPPED, instance, kind)
            except BaseException as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                raise
            finally:
                left[0] -= 1
                if not left[0]:
                    ended.set()

        for number, arrival in enumerate(order.arrivals):
            clock.sleep_until(order.start_ns + arrival.offset_ns)
            # A raw greenlet: a Greenlet object's bookkeeping would be a tenth of a request's CPU.
            gevent.spawn_raw(arrive, number)
        if order.arrivals:
            ended.wait(timeout=order.answers_s)
        clock.close()
        return rows

    def repeat(self, order: Order) -> list[RequestRow]:
        """Closed loop: users of every target, each sending its next request as soon as it is answered."""
        rows: list[RequestRow] = []

        def ask(instance: int, user: int) -> None:
            at = user
            try:
                while (now := self._next_ns(order, instance)) < order.length_ns:
                    kind = order.sequence[at % len(order.sequence)]
                    at += order.users
                    rows.append(self.send(order, now, instance, kind))
            except BaseException as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                raise

        gevent.sleep(max(order.start_ns - time.monotonic_ns(), 0) / 1e9)
        asking = [
            gevent.spawn(ask, instance, user)
            for user in range(order.users)
            for instance in range(len(order.targets))
        ]
        gevent.joinall(asking, timeout=order.length_s + order.answers_s)
        return rows

    @staticmethod
    def _next_ns(order: Order, instance: int) -> int:
        """Now, or the beginning of the instance's next window, as an offset from the start."""
        now = time.monotonic_ns() - order.start_ns
        if not order.windows:
            return now
        for start_ns, stop_ns in order.windows[instance]:
            if now < stop_ns:
                gevent.sleep(max(start_ns - now, 0) / 1e9)
                return max(now, start_ns)
        return order.length_ns

    def send(self, order: Order, planned: int, instance: int, kind: int) -> RequestRow:
        """Send one request now."""
        request = order.kinds[kind]
        sent = time.monotonic_ns() - order.start_ns
        with self.client.request(
            request.method,
            order.targets[instance] + request.path,
            data=request.body or None,
            headers=request.headers,
            name=order.names[instance],
            catch_response=True,
            allow_redirects=False,
        ) as response:
            done = time.monotonic_ns() - order.start_ns
            response.request_meta["response_time"] = (done - planned) / 1e6
            if response.status_code in request.expect:
                response.success()
            else:
                response.failure(f"answered {response.status_code}")
        return RequestRow(planned, sent, done, response.status_code, instance, kind)


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, runner: Any, **_rest: object) -> None:  # noqa: ANN401
    """Give this process the role that Locust was started with."""
    control = control_socket()
    match runner:
        case MasterRunner() if control:
            master = Master(runner, control, int(os.environ[WORKERS_VARIABLE]))
            gevent.spawn(_until_the_harness_ends, master.serve, runner)
        case WorkerRunner():
            PlannedLoad.channel = WorkerChannel(runner)
            if control:
                gevent.spawn(_until_the_harness_ends, lambda: control.recv(1), runner)
        case _ if control:
            PlannedLoad.channel = LocalChannel(control)
        case _:
            log.error(
                "this Locust file carries out the orders of `tracing-overhead run`; "
                "for a load by hand take locustfiles/explore.py"
            )
            environment.process_exit_code = 2
            raise SystemExit(2)


def _until_the_harness_ends(serve: Any, runner: Any) -> None:  # noqa: ANN401
    """Serve, and end this process with the harness, however that ended."""
    try:
        serve()
    except OSError:
        log.warning("the harness closed the control socket")
    runner.quit()
