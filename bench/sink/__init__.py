"""The sink: our OTLP receiver, in its own process, as the harness sees it.

Rule 1: it answers at once and keeps raw bodies; decoding waits until the window is over.
Rule 2: a span belongs to the set-up that its resource names, whatever way it came.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from bench.journey import Told
from bench.model import Account
from bench.process import Child, plain_environ

DECODE_LIMIT_S = 60.0
DRAIN_LIMIT_S = 10.0
QUIET_S = 0.25
"""How long nothing has to come from a collector until it is thought to have nothing more: a batch
waits there for 200 ms by default."""
STOP_LIMIT_S = 3.0
STRAY = ""
"""The account of whatever names no set-up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where the sink answers: the first line that it prints."""

    http: int
    grpc: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What came so far since the last account, without an account being taken.

    Attributes:
        spans: duplicates included.
        exports: requests.
        bytes: over the wire.
    """

    spans: int = 0
    exports: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarding:
    """Where kept export requests are to be sent.

    Attributes:
        url: of the receiver's traces path.
        headers: sent along.
        direct: not through a proxy that the environment names.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    direct: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """What came of forwarding.

    Attributes:
        exports: requests that were accepted.
        refused: why the next one was not; empty if all were.
    """

    exports: int
    refused: str = ""


class Sink:
    """The running sink.

    Attributes:
        child: its process.
        endpoints: its addresses by the name of the OTLP protocol.
    """

    def __init__(self, logs: Path, ports: tuple[int, int] = (0, 0), host: str = "127.0.0.1") -> None:
        self.child = Child(
            "the sink",
            ["-m", "bench.sink", host, *map(str, ports)],
            environ=plain_environ(),
            log=logs / "sink.log",
            stdout=subprocess.PIPE,
        )
        line = self.child.read_line()
        if not line:
            self.child.stop(STOP_LIMIT_S)
            raise self.child.death()
        at = msgspec.json.decode(line, type=Ports)
        self._url = f"http://127.0.0.1:{at.http}"
        self.endpoints = {"http/protobuf": self._url, "grpc": f"http://127.0.0.1:{at.grpc}"}
        self._client = httpx.Client(timeout=DECODE_LIMIT_S, trust_env=False)

    def account(self, shapes: Mapping[str, Mapping[str, int]]) -> dict[str, Account]:
        """What came since the last call, by set-up, and under '' what named none.

        Args:
            shapes: spans of one sampled checkout, by set-up and service.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("account", msgspec.json.encode(shapes)), type=dict[str, Account])

    def peek(self) -> dict[str, Seen]:
        """What came since the last account, by set-up; nothing is forgotten.

        Decoding costs the sink CPU: for a person who watches, never during a measured run.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("peek"), type=dict[str, Seen])

    def spans(self) -> tuple[Told, ...]:
        """Everything that the spans say that came since the last account; nothing is forgotten.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("spans"), type=tuple[Told, ...])

    def exemplars(self) -> dict[str, tuple[Told, ...]]:
        """The slowest trace of every set-up in the last account.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("exemplars"), type=dict[str, tuple[Told, ...]])

    def drain(self, collector: str) -> bool:
        """Whether everything that a collector had got is here; waits for it.

        Args:
            collector: its address for OTLP over http.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("drain", collector.encode()), type=bool)

    def forward(self, to: Forwarding) -> Forwarded:
        """Sends all export requests since the last account to another receiver, as they came.

        Raises:
            ServiceError: the sink does not answer.
        """
        return msgspec.json.decode(self._ask("forward", msgspec.json.encode(to)), type=Forwarded)

    def _ask(self, what: str, content: bytes = b"") -> bytes:
        try:
            response = self._client.post(f"{self._url}/{what}", content=content)
            response.raise_for_status()
        except httpx.HTTPError:
            raise self.child.death() from None
        return response.content

    def is_running(self) -> bool:
        """Whether the sink has not ended."""
        return self.child.is_running()

    def stop(self) -> None:
        """Stops the sink."""
        self._client.close()
        self.child.stop(STOP_LIMIT_S)
