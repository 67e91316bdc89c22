"""The measured run's Locust file: one dispatcher that sends planned arrivals, open loop.

`bench.load` starts it; a person's load is `checkout.py`. Locust's users are closed loops:
they wait for an answer before they send again, so a slow service is asked less often and
its slowness counted once. Here one user spawns a greenlet per planned arrival, whatever
became of the earlier ones. On another machine, `locust -f locustfiles/planned.py --worker
--master-host H` takes a share of the arrivals.

Rule 1: latency counts from the *planned* send, so that what waited for its turn has waited.
Rule 2: an arrival that finds too many under way waits for its turn; one that has waited for
the whole timeout is not sent and counted as dropped. None is left out.
Rule 3: no `traceparent` is sent: a parent would decide the sampling.
Rule 4: a closed loop (`users`) is for finding what a fleet can do at most, never for latency.
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

from bench.load import MAX_IN_FLIGHT, WORKERS_VARIABLE, Order, Row
from bench.model import DROPPED
from locustfiles.clock import Clock
from locustfiles.desk import Desk, Master, OwnDesk, WorkerDesk, control_socket

HEADERS = {"content-type": "application/json"}
log = logging.getLogger(__name__)


class PlannedCheckouts(FastHttpUser):
    """The dispatcher: takes an order, sends its arrivals, answers with a row each."""

    host = "http://127.0.0.1"
    concurrency = MAX_IN_FLIGHT
    connection_timeout = 10.0
    network_timeout = 10.0
    desk: ClassVar[Desk]

    @task
    def work(self) -> None:
        """Carries out orders until the harness or the master is gone."""
        # What was imported lives for ever; a collection between windows need not look at it again.
        gc.collect()
        gc.freeze()
        try:
            for order in self.desk.orders():
                self.desk.answer(self.carry_out(order))
        except OSError:
            # Locust would call this task again and again.
            log.warning("the harness closed the control socket")
        self.environment.runner.quit()

    def carry_out(self, order: Order) -> list[Row]:
        """Sends an order's requests at their times and waits for the last answer."""
        rows: list[Row] = []
        # A collection in a window would be lag; the next pause has time for it.
        gc.collect()
        gc.disable()
        try:
            if order.users:
                self.repeat(order, rows)
            else:
                self.dispatch(order, rows)
        finally:
            gc.enable()
        return rows

    def dispatch(self, order: Order, rows: list[Row]) -> None:
        """Open loop: every arrival at its time, whatever became of the earlier ones."""
        clock, slots = Clock(), Semaphore(min(order.in_flight, MAX_IN_FLIGHT))
        left, ended = [len(order.arrivals)], Event()
        rows += [(planned, planned, planned, DROPPED, target, 0) for planned, target in order.arrivals]

        def arrive(number: int, planned: int, target: int) -> None:
            """One planned checkout; its row is kept whatever happens to it."""
            if slots.acquire(timeout=order.timeout_s):
                now = time.monotonic_ns() - order.start_ns
                rows[number] = (planned, now, now + int(order.timeout_s * 1e9), 0, target, 0)
                try:
                    rows[number] = self.send(order, planned, target)
                finally:
                    slots.release()
            else:
                now = time.monotonic_ns() - order.start_ns
                rows[number] = (planned, now, now, DROPPED, target, 0)
            left[0] -= 1
            if not left[0]:
                ended.set()

        for number, (planned, target) in enumerate(order.arrivals):
            clock.sleep_until(order.start_ns + planned)
            # A raw greenlet: a Greenlet object's bookkeeping would be a tenth of a request's CPU.
            gevent.spawn_raw(arrive, number, planned, target)
        ended.wait(timeout=3 * order.timeout_s)
        clock.close()

    def repeat(self, order: Order, rows: list[Row]) -> None:
        """Closed loop: so many users, each asking again as soon as it is answered."""
        end_ns = order.start_ns + order.length_ns

        def ask() -> None:
            while (now := time.monotonic_ns()) < end_ns:
                rows.append(self.send(order, now - order.start_ns, 0))

        gevent.sleep(max(order.start_ns - time.monotonic_ns(), 0) / 1e9)
        asking = [gevent.spawn(ask) for _ in range(order.users)]
        gevent.joinall(asking, timeout=order.length_ns / 1e9 + 3 * order.timeout_s)

    def send(self, order: Order, planned: int, target: int) -> Row:
        """One checkout, sent now."""
        sent = time.monotonic_ns() - order.start_ns
        with self.client.post(
            order.targets[target],
            data=order.body,
            headers=HEADERS,
            name=order.names[target],
            catch_response=True,
        ) as response:
            done = time.monotonic_ns() - order.start_ns
            response.request_meta["response_time"] = (done - planned) / 1e6
            if response.status_code == 201:
                response.success()
            else:
                response.failure(f"answered {response.status_code}")
        return planned, sent, done, response.status_code, target, 0


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, runner: Any, **_rest: object) -> None:  # noqa: ANN401
    """Gives this process the role that Locust was started with."""
    control = control_socket()
    match runner:
        case MasterRunner() if control:
            master = Master(runner, control, int(os.environ[WORKERS_VARIABLE]))
            gevent.spawn(_until_the_harness_ends, master.serve, runner)
        case WorkerRunner():
            PlannedCheckouts.desk = WorkerDesk(runner)
            if control:
                gevent.spawn(_until_the_harness_ends, lambda: control.recv(1), runner)
        case _ if control:
            PlannedCheckouts.desk = OwnDesk(control)
        case _:
            log.error(
                "this Locust file carries out the orders of `python -m bench run`; "
                "for a load by hand take locustfiles/checkout.py"
            )
            environment.process_exit_code = 2
            raise SystemExit(2)


def _until_the_harness_ends(serve: Any, runner: Any) -> None:  # noqa: ANN401
    """Serves, and ends this process with the harness, however that ended."""
    try:
        serve()
    except OSError:
        log.warning("the harness closed the control socket")
    runner.quit()
