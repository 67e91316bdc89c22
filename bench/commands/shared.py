"""What several commands need."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.text import Text

from bench import display, results
from bench.errors import BenchError, MeasurementError
from bench.model import Plan
from bench.plan import duration_s
from bench.process import ROOT
from bench.report import terminal
from bench.store import Store, folder_name

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name


def complain(error: BenchError) -> int:
    """Prints an error and what to do about it; returns its exit code."""
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text(f"error: {error}", "red"))
    console.print(Text(f"hint: {error.hint}"))
    return error.exit_code


def new_folder(out: Path | None, name: str) -> Store:
    """The results folder to measure into: the one that was asked for, or `results/<UTC>-<name>`.

    Raises:
        ResultsError: it cannot be made, is not empty, or the disk is full.
    """
    return Store.create(out or ROOT / "results" / folder_name(datetime.now(UTC), name))


def conclude(folder: Path) -> int:
    """Makes a folder's report, shows it, and returns the exit code: whether every figure counts.

    Raises:
        ResultsError: a file cannot be read or written.
    """
    result = results.read(folder)
    results.publish(folder, result)
    terminal.show(result.figures, display.console())
    for fault in result.faults:
        display.console().print(Text(f"INVALID changed since it was measured: {fault}", "bold red"))
    where(folder)
    return 0 if result.valid else MeasurementError.exit_code


def where(folder: Path) -> None:
    """Says where the results are."""
    sys.stdout.write(f"\nResults: {relative(folder)} (report.html is the page to send)\n")


def minutes(plan: Plan) -> str:
    """How long a run takes, without and with all the windows that it may repeat."""
    least, most = duration_s(plan), duration_s(plan, repeated=plan.spare)
    return f"about {clock(least)}, at most {clock(most)}" if plan.spare else f"about {clock(least)}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def relative(path: Path) -> str:
    """A path as seen from here."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Where something is measured that can be read even if a person ends it early."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"what was measured is kept: `python -m bench report {relative(folder)}`\n")
        raise


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not keep the processes from being stopped."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
