"""The processes of a run, and how a step of its plan is performed with them.

The harness, the load and the receiver keep to their CPUs, the application to its own. In a time slice
one instance runs and all others are stopped; its clock is read at every switch.
"""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.app.records import Setup
from bench.errors import MeasurementError
from bench.plan.readings import Account, InstanceReading, RequestRow, StepReading
from bench.plan.records import NOTHING_LEARNED, Burn, Kind, Learned, Open, Plan, Quiet, Step
from bench.plan.schedule import hash_seed, start_order
from bench.receiver.accounting import total
from bench.receiver.messages import CloseAccounts, KeptTrace
from bench.testbed import leftovers, meter
from bench.testbed.environ import Launch
from bench.testbed.instance import Instance, LocalInstance
from bench.testbed.instances import Instances
from bench.testbed.interrupts import uninterrupted
from bench.testbed.load import Load
from bench.testbed.options import Options
from bench.testbed.orders import order_of
from bench.testbed.pausing import ControlGroup, Group, SignalGroup, control_group_root
from bench.testbed.pids import pin
from bench.testbed.ports import free_ports
from bench.testbed.receiver import Receiver
from bench.testbed.remote import RemoteInstance
from bench.testbed.slices import SliceRunner, counted

BATCH_DELAY_S = 5.0
"""The batch processor's default delay."""
QUIET_MARGIN_S = 1.5
SETTLE_LIMIT_S = 90.0
ELSEWHERE_QUIET_S = 2.0
"""Ten times as long as a Collector keeps a batch by default."""
SWITCH_INTERVAL_S = 0.0005
"""How long another thread of the harness may keep the interpreter at a switch of slices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Clocks before a step without load.

    Attributes:
        started_s: on the monotonic clock.
        machine: clocks of the machine.
        cpu_ns: CPU time of every instance.
    """

    started_s: float
    machine: meter.MachineClocks
    cpu_ns: tuple[int, ...]


class Testbed:
    """The running processes of a run.

    Attributes:
        receiver: the OTLP receiver.
        collector: what stands before it; None: nothing.
        instances: all of them; empty between replicates.
        pausing: how instances are stopped, in words.
    """

    def __init__(self, plan: Plan, options: Options) -> None:
        """Make the folder and the control group, pin the harness, start receiver, collector and load.

        Raises:
            ServiceError: one of them cannot start.
        """
        self._options = options
        self._run = secrets.token_hex(8)
        self.instances = Instances()
        root = None if options.signals else control_group_root()
        self._groups = root / f"bench-{self._run}" if root else None
        self.pausing = "control group" if root else "signals"
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(leftovers.kept_folder(self._run, str(self._groups or "")))
            if self._groups:
                self._groups.mkdir()
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            cpus = sorted(os.sched_getaffinity(0))
            if plan.other_cpus:
                pin([os.getpid()], plan.other_cpus)
            self.receiver = Receiver(self.folder, self._run, options.receiver_ports, options.receiver_host)
            stack.callback(self.receiver.stop)
            self.collector = options.collector(self.receiver, self.folder) if options.collector else None
            if self.collector:
                stack.callback(self.collector.stop)
            self._load = Load(self.folder, self._run, options.load_workers) if options.load else None
            if self._load:
                stack.callback(self._load.stop)
            stack.callback(self.stop_instances)
            self._parts = stack.pop_all()
        collector_pid = self.collector.pid if self.collector else None
        self._machine = meter.MachineMeter(
            cpus, lambda: self._load.pids if self._load else (), self.receiver.child.pid, collector_pid
        )

    @property
    def load(self) -> Load:
        """The load generator.

        Raises:
            MeasurementError: the testbed was made without load.
        """
        if self._load is None:
            raise MeasurementError("this testbed sends no load", "make one with load")
        return self._load

    @property
    def endpoints(self) -> dict[str, str]:
        """Where the application exports to, by OTLP protocol."""
        return dict(self.collector.endpoints if self.collector else self.receiver.endpoints)

    def launch(
        self, plan: Plan, setup: Setup, replicate: int, ports: Sequence[int], name: str = ""
    ) -> Launch:
        """How an instance is started."""
        return Launch(
            app=plan.app,
            place=self._options.places.get(setup.name, self._options.place),
            setup=setup,
            ports=dict(zip((process.name for process in plan.app.process), ports, strict=True)),
            tmp=self.folder / f"{name or setup.name}-{replicate}",
            endpoints=self.endpoints,
            replicate=replicate,
            hash_seed=hash_seed(plan, replicate),
            run=self._run,
            timers=len(plan.setups) if plan.scale_timers else 1,
            burn_us=round(plan.burns_s.get(setup.name, 0.0) * 1e6),
            burn=plan.burns.get(setup.name) or (Burn() if plan.burns_s.get(setup.name) else None),
        )

    def start_instance(self, launch: Launch, cpus: Sequence[int] = ()) -> LocalInstance:
        """An instance, ready."""
        return LocalInstance(launch, self._group(launch.tmp.name), cpus)

    def _group(self, name: str) -> Group:
        return ControlGroup(self._groups / name) if self._groups else SignalGroup()

    # ------------------------------------------------------------ steps

    def perform(
        self,
        plan: Plan,
        learned: Learned,
        step: Step,
        tell: Callable[[int], None] = lambda _block: None,
    ) -> tuple[StepReading, tuple[RequestRow, ...]]:
        """Perform one step.

        Args:
            plan: of the run.
            learned: what its first replicate measured so far.
            step: what to do; the runner itself performs LEARN steps.
            tell: called with a block's number before it.

        Returns:
            What was read, and the requests as they went.

        Raises:
            ServiceError: a process of the run failed.
            MeasurementError: a measurement would not be valid.
        """
        rows: tuple[RequestRow, ...] = ()
        match step.kind:
            case Kind.START:
                reading = self._start_step(plan, step)
            case Kind.REST:
                reading = self._rest_step(step)
            case Kind.FLUSH | Kind.EMPTY_FLUSH:
                reading = self._flush_step(step)
            case Kind.SETTLE:
                reading = self._settle_step(plan, learned, step)
            case Kind.LEARN:
                raise ValueError("the runner learns")
            case _:
                reading, rows = self._in_slices(plan, step, tell)
        self.check()
        return reading, rows

    def check(self) -> None:
        """Raise ServiceError if a process that the run depends on has ended."""
        self.instances.check()
        if self.collector:
            self.collector.check()

    def watch(self) -> Watch:
        """The clocks of the machine and of all instances, before a step without load."""
        return Watch(
            started_s=time.monotonic(),
            machine=self._machine.now(),
            cpu_ns=tuple(instance.cpu_ns() for instance in self.instances),
        )

    def read(self, watch: Watch) -> list[InstanceReading]:
        """What every instance used since then."""
        return [
            InstanceReading(setup=instance.setup.name, cpu_ns=instance.cpu_ns() - before)
            for instance, before in zip(self.instances, watch.cpu_ns, strict=True)
        ]

    def reading(self, step: Step, watch: Watch, instances: Sequence[InstanceReading]) -> StepReading:
        """A step without load, as it went."""
        services_s = sum(instance.cpu_ns for instance in instances) / 1e9
        return StepReading(
            replicate=step.replicate,
            number=step.number,
            kind=step.kind,
            duration_s=time.monotonic() - watch.started_s,
            blocks=(meter.between(watch.machine, self._machine.now(), services_s),),
            instances=tuple(instances),
        )

    def _start_step(self, plan: Plan, step: Step) -> StepReading:
        """Fresh processes, and what it took to start them."""
        watch = self.watch()
        self._start(plan, step.replicate)
        started = [
            InstanceReading(setup=instance.setup.name, ready_s=instance.ready_s, cpu_ns=instance.start_cpu_ns)
            for instance in self.instances
            if isinstance(instance, LocalInstance)
        ]
        return self.reading(step, watch, started)

    def _rest_step(self, step: Step) -> StepReading:
        """All instances run and nothing is asked of them; then their memory."""
        watch = self.watch()
        time.sleep(step.load.seconds if isinstance(step.load, Quiet) else 0.0)
        readings = [
            replace(reading, memory=memory)
            for reading, memory in zip(self.read(watch), self.instances.memory(), strict=True)
        ]
        memory = self.collector.memory() if self.collector else None
        return replace(self.reading(step, watch, readings), collector_memory=memory)

    def _flush_step(self, step: Step) -> StepReading:
        """All instances export; after a load, processes beside the application burn what is owed."""
        watch = self.watch()
        failed = self._flush()
        if step.kind is Kind.FLUSH:
            self.instances.burn()
        readings = [
            replace(reading, flush_failed=names)
            for reading, names in zip(self.read(watch), failed, strict=True)
        ]
        return self.reading(step, watch, readings)

    def _settle_step(self, plan: Plan, learned: Learned, step: Step) -> StepReading:
        """Everything is exported and has arrived; accounts are closed.

        What is exported only now, because there is no flush, is in the CPU time of this step.
        """
        watch = self.watch()
        failed = self._flush()
        drained = self._settle(plan)
        accounts = self.accounts(learned, step.replicate)
        parts = zip(
            self.read(watch),
            failed,
            self.instances.sampled(),
            self.instances.discarded(),
            (instance.failures() for instance in self.instances),
            strict=True,
        )
        readings = [
            replace(
                reading,
                flush_failed=names,
                account=accounts.get(reading.setup, Account()),
                sampled=sampled,
                discarded=discarded,
                failures=failures,
            )
            for reading, names, sampled, discarded, failures in parts
        ]
        stray = total(account for setup, account in accounts.items() if setup not in plan.names)
        return replace(self.reading(step, watch, readings), stray=stray, drained=drained)

    def _start(self, plan: Plan, replicate: int) -> None:
        """Fresh processes for all instances, one instance after the other."""
        self.stop_instances()
        if not replicate:
            # Whatever came before, from another run's instances, does not belong to this start.
            self.accounts(NOTHING_LEARNED, replicate)
        instances: dict[int, Instance] = {}
        taken: set[int] = set()
        try:
            for number in start_order(plan, replicate):
                ports = free_ports(len(plan.app.process), taken)
                launch = self.launch(plan, plan.setups[number], replicate, ports)
                instances[number] = self.start_instance(launch, plan.services_cpus)
        finally:
            self.instances[:] = [instances[key] for key in sorted(instances)]
        self.instances.check_baseline()

    def connect(self, plan: Plan) -> None:
        """Use instances that run elsewhere."""
        self.instances[:] = [
            RemoteInstance(plan.app, setup, plan.targets[setup.name]) for setup in plan.setups
        ]
        self.instances.check_baseline()

    def _in_slices(
        self, plan: Plan, step: Step, tell: Callable[[int], None]
    ) -> tuple[StepReading, tuple[RequestRow, ...]]:
        arrivals = step.load.arrivals if isinstance(step.load, Open) else ()
        lead_ns = int(self.load.lead_for(len(arrivals)) * 1e9)
        start_ns = time.monotonic_ns() + lead_ns
        self.load.send(order_of(plan, step, start_ns, self.instances))
        slice_runner = SliceRunner(self.instances, start_ns, self._machine)
        started = time.monotonic()
        try:
            slice_runner.run(step.slices, tell)
            slice_runner.drain(step.slices, self.load)
        finally:
            self.instances.resume()
        rows = self.load.rows()
        readings = tuple(
            counted(plan, instance.setup, number, rows, slice_runner.used_ns[number])
            for number, instance in enumerate(self.instances)
        )
        for number, reading in enumerate(readings):
            self.instances.add_cpu_debt(number, reading)
        return StepReading(
            replicate=step.replicate,
            number=step.number,
            kind=step.kind,
            duration_s=time.monotonic() - started,
            planned_blocks=step.slices[-1].block + 1,
            switches=tuple(slice_runner.switches),
            blocks=tuple(slice_runner.blocks),
            instances=readings,
            lost_workers=self.load.lost,
        ), rows

    def _flush(self) -> list[tuple[str, ...]]:
        """Have all instances export; returns the processes of each that did not."""
        if not self.receiver.is_running():
            # Every flush would wait for exporters that retry, and the spans are lost anyway.
            return [("every process",)] * len(self.instances)
        return [instance.flush() for instance in self.instances]

    def _settle(self, plan: Plan) -> bool:
        """Wait until everything has arrived; False if a collector keeps something."""
        if not self.receiver.is_running():
            return True
        if not plan.app.tracing.flush and any(setup.tracing != "none" for setup in plan.setups):
            delays = [
                float(setup.env.get("OTEL_BSP_SCHEDULE_DELAY", BATCH_DELAY_S * 1e3)) / 1e3
                for setup in plan.setups
                if setup.tracing != "none"
            ]
            timers = len(plan.setups) if plan.scale_timers else 1
            self.receiver.wait_until_quiet(max(delays) * timers + QUIET_MARGIN_S, SETTLE_LIMIT_S)
        elif plan.targets:
            # Exports there may pass through a collector that the harness does not know.
            self.receiver.wait_until_quiet(ELSEWHERE_QUIET_S, SETTLE_LIMIT_S)
        return self.collector is None or self.collector.drain(self.receiver)

    def settle(self, plan: Plan) -> None:
        """Have everything exported, and wait until it has arrived."""
        self._flush()
        self._settle(plan)

    def accounts(
        self,
        learned: Learned,
        replicate: int,
        *,
        learn: bool = False,
        since_ns: Mapping[str, int] | None = None,
    ) -> dict[str, Account]:
        """The receiver's accounts by setup; none if it has died, which the span accounting then shows.

        Args:
            learned: the shapes of traces.
            replicate: whose processes are running.
            learn: whether accounts should have the shapes of all traces.
            since_ns: by setup, when the traces that count began at the earliest.
        """
        if not self.receiver.is_running():
            return {}
        return self.receiver.close_accounts(
            CloseAccounts(
                replicate=replicate,
                shapes=learned.shapes,
                start_shapes=learned.start_shapes,
                learn=learn,
                since_ns=dict(since_ns or {}),
            )
        )

    def forget_counts(self) -> None:
        """Count sampled and discarded spans from here on."""
        self.instances.sampled()
        self.instances.discarded()

    def kept(self) -> tuple[KeptTrace, ...]:
        """The traces that are kept of the last account; none if the receiver has died."""
        return self.receiver.kept() if self.receiver.is_running() else ()

    def stop_instances(self) -> None:
        """Stop all instances; those that run elsewhere go on."""
        self.instances.stop()

    def close(self) -> None:
        """Stop all processes of the run and give the harness its CPUs back; ignores a second Ctrl-C."""
        with uninterrupted():
            self._parts.close()
