"""The load: Locust in processes of its own, told step by step what to send and when.

The harness says when on the monotonic clock, which all processes of a machine share; no message
passes at a switch of slices. This module does not import locust, whose import patches sockets.
"""

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.app.records import Request
from bench.errors import ServiceError
from bench.plan.readings import RequestRow
from bench.plan.records import Arrival
from bench.testbed.process import ROOT, RUN_VARIABLE, Child, plain_environ, undone_on_failure

LOCUSTFILE = ROOT / "locustfiles" / "planned.py"
LOOPBACK = "127.0.0.1"
EVERYWHERE = frozenset({"0.0.0.0", "*"})
CONTROL_FD_VARIABLE = "BENCH_CONTROL_FD"
WORKERS_VARIABLE = "BENCH_LOAD_WORKERS"
MAX_IN_FLIGHT = 1024
"""Requests that one load process has under way at most."""
START_LIMIT_S = 60.0
JOIN_LIMIT_S = 600.0
"""How long workers on other machines, which a person starts, are waited for."""
LEAD_S = 0.05
"""From an order until its first arrival: time to read it."""
DISTRIBUTED_LEAD_S = 0.4
"""The same where a master reads clocks and passes the order on."""
LEAD_PER_ARRIVAL_S = 10e-6
STOP_LIMIT_S = 5.0
REPORT_LIMIT_S = 10.0
"""How long the load may take to report its rows."""

T = TypeVar("T")


class RequestKind(msgspec.Struct, frozen=True):
    """One kind of request, as the load process sends it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    expect: list[int]
    name: str


class Order(msgspec.Struct, frozen=True):
    """A phase of load, from the harness to the load process.

    Attributes:
        start_ns: its start on the monotonic clock.
        targets: addresses of the instances.
        names: what the targets are called in Locust's statistics.
        kinds: of requests.
        arrivals: open loop: planned requests.
        users: closed loop: users of every target.
        sequence: closed loop: numbers of the kinds that a user asks, again and again.
        windows: closed loop: by target, when its users may ask; empty: always.
        length_ns: closed loop: its length.
        in_flight: requests under way at most, at each target.
        timeout_s: after which a request has failed.
    """

    start_ns: int
    targets: list[str]
    names: list[str]
    kinds: list[RequestKind]
    arrivals: list[Arrival] = []
    users: int = 0
    sequence: list[int] = []
    windows: list[list[tuple[int, int]]] = []
    length_ns: int = 0
    in_flight: int = 256
    timeout_s: float = 10.0

    @property
    def length_s(self) -> float:
        """From the start to the last planned send."""
        return (self.arrivals[-1].offset_ns if self.arrivals else self.length_ns) / 1e9

    @property
    def answers_s(self) -> float:
        """How long the load waits for answers after the last planned send.

        A request may wait one timeout for a free slot and one for its answer; the third is a margin.
        """
        return 3 * self.timeout_s


class Listening(msgspec.Struct):
    """A master's first word: the port on which it waits for workers."""

    port: int


class Workers(msgspec.Struct):
    """The load's first word when it is ready: how many processes send."""

    count: int


class Rows(msgspec.Struct):
    """What became of an order, from the load process to the harness.

    Attributes:
        rows: one for every request.
        workers: processes that are left.
        lost: workers that died on this order; their arrivals are marked lost.
        error: what ended the order early; empty if nothing did.
    """

    rows: list[RequestRow]
    workers: int
    lost: int
    error: str = ""


def request_kinds(requests: Sequence[Request]) -> list[RequestKind]:
    """The application's requests, as the load process sends them."""
    return [
        RequestKind(
            method=request.method,
            path=request.path,
            headers=request.all_headers,
            body=request.content,
            expect=sorted(request.statuses),
            name=request.label,
        )
        for request in requests
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadWorkers:
    """Who sends the load.

    Attributes:
        local: workers started here; 0 for one process without a master.
        remote: workers that persons start on other machines.
        host: address on which the master waits for workers.
        port: its port; 0 for any free one.
    """

    local: int = 0
    remote: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def reached_at(self) -> str:
        """Where workers of this machine find the master: at its own address, unless it listens on all."""
        return LOOPBACK if self.host in EVERYWHERE else self.host

    @property
    def is_distributed(self) -> bool:
        """True if there is a master."""
        return self.local + self.remote > 0


class Load:
    """The running load.

    Attributes:
        child: the process that takes orders.
        workers: the workers started here.
        lost: workers that died on the last order.
    """

    def __init__(self, logs: Path, run: str = "", load_workers: LoadWorkers | None = None) -> None:
        """Start it and wait until all its processes are there.

        Raises:
            ServiceError: one of them ended or does not answer.
        """
        self._workers = load_workers or LoadWorkers()
        self._run = run
        self.workers: list[Child] = []
        self.lost = 0
        self._held: list[socket.socket] = []
        self._socket, self.child = self._start("the load generator", logs / "load.log", self._role())
        self._buffer = bytearray()
        self._limit = 0.0
        with undone_on_failure(self.stop):
            if self._workers.is_distributed:
                self.port = self._read(START_LIMIT_S, Listening).port
                for number in range(self._workers.local):
                    name = f"load worker {number + 1}"
                    arguments = [
                        "--worker",
                        "--master-host",
                        self._workers.reached_at,
                        "--master-port",
                        str(self.port),
                    ]
                    held, child = self._start(name, logs / f"load-{number + 1}.log", arguments)
                    self._held.append(held)
                    self.workers.append(child)
            self._read(JOIN_LIMIT_S if self._workers.remote else START_LIMIT_S, Workers)

    def _role(self) -> list[str]:
        count = max(self._workers.local + self._workers.remote, 1)
        role = ["--headless", "--only-summary", "--users", str(count), "--spawn-rate", str(count)]
        if self._workers.is_distributed:
            role += ["--master", "--expect-workers", str(count)]
            role += ["--master-bind-host", self._workers.host, "--master-bind-port", str(self._workers.port)]
        return role

    def _start(self, name: str, log: Path, role: Sequence[str]) -> tuple[socket.socket, Child]:
        """A Locust process and our end of its control socket; it ends when that is closed."""
        ours, theirs = socket.socketpair()
        environ = plain_environ() | {
            CONTROL_FD_VARIABLE: str(theirs.fileno()),
            WORKERS_VARIABLE: str(self._workers.local + self._workers.remote),
            RUN_VARIABLE: self._run,
            # Locust reads ~/.locust.conf and ./locust.conf; no settings of the user may change a run.
            "HOME": str(log.parent),
        }
        options = ["-f", str(LOCUSTFILE), "--loglevel", "WARNING", "--stop-timeout", "1", *role]
        environ["PYTHONPATH"] = str(ROOT)
        with theirs:
            child = Child(
                name,
                ["-m", "locust", *options],
                environ=environ,
                log=log,
                pass_fds=(theirs.fileno(),),
                cwd=log.parent,
            )
        return ours, child

    @property
    def pids(self) -> tuple[int, ...]:
        """The load's processes on this machine."""
        return tuple(child.pid for child in (self.child, *self.workers) if child.is_running())

    @property
    def lead_s(self) -> float:
        """How long before its start an order has to be sent, without its arrivals."""
        return DISTRIBUTED_LEAD_S if self._workers.is_distributed else LEAD_S

    def lead_for(self, arrivals: int) -> float:
        """How long before its start an order with `arrivals` arrivals must be sent."""
        return self.lead_s + arrivals * LEAD_PER_ARRIVAL_S

    def send(self, order: Order) -> None:
        """Give an order; `is_finished` and `rows` tell of it.

        Raises:
            ServiceError: the load process has ended.
        """
        self._limit = time.monotonic() + order.length_s + order.answers_s + order.timeout_s + REPORT_LIMIT_S
        self._socket.settimeout(START_LIMIT_S)
        try:
            self._socket.sendall(msgspec.json.encode(order) + b"\n")
        except OSError:
            raise self.child.death() from None

    def is_finished(self) -> bool:
        """True if the last request of the order was answered, without waiting."""
        return b"\n" in self._buffer or bool(select.select([self._socket], [], [], 0)[0])

    def rows(self) -> tuple[RequestRow, ...]:
        """What became of the order; waits for its last answer.

        Raises:
            ServiceError: the load process ended or does not answer, or no worker is left.
        """
        answer = self._read(max(self._limit - time.monotonic(), 1.0), Rows)
        self.lost = answer.lost
        if answer.error:
            raise ServiceError(f"the load generator failed: {answer.error}", "please report this")
        if answer.workers == 0:
            raise ServiceError(
                "no load worker is left", "see why they ended; more memory or fewer requests may help"
            )
        return tuple(answer.rows)

    def _read(self, limit_s: float, kind: type[T]) -> T:
        """The process's next message.

        Raises:
            ServiceError: it ended or does not answer.
        """
        deadline = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                chunk = self._socket.recv(1 << 20)
            except OSError:
                raise self.child.death() from None
            if not chunk:
                self.child.stop(STOP_LIMIT_S)
                raise self.child.death()
            self._buffer += chunk
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return msgspec.json.decode(line, type=kind)

    def stop(self) -> None:
        """Stop the load's processes."""
        for held in (self._socket, *self._held):
            held.close()
        for child in (*self.workers, self.child):
            child.stop(STOP_LIMIT_S)
