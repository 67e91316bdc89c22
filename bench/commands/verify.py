"""`verify`: does what a folder says follow from what was measured?"""

import argparse
from pathlib import Path

from rich.text import Text

from bench import display
from bench.commands.shared import Commands
from bench.errors import MeasurementError
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
        console.print(Text(str(fault), "red"))
    if not found.sealed:
        console.print(
            Text(
                "caveat no manifest: a changed digit that no figure depends on cannot be found - "
                "`python -m bench report DIR` writes one.",
                "yellow",
            )
        )
    if found.faults:
        console.print(Text(f"NOT VERIFIED: {found.faults[0].where}", "bold red"))
        return MeasurementError.exit_code
    console.print(
        Text(
            f"Verified: {found.figures:,} lines of figures follow from the raw records; "
            f"{found.files} files are what was written.",
            "bold green",
        )
    )
    return 0
