"""`compare`: two or more results against the first of them."""

import sys
from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.cli.options import Format
from bench.cli.shared import predictor
from bench.errors import MeasurementError, UsageError
from bench.report import compare as compare_report
from bench.report import html, markdown, terminal
from bench.results.compare import Comparison, several
from bench.results.differences import RunSide
from bench.results.folder import read_run
from bench.results.store import pretty, read_machine


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
    found = several([_side(folder, folders) for folder in folders])
    if not any(comparison.changes for comparison in found):
        raise UsageError("the results have no set-up in common", "compare runs of the same set-ups")
    if format is None:
        _show(found)
    elif format == "json":
        sys.stdout.write(pretty(found).decode())
    else:
        render = markdown.render if format == "md" else html.render
        sys.stdout.write(render(compare_report.report(found)))
    return 0 if all(comparison.valid for comparison in found) else MeasurementError.exit_code


def _side(folder: Path, folders: list[Path]) -> RunSide:
    """A folder's result, by the folder's name, or by its path where two are called alike."""
    names = [each.resolve().name for each in folders]
    name = folder.resolve().name
    result = read_run(folder, predictor(folder))
    if result.faults:
        raise UsageError(
            f"{folder} does not say what was measured: {result.faults[0]}",
            f"`tracing-overhead verify {folder}`",
        )
    return RunSide(
        name=name if names.count(name) == 1 else str(folder),
        summary=result.summary,
        machine=read_machine(folder),
    )


def _show(found: tuple[Comparison, ...]) -> None:
    console = display.console()
    for comparison in found:
        if comparison.differences:
            title = f"What is not the same in {comparison.before} and {comparison.after}"
            terminal.show_table(compare_report.difference_table(comparison.differences), title, console)
        if comparison.changes:
            terminal.show_table(compare_report.change_table(comparison), "Changes", console)
        headline = compare_report.headline(comparison)
        console.print(Text(headline.text, "bold red" if headline.red else "bold green"))
