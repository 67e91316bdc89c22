"""Results folders of every study: their report, written, shown and verified."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.text import Text as RichText

from bench.cli import display, drawing
from bench.cli.display import relative
from bench.cli.invocation import spelled_here
from bench.compare import comparison_document
from bench.compare.comparison import Comparison
from bench.errors import MeasurementError, ResultsError, UsageError
from bench.report import html, markdown, terminal
from bench.report.ci import benchmark, junit
from bench.report.document import Chart, Document, Section, Text, document
from bench.results import manifest
from bench.results import verify as verification
from bench.results.folder import SUMMARY, is_run, require_run
from bench.results.manifest import Discrepancy
from bench.results.store import Store, pretty, read_record
from bench.results.verify import RawRecords, Verification
from bench.studies import RUN, Study, study_of
from bench.studies.study import Parts, case, parts_of

Format = Literal["text", "md", "html", "json", "junit", "github-action-benchmark"]
COMPARISON = "compare.json"
"""Figures that several runs make together; the raw records are theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A results folder that has been read.

    Attributes:
        path: of it.
        study: whose results it holds; None: a comparison of several.
        parts: what answers that study's question.
        figures: made again from the raw records, or as stored where these have been removed.
        discrepancies: raw files that are not what was measured.
    """

    path: Path
    study: Study | None
    parts: Parts
    figures: Any
    discrepancies: tuple[Discrepancy, ...] = ()

    @property
    def valid(self) -> bool:
        """True if every figure counts."""
        return not self.discrepancies and self.parts.is_valid(self.figures)

    def document(self) -> Document:
        """The whole report."""
        whole = self.parts.document(self.figures, *self.parts.sections(self.path))
        if not self.discrepancies or self.study is RUN:
            return whole
        text = f"CHANGED SINCE IT WAS MEASURED: {self.discrepancies[0]}; no figure counts."
        return document(whole.title, [Text(text=text, red=True), *whole.lead], *whole.sections)


def _no_sections(_folder: Path) -> list[Section]:
    return []


COMPARED = Parts(
    options=object,
    prepare=lambda _options: "",
    figures=lambda folder: read_record(folder / COMPARISON, Comparison),
    record=Comparison,
    document=comparison_document.report,
    sections=_no_sections,
    is_valid=lambda figures: figures.valid,
    cases=lambda figures: [
        case(app.name, f"{app.spans or 0:g} spans", valid=app.valid) for app in figures.apps
    ],
)


def read(path: Path) -> Folder:
    """A results folder, whatever it holds.

    Raises:
        ResultsError: it holds nothing of this project, or a file cannot be read.
    """
    files = {file.name for file in path.iterdir()} if path.is_dir() else set[str]()
    if COMPARISON in files:
        return Folder(path=path, study=None, parts=COMPARED, figures=COMPARED.figures(path))
    study = study_of(files)
    if study is None or is_run(path):
        require_run(path)
        parts = parts_of(RUN)
        result = parts.figures(path)
        return Folder(path=path, study=RUN, parts=parts, figures=result, discrepancies=result.discrepancies)
    parts = parts_of(study)
    known = manifest.read(path)
    changed = manifest.changed(path, known) if known else iter(())
    discrepancies = tuple(discrepancy for discrepancy in changed if discrepancy.is_raw)
    return Folder(
        path=path, study=study, parts=parts, figures=_figures(path, study, parts), discrepancies=discrepancies
    )


def _figures(path: Path, study: Study, parts: Parts) -> Any:  # noqa: ANN401 - any study's figures
    """Figures from the raw log, or as they are stored where it has been removed.

    Raises:
        ResultsError: a file cannot be read, or no measurement can have written its content.
    """
    if not (path / study.raw[0]).exists():
        return read_record(path / study.derived, parts.record)
    try:
        figures = parts.figures(path)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise ResultsError(
            f"{path / study.raw[0]} is not what was measured: {type(error).__name__}: {error}",
            "measure again",
        ) from None
    if figures == ():
        raise ResultsError(f"{path / study.raw[0]} holds nothing", "measure again")
    return figures


# ---------------------------------------------------------------- written and shown


def publish(folder: Folder) -> None:
    """Write and seal a folder's derived files: figures, Markdown, a page, pictures.

    Raises:
        ResultsError: a file cannot be written.
    """
    study, whole = folder.study, folder.document()
    store = Store(folder.path)
    files = {study.derived if study else COMPARISON: pretty(folder.parts.stored(folder.figures))}
    files |= folder.parts.extras(folder.path, folder.figures)
    for name, content in files.items():
        store.write(name, content)
    # Write the Markdown first, which needs little memory: if drawing fails, only a chart is lost.
    files["report.md"] = markdown.render(whole).encode()
    store.write("report.md", files["report.md"])
    draw = drawing.drawn(list(html.specs(whole)))
    files["report.html"] = html.render(whole, draw).encode()
    for chart in (part for section in whole.sections for part in section.parts):
        if isinstance(chart, Chart) and chart.image and (drawn := draw(chart.spec)):
            files[chart.image] = html.picture(drawn).encode()
    for name in files.keys() - {"report.md"}:
        store.write(name, files[name])
    manifest.seal(folder.path, study.raw if study else (), files)


def show(folder: Folder, *, full: bool = True) -> None:
    """Show the answer of a run in the terminal; with `full`, or for another study, the whole report."""
    if folder.study is RUN and not full:
        terminal.show_run(
            folder.figures.summary,
            display.console(),
            spelled_here,
            machine=folder.figures.machine,
            full=f"`tracing-overhead report {relative(folder.path)} --full` shows more",
        )
    elif folder.study is RUN:
        display.show(folder.document())
    else:
        # Only the page describes the machine; the terminal shows the figures.
        display.show(folder.parts.document(folder.figures))
    for discrepancy in folder.discrepancies:
        display.console().print(
            RichText(f"INVALID: changed since it was measured: {discrepancy}", "bold red")
        )


def show_place(folder: Path) -> None:
    """Say where the results are."""
    sys.stdout.write(f"\nResults: {relative(folder)} (report.html is the page to send)\n")


def print_as(form: Format, report: Document, figures: Any, parts: Parts) -> None:  # noqa: ANN401
    """A report, or the figures that it is made of, on standard output.

    Raises:
        UsageError: the figures have no such form.
    """
    match form:
        case "text":
            display.show(report)
        case "md":
            sys.stdout.write(markdown.render(report))
        case "html":
            sys.stdout.write(html.render(report, drawing.drawn(list(html.specs(report)))))
        case "json":
            sys.stdout.write(pretty(parts.stored(figures)).decode())
        case "junit":
            cases = parts.cases(figures)
            _require(bool(cases), form)
            sys.stdout.write(junit(report.title, "figures", cases).decode())
        case "github-action-benchmark":
            metrics = parts.metrics(figures)
            _require(bool(metrics), form)
            sys.stdout.write(benchmark(metrics).decode())


def _require(there: bool, form: str) -> None:  # noqa: FBT001 - a condition
    if not there:
        raise UsageError(
            f"this has no figures in the form {form}", "choose --format json, or name another results folder"
        )


def report(
    folder: Path,
    /,
    *,
    format: Format | None = None,  # noqa: A002
    section: str | None = None,
    full: bool = False,
) -> int:
    """Make figures and report again from a folder's raw records.

    Args:
        folder: A results folder.
        format: Print this form, and write nothing.
        section: Print this section of the report alone, as Markdown, and write nothing.
        full: Show the whole report in the terminal.
    """
    read_folder = read(folder)
    if section is not None:
        sys.stdout.write(markdown.render_section(_section(read_folder.document(), section)))
        return 0
    if format is None:
        publish(read_folder)
        show(read_folder, full=full or read_folder.study is not RUN)
        show_place(folder)
    elif format == "text" and read_folder.study is RUN and not full:
        figures = read_folder.figures
        terminal.show_run(figures.summary, display.console(), spelled_here, machine=figures.machine)
    else:
        print_as(format, read_folder.document(), read_folder.figures, read_folder.parts)
    if format is not None:
        for discrepancy in read_folder.discrepancies:
            sys.stderr.write(f"INVALID: changed since it was measured: {discrepancy}\n")
    return 0 if read_folder.valid else MeasurementError.exit_code


def _section(whole: Document, title: str) -> Section:
    """The section of a title, or of how it begins."""
    known = [section.title for section in whole.sections]
    for section in whole.sections:
        if section.title.lower().startswith(title.lower()):
            return section
    raise UsageError(f"the report has no section {title!r}", f"choose from {', '.join(known)}")


# ---------------------------------------------------------------- verified


def verified(path: Path) -> Verification:
    """Verify that the figures of a folder, of any study, follow from its raw records."""
    files = {file.name for file in path.iterdir()} if path.is_dir() else set[str]()
    study = study_of(files)
    if COMPARISON not in files and (study is None or study is RUN or is_run(path)):
        return verification.verify(path, _predictor(path))
    folder = read(path)
    known = manifest.read(path)
    discrepancies = list(manifest.changed(path, known)) if known else []
    content = pretty(folder.parts.stored(folder.figures))
    derived = study.derived if study else COMPARISON
    discrepancies += verification.compare(path, derived, content)
    if study is None or not (path / study.raw[0]).exists():
        raw = RawRecords.NONE
    else:
        found, raw = folder.parts.recheck(path, folder.figures)
        discrepancies += found
    return Verification(
        files=len(known.raw) + len(known.derived) if known else 0,
        figures=content.count(b"\n"),
        sealed=known is not None,
        raw=raw,
        discrepancies=tuple(discrepancies),
    )


def _predictor(path: Path) -> Any:  # noqa: ANN401 - a function, or none
    from bench.studies.run.parts import predictor

    return predictor(path)


def verify(folder: Path, /) -> int:
    """Check that every figure of a folder follows from its raw records.

    Args:
        folder: A results folder.
    """
    checked = verified(folder)
    console = display.console()
    for discrepancy in checked.discrepancies:
        console.print(RichText(str(discrepancy), "red"))
    if not checked.sealed:
        console.print(
            RichText(
                "caveat: no manifest: a changed digit that no figure depends on cannot be detected - "
                f"`tracing-overhead report {relative(folder)}` writes one.",
                "yellow",
            )
        )
    if checked.discrepancies:
        console.print(RichText(f"NOT VERIFIED: {checked.discrepancies[0].file}", "bold red"))
        return MeasurementError.exit_code
    written = f"{checked.files} files are what was written"
    match checked.raw:
        case RawRecords.ALL:
            text = f"Verified: {checked.figures:,} lines of figures follow from the raw records; {written}."
            console.print(RichText(text, "bold green"))
        case RawRecords.SOME:
            text = (
                f"Verified in part: {checked.figures:,} lines of figures follow from each run's figures; "
                f"the raw records of most runs have been removed to save space; {written}."
            )
            console.print(RichText(text, "green"))
        case RawRecords.NONE:
            text = f"{written}; the raw records are not in this folder, so no figure was made again."
            console.print(RichText(text, "yellow"))
    return 0


__all__ = ["SUMMARY", "Folder", "Format", "publish", "read", "report", "show", "verify"]
