"""`calibrate`: weighs known costs, and says what the harness's figures are worth here."""

import argparse
import secrets
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench import display, machine
from bench.calibrate import SEQUENTIAL_EVERY, TRIAL_S, TRIALS, Progress, plan_of, trial, weighted
from bench.calibration import Calibration, Trial, calibration, targets
from bench.commands.shared import Commands, new_folder, relative, uninterrupted
from bench.errors import INTERRUPTED_EXIT_CODE, MeasurementError
from bench.fleet import environ_of
from bench.options import CONNECTIONS_PER_CPU, SERVICE_PROCESSES, count
from bench.report import calibration as sheet
from bench.report import markdown, terminal
from bench.rig import Rig
from bench.store import Store, pretty, read_packed

FILE = "trials.jsonl.gz"


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
                store.append_packed(FILE, trial(mine, rig, told, sequential=sequential))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            with uninterrupted():
                rig.close()
    with uninterrupted():
        found = derive(store)
        show(found, display.console())
    sys.stdout.write(f"\nResults: {relative(store.folder)}\n")
    if interrupted:
        return INTERRUPTED_EXIT_CODE
    return 0 if all(target.reached for target in targets(found)) else MeasurementError.exit_code


def exists(folder: Path) -> bool:
    """Whether a folder holds a calibration."""
    return (folder / FILE).exists()


def derive(store: Store) -> Calibration:
    """The data sheet; `calibration.json`, `report.md` and `calibration.svg` are written.

    Raises:
        ResultsError: a file cannot be read or written.
    """
    # Altair takes a second to load; nobody else needs it.
    from bench.report.charts import plot, svg

    found = calibration(read_packed(store.folder / FILE, Trial))
    store.write("calibration.json", pretty(found))
    store.write("report.md", markdown.render_calibration(found).encode())
    store.write("calibration.svg", svg(plot(found)).encode())
    return found


def show(found: Calibration, console: Console) -> None:
    """The data sheet on a console."""
    terminal.show_table(sheet.target_table(found), "What this harness can be believed", console)
    terminal.show_table(sheet.weight_table(found), "Known costs, recovered", console)
    for line in sheet.lines(found):
        console.print(Text(line))
