"""`accuracy`: known costs, measured again and again: how far the harness can be believed here."""

import argparse
import secrets
from pathlib import Path

from bench.app.file import parse_app
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import BUILT_IN, count
from bench.cli.shared import Commands, kept, new_folder, uninterrupted
from bench.results.store import MACHINE, TRIALS, pretty
from bench.runner import accuracy
from bench.testbed import machine
from bench.testbed.environ import Place
from bench.testbed.options import Options
from bench.testbed.testbed import Testbed


def add(commands: Commands) -> None:
    """`accuracy`."""
    parser = commands.add_parser(
        "accuracy", help="measure known costs again and again: how far the harness can be believed here"
    )
    parser.set_defaults(call=_accuracy)
    parser.add_argument(
        "--trials", type=count, default=accuracy.TRIALS, help=f"runs (default: {accuracy.TRIALS})"
    )
    parser.add_argument("--seed", type=int, help="repeat the order and times of another measurement")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-accuracy)"
    )


def _accuracy(args: argparse.Namespace) -> int:
    machine.require_linux()
    cpus = machine.split_cpus(pinned=True)
    store = new_folder(args.out, "accuracy")
    store.write(MACHINE, pretty(machine.describe(cpus)))
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    app = parse_app(BUILT_IN.read_text("utf-8"), BUILT_IN.name)
    plan = accuracy.plan_of(app, seed, cpus)
    with display.progress(args.trials * accuracy.TRIAL_S) as progress, kept(store.folder):
        testbed = Testbed(plan, Options(place=Place(folder=BUILT_IN.parent)))
        try:
            progress.say("what a request costs without any weight")
            weighted = accuracy.weighted(plan, testbed, progress)
            for number in range(args.trials):
                label = f"trial {number + 1} of {args.trials}"
                store.append_packed(
                    TRIALS,
                    accuracy.trial(
                        accuracy.seeded(weighted, number),
                        testbed,
                        accuracy.TrialProgress(progress, label),
                        sequential=number % accuracy.SEQUENTIAL_EVERY == 0,
                    ),
                )
        finally:
            with uninterrupted():
                testbed.close()
    return KINDS["accuracy"].report(store.folder)
