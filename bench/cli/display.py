"""What the terminal shows while a measurement runs: what is being done, and how long it will take.

Results go to stdout, progress to stderr.
Colour and redrawing only on a terminal; elsewhere a line for each thing that begins.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bench.cli.invocation import spelled_here
from bench.errors import BenchError
from bench.report import terminal
from bench.report.document import Document
from bench.report.words import printable

PIPE_WIDTH = 160
"""Width in characters if the output is not a terminal and COLUMNS is not set."""


def console() -> Console:
    """Where results are printed."""
    is_known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if is_known else PIPE_WIDTH, markup=False)


def show(document: Document) -> None:
    """A whole report on standard output, its commands as they are typed here."""
    terminal.show(document, console(), spelled_here)


def tell(sentence: str, style: str = "") -> None:
    """A sentence beside the results, on standard error."""
    Console(stderr=True, soft_wrap=True).print(Text(printable(spelled_here(sentence)), style))


def warn(sentence: str) -> None:
    """A warning, which ends nothing."""
    tell(f"warning: {sentence}", "yellow")


def complain(error: BenchError) -> int:
    """Print an error and what to do about it; returns its exit code."""
    tell(f"error: {error}", "red")
    tell(f"hint: {error.hint}")
    return error.exit_code


def relative(path: Path) -> str:
    """A path as seen from the current folder."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


class _TimeLeft(ProgressColumn):
    """The planned duration less what has passed: a run takes what its plan says, not what it did so far."""

    def render(self, task: Task) -> Text:
        """Minutes and seconds."""
        left = round(max((task.total or 0.0) - (task.elapsed or 0.0), 0.0))
        return Text(f"about {left // 60}:{left % 60:02} left", "cyan")


class Shown:
    """The live display: what is being done, how far it is, how long it will take."""

    def __init__(self, progress: Progress, total_s: float) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total_s)
        self._plain = not progress.console.is_terminal
        self._said = ""

    def say(self, what: str, detail: str = "") -> None:
        """Say what begins now; a detail redraws the line and does not start a new one."""
        elapsed = self._progress.tasks[0].elapsed or 0.0
        shown = f"{what}: {detail}" if detail else what
        self._progress.update(self._task, description=shown, completed=elapsed)
        if self._plain and what != self._said:
            self._progress.console.print(what, highlight=False)
        self._said = what


@contextlib.contextmanager
def progress(total_s: float) -> Iterator[Shown]:
    """A live display for something that takes about `total_s`."""
    stderr = Console(stderr=True)
    # Once a second: a display that redraws ten times a second is a load of its own.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _TimeLeft(),
        console=stderr,
        refresh_per_second=1,
        transient=True,
        disable=not stderr.is_terminal,
    ) as bar:
        yield Shown(bar, total_s)
