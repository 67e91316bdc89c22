"""`setups`, `web`, `generator` and `doctor`: what one uses around a run."""

import argparse
import os
import shlex
import socket
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bench import display, doctor, gates, machine
from bench.cli.shared import Commands, minutes, uninterrupted
from bench.errors import MeasurementError, UsageError
from bench.generator import ROUNDS, compare
from bench.model import BASELINE, Plan
from bench.cli.options import defaults, plan_of, read_own
from bench.plan import BUDGETS
from bench.testbed.process import ROOT, plain_environ
from bench.report import terminal, words
from bench.report.generators import generators_table
from bench.rig import Rig
from bench.setups import PRESETS, TABLE, choose


def add(commands: Commands) -> None:
    """The four commands."""
    setups = commands.add_parser("setups", help="list the tracing set-ups")
    setups.set_defaults(call=_setups)
    setups.add_argument("--setups-file", type=Path, metavar="F.toml", help="your own, too")
    setups.add_argument(
        "--env", metavar="SETUP", help="print this one's environment alone, to start a --target with"
    )
    web = commands.add_parser("web", help="explore the set-ups by hand in Locust's web UI")
    web.set_defaults(call=_web)
    web.add_argument("--port", type=int, default=8089, help="on 127.0.0.1 (default: 8089)")
    generator = commands.add_parser(
        "generator", help="what the load generator itself costs, beside Locust's own users and wrk"
    )
    generator.set_defaults(call=_generator)
    generator.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each (default: {ROUNDS})")
    doctor = commands.add_parser("doctor", help="is this machine fit to measure, and what to expect")
    doctor.set_defaults(call=_doctor)


def _setups(args: argparse.Namespace) -> int:
    own = read_own(args.setups_file)
    if args.env:
        setup = choose([args.env], own)[-1] if args.env != BASELINE else choose([])[0]
        given = setup.env.get("OTEL_RESOURCE_ATTRIBUTES")
        label = f"bench.setup={setup.name}"
        environ = setup.env | {"OTEL_RESOURCE_ATTRIBUTES": f"{given},{label}" if given else label}
        sys.stdout.writelines(f"{name}={shlex.quote(value)}\n" for name, value in environ.items())
        return 0
    console = display.console()
    table = Table(box=None, pad_edge=False)
    for head in ("set-up", "lists", "what it is", "environment"):
        table.add_column(head, overflow="fold")
    for setup in (*TABLE, *own):
        lists = ", ".join(name for name, names in PRESETS.items() if setup.name in names)
        environment = "\n".join(f"{name}={value}" for name, value in setup.env.items())
        table.add_row(Text(setup.name, "bold"), lists, Text(setup.description), Text(environment))
    console.print(table)
    return 0


WEB_LOCUSTFILE = ROOT / "locustfiles" / "explore.py"


def _web(args: argparse.Namespace) -> int:
    """Locust's web UI, until Ctrl-C; this process becomes Locust's."""
    machine.require_linux()
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", args.port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the web UI cannot listen on port {args.port}: {reason}", "choose another with --port"
        ) from None
    _, _, other_cpus = machine.split_cpus(pinned=True)
    if other_cpus:
        os.sched_setaffinity(0, other_cpus)
    sys.stdout.write(f"Locust's web UI: http://127.0.0.1:{args.port} - Ctrl-C stops it and all services.\n")
    sys.stdout.flush()
    os.chdir(ROOT)
    options = ["-f", str(WEB_LOCUSTFILE), "--web-host", "127.0.0.1", "--web-port", str(args.port)]
    command = [sys.executable, "-m", "locust", *options, "--loglevel", "WARNING", "--stop-timeout", "5"]
    os.execve(sys.executable, command, plain_environ())  # noqa: S606 - nothing is left to do here


GENERATOR_S = 90


def _generator(args: argparse.Namespace) -> int:
    machine.require_linux()
    with display.progress(GENERATOR_S) as shown:
        found, steal = compare(shown, max(args.rounds, 2))
    console = display.console()
    title = "What a request costs its generator, on the same echo service"
    terminal.show_table(generators_table(found), title, console)
    for caveat in gates.host(steal, 0.0):
        console.print(Text("caveat " + words.caveat_line(caveat), "yellow"))
    return 0


def _trial(plan: Plan, shown: Progress) -> doctor.Trial:
    rig = Rig(plan)
    try:
        return doctor.trial(plan, rig, shown)
    finally:
        with uninterrupted():
            rig.close()


def _doctor(_args: argparse.Namespace) -> int:
    console = display.console()
    checks = machine.examine()
    for check in checks:
        mark = Text("fit   ", "green") if check.fit else Text("doubt ", "yellow")
        console.print(
            mark + Text(f"{check.name}: {check.found}") + Text("" if check.fit else f" - {check.advice}")
        )
    machine.require_linux()
    with display.progress(doctor.TRIAL_S) as shown:
        found = _trial(doctor.plan(machine.split_cpus(pinned=True)), shown)
    console.print(
        f"\nA trial of {doctor.TRIAL_S} s with two identical fleets: {found.cpu_per_checkout_s * 1e3:.1f} ms "
        f"of CPU per checkout, varying by {found.request_sd:.0%} from one request to the next."
    )
    console.print("What to expect here (the smallest overhead that 80 % of runs find):")
    for budget in BUDGETS.values():
        planned = plan_of(defaults(budget.name))
        expected = f"{doctor.expected_mde(budget, found) * 100:6.1f} % in {minutes(planned)}"
        console.print(f"  {budget.name:<8} {expected}", highlight=False)
    doubts = [check.name for check in checks if not check.fit]
    if doubts:
        console.print(Text(f"Not fit to measure: {', '.join(doubts)}.", "yellow"))
        return MeasurementError.exit_code
    console.print(Text("Fit to measure.", "green"))
    return 0
