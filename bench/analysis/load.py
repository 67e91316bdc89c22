"""How the load of a run went, and what else the machine did meanwhile."""

import numpy as np

from bench.analysis.blocks import is_spoiled
from bench.analysis.figures import RunAnalysis
from bench.analysis.records import LoadSummary, WorkerLag
from bench.analysis.stats import quantile
from bench.plan.readings import Raw
from bench.plan.records import Kind


def load_summary(analysis: RunAnalysis) -> LoadSummary:
    """How the load went, in blocks that count."""
    plan, raw = analysis.plan, analysis.raw
    light = [block for part in analysis.light for block in part.blocks]
    counting = light + [block for part in analysis.saturation for block in part.blocks]
    length_s = sum(block.duration_s for block in counting) or 1.0
    light_s = sum(block.duration_s for block in light) or 1.0
    steps = [reading for reading in raw.readings if reading.kind in {Kind.LIGHT, Kind.SATURATION}]
    lags, outside = _lags(analysis)
    return LoadSummary(
        requests=sum(
            instance.completed + instance.failed + instance.unsent
            for reading in steps
            for instance in reading.instances
        ),
        unsent=sum(instance.unsent for reading in steps for instance in reading.instances),
        failed=sum(instance.failed for reading in steps for instance in reading.instances),
        lag_p50_s=quantile(lags, 0.5),
        lag_p99_s=quantile(lags, 0.99),
        outside=outside,
        load_utilization=sum(block.load_s for block in light) / light_s / plan.load_cpus,
        steal=sum(block.steal_s for block in counting) / length_s,
        foreign=sum(block.foreign_s for block in counting) / length_s,
        slice_error=_slice_error(raw),
        leaked=_leaked(raw),
        blocks=len(counting),
        repeated=sum(sum(map(is_spoiled, reading.blocks)) for reading in steps),
        lost_workers=sum(reading.lost_workers for reading in raw.readings),
        workers=_workers(raw) if plan.workers else (),
    )


def _lags(analysis: RunAnalysis) -> tuple[list[float], float]:
    """Lag of every arrival of light load, and the share of those that were sent after their time slice."""
    lags: list[float] = []
    late = count = 0
    for part in analysis.light:
        for reading, instances in zip(part.readings, part.requests, strict=True):
            lags += [float(lag) for requests in instances for lag in requests.lag_s]
            rows = analysis.raw.rows.get((part.replicate, reading.number), ())
            stops: dict[int, list[int]] = {}
            starts: dict[int, list[int]] = {}
            for switch in reading.switches:
                starts.setdefault(switch.instance, []).append(switch.start_ns)
                stops.setdefault(switch.instance, []).append(switch.stop_ns)
            for instance, begins in starts.items():
                active_rows = [row for row in rows if row.instance == instance]
                time_slice = (
                    np.searchsorted(begins, [row.planned_ns for row in active_rows], side="right") - 1
                )
                ends = np.array(stops[instance])[np.maximum(time_slice, 0)]
                late += int(np.count_nonzero(np.array([row.sent_ns for row in active_rows]) > ends))
                count += len(active_rows)
    return lags, late / count if count else 0.0


def _slice_error(raw: Raw) -> float:
    """Relative difference of the time slices' length in sum from what was planned."""
    planned = actual = 0.0
    for reading in raw.readings:
        phase = {Kind.LIGHT: raw.plan.light, Kind.SATURATION: raw.plan.saturation}.get(reading.kind)
        if phase:
            lengths = [
                (switch.stop_ns - switch.start_ns) / 1e9 for switch in reading.switches if switch.block >= 0
            ]
            planned += phase.slice_s * len(lengths)
            actual += sum(lengths)
    return abs(actual / planned - 1) if planned else 0.0


def _leaked(raw: Raw) -> float:
    """CPU time that stopped instances used, as a share of all."""
    switches = [switch for reading in raw.readings for switch in reading.switches]
    used = sum(switch.cpu_ns for switch in switches)
    return sum(switch.leaked_ns for switch in switches) / used if used else 0.0


def _workers(raw: Raw) -> tuple[WorkerLag, ...]:
    """How late each load worker sent."""
    lags: dict[int, list[float]] = {}
    for reading in raw.readings:
        if reading.kind is Kind.LIGHT:
            for row in raw.rows.get((reading.replicate, reading.number), ()):
                if row.status >= 0:
                    lags.setdefault(row.worker, []).append((row.sent_ns - row.planned_ns) / 1e9)
    return tuple(
        WorkerLag(
            worker=worker,
            arrivals=len(lags_of_worker),
            lag_p50_s=quantile(lags_of_worker, 0.5),
            lag_p99_s=quantile(lags_of_worker, 0.99),
        )
        for worker, lags_of_worker in sorted(lags.items())
    )
