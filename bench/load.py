"""The load: Locust in processes of its own, told window by window what to send and when.

Rule 1: this module does not import locust (its import patches sockets); the processes do.
Rule 2: the harness says *when* on the monotonic clock, which all processes of a machine
share; the process answers with the raw nanoseconds of every arrival.
Rule 3: more than one worker is Locust's own distributed mode: a master here, workers here or
on other machines, each with its share of the planned arrivals.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import ServiceError
from bench.model import Arrival, Request
from bench.process import ROOT, Child, plain_environ

LOCUSTFILE = ROOT / "locustfiles" / "planned.py"
CONTROL_FD_VARIABLE = "BENCH_CONTROL_FD"
WORKERS_VARIABLE = "BENCH_LOAD_WORKERS"
MAX_IN_FLIGHT = 1024
"""Requests that one load process has under way at most."""
START_LIMIT_S = 60.0
JOIN_LIMIT_S = 600.0
"""How long workers on other machines, which a person starts, are waited for."""
LEAD_S = 0.05
"""Between the order and the first arrival: time to read the order."""
DISTRIBUTED_LEAD_S = 0.4
"""The same where a master reads clocks and passes the order on."""
STOP_LIMIT_S = 5.0

CHECKOUT = {
    "items": [{"sku": "keyboard", "quantity": 1}, {"sku": "mouse", "quantity": 2}],
    "amount": 12_997,
    "currency": "EUR",
    "payment_token": "tok_visa",
}
"""What every customer of a measured run buys."""

T = TypeVar("T")
Row = tuple[int, int, int, int, int, int]
"""One request: planned, sent, done (ns from the order's start), status, target, worker."""


class Order(msgspec.Struct):
    """A stretch of load, from the harness to the load process.

    Attributes:
        start_ns: its start on the monotonic clock.
        arrivals: open loop: for each planned request its offset from the start and its target's number.
        targets: the URLs that requests are posted to.
        names: how the targets are called in Locust's statistics.
        body: what is posted.
        in_flight: requests under way at most.
        timeout_s: after which a request has failed.
        users: closed loop instead: so many users, each asking the first target again and again.
        length_ns: for so long.
    """

    start_ns: int
    arrivals: list[tuple[int, int]]
    targets: list[str]
    names: list[str]
    body: str
    in_flight: int
    timeout_s: float
    users: int = 0
    length_ns: int = 0

    def length_s(self) -> float:
        """From the start to the last planned send."""
        return (self.arrivals[-1][0] if self.arrivals else self.length_ns) / 1e9


class Listening(msgspec.Struct):
    """A master's first word: where its workers find it."""

    port: int


class Workers(msgspec.Struct):
    """The load's first word when it is ready: how many processes send."""

    count: int


class Rows(msgspec.Struct):
    """What became of an order, from the load process to the harness.

    Attributes:
        rows: a row for every arrival, in the order of their planned times.
        workers: processes that send, and are left.
        lost: workers that died on this order; their arrivals are marked lost.
    """

    rows: list[Row]
    workers: int
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Crew:
    """Who sends the load.

    Attributes:
        local: workers started here; 0 for one process without a master.
        remote: workers that persons start on other machines.
        host: where the master listens for workers.
        port: the port; 0 for any free one.
    """

    local: int = 0
    remote: int = 0
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def is_distributed(self) -> bool:
        """Whether there is a master."""
        return self.local + self.remote > 0


class Load:
    """The running load.

    Attributes:
        child: the process that takes orders.
        workers: the workers started here.
        lost: workers that died on the last order.
    """

    def __init__(self, logs: Path, crew: Crew | None = None) -> None:
        self._crew = crew or Crew()
        self.workers: list[Child] = []
        self.lost = 0
        self._held: list[socket.socket] = []
        self._socket, self.child = self._start("the load generator", logs / "load.log", self._role())
        self._file = self._socket.makefile("rb")
        try:
            if self._crew.is_distributed:
                self.port = self._read(START_LIMIT_S, Listening).port
                for number in range(self._crew.local):
                    name = f"load worker {number + 1}"
                    arguments = ["--worker", "--master-host", "127.0.0.1", "--master-port", str(self.port)]
                    held, child = self._start(name, logs / f"load-{number + 1}.log", arguments)
                    self._held.append(held)
                    self.workers.append(child)
            self._read(JOIN_LIMIT_S if self._crew.remote else START_LIMIT_S, Workers)
        except BaseException:
            self.stop()
            raise

    def _role(self) -> list[str]:
        count = max(self._crew.local + self._crew.remote, 1)
        role = ["--headless", "--only-summary", "--users", str(count), "--spawn-rate", str(count)]
        if self._crew.is_distributed:
            role += ["--master", "--expect-workers", str(count)]
            role += ["--master-bind-host", self._crew.host, "--master-bind-port", str(self._crew.port)]
        return role

    def _start(self, name: str, log: Path, role: Sequence[str]) -> tuple[socket.socket, Child]:
        """A Locust process and our end of its control socket; it ends when that is closed."""
        ours, theirs = socket.socketpair()
        environ = plain_environ() | {
            CONTROL_FD_VARIABLE: str(theirs.fileno()),
            WORKERS_VARIABLE: str(self._crew.local + self._crew.remote),
        }
        options = ["-f", str(LOCUSTFILE), "--loglevel", "WARNING", "--stop-timeout", "1", *role]
        with theirs:
            child = Child(
                name, ["-m", "locust", *options], environ=environ, log=log, pass_fds=(theirs.fileno(),)
            )
        return ours, child

    @property
    def pids(self) -> tuple[int, ...]:
        """The load's processes on this machine."""
        return tuple(child.pid for child in (self.child, *self.workers) if child.is_running())

    def run(  # noqa: PLR0913 - what a window is
        self,
        arrivals: Sequence[Arrival],
        targets: Mapping[str, str],
        *,
        epoch: int,
        window: int,
        in_flight: int,
        timeout_s: float,
        users: int = 0,
        length_s: float = 0.0,
    ) -> tuple[Request, ...]:
        """Sends the planned requests, or lets users ask one target, and waits for the last answer.

        Raises:
            ServiceError: the load process ended or does not answer, or no worker is left.
        """
        numbers = {name: number for number, name in enumerate(targets)}
        names = list(targets)
        lead_s = DISTRIBUTED_LEAD_S if self._crew.is_distributed else LEAD_S
        order = Order(
            start_ns=time.monotonic_ns() + int(lead_s * 1e9),
            arrivals=[(arrival.offset_ns, numbers[arrival.setup]) for arrival in arrivals],
            targets=list(targets.values()),
            names=names,
            body=msgspec.json.encode(CHECKOUT).decode(),
            in_flight=in_flight,
            timeout_s=timeout_s,
            users=users,
            length_ns=int(length_s * 1e9),
        )
        try:
            self._socket.sendall(msgspec.json.encode(order) + b"\n")
        except OSError:
            raise self.child.death() from None
        answer = self._read(order.length_s() + 4 * timeout_s + 10, Rows)
        self.lost = answer.lost
        if answer.workers == 0:
            raise ServiceError(
                "no load worker is left", "see why they ended; more memory or fewer requests may help"
            )
        return tuple(
            Request(
                epoch=epoch,
                window=window,
                setup=names[target],
                planned_ns=planned,
                sent_ns=sent,
                done_ns=done,
                status=status,
                worker=worker,
            )
            for planned, sent, done, status, target, worker in answer.rows
        )

    def _read(self, limit_s: float, kind: type[T]) -> T:
        """The process's next message.

        Raises:
            ServiceError: it ended or does not answer.
        """
        self._socket.settimeout(limit_s)
        try:
            line = self._file.readline()
        except OSError:
            raise self.child.death() from None
        if not line:
            self.child.stop(STOP_LIMIT_S)
            raise self.child.death()
        return msgspec.json.decode(line, type=kind)

    def stop(self) -> None:
        """Stops the load's processes."""
        self._file.close()
        for held in (self._socket, *self._held):
            held.close()
        for child in (*self.workers, self.child):
            child.stop(STOP_LIMIT_S)
