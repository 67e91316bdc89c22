"""Where a load process gets its orders from, and whom it answers.

One process alone gets them from the harness. With more of them Locust's own distributed mode
is used: the master gets each order from the harness, gives every worker its share in a
message, and merges the rows that come back.

No row is invented and none is left out: what a dead worker was to send is marked lost. A worker on
another machine has another monotonic clock; the order's start is told in the worker's active time, by
the exchange of messages that took least (Cristian, 1989).
"""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import gevent
import gevent.queue
import msgspec
from gevent.event import Event
from locust.runners import STATE_MISSING, MasterRunner, WorkerRunner

from bench.plan.readings import LOST, RequestRow
from bench.testbed.load import CONTROL_FD_VARIABLE, Listening, Order, Rows, Workers

PATIENCE_S = 5.0
"""How long after its last possible row a worker may still answer."""
POLL_S = 0.2
"""How often a waiting master looks whether a worker has died."""
PINGS = 10
"""Exchanges by which the clock of another machine is read."""
PING_LIMIT_S = 2.0


class Channel(Protocol):
    """Where orders come in and rows go out."""

    def orders(self) -> Iterator[Order]:
        """Orders as they come; ends when the harness does."""

    def answer(self, rows: list[RequestRow], error: str) -> None:
        """Tell what became of the last order, and what ended it early."""


def control_socket() -> socket.socket | None:
    """The socket to the harness; absent where a person started this process."""
    fd = os.environ.get(CONTROL_FD_VARIABLE)
    return socket.socket(fileno=int(fd)) if fd else None


def boot_id() -> str:
    """Two processes with the same one share a monotonic clock."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


class LocalChannel:
    """The channel of a single process: the harness itself."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def orders(self) -> Iterator[Order]:
        """Orders from the control socket."""
        _send(self._control, Workers(count=1))
        for line in self._control.makefile("rb"):
            yield msgspec.json.decode(line, type=Order)

    def answer(self, rows: list[RequestRow], error: str) -> None:
        """Rows to the control socket."""
        _send(self._control, Rows(rows=rows, workers=1, lost=0, error=error))


class WorkerChannel:
    """The channel of a worker: Locust's messages from and to the master."""

    def __init__(self, runner: WorkerRunner) -> None:
        self._runner = runner
        self._inbox: gevent.queue.Queue[dict[str, Any]] = gevent.queue.Queue()
        runner.register_message("order", self._on_order)
        runner.register_message("ping", self._on_ping)

    def _on_order(self, msg: Any, **_rest: object) -> None:  # noqa: ANN401
        self._inbox.put(msg.data)

    def _on_ping(self, **_rest: object) -> None:
        self._runner.send_message("pong", {"now_ns": time.monotonic_ns()})

    def orders(self) -> Iterator[Order]:
        """Shares of orders from the master."""
        self._runner.send_message("at-work", {"boot_id": boot_id()})
        while True:
            yield msgspec.convert(self._inbox.get(), Order)

    def answer(self, rows: list[RequestRow], error: str) -> None:
        """Rows to the master."""
        self._runner.send_message("rows", {"rows": msgspec.to_builtins(rows), "error": error})


class Master:
    """Passes orders on: a share to every worker, the merged rows to the harness."""

    def __init__(self, runner: MasterRunner, control: socket.socket, expected: int) -> None:
        self._runner = runner
        self._control = control
        self._expected = expected
        self._boot_ids: dict[str, str] = {}
        self._rows: dict[str, list[RequestRow]] = {}
        self._error = ""
        self._pongs: gevent.queue.Queue[int] = gevent.queue.Queue()
        self._news = Event()
        runner.register_message("at-work", self._on_at_work)
        runner.register_message("rows", self._on_rows)
        runner.register_message("pong", self._on_pong)

    def _on_at_work(self, msg: Any, **_rest: object) -> None:  # noqa: ANN401
        self._boot_ids[msg.node_id] = msg.data["boot_id"]
        self._news.set()

    def _on_rows(self, msg: Any, **_rest: object) -> None:  # noqa: ANN401
        self._rows[msg.node_id] = msgspec.convert(msg.data["rows"], list[RequestRow])
        self._error = self._error or msg.data["error"]
        self._news.set()

    def _on_pong(self, msg: Any, **_rest: object) -> None:  # noqa: ANN401
        self._pongs.put(msg.data["now_ns"])

    def serve(self) -> None:
        """Serves the harness until it closes the socket."""
        _send(self._control, Listening(port=self._runner.server.port))
        while len(self._boot_ids) < self._expected:
            self._wait_for_news()
        _send(self._control, Workers(count=len(self._workers())))
        for line in self._control.makefile("rb"):
            _send(self._control, self._carry_out(msgspec.json.decode(line, type=Order)))

    def _wait_for_news(self) -> None:
        self._news.wait(POLL_S)
        self._news.clear()

    def _workers(self) -> list[str]:
        """Those that are at work, in the order in which they came."""
        clients = self._runner.clients
        return [
            worker
            for worker in self._boot_ids
            if worker in clients and clients[worker].state != STATE_MISSING
        ]

    def _carry_out(self, order: Order) -> Rows:
        workers = self._workers()
        shares = {worker: share(order, number, len(workers)) for number, worker in enumerate(workers)}
        self._rows.clear()
        self._error = ""
        for worker, part in shares.items():
            told = msgspec.structs.replace(part, start_ns=part.start_ns + self._offset_ns(worker))
            self._runner.send_message("order", msgspec.to_builtins(told), worker)
        deadline = order.start_ns / 1e9 + order.length_s + order.answers_s + PATIENCE_S
        while set(shares) & set(self._workers()) - set(self._rows) and time.monotonic() < deadline:
            self._wait_for_news()
        rows: list[RequestRow] = []
        lost = 0
        for number, (worker, part) in enumerate(shares.items()):
            if worker in self._rows:
                rows += [msgspec.structs.replace(row, worker=number) for row in self._rows[worker]]
            else:
                lost += 1
                self._boot_ids.pop(worker, None)
                rows += [
                    RequestRow(planned, planned, planned, LOST, instance, kind, number)
                    for planned, instance, kind in map(msgspec.structs.astuple, part.arrivals)
                ]
        rows.sort(key=lambda row: row.planned_ns)
        return Rows(rows=rows, workers=len(workers) - lost, lost=lost, error=self._error)

    def _offset_ns(self, worker: str) -> int:
        """The worker's monotonic clock less ours."""
        if self._boot_ids[worker] == boot_id():
            return 0
        offsets = []
        for _ in range(PINGS):
            sent = time.monotonic_ns()
            self._runner.send_message("ping", None, worker)
            try:
                theirs = self._pongs.get(timeout=PING_LIMIT_S)
            except gevent.queue.Empty:
                break
            back = time.monotonic_ns()
            offsets.append((back - sent, theirs - (sent + back) // 2))
        return min(offsets)[1] if offsets else 0


def share(order: Order, number: int, count: int) -> Order:
    """The part of an order that one of several workers carries out: every `count`th arrival."""
    users = order.users // count + (number < order.users % count)
    in_flight = max(order.in_flight // count, 1)
    return msgspec.structs.replace(
        order, arrivals=order.arrivals[number::count], users=users, in_flight=in_flight
    )


def _send(control: socket.socket, message: msgspec.Struct) -> None:
    control.sendall(msgspec.json.encode(message) + b"\n")
