"""What every server stack lost, and where: spans, metrics and log records."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.receiver.messages import Signal


class Stop(StrEnum):
    """How a server is stopped; ALIVE: not at all."""

    ALIVE = "alive"
    TERM = "SIGTERM"
    INT = "SIGINT"
    KILL = "SIGKILL"


class LostAt(StrEnum):
    """Where something was lost."""

    FORK = "fork"
    QUEUE = "queue"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One server, ended in one way after its requests.

    Attributes:
        stack: its name.
        orderly: whether the application ends its providers in its lifespan.
        interface: wsgi or asgi: applications of one interface make the same.
        processor: batch or simple.
        way: how it was ended; alive: only after there was time to export everything.
        requests: that it answered.
        received: at the receiver, by signal: spans, requests that its metrics count, log records.
        stop_s: how long it took to end.
    """

    stack: str
    orderly: bool = False
    interface: str
    processor: str
    way: Stop
    requests: int
    received: dict[Signal, int]
    stop_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What one try lost of one signal.

    Attributes:
        made: by the requests.
        received: of these.
        where: the rest was lost; None if nothing was.
    """

    made: int
    received: int
    where: LostAt | None

    @property
    def lost(self) -> int:
        """How many never came."""
        return self.made - self.received


@dataclass(frozen=True, kw_only=True, slots=True)
class StackResult:
    """A stack with a processor, over all ways to end it.

    Attributes:
        stack: its name.
        orderly: whether the application ends its providers in its lifespan.
        processor: batch or simple.
        losses: by way and signal.
        stops_s: how long it took to end, by way.
    """

    stack: str
    orderly: bool
    processor: str
    losses: dict[Stop, dict[Signal, Loss]]
    stops_s: dict[Stop, float]

    def lost_at(self, way: Stop) -> dict[Signal, Loss]:
        """What was lost in one way; nothing where that was not tried."""
        return {signal: loss for signal, loss in self.losses.get(way, {}).items() if loss.lost > 0}

    @property
    def keeps(self) -> bool | None:
        """True if nothing is lost when it is stopped by a signal; None unless both signals were tried."""
        if any(self.lost_at(way) for way in (Stop.ALIVE, Stop.TERM, Stop.INT)):
            return False
        return True if {Stop.TERM, Stop.INT} <= self.losses.keys() else None


def stack_results(tries: Sequence[Try]) -> tuple[StackResult, ...]:
    """One result for every stack and processor, in their order."""
    made = _made(tries)
    keys = dict.fromkeys((one.stack, one.processor) for one in tries)
    return tuple(_result([one for one in tries if (one.stack, one.processor) == key], made) for key in keys)


def _made(tries: Iterable[Try]) -> dict[tuple[str, Signal], float]:
    """What a request makes, by interface and signal: what arrived most often where anything did.

    The same application under the same instrumentation makes the same below every server. What one try got
    too much or too little does not change what the others are compared with.
    """
    rates: dict[tuple[str, Signal], Counter[float]] = {}
    for one in tries:
        for signal in Signal:
            received = one.received.get(signal, 0)
            if received:
                rates.setdefault((one.interface, signal), Counter())[received / one.requests] += 1
    return {key: max(found, key=lambda rate: (found[rate], rate)) for key, found in rates.items()}


def _result(tries: Sequence[Try], made: Mapping[tuple[str, Signal], float]) -> StackResult:
    losses: dict[Stop, dict[Signal, Loss]] = {}
    alive: dict[Signal, int] = next((one.received for one in tries if one.way is Stop.ALIVE), {})
    for one in tries:
        losses[one.way] = {}
        for signal in Signal:
            expected = round(made.get((one.interface, signal), 1.0) * one.requests)
            received = one.received.get(signal, 0)
            where = None
            if received < expected:
                where = _where(one.way, is_fork=bool(alive) and not alive.get(signal, 0))
            losses[one.way][signal] = Loss(made=expected, received=received, where=where)
    return StackResult(
        stack=tries[0].stack,
        orderly=tries[0].orderly,
        processor=tries[0].processor,
        losses=losses,
        stops_s={one.way: one.stop_s for one in tries if one.way in {Stop.TERM, Stop.INT}},
    )


def _where(way: Stop, *, is_fork: bool) -> LostAt:
    """Where it was lost: in the fork if it does not arrive from a server that keeps running either."""
    if is_fork:
        return LostAt.FORK
    return LostAt.QUEUE if way is Stop.KILL else LostAt.SHUTDOWN
