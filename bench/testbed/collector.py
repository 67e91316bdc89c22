"""A collector between the application and the receiver, as the harness sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.plan.readings import Memory
from bench.testbed.pids import memory_of
from bench.testbed.process import Child
from bench.testbed.receiver import Receiver

STOP_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector that takes OTLP from the application and passes it on to the receiver.

    Attributes:
        name: of the tool, or its address.
        version: of the tool; empty where it is unknown.
        endpoints: its addresses by OTLP protocol.
        child: its process; None where it was started by somebody else.
    """

    name: str
    version: str
    endpoints: Mapping[str, str]
    child: Child | None = None

    def drain(self, receiver: Receiver) -> bool:
        """Wait until everything that it had got is at the receiver; False if it does not arrive.

        Raises:
            ServiceError: the receiver does not answer.
        """
        return receiver.drain(self.endpoints["http/protobuf"])

    @property
    def pid(self) -> int | None:
        """Its process; None where it was started by somebody else."""
        return self.child.pid if self.child else None

    def memory(self) -> Memory | None:
        """Its memory; None where it was started by somebody else."""
        return memory_of([self.child.pid]) if self.child else None

    def check(self) -> None:
        """Raise ServiceError if it has ended."""
        if self.child:
            self.child.check()

    def stop(self) -> None:
        """Stop it, if it was started here."""
        if self.child:
            self.child.stop(STOP_LIMIT_S)
