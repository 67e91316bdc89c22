"""`faults`: what do clients feel when the backend fails?"""

import contextlib
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.faults import WORDS, Fault
from bench.app.records import BASELINE
from bench.app.setups import choose
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Application, Out, number
from bench.cli.planning import read_subject
from bench.cli.shared import new_folder, relative, uninterrupted
from bench.errors import BenchError, UsageError
from bench.plan.budget import without_timetable
from bench.report import faults as faults_report
from bench.results.store import MACHINE, Store, pretty
from bench.runner import faults as runner
from bench.testbed import leftovers, machine

FAULT_S = 45.0
"""About how long a fault takes."""


def faults(
    application: Application | None = None,
    *,
    only: str = "",
    rate: Annotated[float, Parameter(validator=number(0.1, 30))] = runner.RATE_PER_S,
    out: Out = None,
) -> int:
    """What do clients feel when the backend of tracing fails?

    Args:
        application: Which application.
        only: These faults, as A,B; the healthy backend is always there.
        rate: Clients per second to each setup.
        out: The results folder; without it, results/UTC-faults.
    """
    machine.require_linux()
    chosen = _chosen(only)
    subject = read_subject(application or Application())
    names = [
        name for name in runner.SETUPS if name == BASELINE or name.partition("-")[0] in subject.app.modes
    ]
    plan = without_timetable("faults", subject.app, choose(subject.app, names, subject.own))
    for sentence in leftovers.remove():
        display.warn(sentence)
    store = new_folder(out, "faults")
    store.write(MACHINE, pretty(machine.describe(machine.split_cpus(pinned=False))))
    failure = None
    with _kept(store), display.progress(len(chosen) * FAULT_S) as progress:
        try:
            for cell in runner.cells(plan, subject.place, chosen, rate, progress):
                store.append_line(faults_report.FILE, cell)
        except BenchError as error:
            failure = error
            if not (store.folder / faults_report.FILE).exists():
                raise
    with uninterrupted():
        code = KINDS["faults"].report(store.folder)
        return display.complain(failure) if failure else code


@contextlib.contextmanager
def _kept(store: Store) -> Iterator[None]:
    """Leave nothing of a measurement without a single cell; say that of any other something is kept."""
    try:
        yield
    except (KeyboardInterrupt, BenchError):
        if (store.folder / faults_report.FILE).exists():
            display.tell(f"what was measured is kept: `tracing-overhead report {relative(store.folder)}`")
        else:
            store.discard()
        raise


def _chosen(only: str) -> list[Fault]:
    """The faults of these names, the healthy backend first."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = next((name for name in names if name not in set(Fault)), None)
    if unknown:
        raise UsageError(
            f"there is no fault named {unknown!r}", f"there are {', '.join(fault for fault in WORDS)}"
        )
    return [
        Fault.NONE,
        *(fault for fault in Fault if fault is not Fault.NONE and (not names or fault in names)),
    ]
