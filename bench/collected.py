"""What a collector between services and sink needed itself, apart from what tracing costs a service.

Rule 1: CPU per span = (clock after the drain - clock before - idle burn) / spans that came through, by
epoch. It is one process for the whole run, and an absolute figure: its interval is that of an hour.
"""

from collections.abc import Sequence

import numpy as np

from bench.findings import CollectorSummary
from bench.ledger import total
from bench.model import Kind, Plan, Raw, Window
from bench.stats import mean_interval


def summarise(plan: Plan, windows: Sequence[Window], counting: Sequence[Window]) -> CollectorSummary | None:
    """What it needed over the windows that count; absent without one, or where nothing came through.

    Args:
        plan: as it was carried out.
        windows: all of them; the quiet ones say what it burns at rest.
        counting: the work windows that count.
    """
    if not plan.collector:
        return None
    memory = [reading for window in windows for reading in window.memory if not reading.setup]
    costs: list[float] = []
    for epoch in sorted({window.epoch for window in counting}):
        mine = [window for window in counting if window.epoch == epoch]
        spans = sum(map(_spans, mine))
        if spans and memory:
            idle = _idle(windows, epoch)
            busy = sum(window.machine.collector_s - idle * _length_s(window) for window in mine)
            costs.append(busy / spans)
    length = sum(map(_length_s, counting))
    cost = mean_interval(costs, plan.confidence) if costs else (None, None, None)
    return CollectorSummary(
        name=plan.collector,
        spans=sum(map(_spans, counting)),
        cpu_per_span_s=cost[0],
        cpu_per_span_low_s=cost[1],
        cpu_per_span_high_s=cost[2],
        cpu_share=sum(window.machine.collector_s for window in counting) / length
        if length and memory
        else None,
        pss_bytes=round(np.mean([reading.pss_bytes for reading in memory])) if memory else None,
        peak_rss_bytes=max((reading.peak_rss_bytes for reading in memory), default=None),
    )


def undrained(raw: Raw) -> int:
    """How often a collector had not passed on everything, in both phases."""
    rotation = sum(not window.drained for window in raw.windows)
    return rotation + sum(not piece.drained for piece in raw.slices)


def _spans(window: Window) -> int:
    return sum(total([fleet.account for fleet in window.fleets]).spans.values())


def _length_s(window: Window) -> float:
    """Between the two readings of the collector's clock."""
    return window.duration_s + window.drain_s


def _idle(windows: Sequence[Window], epoch: int) -> float:
    """CPU seconds per second at rest."""
    idle = [window for window in windows if window.epoch == epoch and window.kind is Kind.IDLE]
    length = sum(map(_length_s, idle))
    return sum(window.machine.collector_s for window in idle) / length if length else 0.0
