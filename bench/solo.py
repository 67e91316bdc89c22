"""Carries out the solo phase: a block visits one fleet after another while all others are stopped.

Rule 1: a visit wakes a fleet, loads it in slices, flushes it and stops it again: first what
it can do at most (closed loop), then the planned rates, then the search under the limit.
Rule 2: all visits of a block have their slices in the same order, and every second block is
the mirror image of the one before it.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.errors import MeasurementError
from bench.model import (
    BASELINE,
    Account,
    Arrival,
    FleetReading,
    MachineReading,
    Plan,
    Purpose,
    Request,
    Slice,
    Solo,
)
from bench.plan import block_order, level_order, search_draws, slice_arrivals, slice_length_s
from bench.search import Search, busy_share, closed_per_s, holds

CAPACITY_S = 0.8
CAPACITY_TRIES = 3
"""The baseline's capacity is read so often before the first block; the median counts."""
PRE_ROLL_SHARE = 0.3
"""Rate of the pre-roll as a share of the baseline's capacity."""
PRE_ROLL_MOST = 4
"""Requests of a pre-roll: enough to open connections, few enough for a slow fleet."""


class SoloRig(Protocol):
    """What the solo phase needs of the real world."""

    def rest(self) -> None:
        """All fleets are stopped."""

    def wake(self, setup: str) -> None:
        """One fleet runs again."""

    def halt(self, setup: str) -> None:
        """One fleet is stopped."""

    def measure_slice(
        self, wanted: "Wanted", arrivals: Sequence[Arrival]
    ) -> tuple[Slice, tuple[Request, ...]]:
        """One slice."""


SoloTurn = Callable[[Slice, tuple[Request, ...]], None]
"""What is done with each slice as it ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A slice that is asked for; the fields are those of `Slice`, `users` makes it a closed loop."""

    epoch: int
    number: int
    setup: str
    purpose: Purpose
    rate_per_s: float = 0.0
    level: float | None = None
    length_s: float = 0.0
    users: int = 0

    def measured(  # noqa: PLR0913 - what is read of a slice
        self,
        *,
        duration_s: float,
        reading: FleetReading,
        machine: MachineReading,
        flush_s: float = 0.0,
        stray: Account | None = None,
        lost_workers: int = 0,
        drained: bool = True,
    ) -> Slice:
        """The slice as it was read."""
        return Slice(
            epoch=self.epoch,
            number=self.number,
            setup=self.setup,
            purpose=self.purpose,
            rate_per_s=self.rate_per_s,
            level=self.level,
            length_s=self.length_s,
            duration_s=duration_s,
            flush_s=flush_s,
            reading=reading,
            machine=machine,
            drained=drained,
            stray=stray or Account(),
            lost_workers=lost_workers,
        )


def capacity_per_s(solo: Solo, rig: SoloRig, keep: SoloTurn) -> float:
    """What the baseline can do at most: a short closed loop, before the first block.

    Raises:
        MeasurementError: it completed nothing.
    """
    found = []
    for number in range(CAPACITY_TRIES):
        wanted = Wanted(
            epoch=-1,
            number=number,
            setup=BASELINE,
            purpose=Purpose.CLOSED,
            length_s=CAPACITY_S,
            users=solo.users,
        )
        piece, requests = rig.measure_slice(wanted, ())
        keep(piece, requests)
        found.append(closed_per_s(requests, CAPACITY_S))
    if not min(found):
        raise MeasurementError(
            "the baseline completed no checkout in a closed loop",
            "`python -m services all` shows whether the services work",
        )
    return statistics.median(found)


def block(plan: Plan, solo: Solo, epoch: int, rig: SoloRig, keep: SoloTurn) -> Iterator[str]:
    """Carries out an epoch's block; yields what begins next."""
    rig.rest()
    visit = _Visit(plan, solo, epoch, rig, keep)
    order = block_order(plan, solo, epoch)
    for at, setup in enumerate(order, 1):
        yield f"solo, set-up {at} of {len(order)} ({setup})"
        rig.wake(setup)
        visit.carry_out(setup)
        rig.halt(setup)


class _Visit:
    """The slices of one fleet in one block."""

    def __init__(self, plan: Plan, solo: Solo, epoch: int, rig: SoloRig, keep: SoloTurn) -> None:
        self._plan = plan
        self._solo = solo
        self._epoch = epoch
        self._rig = rig
        self._keep = keep
        self._number = 0

    def carry_out(self, setup: str) -> None:
        solo = self._solo
        rate = PRE_ROLL_SHARE * solo.capacity_per_s
        quiet, _ = self._open(setup, Purpose.PRE_ROLL, rate, min(solo.pre_roll_s, PRE_ROLL_MOST / rate))
        loop, requests = self._slice(setup, Purpose.CLOSED, length_s=solo.closed_s, users=solo.users)
        reached = closed_per_s(requests, solo.closed_s, loop.flush_s - quiet.flush_s)
        search = Search(reached, search_draws(self._plan, self._epoch, setup))
        for level in level_order(self._plan, solo, self._epoch):
            rate = solo.levels[level] * solo.capacity_per_s
            length_s = slice_length_s(solo.levels_s[level], rate, reached)
            self._try(search, *self._open(setup, Purpose.LEVEL, rate, length_s, solo.levels[level]))
        # What the levels left waiting is nobody's of the probes.
        self._slice(setup, Purpose.FLUSH)
        for _ in range(solo.probes if reached else 0):
            rate = search.rate_per_s
            length_s = slice_length_s(solo.probe_s, rate, reached)
            self._try(search, *self._open(setup, Purpose.PROBE, rate, length_s))
        self._slice(setup, Purpose.FLUSH)

    def _try(self, search: Search, piece: Slice, requests: Sequence[Request]) -> None:
        """Tells the search how a rate went."""
        busy = busy_share(piece, requests, self._plan.service_cpus)
        held = holds(requests, piece.rate_per_s, self._solo.latency_limit_s, busy)
        search.tell(piece.rate_per_s, held=held)

    def _open(
        self, setup: str, purpose: Purpose, rate: float, length_s: float, level: float | None = None
    ) -> tuple[Slice, tuple[Request, ...]]:
        """An open-loop slice."""
        arrivals = slice_arrivals(
            self._plan, self._epoch, self._number, setup, rate_per_s=rate, length_s=length_s
        )
        return self._slice(
            setup, purpose, arrivals, rate_per_s=rate, level=level, length_s=len(arrivals) / rate
        )

    def _slice(  # noqa: PLR0913 - what a slice is
        self,
        setup: str,
        purpose: Purpose,
        arrivals: Sequence[Arrival] = (),
        *,
        rate_per_s: float = 0.0,
        level: float | None = None,
        length_s: float = 0.0,
        users: int = 0,
    ) -> tuple[Slice, tuple[Request, ...]]:
        wanted = Wanted(
            epoch=self._epoch,
            number=self._number,
            setup=setup,
            purpose=purpose,
            rate_per_s=round(rate_per_s, 3),
            level=level,
            length_s=round(length_s, 6),
            users=users,
        )
        piece, requests = self._rig.measure_slice(wanted, arrivals)
        self._number += 1
        self._keep(piece, requests)
        return piece, requests
