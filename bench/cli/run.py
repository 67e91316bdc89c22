"""`run`, the main job; and `report`, which makes its report again."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.analysis.layers import rungs_of
from bench.app.file import warnings
from bench.app.presets import INSTRUMENTORS
from bench.cli import display
from bench.cli.folders import KINDS, document_of, kind_of
from bench.cli.invocation import spelled_here
from bench.cli.micro import PRICING_S, price
from bench.cli.options import Format, RunOptions
from bench.cli.planning import Subject, load_workers_of, plan_of, read_subject
from bench.cli.shared import (
    conclude_run,
    minutes,
    new_folder,
    predictor,
    print_as,
    publish_run,
    run_document,
    show_place,
    show_run,
    uninterrupted,
)
from bench.errors import INTERRUPTED_EXIT_CODE, MeasurementError, ResultsError, UsageError
from bench.plan.budget import duration_s
from bench.plan.machine import Machine
from bench.plan.readings import Reading, Row
from bench.plan.records import Plan
from bench.receiver.messages import TraceSpan
from bench.report import markdown, terminal
from bench.report.document import Document, Section
from bench.report.words import percent, plural, printable
from bench.results.folder import is_run, read_run, run_result
from bench.results.redact import redacted, redacted_variables
from bench.results.store import ENDING, MACHINE, Store, pretty, read_raw
from bench.runner import doctor
from bench.runner.run import Log, Run, carry_out
from bench.testbed import fitness, install, leftovers, machine, remote
from bench.testbed.environ import Launch, shown_variables
from bench.testbed.options import Options
from bench.testbed.process import last_line_of
from bench.testbed.testbed import Testbed
from bench.traces import collector

OTLP_PORTS = (4318, 4317)
"""OTLP's own, http and grpc: where instances that run elsewhere send unless told otherwise."""
LOOK_S = 3.0
"""How long a run looks at what else uses the machine, before it begins."""


def run(options: RunOptions | None = None) -> int:
    """Measure, and report: the main job.

    `tracing-overhead run --budget quick` gives a first answer for the built-in example, `--app my.toml`
    measures a service of your own, and `--dry-run` says what a run would do and how long it takes.
    """
    options = options or RunOptions()
    # What an application can instrument, only its environment tells.
    subject = read_subject(options, installed=not options.dry_run or options.preset == INSTRUMENTORS)
    plan = plan_of(options, subject)
    console = display.console()
    if options.dry_run:
        show_plan(plan, console)
        return 0
    machine.require_linux()
    trips = {name: remote.round_trip_s(url) for name, url in plan.targets.items()}
    plan = replace(plan, round_trips_s=trips)
    for sentence in warnings(plan.setups):
        display.warn(sentence)
    for sentence in leftovers.remove():
        display.warn(sentence)
    # What cannot be installed is told before anything is measured.
    how = testbed_options(options, plan, subject)
    _look_at_machine(plan, options.app, wait=options.wait_for_quiet)
    store = new_folder(options.out, plan.name)
    log = StoreLog(store)
    log.write_plan(plan)
    priced = len(rungs_of(plan)) > 1
    testbed = done = None
    with display.progress(duration_s(plan) + (PRICING_S if priced else 0.0)) as progress:
        try:
            if priced:
                price(store, plan.seed, progress)
            progress.say("starting the receiver and the load generator")
            testbed = Testbed(plan, how)
            store.write(MACHINE, pretty(_machine(plan, subject, testbed)))
            done = carry_out(plan, testbed, log, progress)
        finally:
            with uninterrupted():
                if testbed is not None:
                    testbed.close()
                if done is None:
                    store.discard()
    with uninterrupted():
        if done.error is not None and not any(reading.switches for reading in done.readings):
            # Nothing was measured: the application, or its file, is to be mended first.
            store.discard()
            return display.complain(done.error)
        return _conclude(done, store, full=options.full)


def _look_at_machine(plan: Plan, app_file: Path | None, *, wait: bool) -> None:
    """Tell, before anything is measured, what is wrong with this machine and what precision to expect."""
    if wait:
        with display.progress(fitness.QUIET_LIMIT_S) as progress:
            fitness.wait_until_quiet(progress.say)
    doubts = [look for look in fitness.examine(LOOK_S) if not look.fit]
    for look in doubts:
        display.warn(f"{look.name}: {look.value}: {look.advice}")
    app = f" --app {app_file}" if app_file else ""
    expected = doctor.expected_mde(plan, doctor.TYPICAL)
    if expected is not None:
        state = "not quiet" if doubts else "fit to measure"
        display.tell(
            f"This machine is {state}. Expect {minutes(plan)}, and to find overheads from "
            f"{percent(expected, sign=False)} % on if "
            f"requests cost and vary as the built-in example's do; `tracing-overhead doctor{app}` tries."
        )


def testbed_options(options: RunOptions, plan: Plan, subject: Subject) -> Options:
    """How the testbed of a command line is set up."""
    ports = (0, 0)
    if plan.targets:
        ports = OTLP_PORTS
    elif collector.is_elsewhere(plan.collector):
        ports = collector.RECEIVER_PORTS
    return Options(
        place=subject.place,
        places=install.places(plan.app, plan.setups, subject.place.folder),
        load_workers=load_workers_of(options),
        receiver_ports=ports,
        receiver_host=options.receiver_host,
        collector=collector.starter(plan) if plan.collector else None,
        signals=options.signals,
    )


def _machine(plan: Plan, subject: Subject, testbed: Testbed) -> Machine:
    """What the run is measured on, with the variables of every setup."""
    cpus = machine.Cpus(usable=plan.cpus, services=plan.services_cpus, others=plan.other_cpus)
    between = testbed.collector
    launches = {
        setup.name: testbed.launch(plan, setup, 0, range(len(plan.app.process))) for setup in plan.setups
    }
    return replace(
        machine.describe(cpus),
        pausing=testbed.pausing,
        app_packages=install.packages(subject.place, plan.app),
        setup_packages={
            setup.name: install.packages(launches[setup.name].place, plan.app)
            for setup in plan.setups
            if setup.has_packages
        },
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


class StoreLog(Log):
    """Raw records go to a folder, without what may be secret."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_plan(self, plan: Plan) -> None:
        self._store.write_plan(redacted(plan))

    def append(self, reading: Reading, rows: Sequence[Row]) -> None:
        self._store.append(reading, rows)

    def append_slowest(self, replicate: int, traces: Mapping[str, tuple[TraceSpan, ...]]) -> None:
        self._store.append_slowest(replicate, traces)


def show_plan(plan: Plan, console: Console) -> None:
    """What a run would do, and how long it takes."""
    pinned = (
        f"application on CPU {', '.join(map(str, plan.services_cpus))}"
        if plan.services_cpus
        else "not pinned"
    )
    console.print(f"{plan.app.name}, budget {plan.budget}: {minutes(plan)}, seed {plan.seed}, {pinned}")
    console.print(
        f"{plan.replicates} replicates of fresh processes; in each, instances run in interleaved time slices: a closed loop of "
        f"{plan.warm_up.active_s:.1f} s of active time to warm up, {plan.light.active_s:.1f} s of light load in time slices "
        f"of {plan.light.slice_s * 1e3:.0f} ms, {plan.saturation.active_s:.1f} s of full load ({plan.users} users) in "
        f"time slices of {plan.saturation.slice_s * 1e3:.0f} ms"
    )
    rate = f"{plan.rate_per_s:g}/s" if plan.rate_per_s else f"{plan.share:.0%} of what the baseline can do"
    console.print(
        f"light rate: {rate}; up to {plural(plan.spare, 'block')} of each load may be repeated if the host "
        "is busy"
    )
    if plan.probes:
        limit = f"{plan.latency_limit_s * 1e3:g} ms"
        console.print(f"highest rate with p99 under {limit}: {plan.probes} steps per replicate")
    if plan.workers:
        console.print(f"load: {plan.workers} workers")
    if plan.collector:
        console.print(f"collector between application and receiver: {plan.collector}")
    console.print(f"{len(plan.setups)} setups:")
    for setup in plan.setups:
        console.print(Text(f"  {setup.name:<16} {printable(setup.description)}"))


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
    show_run(store.folder, result, full=full)
    show_place(store.folder)
    if run.error is not None:
        return display.complain(run.error)
    if not run.complete:
        return INTERRUPTED_EXIT_CODE
    return 0 if result.valid else MeasurementError.exit_code


def report(
    folder: Path,
    /,
    *,
    format: Format | None = None,  # noqa: A002
    section: str | None = None,
    full: bool = False,
) -> int:
    """Make figures and report again from a folder's raw records.

    Args:
        folder: A results folder.
        format: Print that, and write nothing.
        section: Print this section of the report alone, as Markdown, and write nothing.
        full: Show the whole report in the terminal.
    """
    if section is not None:
        sys.stdout.write(markdown.render_section(_section(document_of(folder), section)))
        return 0
    if not is_run(folder):
        return KINDS[kind_of(folder)].report(folder, format)
    if format is None:
        return conclude_run(folder, full=full)
    result = read_run(folder, predictor(folder))
    if format == "text" and not full:
        terminal.show_run(result.summary, display.console(), spelled_here)
    else:
        print_as(format, run_document(folder, result), result.summary)
    for fault in result.faults:
        sys.stderr.write(f"INVALID: changed since it was measured: {fault}\n")
    return 0 if result.valid else MeasurementError.exit_code


def _section(document: Document, title: str) -> Section:
    """The section of a title, or of how it begins."""
    known = [section.title for section in document.sections]
    for section in document.sections:
        if section.title.lower().startswith(title.lower()):
            return section
    raise UsageError(f"the report has no section {title!r}", f"it has {', '.join(known)}")
