"""Microbenchmarks: what one operation of tracing costs, timed by pyperf.

Every reading is made by a process of its own (`worker`); the harness (`measure`) decides the order and never
imports OpenTelemetry.
Readings are interleaved: every replicate times all operations once, in a freshly shuffled order, and every
value stands between two readings of a reference operation, because the same loop may run at half its speed
a second later. Every operation proves that it does what its name says: the spans that it claims to have
ended have ended, what it exported is at the receiver. An operation without a proof has no figure. What is
timed is the CPU time of the worker process, all threads: what tracing takes away from the service. Waiting
for the receiver does not count.
"""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bench.errors import UsageError
from bench.report.ci import Case, Metric
from bench.results.store import Store
from bench.runner.run import Progress
from bench.studies.micro import document, files
from bench.studies.micro import instructions as counters
from bench.studies.micro.figures import MicroSummary
from bench.studies.micro.measure import QUICK_REPLICATES, REPLICATES, draw_seed, measured
from bench.studies.micro.operations import choose
from bench.studies.options import Budget, Count, StudyOptions
from bench.studies.study import Measurement, Parts, case

READING_S = 0.6
COUNTING_S = 15.0
"""For the display only."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """What `tracing-overhead micro` understands.

    Attributes:
        only: Operations whose name matches or contains it, such as 'span/*'.
        replicates: How often each is timed, by a fresh process every time.
        budget: quick: few replicates of short values, for a try.
        instructions: Count CPU instructions, too (needs valgrind; takes minutes).
        list_only: Print the operations; time nothing.
        seed: Repeat the order of another run.
    """

    only: str | None = None
    replicates: Count | None = None
    budget: Budget = "default"
    instructions: bool = False
    list_only: Annotated[bool, Parameter(name="--list")] = False
    seed: int | None = None


def prepare(options: Options) -> Measurement | str:
    """The operations that options ask for, or a list of them.

    Raises:
        UsageError: no operation has such a name.
    """
    operations = choose(options.only)
    if not operations:
        raise UsageError(
            f"no operation matches {options.only!r}", "`tracing-overhead micro --list` lists them all"
        )
    if options.list_only:
        width = max(len(operation.name) for operation in operations) + 1
        return "".join(f"{operation.name:<{width}}{operation.sentence}\n" for operation in operations)
    quick = options.budget == "quick"
    replicates = options.replicates or (QUICK_REPLICATES if quick else REPLICATES)
    counting = options.instructions and counters.available()
    seed = draw_seed() if options.seed is None else options.seed

    def measure(log: Store, progress: Progress) -> None:
        measured(log, operations, replicates, seed, progress, quick=quick, counting=counting)

    return Measurement(
        duration_s=(READING_S * replicates + (COUNTING_S if counting else 0.0)) * len(operations),
        measure=measure,
        pinned=True,
        afterwards="" if counting or not options.instructions else counters.HOW_TO_GET_IT,
    )


def metrics(figures: MicroSummary) -> list[Metric]:
    """CPU time of every operation."""
    return [Metric.timed(timing.name, "us", timing.cpu_s, 1e6) for timing in figures.timings]


def cases(figures: MicroSummary) -> list[Case]:
    """Every operation."""
    return [
        case(metric.name, f"{metric.value:g} {metric.unit} {metric.range}", valid=figures.valid)
        for metric in metrics(figures)
    ]


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=files.read,
    record=MicroSummary,
    document=document.report,
    is_valid=lambda figures: figures.valid,
    metrics=metrics,
    cases=cases,
)
