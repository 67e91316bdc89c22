"""The running receiver, as the harness sees it."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec

from bench.plan.readings import Account
from bench.receiver.messages import (
    Answering,
    CloseAccounts,
    Forwarded,
    Forwarding,
    KeptTrace,
    Ports,
    Seen,
    TraceSpan,
)
from bench.testbed.process import RUN_VARIABLE, Child, plain_environ, undone_on_failure

DECODE_LIMIT_S = 120.0
STOP_LIMIT_S = 3.0
LOOK_S = 0.2
LOOPBACK_PORTS = (0, 0)


class Receiver:
    """The receiver's process.

    Attributes:
        child: the process.
        endpoints: its addresses by OTLP protocol.
        control: where it answers the harness's own questions.
    """

    def __init__(
        self, logs: Path, run: str = "", ports: tuple[int, int] = LOOPBACK_PORTS, host: str = "127.0.0.1"
    ) -> None:
        """Start it.

        Args:
            logs: where its output goes.
            run: identifies the run's processes.
            ports: for http and grpc; 0 for any free one.
            host: address that it listens on.

        Raises:
            ServiceError: it cannot listen there.
        """
        self.child = Child(
            "the receiver",
            ["-m", "bench.receiver", host, *map(str, ports)],
            environ={**plain_environ(), RUN_VARIABLE: run},
            log=logs / "receiver.log",
            stdout=subprocess.PIPE,
        )
        with undone_on_failure(lambda: self.child.stop(STOP_LIMIT_S)):
            line = self.child.read_line()
        if not line:
            self.child.stop(STOP_LIMIT_S)
            raise self.child.death()
        listening = msgspec.json.decode(line, type=Ports)
        self.control = f"http://127.0.0.1:{listening.control}"
        self.endpoints: Mapping[str, str] = {
            "http/protobuf": f"http://127.0.0.1:{listening.http}",
            "grpc": f"http://127.0.0.1:{listening.grpc}",
        }
        self._client = httpx.Client(timeout=DECODE_LIMIT_S, trust_env=False)

    def close_accounts(self, request: CloseAccounts) -> dict[str, Account]:
        """The account of everything that came since the last call, by setup; '' names none."""
        return msgspec.json.decode(
            self._ask("account", msgspec.json.encode(request)), type=dict[str, Account]
        )

    def count(self) -> int:
        """Export requests received so far."""
        return msgspec.json.decode(self._ask("count"), type=int)

    def wait_until_quiet(self, quiet_s: float, limit_s: float) -> bool:
        """Wait until no export request has come for `quiet_s`; False if they did not end."""
        started = last = time.monotonic()
        count = self.count()
        while time.monotonic() - last < quiet_s:
            if time.monotonic() - started > limit_s:
                return False
            time.sleep(LOOK_S)
            if count != (count := self.count()):
                last = time.monotonic()
        return True

    def answer(self, how: Answering) -> None:
        """Answer export requests this way from now on."""
        self._ask("answer", msgspec.json.encode(how))

    def peek(self) -> dict[str, Seen]:
        """What came since the last account, by setup; costs the receiver CPU: never during a measured run."""
        return msgspec.json.decode(self._ask("peek"), type=dict[str, Seen])

    def spans(self) -> tuple[TraceSpan, ...]:
        """All spans since the last account."""
        return msgspec.json.decode(self._ask("spans"), type=tuple[TraceSpan, ...])

    def kept(self) -> tuple[KeptTrace, ...]:
        """Of every setup in the last account, the slowest trace and one of each damage."""
        return msgspec.json.decode(self._ask("kept"), type=tuple[KeptTrace, ...])

    def drain(self, collector: str) -> bool:
        """Wait until everything that a collector had has arrived; False if it does not.

        Args:
            collector: its address for OTLP over http.
        """
        return msgspec.json.decode(self._ask("drain", collector.encode()), type=bool)

    def forward(self, to: Forwarding) -> Forwarded:
        """Send all export requests since the last account to another receiver, as they came."""
        return msgspec.json.decode(self._ask("forward", msgspec.json.encode(to)), type=Forwarded)

    def _ask(self, question: str, content: bytes = b"") -> bytes:
        """Raises ServiceError if the receiver does not answer."""
        try:
            response = self._client.post(f"{self.control}/{question}", content=content)
            response.raise_for_status()
        except httpx.HTTPError:
            raise self.child.death() from None
        return response.content

    def is_running(self) -> bool:
        """True until its process has ended."""
        return self.child.is_running()

    def stop(self) -> None:
        """Stop it."""
        self._client.close()
        self.child.stop(STOP_LIMIT_S)
