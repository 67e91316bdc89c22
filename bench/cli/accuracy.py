"""`calibrate`: weighs known costs, and says what the harness's figures are worth here."""

import argparse
import secrets
from dataclasses import replace
from pathlib import Path

from bench import display, machine
from bench.calibrate import SEQUENTIAL_EVERY, TRIAL_S, TRIALS, Progress, plan_of, trial, weighted
from bench.cli.shared import Commands, conclude, new_folder, uninterrupted
from bench.errors import INTERRUPTED_EXIT_CODE
from bench.fleet import environ_of
from bench.cli.options import CONNECTIONS_PER_CPU, SERVICE_PROCESSES, count
from bench.rig import Rig
from bench.results.store import TRIALS as TRIALS_FILE
from bench.results.store import pretty


def add(commands: Commands) -> None:
    """`calibrate`."""
    calibrate = commands.add_parser(
        "calibrate", help="weigh known costs: how far this harness can be believed on this machine"
    )
    calibrate.set_defaults(call=_calibrate)
    calibrate.add_argument(
        "--trials", type=count, default=TRIALS,
        help=f"runs of a minute of load each (default: {TRIALS}, about {TRIALS * TRIAL_S / 60:.0f} minutes)",
    )  # fmt: skip
    calibrate.add_argument("--seed", type=int, help="repeat the order and times of another calibration")
    calibrate.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-calibrate)"
    )


def _calibrate(args: argparse.Namespace) -> int:
    machine.require_linux()
    store = new_folder(args.out, "calibrate")
    seed = secrets.randbelow(2**32) if args.seed is None else args.seed
    cpus = machine.split_cpus(pinned=True)
    connections = CONNECTIONS_PER_CPU * min(len(cpus[1]) or cpus[0], SERVICE_PROCESSES)
    plan = plan_of(seed, cpus, connections)
    interrupted = False
    with display.progress(args.trials * TRIAL_S) as shown:
        rig = Rig(plan)
        try:
            environs = {
                setup.name: environ_of(setup, hash_seed=0, endpoints=rig.sink.endpoints)
                for setup in plan.setups
            }
            store.write("machine.json", pretty(machine.describe(cpus, environs)))
            for number in range(args.trials):
                if not plan.rate_per_s:
                    plan = weighted(plan, rig, Progress(shown.say, "reading the baseline"))
                mine = replace(plan, seed=(seed + number) % 2**32)
                told = Progress(shown.say, f"run {number + 1} of {args.trials}")
                sequential = number % SEQUENTIAL_EVERY == 0
                store.append_packed(TRIALS_FILE, trial(mine, rig, told, sequential=sequential))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            with uninterrupted():
                rig.close()
    with uninterrupted():
        code = conclude(store.folder)
    return INTERRUPTED_EXIT_CODE if interrupted else code
