"""Carries a run out: testbed, raw log, and what it was measured on."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.app.file import warnings
from bench.plan.budget import duration_s
from bench.plan.machine import Machine
from bench.plan.readings import RequestRow, StepReading
from bench.plan.records import Learned, Plan
from bench.receiver.messages import KeptTrace
from bench.report.words import percent
from bench.results.redact import redacted, redacted_variables
from bench.results.store import ENDING, MACHINE, Store, pretty
from bench.runner import doctor
from bench.runner.learning import LearningTestbed
from bench.runner.run import Log, Progress, carry_out
from bench.studies.micro.measure import measured
from bench.studies.micro.operations import REFERENCE, TABLE
from bench.studies.micro.predictions import priced
from bench.studies.run.options import Options
from bench.studies.run.planning import load_workers_of
from bench.testbed import environments, fitness, machine
from bench.testbed.app_files import LoadedApp
from bench.testbed.environ import Launch, shown_variables
from bench.testbed.interrupts import uninterrupted
from bench.testbed.options import Options as TestbedOptions
from bench.testbed.process import last_line_of
from bench.testbed.testbed import Testbed
from bench.traces import collectors

OTLP_PORTS = (4318, 4317)
"""OTLP's own, http and grpc: where instances that run elsewhere send by default."""
LOOK_S = 3.0
"""How long a run looks at what else uses the machine, before it begins."""
PRICING_REPLICATES = 5
PRICING_S = 450.0
"""For the display only."""


class StoreLog(Log):
    """Raw records go to a folder, without what may be secret."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write_plan(self, plan: Plan) -> None:
        """The plan."""
        self._store.write_plan(redacted(plan))

    def write_learned(self, learned: Learned) -> None:
        """What has been learned so far."""
        self._store.write_learned(learned)

    def append(self, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        """A step as it went."""
        self._store.append(reading, rows)

    def append_traces(self, replicate: int, traces: Sequence[KeptTrace]) -> None:
        """The traces that are kept of a replicate."""
        self._store.append_traces(replicate, traces)


def measure(  # noqa: PLR0913 - what a run is
    plan: Plan, loaded: LoadedApp, how: TestbedOptions, *, with_prices: bool, store: Store, progress: Progress
) -> None:
    """Carry out a plan into a folder; once the processes have started, an ending is always written.

    Args:
        plan: what to do.
        loaded: the application.
        how: how the testbed is set up.
        with_prices: whether the operations of a ladder are priced first.
        store: the folder.
        progress: displays what is going on.

    Raises:
        BenchError: what ended it early.
        KeyboardInterrupt: a person ended it.
    """
    log = StoreLog(store)
    if with_prices:
        names = priced(plan.setups) | {REFERENCE}
        operations = tuple(operation for operation in TABLE if operation.name in names)
        measured(store, operations, PRICING_REPLICATES, plan.seed, progress)
    progress.say("starting the receiver and the load generator")
    with contextlib.closing(LearningTestbed(plan, how)) as testbed:
        store.write(MACHINE, pretty(machine_of(plan, loaded, testbed)))
        run = carry_out(plan, testbed, log, progress)
    with uninterrupted():
        store.write(ENDING, pretty(run.raw.ending))
    if run.error is not None:
        raise run.error
    if not run.complete:
        raise KeyboardInterrupt


def look_at_machine(plan: Plan, progress: Progress, *, app_file: str, wait: bool) -> Iterator[str]:
    """Sentences about this machine before the measurement: what is wrong, and what precision to expect."""
    if wait:
        fitness.wait_until_quiet(progress.say)
    unfit = [look for look in fitness.examine(LOOK_S) if not look.fit]
    for look in unfit:
        yield f"warning: {look.name}: {look.value}: {look.advice}"
    expected = doctor.expected_mde(plan, doctor.TYPICAL)
    if expected is not None:
        state = "not quiet" if unfit else "fit to measure"
        yield (
            f"This machine is {state}. Expect {minutes(plan)}, and to detect overheads from "
            f"{percent(expected, sign=False)} % if requests cost and vary as the built-in example's do; "
            f"`tracing-overhead doctor{app_file}` measures that."
        )


def warnings_about(plan: Plan, left_out: Sequence[str]) -> Iterator[str]:
    """What may be wrong with a plan, a sentence each."""
    if left_out:
        yield f"warning: left out, because their Python is not on this machine: {', '.join(left_out)}"
    for sentence in warnings(plan.setups):
        yield f"warning: {sentence}"


def minutes(plan: Plan) -> str:
    """How long a run takes, without and with all the blocks that it may repeat."""
    least, most = duration_s(plan), duration_s(plan, repeated=plan.spare)
    more = f" ({_clock(most)} with repeated blocks)" if plan.spare else ""
    return f"about {_clock(least)}{more}"


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def testbed_options(options: Options, plan: Plan, loaded: LoadedApp) -> TestbedOptions:
    """How the testbed of a command line is set up; environments of setups are installed."""
    ports = (0, 0)
    if plan.targets:
        ports = OTLP_PORTS
    elif collectors.is_elsewhere(plan.collector):
        ports = collectors.RECEIVER_PORTS
    return TestbedOptions(
        place=loaded.place,
        places=environments.places(plan.app, plan.setups, loaded.place.folder),
        load_workers=load_workers_of(options),
        receiver_ports=ports,
        receiver_host=options.receiver_host,
        collector=collectors.starter(plan) if plan.collector else None,
        signals=options.signals,
    )


def machine_of(plan: Plan, loaded: LoadedApp, testbed: Testbed) -> Machine:
    """What the run is measured on, with the variables of every setup."""
    cpus = machine.Cpus(usable=plan.cpus, services=plan.services_cpus, others=plan.other_cpus)
    between = testbed.collector
    launches = {
        setup.name: testbed.launch(plan, setup, 0, range(len(plan.app.process))) for setup in plan.setups
    }
    own = environments.installed(loaded.place, plan.app)
    return replace(
        machine.describe(cpus),
        pausing=testbed.pausing,
        app_python=own.python,
        app_packages=own.packages,
        setup_packages={
            setup.name: environments.installed(launches[setup.name].place, plan.app).packages
            for setup in plan.setups
            if setup.has_packages
        },
        versions=_versions(launches[plan.setups[0].name]),
        setups={name: redacted_variables(shown_variables(launch)) for name, launch in launches.items()},
        collector=f"{between.name} {between.version}".strip() if between else "",
    )


def _versions(launch: Launch) -> dict[str, str]:
    """What the processes' `version` commands print."""
    versions = {}
    for process in launch.app.process:
        if process.version:
            versions[process.name] = last_line_of(
                launch.words(process.version, process), launch.environ(process), launch.place.folder
            )
    return versions
