"""`soak`: does anything grow under load for long?"""

from typing import Annotated

from cyclopts import Parameter

from bench.app.setups import EVERYTHING, choose
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Application, Out, number
from bench.cli.planning import read_subject
from bench.cli.shared import kept, new_folder, uninterrupted
from bench.plan.budget import without_timetable
from bench.report import soak as soak_report
from bench.results.store import MACHINE, pretty
from bench.runner import soak as runner
from bench.testbed import leftovers, machine

START_S = 30.0


def soak(
    application: Application | None = None,
    *,
    minutes: Annotated[float, Parameter(validator=number(0.1, 24 * 60))] = 30.0,
    out: Out = None,
) -> int:
    """Does anything grow under load for long? Everything traced, at half of what the application can do.

    Args:
        application: Which application.
        minutes: Under load.
        out: The results folder; without it, results/UTC-soak.
    """
    machine.require_linux()
    subject = read_subject(application or Application())
    (setup,) = choose(subject.app, [EVERYTHING], subject.own)[1:]
    plan = without_timetable("soak", subject.app, [setup])
    for sentence in leftovers.remove():
        display.warn(sentence)
    store = new_folder(out, "soak")
    with kept(store.folder), display.progress(minutes * 60 + START_S) as progress:
        store.write(MACHINE, pretty(machine.describe(machine.split_cpus(pinned=False))))
        for sample in runner.samples(plan, subject.place, minutes * 60, progress):
            store.append_line(soak_report.FILE, sample)
    with uninterrupted():
        return KINDS["soak"].report(store.folder)
