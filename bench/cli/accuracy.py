"""`accuracy`: known costs, measured again and again: how far the harness can be believed here."""

import secrets

from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Count, Out
from bench.cli.planning import built_in
from bench.cli.shared import kept, new_folder, uninterrupted
from bench.results.store import MACHINE, TRIALS, pretty
from bench.runner import accuracy as runner
from bench.testbed import machine
from bench.testbed.options import Options
from bench.testbed.testbed import Testbed


def accuracy(*, trials: Count = runner.TRIALS, seed: int | None = None, out: Out = None) -> int:
    """Known costs, measured again and again: how far the harness can be believed here.

    Args:
        trials: Runs.
        seed: Repeat the order and times of another measurement.
        out: The results folder; without it, results/UTC-accuracy.
    """
    machine.require_linux()
    cpus = machine.split_cpus(pinned=True)
    store = new_folder(out, "accuracy")
    store.write(MACHINE, pretty(machine.describe(cpus)))
    first = secrets.randbelow(2**31) if seed is None else seed
    subject = built_in()
    plan = runner.plan_of(subject.app, first, cpus)
    with display.progress(trials * runner.TRIAL_S) as progress, kept(store.folder):
        testbed = Testbed(plan, Options(place=subject.place))
        try:
            progress.say("what a request costs without any weight")
            weighted = runner.weighted(plan, testbed, progress)
            for number in range(trials):
                label = f"trial {number + 1} of {trials}"
                store.append_packed(
                    TRIALS,
                    runner.trial(
                        runner.seeded(weighted, number),
                        testbed,
                        runner.TrialProgress(progress, label),
                        sequential=number % runner.SEQUENTIAL_EVERY == 0,
                    ),
                )
        finally:
            with uninterrupted():
                testbed.close()
    return KINDS["accuracy"].report(store.folder)
