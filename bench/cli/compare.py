"""`compare`: two or more results against the first of them."""

import argparse
import sys
from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.cli.shared import Commands
from bench.compare import Compared, several
from bench.differences import Measured
from bench.errors import MeasurementError, UsageError
from bench.analysis.records import Summary
from bench.micro import record
from bench.report import compare as said
from bench.report import html, markdown, terminal
from bench.results.store import pretty, read_machine
from bench.micro.timings import MicroSummary

FORMATS = ("md", "html", "json")


def add(commands: Commands) -> None:
    """`compare`."""
    parser = commands.add_parser(
        "compare", help="what changed between two or more results: only overheads, with intervals"
    )
    parser.set_defaults(call=_compare)
    parser.add_argument("before", type=Path, metavar="DIR_A", help="a results folder: what is compared with")
    parser.add_argument("after", type=Path, metavar="DIR_B", nargs="+", help="one or more others")
    parser.add_argument("--format", choices=FORMATS, help="print that instead of tables for a terminal")


def _compare(args: argparse.Namespace) -> int:
    folders = [args.before, *args.after]
    found = several([_measured(folder, folders) for folder in folders])
    if not any(each.setups or each.operations for each in found):
        raise UsageError(
            "the results have no set-up and no operation in common",
            "compare runs with runs, and microbenchmarks with microbenchmarks",
        )
    if args.format is None:
        _show(found)
    elif args.format == "json":
        sys.stdout.write(pretty(found).decode())
    else:
        render = markdown.render if args.format == "md" else html.render
        sys.stdout.write(render(said.report(found)))
    return 0 if all(each.valid for each in found) else MeasurementError.exit_code


def _measured(folder: Path, folders: list[Path]) -> Measured:
    """A folder's result, by the folder's name, or by its path where two are called alike."""
    names = [each.resolve().name for each in folders]
    mine = folder.resolve().name
    figures = results.read(folder).figures
    micro = figures if isinstance(figures, MicroSummary) else None
    if micro is None and record.exists(folder):
        micro = record.read(folder)
    return Measured(
        name=mine if names.count(mine) == 1 else str(folder),
        summary=figures if isinstance(figures, Summary) else None,
        micro=micro,
        machine=read_machine(folder),
    )


def _show(found: tuple[Compared, ...]) -> None:
    console = display.console()
    for each in found:
        if each.differences:
            title = f"What is not the same in {each.before} and {each.after}"
            terminal.show_table(said.difference_table(each.differences), title, console)
        if each.setups:
            terminal.show_table(said.setup_table(each), "Overheads", console)
        if each.operations:
            terminal.show_table(said.operation_table(each), "Microbenchmarks", console)
        headline = said.headline(each)
        console.print(Text(headline.text, "bold red" if headline.red else "bold green"))
