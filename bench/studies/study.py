"""What every study consists of: options, a measurement, figures, a document, and whether they count."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.report.ci import Case, CaseStatus, Metric
from bench.report.document import Document, Section
from bench.report.run import machine_sections
from bench.results.manifest import Discrepancy
from bench.results.store import Store, read_machine
from bench.results.verify import RawRecords
from bench.runner.run import Progress
from bench.studies import Study


def nothing_to_say(_progress: Progress) -> Iterable[str]:
    """Return no sentences, for a measurement that begins at once."""
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A measurement that has been prepared: every mistake of the user's has been reported.

    Attributes:
        duration_s: about how long it takes; for the display only.
        measure: appends to the raw log as it goes, so that what was measured survives whatever ends it.
        before: sentences to show before anything is measured; called before the folder is made.
        name: part of the results folder's name; empty: the study's.
        pinned: whether CPUs are divided between what is measured and the harness.
        describes_machine: whether it writes machine.json itself.
        reports_when_interrupted: whether there is a report after Ctrl-C.
        required: raw file without which nothing was measured; empty: the study's first one.
        resumes: the results folder that it goes on with; None: a new one.
        full: whether the whole report is shown in the terminal, and not the answer alone.
        afterwards: what to say at the end; empty: nothing.
    """

    duration_s: float
    measure: Callable[[Store, Progress], None]
    before: Callable[[Progress], Iterable[str]] = nothing_to_say
    name: str = ""
    pinned: bool = False
    describes_machine: bool = False
    reports_when_interrupted: bool = False
    required: str = ""
    resumes: Path | None = None
    full: bool = False
    afterwards: str = ""


def no_metrics(_figures: Any) -> Sequence[Metric]:  # noqa: ANN401 - any study's figures
    """For a study without a figure of which less is better."""
    return ()


def no_cases(_figures: Any) -> Sequence[Case]:  # noqa: ANN401 - any study's figures
    """For a study without parts that pass or fail."""
    return ()


def no_extras(_folder: Path, _figures: Any) -> dict[str, bytes]:  # noqa: ANN401 - any study's figures
    """For a study whose derived files are its figures and its report."""
    return {}


def derived_from_all(_folder: Path, _figures: Any) -> tuple[Sequence[Discrepancy], RawRecords]:  # noqa: ANN401
    """For a study whose figures are made from its raw files alone."""
    return (), RawRecords.ALL


def machine_of(folder: Path) -> list[Section]:
    """The machine that a folder's figures were measured on."""
    return machine_sections(read_machine(folder))


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What answers a study's question.

    Attributes:
        options: its command line, a dataclass.
        prepare: the measurement that options ask for, or a text to print instead; raises `UsageError`.
        figures: derives figures from the raw log in a folder; raises `ResultsError`.
        record: type of the figures as they are stored.
        stored: the figures as they are stored.
        document: the report, which ends with further sections.
        sections: those further sections, from a folder.
        extras: further derived files of a folder and its figures.
        recheck: what in the raw files does not follow from others of them, and how complete they are.
        is_valid: whether every figure counts.
        metrics: figures that CI follows over time; less is better.
        cases: parts that pass or fail, as CI shows tests.
    """

    options: type[Any]
    prepare: Callable[[Any], Measurement | str]
    figures: Callable[[Path], Any]
    record: Any
    stored: Callable[[Any], Any] = lambda figures: figures
    document: Callable[..., Document]
    sections: Callable[[Path], Sequence[Section]] = machine_of
    extras: Callable[[Path, Any], dict[str, bytes]] = no_extras
    recheck: Callable[[Path, Any], tuple[Sequence[Discrepancy], RawRecords]] = derived_from_all
    is_valid: Callable[[Any], bool] = lambda _figures: True
    metrics: Callable[[Any], Sequence[Metric]] = no_metrics
    cases: Callable[[Any], Sequence[Case]] = no_cases


def parts_of(study: Study) -> Parts:
    """What answers a study's question; loaded when it is needed."""
    parts: Parts = import_module(f"bench.studies.{study.name}.parts").PARTS
    return parts


def case(name: str, text: str, *, valid: bool) -> Case:
    """A part of a result as a test case: an invalid one is an error."""
    return Case(name=name, status=CaseStatus.PASSED if valid else CaseStatus.ERROR, text=text)
