"""Readings of microbenchmarks become figures: interval by t over replicates, ratio to the reference.

The unit of replication is the replicate: its processes share a hash seed and a minute of time,
and the values of one process say nothing about the next one.
Every value is divided by what plain Python cost just before and after it; the machine's
speed, which doubles and halves within seconds, cancels there as far as anything can.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from bench.analysis import checks
from bench.analysis.claims import Caveat, Severity
from bench.analysis.stats import Interval, mean_with_interval, t_quantile
from bench.plan.records import SCHEMA
from bench.studies.micro.predictions import Price


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroRun:
    """A microbenchmark as it was carried out; `micro-run.json`, raw beside pyperf's `micro.json`.

    Attributes:
        schema: format of the folder.
        replicates: how many were planned.
        budget: quick: values were shorter.
        seed: of the orders and hash seeds.
        steal: share of a core that the host took away meanwhile; absent until the last replicate is over.
        failures: operations without a proof, and the reason.
        uncounted: what has no count of instructions although they were counted, and why.
        instructions: CPU instructions of doing an operation once; empty unless they were counted.
        requests: CPU instructions of a request by setup; likewise.
    """

    schema: int = SCHEMA
    replicates: int
    budget: Literal["quick", "default"] = "default"
    seed: int
    steal: float | None
    failures: dict[str, str] = field(default_factory=dict)
    uncounted: dict[str, str] = field(default_factory=dict)
    instructions: dict[str, float] = field(default_factory=dict)
    requests: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What one operation costs.

    Attributes:
        name: of the operation.
        ratio: CPU of doing it once over that of the reference operation, formed value by value.
        cpu_s: the ratio times the reference's CPU seconds in the whole run: what it costs at the
            machine's usual speed.
        replicates: how many it was read in.
        cold_s: CPU seconds of doing it once with cold caches, at the machine's usual speed.
        instructions: CPU instructions of doing it once; absent unless they were counted.
        sentence: what it does.
    """

    name: str
    ratio: Interval
    cpu_s: Interval
    replicates: int
    cold_s: Interval | None = None
    instructions: float | None = None
    sentence: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroSummary:
    """What a microbenchmark found; `micro-summary.json`.

    Attributes:
        schema: format of the folder.
        run: as it was carried out.
        reference_s: CPU seconds of the reference operation, mean over the whole run.
        timings: one figure per operation.
        caveats: operations without a proof, and what the host did.
    """

    schema: int = SCHEMA
    run: MicroRun
    reference_s: float
    timings: tuple[Timing, ...]
    caveats: tuple[Caveat, ...]

    @property
    def prices(self) -> dict[str, Price]:
        """What operations cost with cold caches, with their errors; without an interval there is no price."""
        prices = {}
        for timing in self.timings:
            cost = timing.cold_s or timing.cpu_s
            if cost.low is not None and cost.high is not None:
                half = (cost.high - cost.low) / 2
                prices[timing.name] = Price(
                    cpu_s=cost.value,
                    standard_error=half / t_quantile(0.975, timing.replicates - 1),
                    df=timing.replicates - 1.0,
                )
        return prices

    @property
    def valid(self) -> bool:
        """Whether every figure counts."""
        return all(caveat.severity is not Severity.INVALID for caveat in self.caveats)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerReading:
    """One process's reading of one operation.

    Attributes:
        name: of the operation.
        replicate: its number.
        values_s: CPU seconds of doing it once.
        references_s: CPU seconds of the reference operation around each of these.
        cold_s: CPU seconds of doing it once with cold caches; absent where that was not read.
    """

    name: str
    replicate: int
    values_s: tuple[float, ...]
    references_s: tuple[float, ...]
    cold_s: float | None = None


def summarise(
    run: MicroRun, readings: Sequence[WorkerReading], sentences: Mapping[str, str] | None = None
) -> MicroSummary:
    """Everything that follows from a microbenchmark's raw records.

    Args:
        run: as it was carried out.
        readings: of all operations.
        sentences: what operations do, by name; figures come in their order.
    """
    known = sentences or {}
    places = {name: place for place, name in enumerate(known)}
    figures = timings(readings, instructions=run.instructions)
    caveats = [
        Caveat(
            code="proof",
            message=f"{name} has no figure: {reason}",
            advice="it does not do here what its name says",
            severity=Severity.INVALID,
        )
        for name, reason in run.failures.items()
    ]
    caveats += [
        Caveat(
            code="count",
            message=f"{name} has no count of instructions: {reason}",
            advice="count again; under valgrind everything takes fifty times as long",
        )
        for name, reason in run.uncounted.items()
    ]
    if run.steal is None:
        caveats.append(
            Caveat(code="cut-short", message="it was ended before its last replicate", advice="let it end")
        )
    caveats += [
        msgspec.structs.replace(caveat, severity=Severity.CAVEAT)
        for caveat in checks.host(run.steal or 0.0, 0.0)
    ]
    quick = run.budget == "quick"
    if run.replicates < 2 or quick:
        reason = "values of 5 ms" if quick else "one replicate has no interval"
        caveats.append(
            Caveat(
                code="try", message=f"this is a try: {reason}", advice="leave out --budget and --replicates"
            )
        )
    return MicroSummary(
        run=run,
        reference_s=reference_s(readings),
        timings=tuple(
            replace(timing, sentence=known.get(timing.name, ""))
            for timing in sorted(figures, key=lambda timing: places.get(timing.name, len(places)))
        ),
        caveats=tuple(caveats),
    )


def reference_s(readings: Sequence[WorkerReading]) -> float:
    """CPU seconds of the reference operation: the geometric mean over everything; 0 without readings."""
    logs = [math.log(value) for reading in readings for value in reading.references_s]
    return math.exp(statistics.fmean(logs)) if logs else 0.0


def timings(
    readings: Sequence[WorkerReading],
    confidence: float = 0.95,
    instructions: Mapping[str, float] | None = None,
) -> tuple[Timing, ...]:
    """One figure per operation, in the order of their first reading."""
    base_s = reference_s(readings)
    by_name: defaultdict[str, defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    colds: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for reading in readings:
        if reading.cold_s is not None:
            speed = statistics.median(reading.references_s) / base_s
            colds[reading.name][reading.replicate] = reading.cold_s / speed
        ratios = [value / at for value, at in zip(reading.values_s, reading.references_s, strict=True)]
        by_name[reading.name][reading.replicate].append(math.log(statistics.median(ratios)))
    counted = instructions or {}
    figures = []
    for name, by_replicate in by_name.items():
        ratio = _interval([statistics.fmean(logs) for logs in by_replicate.values()], confidence)
        figures.append(
            Timing(
                name=name,
                cpu_s=ratio.times(base_s),
                ratio=ratio,
                replicates=len(by_replicate),
                cold_s=mean_with_interval(list(colds[name].values()), confidence) if name in colds else None,
                instructions=counted.get(name),
            )
        )
    return tuple(figures)


def _interval(logs: Sequence[float], confidence: float) -> Interval:
    """The geometric mean over replicates, and Student's t around it; no ends with a single replicate."""
    logs_ = mean_with_interval(logs, confidence)
    low, high = (None if end is None else math.exp(end) for end in (logs_.low, logs_.high))
    return Interval(value=math.exp(logs_.value), low=low, high=high)
