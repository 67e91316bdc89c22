"""How a testbed is set up, besides its plan."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.plan.readings import Memory
from bench.testbed.environ import Place
from bench.testbed.load import Crew
from bench.testbed.sink import Sink


class Collector(Protocol):
    """What a run needs of a collector between application and sink."""

    name: str
    version: str
    endpoints: dict[str, str]

    @property
    def pid(self) -> int | None:
        """Its process; None where it was started by somebody else."""

    def drain(self, sink: Sink) -> bool:
        """Wait until everything is at the sink; False if it does not arrive."""

    def memory(self) -> Memory | None:
        """Its memory, where it was started here."""

    def check(self) -> None:
        """Raise ServiceError if it has ended."""

    def stop(self) -> None:
        """Stop it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a testbed is set up, besides its plan.

    Attributes:
        place: where the application is started from.
        crew: who sends the load.
        sink_ports: where the sink listens, http and grpc; 0 for any free port.
        sink_host: address that it listens on.
        collector: starts what stands between application and sink; None: nothing does.
        load: whether requests are sent at all, other than by the harness itself.
        signals: whether instances are paused by signals even where control groups can be made.
    """

    place: Place
    crew: Crew | None = None
    sink_ports: tuple[int, int] = (0, 0)
    sink_host: str = "127.0.0.1"
    collector: Callable[[Sink, Path], Collector] | None = None
    load: bool = True
    signals: bool = False
