"""What a run's results folder holds: its figures, and its raw records as they were measured.

Figures are made from raw records each time. If the raw records were removed to save space, figures come
from `summary.json`, and `verify` reports that the raw records are missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.records import Summary
from bench.analysis.summary import Predict, summarise
from bench.errors import ResultsError, UsageError
from bench.plan.machine import Machine
from bench.plan.readings import Raw
from bench.plan.records import SCHEMA, Kind
from bench.plan.schedule import schedule
from bench.results import manifest
from bench.results.manifest import Discrepancy
from bench.results.redact import redacted
from bench.results.store import (
    PLAN,
    READINGS,
    RUN_AGAIN,
    WRITTEN_BY_ANOTHER,
    decode,
    read_bytes,
    read_machine,
    read_raw,
    read_record,
)

SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """What is known of a run.

    Attributes:
        raw: its records; None where they have been removed.
        summary: everything that was measured.
        machine: where it was measured; None where that is unknown.
        discrepancies: raw files that are not what was measured, or figures that are not what was written.
    """

    raw: Raw | None
    summary: Summary
    machine: Machine | None = None
    discrepancies: tuple[Discrepancy, ...] = ()

    @property
    def valid(self) -> bool:
        """True if every figure counts."""
        return not self.discrepancies and self.summary.valid


def is_run(folder: Path) -> bool:
    """True if a folder holds a run."""
    return (folder / PLAN).exists() or (folder / SUMMARY).exists()


def require_run(folder: Path) -> None:
    """Raise ResultsError if a folder does not hold a run."""
    if not is_run(folder):
        what = "holds no run" if folder.is_dir() else "is not a folder"
        if (folder / READINGS).exists():
            what = f"has lost its {PLAN}"
        raise ResultsError(
            f"{folder} {what}",
            "name a folder that `tracing-overhead run` has left",
        )


def has_raw(folder: Path) -> bool:
    """True unless a folder has figures alone: its raw records were removed, and its manifest lists none."""
    if (folder / READINGS).exists() or not (folder / SUMMARY).exists():
        return True
    known = manifest.read(folder)
    return known is not None and READINGS in known.raw


def read_run(folder: Path, predict: Predict | None = None) -> RunResult:
    """What is known of a run, and whether its records are what was measured.

    Args:
        folder: of the run.
        predict: predicts layers, where microbenchmarks belong to the run.

    Raises:
        ResultsError: a file is not there, cannot be read, or is of another schema.
    """
    require_run(folder)
    known = manifest.read(folder)
    if known is not None and READINGS in known.raw and not (folder / READINGS).exists():
        # Without it, a run looks like one that was killed at its start; its stored figures must survive.
        raise ResultsError(
            f"{folder / READINGS} is missing, from which figures are made",
            f"restore it; the figures as they were stand in {folder / SUMMARY} and report.md",
        )
    if not has_raw(folder):
        changed = manifest.changed(folder, known) if known else iter(())
        files = {PLAN, SUMMARY}
        return RunResult(
            raw=None,
            summary=read_summary(folder),
            machine=read_machine(folder),
            discrepancies=tuple(discrepancy for discrepancy in changed if discrepancy.file in files),
        )
    raw = read_raw(folder)
    changed = manifest.changed(folder, known) if known else missing_steps(raw)
    discrepancies = tuple(discrepancy for discrepancy in changed if discrepancy.is_raw)
    try:
        return replace(run_result(raw, predict), machine=read_machine(folder), discrepancies=discrepancies)
    except (ArithmeticError, LookupError, ValueError) as error:
        # Changed records can hold anything.
        where = discrepancies[0].file if discrepancies else "a raw file"
        raise ResultsError(
            f"{where} of {folder} is not what was measured: {type(error).__name__}: {error}", RUN_AGAIN
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Schema:
    """What every version of a summary has."""

    schema: int | None = None


def read_summary(folder: Path) -> Summary:
    """The figures of a run as they are stored.

    Raises:
        ResultsError: there are none, or of another schema.
    """
    path = folder / SUMMARY
    schema = decode(read_bytes(path), _Schema, path).schema
    if schema != SCHEMA:
        raise ResultsError(
            f"{path} has schema {schema}, and this version reads schema {SCHEMA}", WRITTEN_BY_ANOTHER
        )
    return read_record(path, Summary)


def sound_run(folder: Path, predict: Predict | None = None) -> RunResult:
    """A run whose records are what was measured.

    Raises:
        UsageError: they are not.
        ResultsError: a file is not there, cannot be read, or is of another schema.
    """
    result = read_run(folder, predict)
    if result.discrepancies:
        raise UsageError(
            f"{folder} does not say what was measured: {result.discrepancies[0]}",
            f"`tracing-overhead verify {folder}` lists what differs; name another folder",
        )
    return result


def missing_steps(raw: Raw) -> Iterator[Discrepancy]:
    """Replicates of a complete run whose steps are not those of the plan; spoiled blocks may be repeated."""
    for replicate in range(raw.plan.replicates if raw.ending.complete else 0):
        kinds: list[Kind] = []
        for reading in raw.readings:
            repeated = kinds and reading.kind is kinds[-1] and reading.kind in {Kind.LIGHT, Kind.SATURATION}
            if reading.replicate == replicate and not repeated:
                kinds.append(reading.kind)
        planned = [kind for kind, _ in schedule(raw.plan, replicate)]
        if kinds != planned:
            yield Discrepancy(
                file=READINGS,
                field="kind",
                message=f"replicate {replicate} has the steps {', '.join(kinds) or 'none'}; the plan says "
                f"{', '.join(planned)}",
                is_raw=True,
            )


def run_result(raw: Raw, predict: Predict | None = None) -> RunResult:
    """What follows from records that are not on disk yet; values that may be secret are redacted."""
    raw = replace(raw, plan=redacted(raw.plan))
    return RunResult(raw=raw, summary=summarise(raw, predict))
