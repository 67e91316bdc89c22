"""What a results folder of a run holds: its figures, and its raw records as they were measured.

Figures are made from raw records each time; `summary.json` is for others to read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.records import Summary
from bench.analysis.summary import Predict, summarise
from bench.errors import ResultsError, UsageError
from bench.plan.readings import Raw
from bench.plan.records import Kind
from bench.plan.schedule import schedule
from bench.results import manifest
from bench.results.manifest import Fault
from bench.results.redact import redacted
from bench.results.store import PLAN, READINGS, RUN_AGAIN, read_raw

SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What follows from a run's raw records.

    Attributes:
        raw: the records.
        summary: everything that was found.
        faults: raw files that are not what was measured.
    """

    raw: Raw
    summary: Summary
    faults: tuple[Fault, ...] = ()

    @property
    def valid(self) -> bool:
        """True if every figure counts."""
        return not self.faults and self.summary.valid


def is_run(folder: Path) -> bool:
    """True if a folder holds a run."""
    return (folder / PLAN).exists()


def require_run(folder: Path) -> None:
    """Raise ResultsError if a folder does not hold a run."""
    if not is_run(folder):
        what = "holds no run" if folder.is_dir() else "is not a folder"
        if (folder / READINGS).exists():
            what = f"has lost its {PLAN}"
        raise ResultsError(
            f"{folder} {what}",
            "name a folder that `tracing-overhead run` has left, such as results/reference",
        )


def read_run(folder: Path, predict: Predict | None = None) -> RunResult:
    """Everything that follows from a run's raw records, and whether these are what was measured.

    Args:
        folder: of the run.
        predict: predicts layers, where microbenchmarks belong to the run.

    Raises:
        ResultsError: a file is not there, cannot be read, or is of another schema.
    """
    require_run(folder)
    raw = read_raw(folder)
    known = manifest.read(folder)
    changed = manifest.changed(folder, known) if known else missing_steps(raw)
    faults = tuple(fault for fault in changed if fault.file in manifest.RAW)
    try:
        return replace(run_result(raw, predict), faults=faults)
    except (ArithmeticError, LookupError, ValueError) as error:
        # Records that nobody measured can hold anything.
        where = faults[0].file if faults else "a raw file"
        raise ResultsError(
            f"{where} of {folder} is not what was measured: {type(error).__name__}: {error}", RUN_AGAIN
        ) from None


def sound_run(folder: Path, predict: Predict | None = None) -> RunResult:
    """A run whose raw records are those that were measured.

    Raises:
        UsageError: they are not.
        ResultsError: a file is not there, cannot be read, or is of another schema.
    """
    result = read_run(folder, predict)
    if result.faults:
        raise UsageError(
            f"{folder} does not say what was measured: {result.faults[0]}",
            f"`tracing-overhead verify {folder}`",
        )
    return result


def missing_steps(raw: Raw) -> Iterator[Fault]:
    """The replicates of a complete run that have other steps than the plan; spoiled blocks may be repeated."""
    for replicate in range(raw.plan.replicates if raw.ending.complete else 0):
        kinds: list[Kind] = []
        for reading in raw.readings:
            repeated = kinds and reading.kind is kinds[-1] and reading.kind in {Kind.LIGHT, Kind.SATURATION}
            if reading.replicate == replicate and not repeated:
                kinds.append(reading.kind)
        due = [kind for kind, _ in schedule(raw.plan, replicate)]
        if kinds != due:
            yield Fault(
                file=READINGS,
                field="kind",
                message=f"replicate {replicate} has the steps {', '.join(kinds) or 'none'}, and the plan says "
                f"{', '.join(due)}",
            )


def run_result(raw: Raw, predict: Predict | None = None) -> RunResult:
    """What follows from records that are not on disk yet; values that may be secret are redacted."""
    raw = replace(raw, plan=redacted(raw.plan))
    return RunResult(raw=raw, summary=summarise(raw, predict))
