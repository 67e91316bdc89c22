"""How a testbed is set up, besides its plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.testbed.collector import Collector
from bench.testbed.environ import Place
from bench.testbed.load import LoadWorkers
from bench.testbed.receiver import Receiver


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a testbed is set up, besides its plan.

    Attributes:
        place: where the application is started from.
        places: where setups with packages of their own are started from instead, by name.
        load_workers: who sends the load.
        receiver_ports: where the receiver listens, http and grpc; 0 for any free port.
        receiver_host: address that it listens on.
        collector: starts what stands between application and receiver; None: nothing does.
        load: whether requests are sent at all, other than by the harness itself.
        signals: whether instances are paused by signals even where control groups can be made.
    """

    place: Place
    places: Mapping[str, Place] = field(default_factory=dict)
    load_workers: LoadWorkers | None = None
    receiver_ports: tuple[int, int] = (0, 0)
    receiver_host: str = "127.0.0.1"
    collector: Callable[[Receiver, Path], Collector] | None = None
    load: bool = True
    signals: bool = False
