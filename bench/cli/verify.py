"""`verify`: does what a folder says follow from what was measured?"""

from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.cli.folders import verify_folder
from bench.errors import MeasurementError


def verify(folder: Path, /) -> int:
    """Make every figure of a folder again from its raw records, and compare.

    Args:
        folder: A results folder.
    """
    verification = verify_folder(folder)
    console = display.console()
    for fault in verification.faults:
        console.print(Text(str(fault), "red"))
    if not verification.sealed:
        console.print(
            Text(
                "caveat: no manifest: a changed digit that no figure depends on cannot be found - "
                "`tracing-overhead report DIR` writes one.",
                "yellow",
            )
        )
    if verification.faults:
        console.print(Text(f"NOT VERIFIED: {verification.faults[0].file}", "bold red"))
        return MeasurementError.exit_code
    written = f"{verification.files} files are what was written"
    if verification.raw:
        follow = f"{verification.figures:,} lines of figures follow from the raw records"
        console.print(Text(f"Verified: {follow}; {written}.", "bold green"))
    else:
        console.print(
            Text(f"{written}; the raw records are not here, so no figure was made again.", "yellow")
        )
    return 0
