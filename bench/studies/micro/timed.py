"""An operation that is ready to be timed, and its proof.

The clock is the CPU time of this process, all threads.
"""

import importlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.studies.micro.operations import Operation


class Untrue(Exception):  # noqa: N818 - a finding, in a sentence
    """An operation does not do what its name says."""


def nothing() -> None:
    """Nothing to let go of."""


class Wait:
    """The time in which an operation waits for an answer and other work uses the CPU.

    Attributes:
        meanwhile: the other work; None: none.
    """

    def __init__(self) -> None:
        """Start without other work."""
        self.meanwhile: Callable[[], None] | None = None
        self._spent_s = 0.0

    def __call__(self) -> None:
        """The operation waits."""
        if self.meanwhile is not None:
            started = time.process_time()
            self.meanwhile()
            self._spent_s += time.process_time() - started

    def spent_s(self) -> float:
        """CPU seconds that other work has used in this process since the last call."""
        spent_s, self._spent_s = self._spent_s, 0.0
        return spent_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An operation that is ready to be timed.

    Attributes:
        time: does it a number of times; returns the CPU seconds that this took.
        check: called with the number of times that it was done in all; raises `Untrue` if the
            operation is not what its name says.
        put_off: does it once without its deferred work; returns CPU seconds. None: nothing is deferred.
        drain: does what was put off; the CPU seconds.
        wait: where it waits for an answer.
        close: lets go of threads, sockets and whatever would keep the process.
    """

    time: Callable[[int], float]
    check: Callable[[int], None]
    put_off: Callable[[], float] | None = None
    drain: Callable[[], float] = lambda: 0.0
    wait: Wait = field(default_factory=Wait)
    close: Callable[[], None] = nothing


def timed(run: Callable[[int], object]) -> Callable[[int], float]:
    """The CPU seconds of `run(loops)`."""

    def measured(loops: int) -> float:
        started = time.process_time()
        run(loops)
        return time.process_time() - started

    return measured


def in_pieces(
    run: Callable[[int], object], piece: int, between: Callable[[], object]
) -> Callable[[int], float]:
    """The CPU seconds of `run`, in pieces so short that a queue never fills; `between` them it is emptied."""

    def measured(loops: int) -> float:
        total = 0.0
        while loops > 0:
            count = min(loops, piece)
            loops -= count
            total += timed(run)(count)
            between()
        return total

    return measured


def repeated(do: Callable[[], object], check: Callable[[], None]) -> Subject:
    """Something that is done again and again, and whose proof does not depend on how often."""

    def run(loops: int) -> None:
        for _ in itertools.repeat(None, loops):
            do()

    return Subject(time=timed(run), check=lambda _done: check())


def require(*, true: bool, otherwise: str) -> None:
    """Raise `Untrue` unless a condition is true.

    Raises:
        Untrue: with the sentence.
    """
    if not true:
        raise Untrue(otherwise)


def build(operation: Operation) -> Subject:
    """The operation, ready to be timed."""
    room = importlib.import_module(f"bench.studies.micro.{operation.room}")
    made = getattr(room, operation.build)(**operation.options)
    if not isinstance(made, Subject):
        raise TypeError(operation.build)
    return made
