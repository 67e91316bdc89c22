"""What a collector between application and receiver needed itself, apart from what tracing costs.

CPU per span = (its CPU in a replicate's steps - its CPU at rest) / spans received. The collector is
one process for the whole run, and the figure is absolute: its interval covers this run only.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.analysis.accounting import Traffic
from bench.analysis.claims import Record
from bench.analysis.stats import mean_with_interval
from bench.plan.readings import Raw, StepReading
from bench.plan.records import Kind


class CollectorSummary(Record, frozen=True, kw_only=True):
    """What a collector between application and receiver needed itself.

    Attributes:
        name: of the tool, or its address.
        spans: that went through it.
        cpu_per_span_s: CPU seconds per span, without its CPU at rest; absent for a collector that runs
            elsewhere.
        cpu_per_span_low_s: lower end of its interval over replicates.
        cpu_per_span_high_s: upper end.
        pss_bytes: its memory, mean over replicates.
    """

    name: str
    spans: int
    cpu_per_span_s: float | None = None
    cpu_per_span_low_s: float | None = None
    cpu_per_span_high_s: float | None = None
    pss_bytes: int | None = None


def summarise(raw: Raw, traffic: Mapping[str, Sequence[Traffic]]) -> CollectorSummary | None:
    """What a collector needed; None without one."""
    if not raw.plan.collector:
        return None
    # A collector that samples received every span.
    sampled = {setup.name: setup.collector_sampling for setup in raw.plan.setups}
    memories = [reading.collector_memory for reading in raw.readings if reading.collector_memory]
    costs = []
    for replicate in range(min((len(parts) for parts in traffic.values()), default=0)):
        readings = [
            reading
            for reading in raw.readings
            if reading.replicate == replicate and reading.kind not in {Kind.START, Kind.LEARN}
        ]
        spans = sum(parts[replicate].spans / sampled[name] for name, parts in traffic.items())
        if spans and memories:
            costs.append((_cpu_s(readings) - _idle(readings) * _length_s(readings)) / spans)
    cost = mean_with_interval(costs, raw.plan.confidence) if costs else None
    return CollectorSummary(
        name=raw.plan.collector,
        spans=round(sum(part.spans / sampled[name] for name, parts in traffic.items() for part in parts)),
        cpu_per_span_s=cost.value if cost else None,
        cpu_per_span_low_s=cost.low if cost else None,
        cpu_per_span_high_s=cost.high if cost else None,
        pss_bytes=round(np.mean([memory.pss_bytes for memory in memories])) if memories else None,
    )


def _cpu_s(readings: Sequence[StepReading]) -> float:
    return sum(block.collector_s for reading in readings for block in reading.blocks)


def _length_s(readings: Sequence[StepReading]) -> float:
    return sum(block.duration_s for reading in readings for block in reading.blocks)


def _idle(readings: Sequence[StepReading]) -> float:
    """CPU seconds per second at rest."""
    quiet = [reading for reading in readings if reading.kind is Kind.REST]
    length_s = _length_s(quiet)
    return _cpu_s(quiet) / length_s if length_s else 0.0
