"""The command of every study: prepare, measure, report."""

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from bench.cli import display, results
from bench.cli.display import relative
from bench.errors import INTERRUPTED_EXIT_CODE, BenchError, MeasurementError, ResultsError
from bench.results import manifest
from bench.results.store import MACHINE, Store, folder_name, pretty
from bench.studies import STUDIES, Study
from bench.studies.study import Measurement, Parts, parts_of
from bench.testbed import leftovers, machine
from bench.testbed.interrupts import uninterrupted


def __getattr__(name: str) -> Callable[..., int]:
    """The command of the study of this name; its parts are loaded with it."""
    for study in STUDIES:
        if study.name == name:
            return _command(study)
    raise AttributeError(name)


def _command(study: Study) -> Callable[..., int]:
    parts = parts_of(study)
    options_type = parts.options

    def with_app(file: Path | None = None, /, options: Any = None) -> int:  # noqa: ANN401
        return measure(study, parts, replace(options or options_type(), app=file))

    def without_app(options: Any = None) -> int:  # noqa: ANN401
        return measure(study, parts, options or options_type())

    command: Callable[..., int] = with_app if study.takes_app else without_app
    command.__doc__ = f"{study.summary}\n"
    if study.takes_app:
        command.__doc__ += (
            "\nArgs:\n    file: The app file of your service; the built-in example by default.\n"
        )
    command.__annotations__["options"] = options_type | None
    command.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    return command


def measure(study: Study, parts: Parts, options: Any) -> int:  # noqa: ANN401 - any study's options
    """Measure, and report; returns the exit code.

    Raises:
        BenchError: nothing was measured.
        KeyboardInterrupt: likewise.
    """
    prepared = parts.prepare(options)
    if isinstance(prepared, str):
        sys.stdout.write(prepared)
        return 0
    machine.require_linux()
    for sentence in leftovers.remove():
        display.warn(sentence)
    with display.progress(prepared.duration_s) as progress:
        for sentence in prepared.before(progress):
            display.tell(sentence, "yellow" if sentence.startswith("warning: ") else "")
    store = _store(study, prepared, options.out)
    required = store.folder / (prepared.required or study.raw[0])
    failure: BenchError | KeyboardInterrupt | None = None
    with _discarded_unless(required, store, keep=prepared.resumes is not None):
        if not prepared.describes_machine and not (store.folder / MACHINE).exists():
            store.write(MACHINE, pretty(machine.describe(machine.split_cpus(pinned=prepared.pinned))))
        try:
            with display.progress(prepared.duration_s) as progress:
                prepared.measure(store, progress)
        except (BenchError, KeyboardInterrupt) as error:
            if not required.exists():
                raise
            failure = error
    if isinstance(failure, KeyboardInterrupt) and not prepared.reports_when_interrupted:
        display.tell(f"what was measured is kept: `tracing-overhead report {relative(store.folder)}`")
        return INTERRUPTED_EXIT_CODE
    with uninterrupted():
        return _conclude(store.folder, prepared, failure)


def _conclude(path: Path, prepared: Measurement, failure: BenchError | KeyboardInterrupt | None) -> int:
    """The derived files, the report, and the exit code."""
    folder = results.read(path)
    try:
        results.publish(folder)
    except ResultsError as error:
        # The disk is full: what is on it stays, and the report is shown at least here.
        failure = failure or error
    results.show(folder, full=prepared.full)
    results.show_place(path)
    if prepared.afterwards:
        display.console().print(Text(prepared.afterwards, "yellow"))
    if isinstance(failure, BenchError):
        return display.complain(failure)
    if failure is not None:
        return INTERRUPTED_EXIT_CODE
    return 0 if folder.valid else MeasurementError.exit_code


def _store(study: Study, prepared: Measurement, out: Path | None) -> Store:
    """The results folder: one that is resumed, the one that was asked for, or `results/<UTC>-<name>`."""
    if prepared.resumes is not None:
        manifest.unseal(prepared.resumes, study.raw, f"`tracing-overhead {study.name}` begins a new series")
        return Store(prepared.resumes)
    name = folder_name(datetime.now(UTC), prepared.name or study.name)
    return Store.create(out or Path("results") / name)


@contextlib.contextmanager
def _discarded_unless(required: Path, store: Store, *, keep: bool) -> Iterator[None]:
    """Delete the results folder if nothing was measured, so that its name can be used again."""
    try:
        yield
    except BaseException:
        if not keep and not required.exists():
            with uninterrupted():
                store.discard()
        raise
