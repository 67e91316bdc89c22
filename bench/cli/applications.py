"""`applications`: the runs of several applications in one table."""

from pathlib import Path

from bench.cli import display
from bench.cli.options import Format
from bench.cli.shared import predictor, print_as, publish, show_place
from bench.errors import MeasurementError, UsageError
from bench.report import applications as applications_report
from bench.results.folder import sound_run
from bench.results.store import pretty


def applications(*folders: Path, out: Path | None = None, format: Format | None = None) -> int:  # noqa: A002
    """The runs of several applications in one table.

    Args:
        folders: Results folders, one for each application.
        out: A folder for the table and its page.
        format: Print that instead of a table for a terminal.
    """
    if not folders:
        raise UsageError("no run is named", "name results folders, one for each application")
    costs = tuple(
        applications_report.cost_of(sound_run(folder, predictor(folder)).summary) for folder in folders
    )
    report = applications_report.report(costs)
    if out:
        # Before anything is printed: a reader such as `head` may have enough.
        out.mkdir(parents=True, exist_ok=True)
        publish(out, {applications_report.FILE: pretty(costs)}, report)
    if format:
        print_as(format, report, costs)
    else:
        display.show(report)
    if out:
        show_place(out)
    return 0 if all(cost.valid for cost in costs) else MeasurementError.exit_code
