"""`compare`: several results, against the first of them or in one table."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.cli import display, results
from bench.cli.results import COMPARED, Folder, Format
from bench.compare import comparison_document
from bench.compare.comparison import compare as compared
from bench.compare.differences import RunSide
from bench.errors import MeasurementError, UsageError
from bench.results.folder import sound_run
from bench.results.store import read_machine
from bench.studies.run.parts import predictor

CHANGED = 1


def compare(
    before: Path,
    /,
    *after: Path,
    format: Format | None = None,  # noqa: A002
    fail_on_change: bool = False,
    out: Annotated[Path | None, Parameter(name=("--out", "-o"))] = None,
) -> int:
    """Compare several results: CPU, latency and throughput of each against the first, with intervals.

    Results of different applications are listed in one table instead.

    Args:
        before: A results folder: what the others are compared with.
        after: One or more others.
        format: Print this form instead of tables for a terminal.
        fail_on_change: Exit with 1 if any figure surely changed.
        out: A folder for the comparison and its page.
    """
    if not after:
        raise UsageError("there is nothing to compare with", f"name a second folder after {before}")
    folders = [before, *after]
    comparison = compared([side(folder, folders) for folder in folders])
    if comparison.pairings and not any(pairing.changes for pairing in comparison.pairings):
        raise UsageError("the results have no setup in common", "compare runs of the same setups")
    report = comparison_document.report(comparison)
    if out:
        # Before anything is printed: the reader of a pipe, such as `head`, may have enough.
        out.mkdir(parents=True, exist_ok=True)
        results.publish(Folder(path=out, study=None, parts=COMPARED, figures=comparison))
    if format is None:
        display.show(report)
    else:
        results.print_as(format, report, comparison, COMPARED)
    if out:
        results.show_place(out)
    if not comparison.valid:
        return MeasurementError.exit_code
    return CHANGED if fail_on_change and comparison.is_changed else 0


def side(folder: Path, folders: list[Path]) -> RunSide:
    """A folder's result, by the folder's name, or by its path where two have the same name."""
    names = [other.resolve().name for other in folders]
    name = folder.resolve().name
    result = sound_run(folder, predictor(folder))
    return RunSide(
        name=name if names.count(name) == 1 else str(folder),
        summary=result.summary,
        machine=read_machine(folder),
    )
