"""The report that OpenTelemetry's performance-benchmark document asks of an SDK."""

import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from bench.report.ci import Case, Metric
from bench.results.store import Store, read_lines
from bench.runner.run import Progress
from bench.studies import SPEC
from bench.studies.options import Budget, Count, StudyOptions, number
from bench.studies.spec import document
from bench.studies.spec.figures import (
    ITERATION_S,
    RATE_PER_S,
    REPLICATES,
    THROUGHPUT_S,
    Iteration,
    SpecReport,
    report,
)
from bench.studies.spec.measure import Iterations, carry_out
from bench.studies.study import Measurement, Parts, case
from bench.testbed.workplace import workplace

QUICK_REPLICATES, QUICK_S = 2, 3.0
PROCESS_S = 2.0
"""Around an iteration; for the display only."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """What `tracing-overhead spec` understands.

    Attributes:
        rate: Spans per second at which CPU and memory are measured.
        protocol: Of OTLP.
        replicates: How often each iteration is repeated.
        budget: quick: two replicates of three seconds an iteration, for a try.
    """

    rate: Annotated[float, Parameter(validator=number(1, 1e6))] = RATE_PER_S
    protocol: Literal["http", "grpc"] = "http"
    replicates: Count | None = None
    budget: Budget = "default"


def prepare(options: Options) -> Measurement:
    """The iterations that options ask for."""
    quick = options.budget == "quick"
    replicates = options.replicates or (QUICK_REPLICATES if quick else REPLICATES)
    iteration_s = QUICK_S if quick else ITERATION_S
    throughput_s = QUICK_S if quick else THROUGHPUT_S

    def measure(log: Store, progress: Progress) -> None:
        with workplace() as place:
            carry_out(
                Iterations(place),
                replicates=replicates,
                protocol=options.protocol,
                rate_per_s=options.rate,
                iteration_s=iteration_s,
                throughput_s=throughput_s,
                seed=secrets.randbelow(2**32),
                keep=lambda iteration: log.append_line(SPEC.raw[0], iteration),
                progress=progress,
            )

    return Measurement(
        duration_s=replicates * 2 * (iteration_s + throughput_s + 2 * PROCESS_S),
        measure=measure,
        pinned=True,
    )


def metrics(figures: SpecReport) -> list[Metric]:
    """CPU per span of every processor."""
    return [
        Metric.timed(f"{row.processor}: CPU per span", "us", row.cpu_per_span_s, 1e6)
        for row in figures.at_rate
    ]


def cases(figures: SpecReport) -> list[Case]:
    """Every processor."""
    return [
        case(metric.name, f"{metric.value:g} {metric.unit} {metric.range}", valid=figures.valid)
        for metric in metrics(figures)
    ]


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=lambda folder: report(read_lines(folder / SPEC.raw[0], Iteration)),
    record=SpecReport,
    document=document.report,
    is_valid=lambda figures: figures.valid,
    metrics=metrics,
    cases=cases,
)
