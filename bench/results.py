"""What a results folder holds, whatever was measured: its figures and its report.

Rule 1: figures are made from raw records each time; `summary.json` and its like are for others to read.
Rule 2: a folder's kind follows from the raw files in it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from bench import machine, manifest
from bench.calibration import Calibration, Trial, calibration, targets
from bench.emission import Iteration, SpecReport
from bench.emission import report as spec_report
from bench.errors import ResultsError
from bench.findings import Summary
from bench.history import History, Past, PastRun, history
from bench.manifest import Fault
from bench.micro import record
from bench.model import SCHEMA, Machine, Raw
from bench.overhead import summarise
from bench.report import calibration as sheet
from bench.report import emission, histograms, html, markdown, run, timings
from bench.report.document import Chart, Document, Text
from bench.store import (
    ITERATIONS,
    TRIALS,
    Store,
    pretty,
    read_lines,
    read_machine,
    read_packed,
    read_raw,
    read_record,
)
from bench.timings import MicroSummary


class Kind(StrEnum):
    """What was measured."""

    RUN = "run"
    MICRO = "micro"
    SPEC = "spec"
    CALIBRATION = "calibration"


Figures: TypeAlias = Summary | MicroSummary | SpecReport | Calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What follows from a folder's raw records.

    Attributes:
        kind: what was measured.
        figures: everything that was found.
        document: the same for people.
        derived: the folder's derived figures, by file name.
        raw: a run's records; absent for anything else.
        faults: raw files that are not what was measured.
    """

    kind: Kind
    figures: Figures
    document: Document
    derived: dict[str, bytes]
    raw: Raw | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether every figure counts; of a calibration, whether the harness reaches what is asked."""
        if self.faults:
            return False
        if isinstance(self.figures, Calibration):
            return all(target.reached for target in targets(self.figures))
        return self.figures.valid


def kind_of(folder: Path) -> Kind:
    """What a folder holds.

    Raises:
        ResultsError: nothing of this project.
    """
    files = {
        "plan.json": Kind.RUN,
        TRIALS: Kind.CALIBRATION,
        ITERATIONS: Kind.SPEC,
        record.RUN: Kind.MICRO,
    }
    for name, kind in files.items():
        if (folder / name).exists():
            return kind
    what = "holds no results" if folder.is_dir() else "is not a folder"
    if (folder / "windows.jsonl").exists() or (folder / "slices.jsonl").exists():
        what = "has lost its plan.json"
    raise ResultsError(f"{folder} {what}", "name a folder that a run has left, such as results/reference")


def read(folder: Path) -> Result:
    """Everything that follows from a folder's raw records, and whether these are what was measured.

    Raises:
        ResultsError: a file is not there, cannot be read, or is of another schema.
    """
    made = _read(folder)
    known = manifest.read(folder)
    changed = manifest.changed(folder, known) if known else ()
    faults = tuple(fault for fault in changed if fault.file in manifest.RAW)
    if not faults:
        return made
    said = Text(text=f"CHANGED SINCE IT WAS MEASURED: {faults[0]}; no figure counts.", red=True)
    shown = replace(made.document, lead=(said, *made.document.lead))
    return replace(made, document=shown, faults=faults)


def _read(folder: Path) -> Result:
    kind = kind_of(folder)
    if kind is Kind.RUN:
        return of_run(folder, read_raw(folder))
    where = run.machine_sections(read_machine(folder))
    if kind is Kind.CALIBRATION:
        weighed = calibration(read_packed(folder / TRIALS, Trial))
        return _result(kind, "calibration.json", weighed, sheet.report(weighed, *where))
    if kind is Kind.SPEC:
        emitted = spec_report(read_lines(folder / ITERATIONS, Iteration))
        return _result(kind, "spec.json", emitted, emission.report(emitted, *where))
    timed = record.read(folder)
    return _result(kind, record.SUMMARY, timed, timings.report(timed, *where))


def of_run(folder: Path, raw: Raw) -> Result:
    """What follows from a run's records, and from the microbenchmarks in its folder.

    Raises:
        ResultsError: these, or machine.json, cannot be read.
    """
    plan = replace(raw.plan, setups=machine.redact(raw.plan.setups))
    timed = record.read(folder) if record.exists(folder) else None
    summary = summarise(replace(raw, plan=plan), timed.prices if timed else None)
    shown = run.report(summary, timed, read_machine(folder))
    made = _result(Kind.RUN, "summary.json", summary, shown)
    more = {record.SUMMARY: pretty(timed)} if timed else {}
    return replace(made, derived=made.derived | more, raw=raw)


def _result(kind: Kind, name: str, figures: Figures, document: Document) -> Result:
    return Result(kind=kind, figures=figures, document=document, derived={name: pretty(figures)})


def publish(folder: Path, result: Result) -> None:
    """Writes the derived files and seals them: figures, distributions, Markdown, a page, its pictures.

    Raises:
        ResultsError: one cannot be written.
    """
    files = dict(result.derived)
    if result.raw is not None and isinstance(result.figures, Summary):
        logs = histograms.render(result.raw, result.figures)
        files |= {f"{histograms.FOLDER}/{name}": content for name, content in logs.items()}
    files["report.md"] = markdown.render(result.document).encode()
    files["report.html"] = html.render(result.document).encode()
    for section in result.document.sections:
        for part in section.parts:
            if isinstance(part, Chart) and part.image:
                files[part.image] = html.picture(part).encode()
    store = Store(folder)
    for name, content in files.items():
        store.write(name, content)
    manifest.seal(folder, files)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Schema:
    """What every version of a summary has."""

    schema: int | None = None


def past(folder: Path) -> History:
    """All results in a folder's folders; what cannot be read is named and left out.

    Raises:
        ResultsError: it is no folder.
    """
    if not folder.is_dir():
        raise ResultsError(
            f"{folder} is not a folder", "name one that holds results folders, such as results/"
        )
    found: list[Past] = []
    skipped: dict[str, str] = {}
    others: list[str] = []
    for path in sorted(each for each in folder.iterdir() if each.is_dir()):
        try:
            if (path / "summary.json").exists() or (path / "plan.json").exists():
                found.append(_past(path))
            else:
                others.append(path.name)
        except ResultsError as error:
            skipped[path.name] = f"{error} ({error.hint})"
    if not found and not skipped:
        raise ResultsError(
            f"{folder} holds no runs", "name the folder that holds results folders, such as results/"
        )
    return history(found, skipped, others)


def _past(path: Path) -> Past:
    """A run, as far as a trend needs it."""
    summary = path / "summary.json"
    if not (path / "plan.json").exists():
        raise ResultsError("plan.json is missing", "without it nothing of the run can be made again")
    if not summary.exists():
        raise ResultsError("it has no summary.json", f"`python -m bench report {path.name}` makes it")
    schema = read_record(summary, _Schema).schema
    if schema != SCHEMA:
        raise ResultsError(f"summary.json has schema {schema}, not {SCHEMA}", "read it with its own version")
    run = read_record(summary, PastRun)
    return Past(name=path.name, run=run, machine=read_machine(path) or Machine())
