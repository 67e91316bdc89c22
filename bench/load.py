"""The load: Locust in its own process, told window by window what to send and when.

Rule 1: this module does not import locust (its import patches sockets); the process does.
Rule 2: the harness says *when* on the monotonic clock, which all processes of a machine
share; the process answers with the raw nanoseconds of every arrival.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bench.model import Arrival, Request
from bench.process import ROOT, Child, plain_environ

LOCUSTFILE = ROOT / "locustfiles" / "planned.py"
CONTROL_FD_VARIABLE = "BENCH_CONTROL_FD"
START_LIMIT_S = 60.0
LEAD_S = 0.05
"""Between the order and the first arrival: time to read the order."""
STOP_LIMIT_S = 5.0

CHECKOUT = {
    "items": [{"sku": "keyboard", "quantity": 1}, {"sku": "mouse", "quantity": 2}],
    "amount": 12_997,
    "currency": "EUR",
    "payment_token": "tok_visa",
}
"""What every customer of a measured run buys."""


class Order(msgspec.Struct):
    """One window's work, from the harness to the load process.

    Attributes:
        start_ns: the window's start on the monotonic clock.
        arrivals: for each planned request its offset from the start and its target's number.
        targets: the URLs that requests are posted to.
        names: how the targets are called in Locust's statistics.
        body: what is posted.
        in_flight: requests under way at most.
        timeout_s: after which a request has failed.
    """

    start_ns: int
    arrivals: list[tuple[int, int]]
    targets: list[str]
    names: list[str]
    body: str
    in_flight: int
    timeout_s: float


class Rows(msgspec.Struct):
    """What became of the arrivals, from the load process to the harness.

    Attributes:
        rows: for each arrival, in the order's order: sent, done (ns from the start), status.
    """

    rows: list[tuple[int, int, int]]


class Load:
    """The running load process.

    Attributes:
        child: its process.
    """

    def __init__(self, logs: Path) -> None:
        ours, theirs = socket.socketpair()
        environ = plain_environ() | {CONTROL_FD_VARIABLE: str(theirs.fileno())}
        with theirs:
            self.child = Child(
                "the load generator",
                [
                    "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary",
                    "--users", "1", "--spawn-rate", "1", "--loglevel", "WARNING", "--stop-timeout", "1",
                ],
                environ=environ,
                log=logs / "load.log",
                pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        self._socket = ours
        self._file = ours.makefile("rb")
        self._read(START_LIMIT_S)

    def run(  # noqa: PLR0913 - what a window is
        self,
        arrivals: Sequence[Arrival],
        targets: Mapping[str, str],
        *,
        epoch: int,
        window: int,
        in_flight: int,
        timeout_s: float,
    ) -> tuple[Request, ...]:
        """Sends the planned requests and waits until the last one has ended.

        Raises:
            ServiceError: the load process ended or does not answer.
        """
        numbers = {name: number for number, name in enumerate(targets)}
        order = Order(
            start_ns=time.monotonic_ns() + int(LEAD_S * 1e9),
            arrivals=[(arrival.offset_ns, numbers[arrival.setup]) for arrival in arrivals],
            targets=list(targets.values()),
            names=list(targets),
            body=msgspec.json.encode(CHECKOUT).decode(),
            in_flight=in_flight,
            timeout_s=timeout_s,
        )
        try:
            self._socket.sendall(msgspec.json.encode(order) + b"\n")
        except OSError:
            raise self.child.death() from None
        length_s = arrivals[-1].offset_ns / 1e9 if arrivals else 0.0
        rows = msgspec.json.decode(self._read(length_s + 3 * timeout_s + 10), type=Rows).rows
        return tuple(
            Request(
                epoch=epoch,
                window=window,
                setup=arrival.setup,
                planned_ns=arrival.offset_ns,
                sent_ns=sent,
                done_ns=done,
                status=status,
            )
            for arrival, (sent, done, status) in zip(arrivals, rows, strict=True)
        )

    def _read(self, limit_s: float) -> bytes:
        """The process's next line.

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
        return line

    def stop(self) -> None:
        """Stops the load process."""
        self._file.close()
        self._socket.close()
        self.child.stop(STOP_LIMIT_S)
