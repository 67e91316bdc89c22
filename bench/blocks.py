"""The solo phase's raw records put in order: complete blocks, their slices and rows.

Rule 1: a block counts as a whole or not at all, so that every set-up has met the same moments.
Rule 2: latency counts from the planned send, and every planned arrival counts: one that failed
or was not sent has waited for the whole timeout at least.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.findings import Ledger
from bench.ledger import ledger_of
from bench.model import CREATED, UNSENT, Plan, Purpose, Raw, Request, Setup, Slice, Solo
from bench.search import closed_per_s
from bench.stats import Array

FLUSHES = 2
"""Of a visit: after the levels, and at its end."""

Rows = Mapping[tuple[int, int], Sequence[Request]]
"""Requests by epoch and slice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """The complete blocks of a run: its plan, the slices that count, and their rows."""

    plan: Plan
    solo: Solo
    slices: tuple[Slice, ...]
    rows: Rows

    def of(self, setup: str, purpose: Purpose, level: float | None = None) -> list[Slice]:
        """A set-up's slices of one purpose, by block."""
        return [
            piece
            for piece in self.slices
            if piece.setup == setup and piece.purpose is purpose and piece.level == level
        ]

    def requests(self, piece: Slice) -> Sequence[Request]:
        """A slice's rows."""
        return self.rows.get((piece.epoch, piece.number), ())

    def reached_per_s(self, closed: Slice) -> float:
        """Throughput of a closed loop, with the exports that it caused."""
        quiet_s = next(
            piece.flush_s for piece in self.of(closed.setup, Purpose.PRE_ROLL) if piece.epoch == closed.epoch
        )
        return closed_per_s(self.requests(closed), closed.length_s, closed.flush_s - quiet_s)


def complete_blocks(raw: Raw, solo: Solo) -> Blocks:
    """The blocks that visited every set-up to its end, in which no load worker died and no row is missing."""
    rows: defaultdict[tuple[int, int], list[Request]] = defaultdict(list)
    for request in raw.solo_requests:
        rows[request.epoch, request.window].append(request)
    spoiled = {
        piece.epoch
        for piece in raw.slices
        if piece.lost_workers or len(rows[piece.epoch, piece.number]) != _sent(piece)
    }
    counting = [piece for piece in raw.slices if piece.epoch >= 0 and piece.epoch not in spoiled]
    measured: Counter[tuple[int, str]] = Counter()
    for piece in counting:
        measured[piece.epoch, piece.setup] += piece.purpose is not Purpose.PROBE
    # A pre-roll, a closed loop, the levels, and the flushes.
    wanted = 2 + len(solo.levels) + FLUSHES
    whole = {
        epoch
        for epoch in {piece.epoch for piece in counting}
        if all(measured[epoch, name] == wanted for name in solo.setups)
    }
    slices = tuple(piece for piece in counting if piece.epoch in whole)
    return Blocks(plan=raw.plan, solo=solo, slices=slices, rows=rows)


def _sent(piece: Slice) -> int:
    """How many rows a slice has; with fewer, the file was cut short."""
    return piece.reading.completed + piece.reading.failed + piece.reading.dropped


def latencies_s(requests: Sequence[Request], timeout_s: float) -> Array:
    """From the planned send to the last byte, one a planned arrival."""
    return np.array(
        [
            max((row.done_ns - row.planned_ns) / 1e9, 0.0 if row.status == CREATED else timeout_s)
            for row in requests
        ]
    )


def service_times_s(requests: Sequence[Request]) -> Array:
    """From the actual send to the last byte, as a tool reports that does not know when it was due."""
    return np.array([(row.done_ns - row.sent_ns) / 1e9 for row in requests if row.status not in UNSENT])


def solo_ledger(setup: Setup, slices: Sequence[Slice]) -> Ledger:
    """A set-up's account over all its visits, those included that count for nothing else.

    What a load worker sent before it died nobody knows, and what a visit that was cut short had
    yet to export, neither: such a visit has no account.
    """
    mine = [piece for piece in slices if piece.setup == setup.name and piece.epoch >= 0]
    flushes = Counter(piece.epoch for piece in mine if piece.purpose is Purpose.FLUSH)
    unknown = {piece.epoch for piece in mine if piece.lost_workers or flushes[piece.epoch] < FLUSHES}
    readings = [piece.reading for piece in mine if piece.epoch not in unknown]
    return ledger_of(setup, readings)


def capacities(blocks: Blocks) -> dict[str, list[float | None]]:
    """Throughput of every closed loop, by set-up and block."""
    return {
        name: [blocks.reached_per_s(piece) or None for piece in blocks.of(name, Purpose.CLOSED)]
        for name in blocks.solo.setups
    }
