"""Plans, and whole runs of simulated instances: what a run would read if requests cost what a test says.

An instance is a queue with one server whose clock is its active time; the runner, the schedule and the
analysis are the real ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.app.records import App, Process, Request, Setup, Tracing
from bench.app.setups import choose, sampling_ratio
from bench.plan.readings import (
    Account,
    InstanceReading,
    MachineReading,
    Memory,
    Raw,
    RequestRow,
    StepReading,
    Switch,
)
from bench.plan.records import Closed, Kind, Learned, Open, Phase, Plan, Step
from bench.receiver.messages import KeptTrace, TraceSpan
from bench.receiver.spans import Span
from bench.runner.run import Log, Run, carry_out

APP = App(
    name="shop",
    unit="order",
    process=[
        Process(name="web", command="serve {port} {tracing}"),
        Process(name="stock", command="stock {port}"),
    ],
    request=[Request(path="/buy", expect=[200, 201])],
    tracing=Tracing(flush="/flush", spans={"web": 2, "stock": 1}),
)
SHAPE = {"web": 2, "stock": 1}
COSTS = {
    "none": 0.010,
    "none-aa": 0.010,
    "injected": 0.0106,
    "disabled": 0.011,
    "always-off": 0.013,
    "ratio-10": 0.014,
    "batch": 0.016,
    "simple": 0.060,
}
"""CPU seconds per request."""
NAMES = ("none", "none-aa", "injected", "always-off", "batch")


def plan(
    names: Sequence[str] = NAMES,
    *,
    replicates: int = 3,
    app: App = APP,
    own: Sequence[Setup] = (),
    **changes: object,
) -> Plan:
    """A small plan."""
    return replace(
        Plan(
            name="test",
            budget="smoke",
            seed=7,
            app=app,
            setups=choose(app, names, own),
            replicates=replicates,
            warm_up=Phase(slice_s=0.05, rounds=4, blocks=1),
            light=Phase(slice_s=0.2, rounds=2, blocks=4),
            saturation=Phase(slice_s=0.03, rounds=8, blocks=2),
            services_cpus=(1,),
            other_cpus=(0,),
            cpus=2,
        ),
        **changes,  # type: ignore[arg-type]
    )


@dataclass
class SimulatedPerformer:
    """Performs steps with simulated instances, and logs them.

    Attributes:
        costs: CPU seconds per request, by setup.
        noise: standard deviation of ln(cost) from one replicate and setup to the next.
        lose: share of the traces of a setup that never arrive.
        steal_s: what the host takes away in the blocks of a step, by its number.
        fail: called before every step; may raise.
    """

    costs: Mapping[str, float] = field(default_factory=lambda: COSTS)
    noise: float = 0.0
    lose: Mapping[str, float] = field(default_factory=dict)
    steal_s: Callable[[Step], float] = lambda _step: 0.0
    fail: Callable[[Step], None] = lambda _step: None
    status: int = 201
    log: list[str] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)

    def connect(self, plan: Plan) -> None:
        self.log.append(f"connect {len(plan.targets)}")

    def stop_instances(self) -> None:
        self.log.append("stop")

    def kept(self) -> Sequence[KeptTrace]:
        return [KeptTrace(setup="batch", spans=(span("root"), span("child", parent="root")))]

    def learn(self, plan: Plan, step: Step) -> StepReading:
        self.log.append(f"{step.kind} {step.replicate}")
        self.fail(step)
        return self._quiet(plan, step)

    def perform(
        self,
        plan: Plan,
        learned: Learned,  # noqa: ARG002
        step: Step,
        tell: Callable[[int], None],
    ) -> tuple[StepReading, tuple[RequestRow, ...]]:
        self.log.append(f"{step.kind} {step.replicate}")
        self.fail(step)
        if not step.slices:
            return self._quiet(plan, step), ()
        rows: list[RequestRow] = []
        switches: list[Switch] = []
        readings = []
        for number, setup in enumerate(plan.setups):
            rng = np.random.default_rng([plan.seed, step.replicate, number])
            cost_s = self.costs[setup.name] * float(np.exp(self.noise * rng.standard_normal()))
            served, turned = self._serve(step, number, cost_s)
            rows += served
            switches += turned
            completed = len(served) if self.status in {200, 201} else 0
            self.served[setup.name] = self.served.get(setup.name, 0) + completed
            readings.append(
                InstanceReading(
                    setup=setup.name,
                    cpu_ns=sum(switch.cpu_ns for switch in turned),
                    completed=completed,
                    failed=len(served) - completed,
                )
            )
        blocks = step.slices[-1].block + 1
        length_s = step.slices[-1].stop_ns / 1e9 / blocks
        reading = StepReading(
            replicate=step.replicate,
            number=step.number,
            kind=step.kind,
            duration_s=length_s * blocks,
            planned_blocks=blocks,
            switches=tuple(sorted(switches, key=lambda switch: switch.start_ns)),
            blocks=tuple(
                MachineReading(duration_s=length_s, steal_s=self.steal_s(step)) for _ in range(blocks)
            ),
            instances=tuple(readings),
        )
        tell(blocks)
        return reading, tuple(sorted(rows, key=lambda row: row.planned_ns))

    def _serve(self, step: Step, number: int, cost_s: float) -> tuple[list[RequestRow], list[Switch]]:
        """One instance's requests: first come, first served, in its active time."""
        slices = [time_slice for time_slice in step.slices if time_slice.instance == number]
        if not slices:
            return [], []
        length_ns = slices[0].stop_ns - slices[0].start_ns
        cost_ns = max(round(cost_s * 1e9), 1)

        def wall(active_ns: int) -> int:
            # After the last time slice it goes on running.
            at = min(active_ns // length_ns, len(slices) - 1)
            return slices[at].start_ns + active_ns - at * length_ns

        starts = [time_slice.start_ns for time_slice in slices]
        rows, used_ns, free_ns = [], 0, 0
        if isinstance(step.load, Open):
            for arrival in step.load.arrivals:
                if arrival.instance != number:
                    continue
                at = int(np.searchsorted(starts, arrival.offset_ns, side="right")) - 1
                active_ns = at * length_ns + arrival.offset_ns - starts[at]
                free_ns = max(free_ns, active_ns) + cost_ns
                used_ns += cost_ns
                done_ns = wall(free_ns)
                rows.append(
                    RequestRow(
                        arrival.offset_ns, arrival.offset_ns, done_ns, self.status, number, arrival.request
                    )
                )
        elif isinstance(step.load, Closed):
            while free_ns + cost_ns <= length_ns * len(slices):
                planned_ns = wall(max(free_ns - (step.load.users - 1) * cost_ns, 0))
                free_ns += cost_ns
                rows.append(RequestRow(planned_ns, planned_ns, wall(free_ns), self.status, number, 0))
            used_ns = length_ns * len(slices)
        each_ns = used_ns // len(slices)
        switches = [
            Switch(number, time_slice.block, time_slice.start_ns, time_slice.stop_ns, each_ns, 0)
            for time_slice in slices
        ]
        return rows, switches

    def _quiet(self, plan_: Plan, step: Step) -> StepReading:
        readings = []
        for setup in plan_.setups:
            reading = InstanceReading(setup=setup.name, cpu_ns=1_000_000)
            if step.kind is Kind.START:
                reading = replace(reading, ready_s=1.0, cpu_ns=2 * 10**9)
            if step.kind is Kind.REST:
                reading = replace(reading, memory=Memory(pss_bytes=10**8, uss_bytes=9 * 10**7))
            if step.kind is Kind.LEARN and sampling_ratio(setup) == 1.0:
                reading = replace(
                    reading, completed=20, account=Account(whole=0, damaged=20, shapes=(SHAPE,))
                )
            if step.kind is Kind.SETTLE:
                reading = replace(reading, account=self._account(setup), sampled=self._sampled(setup))
                self.served[setup.name] = 0
            readings.append(reading)
        return StepReading(
            replicate=step.replicate,
            number=step.number,
            kind=step.kind,
            duration_s=1.0,
            blocks=(MachineReading(duration_s=1.0),),
            instances=tuple(readings),
            stray=Account() if step.kind is Kind.SETTLE else None,
        )

    def _sampled(self, setup: Setup) -> int | None:
        # A collector samples after that.
        ratio = sampling_ratio(setup) / setup.collector_sampling
        return round(self.served.get(setup.name, 0) * ratio) if 0 < ratio < 1 else None

    def _account(self, setup: Setup) -> Account:
        expected = round(self.served.get(setup.name, 0) * sampling_ratio(setup))
        return whole(expected - round(expected * self.lose.get(setup.name, 0.0)))


def whole(traces: int) -> Account:
    """An account of complete traces."""
    spans = {process: count * traces for process, count in SHAPE.items()} if traces else {}
    return Account(spans=spans, whole=traces, exports=traces, bytes=1000 * traces)


class Quiet:
    """A progress that says nothing."""

    def say(self, what: str, detail: str = "", /) -> None:
        """Nothing."""


def run(plan_: Plan | None = None, performer: SimulatedPerformer | None = None) -> Run:
    """A whole simulated run."""
    return carry_out(plan_ or plan(), performer or SimulatedPerformer(), Log(), Quiet())


def raw(plan_: Plan | None = None, performer: SimulatedPerformer | None = None) -> Raw:
    """What a simulated run left."""
    return run(plan_, performer).raw


def span(
    name: str = "root", *, parent: str = "", trace: str = "a1", length_ms: int = 10, service: str = "web"
) -> TraceSpan:
    """A span with everything that it says."""
    return TraceSpan(
        service=service,
        trace_id=trace,
        span_id=name.encode().hex(),
        parent_id=parent.encode().hex(),
        name=name,
        kind="server",
        start_ns=0,
        end_ns=length_ms * 10**6,
    )


def trace_of(number: int, shape: Mapping[str, int] = SHAPE) -> list[Span]:
    """A complete trace: each process's spans hang in a chain below the one before."""
    services = [service for service, count in shape.items() for _ in range(count)]
    ids = [(number * 100 + place + 1).to_bytes(8) for place in range(len(services))]
    return [
        Span(service, number.to_bytes(16), ids[place], ids[place - 1] if place else b"")
        for place, service in enumerate(services)
    ]
