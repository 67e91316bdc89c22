"""Results folders of every kind: runs, microbenchmarks, the specification's report, accuracy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.accuracy.figures import accuracy
from bench.analysis.accuracy.targets import targets
from bench.analysis.accuracy.trials import Trial
from bench.analysis.faults import Cell
from bench.analysis.shutdown import Try
from bench.analysis.soak import Sample, soak
from bench.cli import display
from bench.cli.options import Format
from bench.cli.shared import predictor, print_as, publish, run_document, show_place
from bench.errors import MeasurementError, ResultsError
from bench.micro import record
from bench.micro import report as micro_report
from bench.report import accuracy as accuracy_report
from bench.report import applications as applications_report
from bench.report import faults as faults_report
from bench.report import shutdown as shutdown_report
from bench.report import soak as soak_report
from bench.report.document import Document, Text, document
from bench.report.run import machine_sections
from bench.results import manifest, verify
from bench.results.folder import is_run, read_run, require_run
from bench.results.store import (
    ITERATIONS,
    TRIALS,
    pretty,
    read_lines,
    read_machine,
    read_packed,
    read_record,
)
from bench.spec import emission
from bench.spec import report as spec_report


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderKind:
    """A kind of results folder other than a run's.

    Attributes:
        raw: file that tells it.
        derived: file that its figures are stored in.
        read: the figures, from raw records.
        document: their report, which ends with further sections.
        valid: whether all of them count.
    """

    raw: str
    derived: str
    read: Callable[[Path], Any]
    document: Callable[..., Document]
    valid: Callable[[Any], bool]

    def whole(self, folder: Path) -> tuple[Any, Document]:
        """Figures, and the report that ends with the machine.

        Raises:
            ResultsError: a file cannot be read, or holds what nobody has measured.
        """
        try:
            figures = self.read(folder)
            if figures == ():
                raise ResultsError(f"{folder / self.raw} holds nothing", "measure again")
            return figures, self.document(figures, *machine_sections(read_machine(folder)))
        except (ArithmeticError, LookupError, ValueError) as error:
            raise ResultsError(
                f"{folder / self.raw} is not what was measured: {type(error).__name__}: {error}",
                "measure again",
            ) from None

    def report(self, folder: Path, form: Format | None = None) -> int:
        """Make figures and report again, print them, and return the exit code."""
        figures, whole = self.whole(folder)
        known = manifest.read(folder)
        faults = (
            [fault for fault in manifest.changed(folder, known) if fault.file == self.raw] if known else []
        )
        if faults:
            text = f"CHANGED SINCE IT WAS MEASURED: {faults[0]}; no figure counts."
            whole = document(whole.title, [Text(text=text, red=True), *whole.lead], *whole.sections)
        if form is None:
            derived = {} if self.derived == self.raw else {self.derived: pretty(figures)}
            publish(folder, derived, whole)
            display.show(document(whole.title, whole.lead, *self.document(figures).sections))
            show_place(folder)
        else:
            print_as(form, whole, figures)
        return 0 if self.valid(figures) and not faults else MeasurementError.exit_code

    def verify(self, folder: Path) -> verify.Verification:
        """Whether the stored figures follow from the raw records."""
        known = manifest.read(folder)
        faults = list(manifest.changed(folder, known)) if known else []
        content = pretty(self.whole(folder)[0])
        faults += verify.compare(folder, self.derived, content)
        return verify.Verification(
            files=len(known.files) if known else 0,
            figures=content.count(b"\n"),
            sealed=known is not None,
            raw=self.raw != self.derived,
            faults=tuple(faults),
        )


KINDS = {
    "microbenchmarks": FolderKind(
        raw=record.RUN,
        derived=record.SUMMARY,
        read=record.read,
        document=micro_report.report,
        valid=lambda figures: figures.valid,
    ),
    "specification": FolderKind(
        raw=ITERATIONS,
        derived="spec.json",
        read=lambda folder: emission.report(read_lines(folder / ITERATIONS, emission.Iteration)),
        document=spec_report.report,
        valid=lambda figures: figures.valid,
    ),
    "accuracy": FolderKind(
        raw=TRIALS,
        derived="accuracy.json",
        read=lambda folder: accuracy(read_packed(folder / TRIALS, Trial)),
        document=accuracy_report.report,
        valid=lambda figures: all(target.shown != "NO" for target in targets(figures)),
    ),
    "shutdown": FolderKind(
        raw=shutdown_report.FILE,
        derived=shutdown_report.FILE,
        read=lambda folder: read_record(folder / shutdown_report.FILE, tuple[Try, ...]),
        document=shutdown_report.report,
        valid=lambda _: True,
    ),
    "faults": FolderKind(
        raw=faults_report.FILE,
        derived="faults.json",
        read=lambda folder: read_lines(folder / faults_report.FILE, Cell),
        document=faults_report.report,
        valid=lambda _: True,
    ),
    "soak": FolderKind(
        raw=soak_report.FILE,
        derived="soak.json",
        read=lambda folder: soak(read_lines(folder / soak_report.FILE, Sample)),
        document=soak_report.report,
        valid=lambda result: result.sound,
    ),
    # What several runs say together; their raw records are theirs.
    "applications": FolderKind(
        raw=applications_report.FILE,
        derived=applications_report.FILE,
        read=lambda folder: read_record(
            folder / applications_report.FILE, tuple[applications_report.ApplicationCost, ...]
        ),
        document=applications_report.report,
        valid=lambda costs: all(cost.valid for cost in costs),
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


def document_of(folder: Path) -> Document:
    """The report of a folder, whatever its kind."""
    if is_run(folder):
        return run_document(folder, read_run(folder, predictor(folder)))
    kind = KINDS[kind_of(folder)]
    return kind.whole(folder)[1]


def verify_folder(folder: Path) -> verify.Verification:
    """Whether what a folder says follows from what was measured, whatever its kind."""
    if is_run(folder):
        return verify.verify(folder, predictor(folder))
    return KINDS[kind_of(folder)].verify(folder)
