"""`setups`, `web`, `generator`, `doctor` and `services`: what one uses around a run."""

import argparse
import os
import shlex
import socket
import sys

from rich.table import Table
from rich.text import Text

from bench.analysis import checks
from bench.app.setups import PRESETS, TABLE, choose
from bench.cli import display
from bench.cli.options import add_app, defaults, plan_of, read_subject
from bench.cli.shared import Commands, minutes, uninterrupted
from bench.errors import MeasurementError, UsageError
from bench.plan.budget import BUDGETS
from bench.report import terminal, words
from bench.report.generator import generators_table
from bench.runner import doctor
from bench.runner.generator import ROUNDS, compare
from bench.sink.messages import SETUP_ATTRIBUTE
from bench.testbed import machine
from bench.testbed.options import Options
from bench.testbed.process import ROOT, plain_environ
from bench.testbed.testbed import Testbed

WEB_LOCUSTFILE = ROOT / "locustfiles" / "explore.py"
APP_VARIABLE = "BENCH_APP"
GENERATOR_S = 90


def add(commands: Commands) -> None:
    """The commands."""
    setups = commands.add_parser("setups", help="list the tracing set-ups")
    setups.set_defaults(call=_setups)
    add_app(setups)
    setups.add_argument(
        "--env", metavar="SETUP", help="print this one's environment alone, to start a --target with"
    )
    web = commands.add_parser("web", help="explore the set-ups by hand in Locust's web UI")
    web.set_defaults(call=_web)
    add_app(web)
    web.add_argument("--port", type=int, default=8089, help="on 127.0.0.1 (default: 8089)")
    generator = commands.add_parser(
        "generator", help="what the load generator itself costs, beside Locust's own users and wrk"
    )
    generator.set_defaults(call=_generator)
    generator.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each (default: {ROUNDS})")
    doctor_ = commands.add_parser("doctor", help="is this machine fit to measure, and what to expect")
    doctor_.set_defaults(call=_doctor)
    add_app(doctor_)
    services = commands.add_parser("services", help="run the built-in example's services, until Ctrl-C")
    services.set_defaults(call=_services)
    services.add_argument("arguments", nargs=argparse.REMAINDER, help="of `python -m services all`")


def _setups(args: argparse.Namespace) -> int:
    subject = read_subject(args, installed=False)
    if args.env:
        setup = choose(subject.app, [args.env], subject.own)[-1]
        tracing = subject.app.tracing.env if setup.tracing != "none" else {}
        spans = setup.spans or next(iter(subject.app.tracing.spans), "")
        environ = {
            name: value.replace("{tracing}", setup.tracing).replace("{spans}", spans)
            for name, value in (tracing | setup.env).items()
        }
        given = setup.env.get("OTEL_RESOURCE_ATTRIBUTES")
        label = f"{SETUP_ATTRIBUTE}={setup.name}"
        environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{given},{label}" if given else label
        sys.stdout.writelines(f"{name}={shlex.quote(value)}\n" for name, value in environ.items())
        return 0
    console = display.console()
    table = Table(box=None, pad_edge=False)
    for head in ("set-up", "tracing", "what it is"):
        table.add_column(head, overflow="fold")
    for setup in (*TABLE, *subject.app.setup, *subject.own):
        style = "bold" if setup.tracing in subject.app.modes else "dim"
        table.add_row(Text(setup.name, style), setup.tracing, Text(setup.description))
    console.print(table)
    presets = PRESETS | subject.app.preset
    console.print(f"Presets: {'; '.join(f'{name}: {len(names)} set-ups' for name, names in presets.items())}")
    return 0


def _web(args: argparse.Namespace) -> int:
    """Locust's web UI, until Ctrl-C; this process becomes Locust's."""
    machine.require_linux()
    read_subject(args)
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", args.port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the web UI cannot listen on port {args.port}: {reason}", "choose another with --port"
        ) from None
    cpus = machine.split_cpus(pinned=True)
    if cpus.others:
        os.sched_setaffinity(0, cpus.others)
    sys.stdout.write(f"Locust's web UI: http://127.0.0.1:{args.port} - Ctrl-C stops it and all services.\n")
    sys.stdout.flush()
    options = ["-f", str(WEB_LOCUSTFILE), "--web-host", "127.0.0.1", "--web-port", str(args.port)]
    command = [sys.executable, "-m", "locust", *options, "--loglevel", "WARNING", "--stop-timeout", "5"]
    environ = plain_environ() | {"PYTHONPATH": str(ROOT)}
    if args.app:
        environ[APP_VARIABLE] = str(args.app.resolve())
    os.execve(sys.executable, command, environ)  # noqa: S606 - nothing is left to do here


def _services(args: argparse.Namespace) -> int:
    """The built-in example for a person; this process becomes theirs."""
    os.chdir(ROOT)
    command = [sys.executable, "-m", "services", "all", *args.arguments]
    os.execv(sys.executable, command)  # noqa: S606 - nothing is left to do here


def _generator(args: argparse.Namespace) -> int:
    machine.require_linux()
    with display.progress(GENERATOR_S) as progress:
        found, steal = compare(progress, max(args.rounds, 2))
    console = display.console()
    title = "What a request costs its generator, on the same echo service"
    terminal.show_table(generators_table(found), title, console)
    for caveat in checks.host(steal, 0.0):
        console.print(Text("caveat: " + words.caveat_line(caveat), "yellow"))
    return 0


def _doctor(args: argparse.Namespace) -> int:
    subject = read_subject(args)
    console = display.console()
    looks = machine.examine()
    for look in looks:
        mark = Text("ok    ", "green") if look.fit else Text("doubt ", "yellow")
        advice = "" if look.fit else f" - {look.advice}"
        console.print(mark + Text(f"{look.name}: {look.value}{advice}"))
    machine.require_linux()
    plan = doctor.plan(subject.app, machine.split_cpus(pinned=True))
    with display.progress(doctor.TRIAL_S) as progress:
        testbed = Testbed(plan, Options(place=subject.place))
        try:
            found = doctor.trial(plan, testbed, progress)
        finally:
            with uninterrupted():
                testbed.close()
    console.print(
        f"\nA trial with two identical instances of {subject.app.name}: "
        f"{found.cpu_per_request_s * 1e3:.2f} ms of CPU per {subject.app.unit} at {found.rate_per_s:.0f}/s, "
        f"varying by {found.request_sd * 100:.0f} % from one to the next."
    )
    console.print("What to expect here (the smallest overhead that 80 % of runs find):")
    for budget in BUDGETS.values():
        planned = plan_of(defaults(budget.name), subject)
        expected = doctor.expected_mde(budget, subject.app, found) * 100
        console.print(f"  {budget.name:<8} {expected:6.1f} % in {minutes(planned)}", highlight=False)
    doubts = [look.name for look in looks if not look.fit]
    if doubts:
        console.print(Text(f"Not fit to measure: {', '.join(doubts)}.", "yellow"))
        return MeasurementError.exit_code
    console.print(Text("Fit to measure.", "green"))
    return 0
