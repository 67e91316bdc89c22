"""`compare`: two or more results against the first of them."""

from pathlib import Path

from bench.cli import display
from bench.cli.options import Format
from bench.cli.shared import predictor, print_as
from bench.errors import MeasurementError, UsageError
from bench.report import compare as compare_report
from bench.results.compare import several
from bench.results.differences import RunSide
from bench.results.folder import sound_run
from bench.results.store import read_machine


def compare(before: Path, /, *after: Path, format: Format | None = None) -> int:  # noqa: A002
    """What changed between two or more results: CPU, latency, throughput, with intervals.

    Args:
        before: A results folder: what is compared with.
        after: One or more others.
        format: Print that instead of tables for a terminal.
    """
    if not after:
        raise UsageError("there is nothing to compare with", f"name a second folder after {before}")
    folders = [before, *after]
    comparisons = several([_side(folder, folders) for folder in folders])
    if not any(comparison.changes for comparison in comparisons):
        raise UsageError("the results have no setup in common", "compare runs of the same setups")
    report = compare_report.report(comparisons)
    if format is None:
        display.show(report)
    else:
        print_as(format, report, comparisons)
    return 0 if all(comparison.valid for comparison in comparisons) else MeasurementError.exit_code


def _side(folder: Path, folders: list[Path]) -> RunSide:
    """A folder's result, by the folder's name, or by its path where two are called alike."""
    names = [other.resolve().name for other in folders]
    name = folder.resolve().name
    result = sound_run(folder, predictor(folder))
    return RunSide(
        name=name if names.count(name) == 1 else str(folder),
        summary=result.summary,
        machine=read_machine(folder),
    )
