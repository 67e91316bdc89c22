"""`accuracy`: known costs, measured again and again: how far the harness can be believed here."""

import contextlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from bench.analysis.accuracy.trials import Beside, Trial
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Count, Out
from bench.cli.planning import built_in
from bench.cli.shared import kept, new_folder, uninterrupted
from bench.errors import UsageError
from bench.results import manifest
from bench.results.store import MACHINE, TRIALS, Store, pretty, read_packed
from bench.runner import accuracy as runner
from bench.testbed import disturber, machine
from bench.testbed.options import Options
from bench.testbed.process import Child, leashed, plain_environ
from bench.testbed.testbed import Testbed

STOP_LIMIT_S = 2.0


def accuracy(  # noqa: PLR0913 - one option each
    *,
    trials: Count = runner.TRIALS,
    replicates: Count | None = None,
    beside: Literal["busy", "random"] | None = None,
    seed: int | None = None,
    out: Out = None,
    resume: Path | None = None,
) -> int:
    """Known costs, measured again and again: how far the harness can be believed here.

    Args:
        trials: Runs, those of a measurement that is resumed among them.
        replicates: Fresh processes so many times in every run; without it, as many as its kind of run needs.
        beside: Another program meanwhile keeps a CPU busy, or wakes up at random.
        seed: Repeat the order and times of another measurement.
        out: The results folder; without it, results/UTC-accuracy.
        resume: Go on with the measurement in this folder, with its own seed, replicates and disturbance.
    """
    machine.require_linux()
    cpus = machine.split_cpus(pinned=True)
    if resume and (seed, replicates, beside) != (None, None, None):
        raise UsageError(
            "--resume goes on with the seed, replicates and disturbance that a measurement began with",
            "leave out --seed, --replicates and --beside",
        )
    store, before = _folder(out, resume, cpus)
    subject = built_in()
    if before:
        series = runner.series_of(before[0], subject.app, cpus)
    else:
        first = secrets.randbelow(2**31) if seed is None else seed
        series = runner.Series(app=subject.app, cpus=cpus, seed=first, replicates=replicates)
    meanwhile: Beside = before[0].beside if before else beside or ""
    with (
        display.progress((trials - len(before)) * runner.TRIAL_S) as progress,
        kept(store.folder),
        disturbed(meanwhile, store.folder),
    ):
        testbed = Testbed(runner.plan_of(series, 0), Options(place=subject.place))
        try:
            if not before:
                progress.say("what a request costs without any weight")
                series = runner.weighted(series, testbed, progress)
            for number in range(len(before), trials):
                told = runner.TrialProgress(progress, f"trial {number + 1} of {trials}")
                store.append_packed(TRIALS, runner.trial(series, number, testbed, told, beside=meanwhile))
        finally:
            with uninterrupted():
                testbed.close()
    return KINDS["accuracy"].report(store.folder)


@contextlib.contextmanager
def disturbed(beside: Beside, folder: Path) -> Iterator[None]:
    """Another program on the machine; it ends with the harness at the latest."""
    if not beside:
        yield
        return
    program = str(Path(disturber.__file__).resolve())
    log = folder / "disturber.log"
    child = Child("the disturber", leashed(sys.executable, program, beside), environ=plain_environ(), log=log)
    try:
        yield
        child.check()
    finally:
        with uninterrupted():
            child.stop(STOP_LIMIT_S)
            log.unlink()


def _folder(out: Path | None, resume: Path | None, cpus: machine.Cpus) -> tuple[Store, tuple[Trial, ...]]:
    """Where trials go, and those that are there already."""
    if resume is None:
        store = new_folder(out, "accuracy")
        store.write(MACHINE, pretty(machine.describe(cpus)))
        return store, ()
    before = read_packed(resume / TRIALS, Trial)
    if out is not None or not before:
        raise UsageError(
            f"there is no accuracy measurement in {resume} to go on with"
            if not before
            else "--resume goes on in its own folder",
            "name its folder with --resume, and leave out --out",
        )
    manifest.unseal(resume, TRIALS)
    return Store(resume), before
