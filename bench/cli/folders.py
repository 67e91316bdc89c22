"""Results folders of every kind: runs, microbenchmarks, the specification's report, accuracy."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bench.analysis import accuracy
from bench.cli import display
from bench.cli.shared import predictor, publish, show_place
from bench.errors import MeasurementError, ResultsError
from bench.micro import record
from bench.micro import report as micro_report
from bench.report import accuracy as accuracy_report
from bench.report import html, markdown, terminal
from bench.report.document import Document
from bench.report.run import machine_sections
from bench.results import manifest, verify
from bench.results.folder import is_run, require_run
from bench.results.store import ITERATIONS, TRIALS, pretty, read_lines, read_machine, read_packed
from bench.spec import emission
from bench.spec import report as spec_report


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderKind:
    """A kind of results folder other than a run's.

    Attributes:
        raw: file that tells it.
        derived: file that its figures are stored in.
        read: the figures, from raw records.
        document: their report.
        show: prints them.
        valid: whether all of them count.
    """

    raw: str
    derived: str
    read: Callable[[Path], Any]
    document: Callable[[Any, Path], Document]
    show: Callable[[Any, Console], None]
    valid: Callable[[Any], bool]

    def report(self, folder: Path, form: str | None = None) -> int:
        """Make figures and report again, print them, and return the exit code."""
        figures = self.read(folder)
        document = self.document(figures, folder)
        if form is None:
            publish(folder, {self.derived: pretty(figures)}, document)
            self.show(figures, display.console())
            show_place(folder)
        else:
            made = {"md": markdown.render, "html": html.render}.get(form)
            sys.stdout.write(made(document) if made else pretty(figures).decode())
        return 0 if self.valid(figures) else MeasurementError.exit_code

    def verify(self, folder: Path) -> verify.Verification:
        """Whether the stored figures follow from the raw records."""
        known = manifest.read(folder)
        faults = list(manifest.changed(folder, known)) if known else []
        content = pretty(self.read(folder))
        faults += verify.compare(folder, self.derived, content)
        return verify.Verification(
            files=len(known.files) if known else 0,
            figures=content.count(b"\n"),
            sealed=known is not None,
            faults=tuple(faults),
        )


def _show_micro(summary: Any, console: Console) -> None:  # noqa: ANN401
    terminal.show_table(micro_report.timing_table(summary), "What one operation costs, CPU time", console)
    if summary.run.requests:
        terminal.show_table(micro_report.request_table(summary), micro_report.REQUEST, console)
    terminal.show_caveats(summary.caveats, console)
    console.print(Text(micro_report.headline(summary)))


def _show_spec(report: Any, console: Console) -> None:  # noqa: ANN401
    titles = spec_report.ITEMS
    rate = f"{report.rate_per_s:,.0f}"
    terminal.show_table(spec_report.throughput_table(report), titles["throughput"], console)
    terminal.show_table(spec_report.cpu_table(report), titles["cpu"].format(rate=rate), console)
    terminal.show_table(spec_report.memory_table(report), titles["memory"], console)
    for sentence in spec_report.verdicts(report):
        console.print(Text(sentence, "bold red"))
    terminal.show_caveats(report.caveats, console)


def _show_accuracy(report: Any, console: Console) -> None:  # noqa: ANN401
    terminal.show_table(accuracy_report.target_table(report), "What this harness can be believed", console)
    terminal.show_table(accuracy_report.weight_table(report), "Known costs, recovered", console)
    for line in accuracy_report.lines(report):
        console.print(Text(line))


KINDS = {
    "microbenchmarks": FolderKind(
        raw=record.RUN,
        derived=record.SUMMARY,
        read=record.read,
        document=lambda figures, folder: micro_report.report(
            figures, *machine_sections(read_machine(folder))
        ),
        show=_show_micro,
        valid=lambda figures: figures.valid,
    ),
    "specification": FolderKind(
        raw=ITERATIONS,
        derived="spec.json",
        read=lambda folder: emission.report(read_lines(folder / ITERATIONS, emission.Iteration)),
        document=lambda figures, folder: spec_report.report(figures, *machine_sections(read_machine(folder))),
        show=_show_spec,
        valid=lambda figures: figures.valid,
    ),
    "accuracy": FolderKind(
        raw=TRIALS,
        derived="accuracy.json",
        read=lambda folder: accuracy.accuracy(read_packed(folder / TRIALS, accuracy.Trial)),
        document=lambda figures, folder: accuracy_report.report(
            figures, *machine_sections(read_machine(folder))
        ),
        show=_show_accuracy,
        valid=lambda figures: all(target.reached for target in accuracy.targets(figures)),
    ),
}


def kind_of(folder: Path) -> str:
    """The kind of a results folder that is not a run's.

    Raises:
        ResultsError: it holds nothing of this project.
    """
    for name, kind in KINDS.items():
        if (folder / kind.raw).exists():
            return name
    require_run(folder)
    raise ResultsError(f"{folder} holds a run", "this command wants something else")


def verify_folder(folder: Path) -> verify.Verification:
    """Whether what a folder says follows from what was measured, whatever its kind."""
    if is_run(folder):
        return verify.verify(folder, predictor(folder))
    return KINDS[kind_of(folder)].verify(folder)
