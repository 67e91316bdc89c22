"""From raw windows to cells: CPU seconds per checkout by epoch, window and set-up.

Rule 1: CPU per checkout = (clock after the flush - clock before - idle burn - an empty
flush) / completed checkouts, summed over the four services.
Rule 2: which windows count is decided by what the host did, never by what was measured.
"""

import math
from collections.abc import Sequence

import numpy as np

from bench.model import BASELINE, TWIN, FleetReading, Kind, Plan, Window
from bench.stats import against

SPOILED_STEAL = 0.01
"""A window in which the host took more than this share of a core away is repeated while there
are spare ones. A single preemption of 40 ms is 8 % of what a fleet uses in a window, and the
CPU clocks of a virtual machine count much of it as the process's own."""

Cells = dict[int, list[dict[str, float]]]
"""CPU seconds per checkout by epoch, window and set-up."""


def is_spoiled(window: Window) -> bool:
    """Whether another window should count instead: the host took too much of the CPU, or a worker died."""
    return window.lost_workers > 0 or window.machine.steal_s > SPOILED_STEAL * window.duration_s


def counting_windows(work: Sequence[Window], per_epoch: int) -> tuple[Window, ...]:
    """The windows that figures rest on: of every epoch those with the least steal, in their order.

    Chosen by what the host did and never by what was measured, and the same number in
    every epoch, so that repeating a window favours no set-up. A window in which a load
    worker died never counts.
    """
    chosen: list[Window] = []
    for epoch in sorted({window.epoch for window in work}):
        mine = [window for window in work if window.epoch == epoch and not window.lost_workers]
        calm = sorted(mine, key=lambda window: window.machine.steal_s / window.duration_s)[:per_epoch]
        chosen += [window for window in mine if window in calm]
    return tuple(chosen)


def cpu_cells(windows: Sequence[Window], counting: Sequence[Window]) -> Cells:
    """CPU per checkout of every window that counts, idle burn and empty flush taken off.

    Source: method, estimand 1. The idle rate comes from an epoch's quiet stretch, the
    cost of the flush calls themselves from flushes with nothing to flush.

    Args:
        windows: all of them.
        counting: the work windows among them that count.
    """
    cells: Cells = {}
    for epoch in sorted({window.epoch for window in windows}):
        mine = [window for window in windows if window.epoch == epoch]
        idle = [window for window in mine if window.kind is Kind.IDLE]
        flush = [window for window in mine if window.kind is Kind.FLUSH]
        for window in counting:
            if window.epoch != epoch or any(fleet.completed == 0 for fleet in window.fleets):
                continue
            cell = {
                fleet.setup: (
                    cpu_s(fleet) - _rate(idle, fleet.setup) * window.duration_s - _mean(flush, fleet.setup)
                )
                / fleet.completed
                for fleet in window.fleets
            }
            if all(value > 0 for value in cell.values()):
                cells.setdefault(epoch, []).append(cell)
    return cells


def cpu_s(fleet: FleetReading) -> float:
    """CPU seconds of a fleet's four services over a window."""
    return sum(fleet.cpu_ns.values()) / 1e9


def readings_of(windows: Sequence[Window], setup: str) -> list[FleetReading]:
    """A set-up's readings in some windows."""
    return [fleet for window in windows for fleet in window.fleets if fleet.setup == setup]


def _rate(idle: Sequence[Window], setup: str) -> float:
    """CPU seconds per second of a fleet at rest."""
    length = sum(window.duration_s for window in idle)
    return sum(map(cpu_s, readings_of(idle, setup))) / length if length else 0.0


def _mean(flush: Sequence[Window], setup: str) -> float:
    """CPU seconds of one round of flush calls that have nothing to flush."""
    return sum(map(cpu_s, readings_of(flush, setup))) / len(flush) if flush else 0.0


def references(names: Sequence[str]) -> tuple[str, ...]:
    """The fleets that together are the baseline: itself, and its twin where there is one.

    They are the same set-up, so their mean is the baseline with half the variance; the
    twin's own difference from it is uncorrelated with what is found of the others.
    """
    return (BASELINE, TWIN) if TWIN in names else (BASELINE,)


def design(names: Sequence[str]) -> dict[str, dict[str, float]]:
    """What is compared with what: set-ups with the baseline's fleets, the twin with the baseline."""
    return {
        name: against(name, (BASELINE,) if name == TWIN else references(names))
        for name in names
        if name != BASELINE
    }


def logs(cells: Cells, plan: Plan) -> dict[str, list[list[float]]]:
    """ln(CPU seconds per checkout) by set-up, epoch and window."""
    return {
        setup.name: [[math.log(cell[setup.name]) for cell in windows] for windows in cells.values()]
        for setup in plan.setups
    }


def level(cells: Cells, setup: str) -> float | None:
    """CPU seconds per checkout: mean over epochs of the mean over windows."""
    means = [float(np.mean([cell[setup] for cell in windows])) for windows in cells.values()]
    return float(np.mean(means)) if means else None
