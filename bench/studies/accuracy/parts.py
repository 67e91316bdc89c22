"""How accurate is the harness? Injected costs, measured repeatedly.

`trials` says what is compared in one run, `figures` derives expected against measured, `targets` what is
asked.
"""

import contextlib
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from bench.errors import UsageError
from bench.report.ci import Case, CaseStatus, Metric
from bench.results.manifest import Discrepancy
from bench.results.store import Store, pretty, read_packed
from bench.results.verify import RawRecords
from bench.runner.learning import LearningTestbed
from bench.runner.run import Progress
from bench.studies import ACCURACY
from bench.studies.accuracy import document, measure
from bench.studies.accuracy.figures import accuracy, figures_of
from bench.studies.accuracy.records import Accuracy
from bench.studies.accuracy.targets import targets
from bench.studies.accuracy.trials import Beside, RunFigures, Trial
from bench.studies.options import Count, StudyOptions
from bench.studies.study import Measurement, Parts
from bench.testbed import disturber, machine
from bench.testbed.app_files import load
from bench.testbed.options import Options as TestbedOptions
from bench.testbed.process import Child, leashed, plain_environ

RUNS, TRIALS, *_ = ACCURACY.raw
SMOKE_REPLICATES = 2
STOP_LIMIT_S = 2.0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """What `tracing-overhead accuracy` understands.

    Attributes:
        replicates: Number of runs, those of a series that is resumed included.
        budget: smoke: two process restarts in every run, to try the command.
        beside: Another program meanwhile keeps a CPU busy, or wakes up at random.
        seed: Repeat the order and times of another series.
        resume: Add runs to the series in this folder, with its own seed, budget and disturbance.
    """

    replicates: Count = measure.REPLICATES
    budget: Literal["smoke", "default"] = "default"
    beside: Literal["busy", "random"] | None = None
    seed: int | None = None
    resume: Path | None = None


def prepare(options: Options) -> Measurement:
    """The runs that options ask for.

    Raises:
        UsageError: a series cannot be resumed, or not with these options.
    """
    before: tuple[RunFigures, ...] = ()
    if options.resume:
        if (options.seed, options.budget, options.beside, options.out) != (None, "default", None, None):
            raise UsageError(
                "--resume goes on with the seed, budget, disturbance and folder that a series began with",
                "leave out --seed, --budget, --beside and --out",
            )
        before = read_packed(options.resume / RUNS, RunFigures)
        if not before:
            raise UsageError(
                f"there is no series in {options.resume} to resume", "name its folder with --resume"
            )
    cpus = machine.split_cpus(pinned=True)
    loaded = load(None)
    beside: Beside = before[0].beside if before else options.beside or ""

    def carry_out(log: Store, progress: Progress) -> None:
        series = _series(options, before, cpus)
        with _disturbed(beside, log.folder):
            testbed = LearningTestbed(measure.trial_plan(series, 0), TestbedOptions(place=loaded.place))
            with contextlib.closing(testbed):
                if not before:
                    progress.say("measuring what a request of the baseline costs")
                    series = measure.calibrated(series, testbed, progress)
                for number in range(len(before), options.replicates):
                    label = f"run {number + 1} of {options.replicates}"
                    shown = measure.TrialProgress(progress, label)
                    trial = measure.trial(series, number, testbed, shown, beside=beside)
                    log.append_packed(TRIALS, trial)
                    log.append_packed(RUNS, figures_of(trial))

    return Measurement(
        duration_s=(options.replicates - len(before)) * measure.TRIAL_S,
        measure=carry_out,
        pinned=True,
        resumes=options.resume,
    )


def _series(options: Options, before: tuple[RunFigures, ...], cpus: machine.Cpus) -> measure.Series:
    app = load(None).app
    if before:
        return measure.series_of(before[0], app, cpus)
    return measure.Series(
        app=app,
        cpus=cpus,
        seed=secrets.randbelow(2**31) if options.seed is None else options.seed,
        replicates=SMOKE_REPLICATES if options.budget == "smoke" else None,
    )


@contextlib.contextmanager
def _disturbed(beside: Beside, folder: Path) -> Iterator[None]:
    """Another program on the machine; it ends with the harness at the latest."""
    if not beside:
        yield
        return
    program = str(Path(disturber.__file__).resolve())
    log = folder / "disturber.log"
    child = Child("the disturber", leashed(sys.executable, program, beside), environ=plain_environ(), log=log)
    try:
        yield
        child.check()
    finally:
        child.stop(STOP_LIMIT_S)
        log.unlink()


def metrics(figures: Accuracy) -> list[Metric]:
    """The error of every injected cost."""
    return [
        Metric(name=f"error of {known.setup}, {known.figure}", unit="%", value=round(known.error * 100, 3))
        for known in figures.known
    ]


STATUSES = {"yes": CaseStatus.PASSED, "NO": CaseStatus.FAILED, "not shown": CaseStatus.SKIPPED}


def cases(figures: Accuracy) -> list[Case]:
    """A test case for each target."""
    return [
        Case(name=target.what, status=STATUSES[target.shown], text=target.value)
        for target in targets(figures)
    ]


def recheck(folder: Path, figures: Accuracy) -> tuple[list[Discrepancy], RawRecords]:
    """Runs whose figures do not follow from their raw records, and whether all runs have raw records."""
    stored = read_packed(folder / RUNS, RunFigures)
    discrepancies, count = [], 0
    for trial in read_packed(folder / TRIALS, Trial):
        if trial.number >= len(stored):
            continue
        count += 1
        if pretty(stored[trial.number]) != pretty(figures_of(trial)):
            discrepancies.append(
                Discrepancy(
                    file=RUNS,
                    field=f"line {trial.number + 1}",
                    message="does not follow from the raw records of that run",
                    is_raw=True,
                )
            )
    return discrepancies, RawRecords.ALL if count == figures.trials else RawRecords.SOME


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=lambda folder: accuracy(read_packed(folder / RUNS, RunFigures)),
    record=Accuracy,
    document=document.report,
    recheck=recheck,
    is_valid=lambda figures: all(target.shown != "NO" for target in targets(figures)),
    metrics=metrics,
    cases=cases,
)
