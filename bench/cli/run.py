"""`run`, the main job; and `report`, which makes its report again."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.analysis.layers import rungs_of
from bench.cli import display
from bench.cli.folders import KINDS, kind_of
from bench.cli.micro import PRICING_S, price
from bench.cli.options import (
    OTLP_PORTS,
    Subject,
    add_run_arguments,
    crew_of,
    plan_of,
    read_subject,
    warnings_of,
)
from bench.cli.shared import (
    Commands,
    complain,
    conclude_run,
    minutes,
    new_folder,
    predictor,
    publish_run,
    run_document,
    show_place,
    uninterrupted,
)
from bench.errors import INTERRUPTED_EXIT_CODE, MeasurementError, ResultsError
from bench.plan.budget import duration_s
from bench.plan.machine import Machine
from bench.plan.records import Plan, Reading, Row
from bench.report import html, markdown, terminal
from bench.results.folder import is_run, read_run, run_result
from bench.results.redact import redacted, redacted_variables
from bench.results.store import ENDING, MACHINE, Store, pretty, read_raw
from bench.runner.run import Run, carry_out
from bench.sink.messages import TraceSpan
from bench.testbed import install, machine
from bench.testbed.environ import Launch, shown_variables
from bench.testbed.options import Options
from bench.testbed.process import last_line_of
from bench.testbed.testbed import Testbed
from bench.traces import collector

FORMATS = ("md", "html", "json")
EXAMPLES = """examples:
  tracing-overhead run --budget quick                  a first answer for the built-in application
  tracing-overhead run --app my.toml                   the same for a service of your own
  tracing-overhead run --setups batch,simple --dry-run what a run would do, and how long it takes"""


def add(commands: Commands) -> None:
    """`run` and `report`."""
    run = commands.add_parser(
        "run",
        help="measure, and report (the main job)",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.set_defaults(call=_run)
    add_run_arguments(run)
    report = commands.add_parser("report", help="make figures and report again from a folder's raw records")
    report.set_defaults(call=_report)
    report.add_argument("folder", type=Path, metavar="DIR", help="a results folder")
    report.add_argument("--format", choices=FORMATS, help="print that, and write nothing")
    report.add_argument("--full", action="store_true", help="show every table in the terminal")


def _run(args: argparse.Namespace) -> int:
    subject = read_subject(args, installed=not args.dry_run)
    plan = plan_of(args, subject)
    console = display.console()
    if args.dry_run:
        show_plan(plan, console)
        return 0
    machine.require_linux()
    for sentence in warnings_of(plan.setups):
        Console(stderr=True).print(Text(f"warning: {sentence}", "yellow"))
    store = new_folder(args.out, plan.name)
    log = _Redacting(store)
    log.write_plan(plan)
    priced = len(rungs_of(plan)) > 1
    testbed = None
    with display.progress(duration_s(plan) + (PRICING_S if priced else 0.0)) as progress:
        try:
            if priced:
                price(store, plan.seed, progress)
            progress.say("starting the sink and the load generator")
            testbed = Testbed(plan, options_of(args, plan, subject))
            store.write(MACHINE, pretty(_machine(plan, subject, testbed)))
            run = carry_out(plan, testbed, log, progress)
        finally:
            with uninterrupted():
                if testbed is not None:
                    testbed.close()
    with uninterrupted():
        return _conclude(run, store, full=args.full)


def options_of(args: argparse.Namespace, plan: Plan, subject: Subject) -> Options:
    """How the testbed of a command line is set up."""
    ports = (0, 0)
    if plan.targets:
        ports = OTLP_PORTS
    elif collector.is_elsewhere(plan.collector):
        ports = collector.SINK_PORTS
    return Options(
        place=subject.place,
        crew=crew_of(args),
        sink_ports=ports,
        sink_host=args.sink_host,
        collector=collector.starter(plan.collector, plan.other_cpus) if plan.collector else None,
        signals=args.signals,
    )


def _machine(plan: Plan, subject: Subject, testbed: Testbed) -> Machine:
    """What the run is measured on, with the variables of every set-up."""
    cpus = machine.Cpus(usable=plan.cpus, services=plan.services_cpus, others=plan.other_cpus)
    between = testbed.collector
    launches = {
        setup.name: testbed.launch(plan, setup, 0, range(len(plan.app.process))) for setup in plan.setups
    }
    return replace(
        machine.describe(cpus),
        pausing=testbed.pausing,
        app_packages=install.packages(subject.place),
        versions=_versions(launches[plan.setups[0].name]),
        setups={name: redacted_variables(shown_variables(launch)) for name, launch in launches.items()},
        collector=f"{between.name} {between.version}".strip() if between else "",
    )


def _versions(launch: Launch) -> dict[str, str]:
    """What the processes' `version` commands say."""
    versions = {}
    for process in launch.app.process:
        if process.version:
            versions[process.name] = last_line_of(
                launch.words(process.version, process), launch.environ(process), launch.place.folder
            )
    return versions


class _Redacting:
    """A log that never stores what may be secret."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_plan(self, plan: Plan) -> None:
        self._store.write_plan(redacted(plan))

    def append(self, reading: Reading, rows: Sequence[Row]) -> None:
        self._store.append(reading, rows)

    def append_slowest(self, epoch: int, traces: Mapping[str, tuple[TraceSpan, ...]]) -> None:
        self._store.append_slowest(epoch, traces)


def show_plan(plan: Plan, console: Console) -> None:
    """What a run would do, and how long it takes."""
    pinned = f"application on CPU {plan.services_cpus}" if plan.services_cpus else "not pinned"
    console.print(f"{plan.app.name}, budget {plan.budget}: {minutes(plan)}, seed {plan.seed}, {pinned}")
    console.print(
        f"{plan.epochs} epochs of fresh processes; in each, instances take turns: a closed loop of "
        f"{plan.warm_up.own_s:.1f} s of own time to warm up, {plan.light.own_s:.1f} s of light load in turns "
        f"of {plan.light.turn_s * 1e3:.0f} ms, {plan.busy.own_s:.1f} s of busy load ({plan.users} users) in "
        f"turns of {plan.busy.turn_s * 1e3:.0f} ms"
    )
    rate = f"{plan.rate_per_s:g}/s" if plan.rate_per_s else f"{plan.share:.0%} of what the baseline can do"
    console.print(
        f"light rate: {rate}; up to {plan.spare} blocks of each load are repeated if the host is busy"
    )
    if plan.probes:
        limit = f"{plan.latency_limit_s * 1e3:g} ms"
        console.print(f"highest rate with p99 under {limit}: {plan.probes} steps per epoch")
    if plan.workers:
        console.print(f"load: {plan.workers} workers")
    if plan.collector:
        console.print(f"collector between application and sink: {plan.collector}")
    console.print(f"{len(plan.setups)} set-ups:")
    for setup in plan.setups:
        console.print(f"  {setup.name:<16} {setup.description}", highlight=False)


def _conclude(run: Run, store: Store, *, full: bool) -> int:
    """The derived files, the report, and the exit code."""
    try:
        store.write(ENDING, pretty(run.raw.ending))
        # Ctrl-C may come between what is on disk and what is known of it; the disk is right.
        interrupted = not run.complete and run.error is None
        raw = read_raw(store.folder) if interrupted else run.raw
        result = run_result(raw, predictor(store.folder))
        publish_run(store.folder, result)
    except ResultsError as error:
        # The disk is full: what is on it stays, and the report is shown at least here.
        run.error = run.error or error
        result = run_result(run.raw)
    terminal.show_run(result.summary, display.console(), full=full)
    show_place(store.folder)
    if run.error is not None:
        return complain(run.error)
    if not run.complete:
        return INTERRUPTED_EXIT_CODE
    return 0 if result.valid else MeasurementError.exit_code


def _report(args: argparse.Namespace) -> int:
    if not is_run(args.folder):
        return KINDS[kind_of(args.folder)].report(args.folder, args.format)
    if args.format is None:
        return conclude_run(args.folder, full=args.full)
    result = read_run(args.folder, predictor(args.folder))
    document = run_document(args.folder, result)
    made = {"md": markdown.render, "html": html.render}.get(args.format)
    sys.stdout.write(made(document) if made else pretty(result.summary).decode())
    return 0 if result.valid else MeasurementError.exit_code
