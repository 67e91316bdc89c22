"""What OpenTelemetry's specification asks of an SDK's benchmark: readings become a report.

Source: opentelemetry-specification, "Performance Benchmark of OpenTelemetry API" (development).

A span counts when it is at the receiver; what the SDK says of itself does not.
A rate that cannot be held is no failure of the benchmark: it is the result.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.analysis import checks
from bench.analysis.claims import Caveat, Severity
from bench.analysis.stats import Interval, mean_with_interval
from bench.plan.records import SCHEMA

RATE_PER_S = 10_000.0
ITERATION_S = 15.0
THROUGHPUT_S = 5.0
REPLICATES = 10
HELD = 0.99
"""A rate is held if at least this share of its spans was created in time."""


class Scenario(StrEnum):
    """What an iteration measures."""

    THROUGHPUT = "throughput"
    RATE = "rate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Iteration:
    """One iteration, by a fresh process; raw, a line of `iterations.jsonl`.

    Attributes:
        replicate: number of the replicate that it belongs to.
        scenario: what it measures.
        processor: simple or batch.
        protocol: http or grpc.
        rate_per_s: planned spans per second; 0 for as many as possible.
        length_s: planned length.
        created: spans that were started and ended.
        wall_s: from the first span to the end of the last flush.
        creating_s: from the first span to the last one.
        cpu_s: CPU seconds of the process from the first span to the end of the last flush.
        peak: largest share of a core over one second.
        delivered: spans that are at the receiver, each counted once.
        duplicated: spans that came more than once.
        bytes: on the wire.
        uss_before_bytes: memory of the process alone before the first span.
        uss_bytes: the same after the last flush.
        steal: share of a core that the host took away meanwhile.
    """

    replicate: int
    scenario: Scenario
    processor: str
    protocol: str
    rate_per_s: float
    length_s: float
    created: int
    wall_s: float
    creating_s: float
    cpu_s: float
    peak: float
    delivered: int
    duplicated: int
    bytes: int
    uss_before_bytes: int
    uss_bytes: int
    steal: float = 0.0

    @property
    def achieved_per_s(self) -> float:
        """Spans created per second."""
        return self.created / self.creating_s if self.creating_s else 0.0

    @property
    def lost(self) -> int:
        """Spans that were created and never arrived."""
        return self.created - self.delivered


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanThroughput:
    """Item 1: spans created and exported per second, one logical core.

    Attributes:
        processor: simple or batch.
        per_s: delivered spans per second of wall time on one core.
        per_cpu_s: delivered spans per second of CPU time.
        lost: spans that never arrived, over all iterations.
    """

    processor: str
    per_s: Interval
    per_cpu_s: Interval
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRate:
    """Items 2 and 3: CPU and memory at a given rate.

    Attributes:
        processor: simple or batch.
        achieved_per_s: spans created per second.
        delivered_per_s: spans at the receiver per second, until the end of the last flush.
        held: whether every iteration held the rate and lost nothing.
        cpu: mean share of a core, from the first span to the end of the last flush.
        cpu_peak: largest share of a core over a second, in any iteration.
        cpu_per_span_s: CPU seconds of a delivered span.
        created: spans, over all iterations.
        delivered: of those, at the receiver.
        growth_bytes: memory at its largest less memory before the first span.
        uss_peak_bytes: memory at its largest.
    """

    processor: str
    achieved_per_s: Interval
    delivered_per_s: Interval
    held: bool
    cpu: Interval
    cpu_peak: float
    cpu_per_span_s: Interval
    created: int
    delivered: int
    growth_bytes: Interval
    uss_peak_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecReport:
    """The whole report; `spec.json`.

    Attributes:
        schema: format of the folder.
        protocol: of the exporter.
        rate_per_s: that was asked for.
        replicates: complete ones.
        throughput: item 1.
        at_rate: items 2 and 3.
        caveats: what speaks against a figure.
    """

    schema: int = SCHEMA
    protocol: str
    rate_per_s: float
    replicates: int
    throughput: tuple[SpanThroughput, ...]
    at_rate: tuple[AtRate, ...]
    caveats: tuple[Caveat, ...]

    @property
    def valid(self) -> bool:
        """Whether every figure counts."""
        return all(caveat.severity is not Severity.INVALID for caveat in self.caveats)


def report(iterations: Sequence[Iteration]) -> SpecReport:
    """What follows from some iterations."""
    iterations = [
        iteration
        for iteration in iterations
        if min(iteration.wall_s, iteration.creating_s, iteration.cpu_s) > 0
    ]
    processors = sorted({iteration.processor for iteration in iterations}, reverse=True)
    flat_out = [iteration for iteration in iterations if iteration.scenario is Scenario.THROUGHPUT]
    paced = [iteration for iteration in iterations if iteration.scenario is Scenario.RATE]
    replicates = _complete(iterations)
    return SpecReport(
        protocol=iterations[0].protocol if iterations else "",
        rate_per_s=paced[0].rate_per_s if paced else 0.0,
        replicates=replicates,
        throughput=tuple(
            _throughput(name, _of(flat_out, name)) for name in processors if _of(flat_out, name)
        ),
        at_rate=tuple(_at_rate(name, _of(paced, name)) for name in processors if _of(paced, name)),
        caveats=tuple(_caveats(iterations, replicates)),
    )


def _complete(iterations: Sequence[Iteration]) -> int:
    """Replicates in which every scenario was measured with every processor."""
    counts = Counter(iteration.replicate for iteration in iterations)
    whole = len({(iteration.scenario, iteration.processor) for iteration in iterations})
    return sum(count == whole for count in counts.values())


def _of(iterations: Sequence[Iteration], processor: str) -> list[Iteration]:
    return [iteration for iteration in iterations if iteration.processor == processor]


def _throughput(processor: str, iterations: Sequence[Iteration]) -> SpanThroughput:
    return SpanThroughput(
        processor=processor,
        per_s=mean([iteration.delivered / iteration.wall_s for iteration in iterations]),
        per_cpu_s=mean([iteration.delivered / iteration.cpu_s for iteration in iterations]),
        lost=sum(iteration.lost for iteration in iterations),
    )


def _at_rate(processor: str, iterations: Sequence[Iteration]) -> AtRate:
    return AtRate(
        processor=processor,
        achieved_per_s=mean([iteration.achieved_per_s for iteration in iterations]),
        delivered_per_s=mean([iteration.delivered / iteration.wall_s for iteration in iterations]),
        held=all(
            iteration.achieved_per_s >= HELD * iteration.rate_per_s
            and not iteration.lost
            and not iteration.duplicated
            for iteration in iterations
        ),
        cpu=mean([iteration.cpu_s / iteration.wall_s for iteration in iterations]),
        cpu_peak=max(iteration.peak for iteration in iterations),
        cpu_per_span_s=mean([iteration.cpu_s / max(iteration.delivered, 1) for iteration in iterations]),
        created=sum(iteration.created for iteration in iterations),
        delivered=sum(iteration.delivered for iteration in iterations),
        growth_bytes=mean(
            [float(iteration.uss_bytes - iteration.uss_before_bytes) for iteration in iterations]
        ),
        uss_peak_bytes=max(iteration.uss_bytes for iteration in iterations),
    )


def mean(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean over iterations, and Student's t around it; no ends with a single one."""
    return mean_with_interval(values, confidence)


def _caveats(iterations: Sequence[Iteration], replicates: int) -> list[Caveat]:
    steal = statistics.fmean([iteration.steal for iteration in iterations]) if iterations else 0.0
    # A rate that was not held because the host took the CPU away says nothing of the SDK.
    caveats = list(checks.host(steal, 0.0))
    short = any(
        iteration.scenario is Scenario.RATE and iteration.length_s < ITERATION_S for iteration in iterations
    )
    doubled = sum(iteration.duplicated for iteration in iterations)
    doubts = (
        (not any(iteration.delivered for iteration in iterations), "nothing",
         "no span was measured, or none arrived", "name the other protocol with --protocol"),
        (replicates < REPLICATES, "replicates",
         f"{replicates} of the {REPLICATES} replicates that the specification asks for",
         "leave out --budget and --replicates"),
        (short, "length", f"iterations are shorter than {ITERATION_S:g} s", "leave out --budget"),
        (doubled, "duplicated", f"{doubled} spans came more than once",
         "an export was repeated: close other programs"),
    )  # fmt: skip
    for doubt, code, message, advice in doubts:
        if doubt:
            severity = Severity.INVALID if code == "nothing" else Severity.CAVEAT
            caveats.append(Caveat(code=code, message=message, advice=advice, severity=severity))
    return caveats
