"""`setups`, `web`, `doctor` and `services`: what one uses around a run."""

import os
import shlex
import socket
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from bench.app.presets import MADE, PRESETS
from bench.app.setups import TABLE, choose
from bench.cli import display
from bench.cli.options import Application, RunOptions
from bench.cli.planning import plan_of, read_subject
from bench.cli.shared import minutes, uninterrupted
from bench.errors import MeasurementError, UsageError
from bench.plan.budget import BUDGETS
from bench.receiver.messages import SETUP_ATTRIBUTE
from bench.report.words import percent, printable
from bench.runner import doctor as runner
from bench.testbed import fitness, leftovers, machine
from bench.testbed.options import Options
from bench.testbed.process import ROOT, plain_environ
from bench.testbed.testbed import Testbed

WEB_LOCUSTFILE = ROOT / "locustfiles" / "explore.py"
APP_VARIABLE = "BENCH_APP"


def setups(application: Application | None = None, *, env: str | None = None) -> int:
    """List the tracing setups.

    Args:
        application: Which application.
        env: Print this setup's environment alone, to start a --target with.
    """
    subject = read_subject(application or Application(), installed=False)
    if env:
        setup = choose(subject.app, [env], subject.own)[-1]
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
    for head in ("setup", "tracing", "what it is"):
        table.add_column(head, overflow="fold")
    every = (*TABLE, *subject.app.setup, *subject.own)
    for setup in every:
        if setup.tracing in subject.app.modes:
            table.add_row(Text(setup.name, "bold"), setup.tracing, Text(printable(setup.description)))
    console.print(table)
    others = [setup.name for setup in every if setup.tracing not in subject.app.modes]
    if others:
        console.print(f"Not with {subject.app.name}, which has no switch for them: {', '.join(others)}")
    presets = PRESETS | subject.app.preset
    counted = [f"{name}: {len(names)} setups" for name, names in presets.items()]
    console.print(
        f"Presets: {'; '.join([*counted, *(f'{name}: made for the application' for name in MADE)])}"
    )
    return 0


def web(application: Application | None = None, *, port: int = 8089) -> int:
    """Explore the setups by hand in Locust's web UI, until Ctrl-C.

    Args:
        application: Which application.
        port: On 127.0.0.1.
    """
    machine.require_linux()
    application = application or Application()
    read_subject(application)
    for sentence in leftovers.remove():
        display.warn(sentence)
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the web UI cannot listen on port {port}: {reason}", "choose another with --port"
        ) from None
    cpus = machine.split_cpus(pinned=True)
    if cpus.others:
        os.sched_setaffinity(0, cpus.others)
    sys.stdout.write(f"Locust's web UI: http://127.0.0.1:{port} - Ctrl-C stops it and all services.\n")
    sys.stdout.flush()
    options = ["-f", str(WEB_LOCUSTFILE), "--web-host", "127.0.0.1", "--web-port", str(port)]
    command = [sys.executable, "-m", "locust", *options, "--loglevel", "WARNING", "--stop-timeout", "5"]
    environ = plain_environ() | {"PYTHONPATH": str(ROOT)}
    if application.app:
        environ[APP_VARIABLE] = str(application.app.resolve())
    # This process becomes Locust's.
    os.execve(sys.executable, command, environ)  # noqa: S606 - nothing is left to do here


def services(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run the built-in example's services, until Ctrl-C; this process becomes theirs.

    Args:
        arguments: Of `python -m services all`.
    """
    os.chdir(ROOT)
    command = [sys.executable, "-m", "services", "all", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - nothing is left to do here


def doctor(application: Application | None = None) -> int:
    """Is this machine fit to measure, and what to expect.

    Args:
        application: Which application.
    """
    subject = read_subject(application or Application())
    console = display.console()
    looks = fitness.examine()
    for look in looks:
        mark = Text("ok    ", "green") if look.fit else Text("doubt ", "yellow")
        advice = "" if look.fit else f" - {look.advice}"
        console.print(mark + Text(f"{look.name}: {look.value}{advice}"))
    machine.require_linux()
    plan = runner.plan(subject.app, machine.split_cpus(pinned=True))
    with display.progress(runner.TRIAL_S) as progress:
        testbed = Testbed(plan, Options(place=subject.place))
        try:
            trial = runner.trial(plan, testbed, progress)
        finally:
            with uninterrupted():
                testbed.close()
    console.print(
        f"\nA trial with two identical instances of {subject.app.name}: "
        f"{trial.cpu_per_request_s * 1e3:.2f} ms of CPU per {subject.app.unit} at {trial.rate_per_s:.0f}/s, "
        f"varying by {trial.request_sd * 100:.0f} % from one to the next."
    )
    console.print("What to expect here (the smallest overhead that 80 % of runs find):")
    for name, budget in BUDGETS.items():
        planned = plan_of(RunOptions(budget=name), subject)
        expected = percent(runner.expected_mde(planned, trial), sign=False)
        console.print(f"  {budget.name:<8} {expected:>6} % in {minutes(planned)}", highlight=False)
    doubts = [look.name for look in looks if not look.fit]
    if doubts:
        console.print(Text(f"Not fit to measure: {', '.join(doubts)}.", "yellow"))
        return MeasurementError.exit_code
    console.print(Text("Fit to measure.", "green"))
    return 0
