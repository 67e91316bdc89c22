"""Which server stacks keep their spans, metrics and log records: counts, where they were lost, a verdict."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.sink.messages import Signal


class Way(StrEnum):
    """How a server is ended."""

    ALIVE = "alive"
    TERM = "SIGTERM"
    INT = "SIGINT"
    KILL = "SIGKILL"


class Where(StrEnum):
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
        way: how it was ended; alive: not before everything had had time to be exported.
        requests: that it answered.
        received: at the sink, by signal: spans, requests that its metrics count, log records.
        stop_s: how long it took to end.
    """

    stack: str
    orderly: bool = False
    interface: str
    processor: str
    way: Way
    requests: int
    received: dict[Signal, int]
    stop_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What became of one signal of one try.

    Attributes:
        made: by the requests.
        received: of these.
        where: the rest was lost; None if nothing was.
    """

    made: int
    received: int
    where: Where | None

    @property
    def lost(self) -> int:
        """How many never came."""
        return self.made - self.received


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A stack with a processor, over all ways to end it.

    Attributes:
        stack: its name.
        orderly: whether the application ends its providers in its lifespan.
        processor: batch or simple.
        losses: by way and signal.
        stop_s: the longest that it took to end, SIGKILL aside.
    """

    stack: str
    orderly: bool
    processor: str
    losses: Mapping[Way, Mapping[Signal, Loss]]
    stop_s: float

    def lost_at(self, way: Way) -> dict[Signal, Loss]:
        """What was lost in one way; nothing where that was not tried."""
        return {signal: loss for signal, loss in self.losses.get(way, {}).items() if loss.lost}


def rows(tries: Sequence[Try]) -> tuple[Row, ...]:
    """A row for every stack and processor, in their order."""
    made = _made(tries)
    keys = dict.fromkeys((one.stack, one.processor) for one in tries)
    return tuple(_row([one for one in tries if (one.stack, one.processor) == key], made) for key in keys)


def _made(tries: Iterable[Try]) -> dict[tuple[str, Signal], float]:
    """What a request makes, by interface and signal: what arrived where nothing was lost.

    The same application under the same instrumentation makes the same below every server.
    """
    most: dict[tuple[str, Signal], float] = {}
    for one in tries:
        for signal in Signal:
            key = one.interface, signal
            most[key] = max(most.get(key, 1.0), one.received.get(signal, 0) / one.requests)
    return most


def _row(tries: Sequence[Try], made: Mapping[tuple[str, Signal], float]) -> Row:
    losses: dict[Way, dict[Signal, Loss]] = {}
    alive: dict[Signal, int] = next((one.received for one in tries if one.way is Way.ALIVE), {})
    for one in tries:
        losses[one.way] = {}
        for signal in Signal:
            due = round(made[one.interface, signal] * one.requests)
            received = one.received.get(signal, 0)
            where = None
            if received < due:
                where = _where(one.way, is_fork=bool(alive) and alive.get(signal, 0) < due)
            losses[one.way][signal] = Loss(made=due, received=received, where=where)
    return Row(
        stack=tries[0].stack,
        orderly=tries[0].orderly,
        processor=tries[0].processor,
        losses=losses,
        stop_s=max((one.stop_s for one in tries if one.way is not Way.KILL), default=0.0),
    )


def _where(way: Way, *, is_fork: bool) -> Where:
    """Lost in the fork if it does not arrive from a server that goes on either."""
    if is_fork:
        return Where.FORK
    return Where.QUEUE if way is Way.KILL else Where.SHUTDOWN
