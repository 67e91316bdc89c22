"""`verify`: does what a folder says follow from what was measured?"""

import argparse
from pathlib import Path

from rich.text import Text

from bench import display
from bench.commands.shared import Commands
from bench.errors import MeasurementError
from bench.manifest import Fault
from bench.verify import verify


def add(commands: Commands) -> None:
    """`verify`."""
    parser = commands.add_parser(
        "verify", help="make every figure of a folder again from its raw records, and compare"
    )
    parser.set_defaults(call=_verify)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a results folder")


def _verify(args: argparse.Namespace) -> int:
    found = verify(args.folder)
    console = display.console()
    for fault in found.faults:
        console.print(Text(_line(fault), "red"))
    if not found.sealed:
        console.print(
            Text(
                "caveat no manifest: a changed digit that no figure depends on cannot be found - "
                "`python -m bench report DIR` writes one.",
                "yellow",
            )
        )
    if found.faults:
        console.print(Text(f"NOT VERIFIED: {_first(found.faults[0])}", "bold red"))
        return MeasurementError.exit_code
    console.print(
        Text(
            f"Verified: {found.figures:,} lines of figures follow from the raw records; "
            f"{found.files} files are what was written.",
            "bold green",
        )
    )
    return 0


def _line(fault: Fault) -> str:
    return f"{_first(fault)}: {fault.message}"


def _first(fault: Fault) -> str:
    """Where it is: file, line, field."""
    line = f", line {fault.line}" if fault.line else ""
    return f"{fault.file}{line}{f', {fault.field}' if fault.field else ''}"
