"""How accurate the harness is: trial after trial with fresh processes, known costs among them.

A trial is a run: the same testbed, the same plan, the same turns. One after the other is measured on
the same instances, right after the turns, with as many seconds in all: only the order differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.accuracy.trials import Beside, Trial, burns, burns_s, setups
from bench.analysis.own_time import OwnClock, requests_of
from bench.app.records import BASELINE, TWIN, App
from bench.errors import MeasurementError
from bench.plan.budget import BUSY_TURN_S, LIGHT_TURN_S, stretch
from bench.plan.readings import Reading, Row
from bench.plan.records import Arrival, Closed, Kind, Open, Plan, Step, Stretch, Turn
from bench.plan.schedule import SWITCH_NS
from bench.runner.run import Bench, Log, Progress, Run, carry_out
from bench.sink.messages import TraceSpan
from bench.testbed.machine import Cpus

TRIALS = 40
EPOCHS = 4
LIGHT_S, BUSY_S = 0.72, 0.36
"""Own seconds of an instance in an epoch: a minute over all of them."""
LEAD_S = 0.3
"""Of a closed loop alone, until it has filled."""
SPARE = 2
SEQUENTIAL_EVERY = 2
"""In every second trial: it takes as long as the turns."""
SEQUENTIAL_STEP = 1000
"""Such steps are numbered from here."""
TRIAL_S = 150.0
"""How long a trial takes, roughly; for the display only."""


class TrialProgress:
    """Who is told, with the trial's number."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label

    def say(self, what: str, _detail: str = "", /) -> None:
        """Tell what begins now."""
        self._progress.say(self._label, what)


def plan_of(app: App, seed: int, cpus: Cpus, epochs: int = EPOCHS) -> Plan:
    """The plan of a trial whose rate and weights are not known yet."""
    names = setups()
    return Plan(
        name="accuracy",
        budget="accuracy",
        seed=seed,
        app=app,
        setups=names,
        epochs=epochs,
        warm_up=Stretch(turn_s=0.05, rounds=12, blocks=1),
        light=stretch(LIGHT_S, LIGHT_TURN_S, len(names)),
        busy=stretch(BUSY_S, BUSY_TURN_S, len(names)),
        spare=SPARE,
        rest_s=0.0,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        burns_s={},
        burns=burns(app),
    )


def weighted(plan: Plan, bench: Bench, progress: Progress) -> Plan:
    """The plan with its rate, and with weights that follow from what a request of the baseline costs.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    short = replace(plan, setups=plan.setups[:2], epochs=1)
    run = _require(carry_out(short, bench, Log(), progress))
    light = next(reading for reading in run.readings if reading.kind is Kind.LIGHT)
    costs = [instance.cpu_ns / 1e9 / instance.completed for instance in light.instances if instance.completed]
    if len(costs) < 2:
        raise MeasurementError(
            "no request of the baseline was completed", "`tracing-overhead trace` shows why"
        )
    rate = max(run.plan.rates.values())
    return replace(plan, burns_s=burns_s(sum(costs) / len(costs)), rate_per_s=rate)


@dataclass(slots=True)
class _TrialLog(Log):
    """Measures one after the other while the last epoch's instances still run."""

    after: Callable[[int], None]

    def append_slowest(self, epoch: int, traces: Mapping[str, tuple[TraceSpan, ...]]) -> None:  # noqa: ARG002
        """The instances of an epoch are about to be stopped."""
        self.after(epoch)


def trial(plan: Plan, bench: Bench, progress: Progress, *, sequential: bool, beside: Beside = "") -> Trial:
    """One trial.

    Args:
        plan: of this trial.
        bench: what carries it out.
        progress: is told.
        sequential: whether the instances are measured one after the other, too.
        beside: what another program does meanwhile.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    alone: dict[str, dict[str, float]] = {}

    def one_after_the_other(epoch: int) -> None:
        if sequential and epoch == plan.epochs - 1:
            progress.say("one after the other")
            alone.update(_alone(plan, bench, epoch))

    run = _require(carry_out(plan, bench, _TrialLog(one_after_the_other), progress))
    return Trial(
        plan=run.plan,
        readings=tuple(run.readings),
        rows=tuple((epoch, number, rows) for (epoch, number), rows in run.rows.items() if rows),
        alone=alone,
        beside=beside,
    )


def _alone(plan: Plan, bench: Bench, epoch: int) -> dict[str, dict[str, float]]:
    """By figure and set-up, what each instance shows alone, with as much load as in turns."""
    light_ns, busy_ns = (round(load.own_s * plan.epochs * 1e9) for load in (plan.light, plan.busy))
    names = [BASELINE, TWIN, *(name for name in plan.names if name not in {BASELINE, TWIN})]
    figures: dict[str, dict[str, float]] = {"light": {}, "p50": {}, "p90": {}, "throughput": {}}
    for number, name in enumerate(names):
        instance = plan.names.index(name)
        steps = (
            light_alone(plan, epoch, SEQUENTIAL_STEP + 2 * number, instance, light_ns),
            busy_alone(plan, epoch, SEQUENTIAL_STEP + 2 * number + 1, instance, busy_ns),
        )
        for step in steps:
            reading, rows = bench.perform(plan, step, lambda _block: None)
            for figure, value in _figures(plan, step, reading, rows, instance).items():
                figures[figure][name] = value
    return figures


def light_alone(plan: Plan, epoch: int, number: int, instance: int, length_ns: int) -> Step:
    """A step in which one instance runs all the time under light load, and all others are stopped."""
    rng = np.random.default_rng([plan.seed, epoch, number])
    rate = plan.rate_per_s
    count = max(int(length_ns / 1e9 * rate), 1)
    offsets = (np.arange(count) + rng.random(count)) / rate * 1e9
    arrivals = tuple(Arrival(int(offset), instance, 0) for offset in offsets)
    return Step(
        epoch=epoch,
        number=number,
        kind=Kind.LIGHT,
        turns=(Turn(instance, 0, SWITCH_NS, length_ns + SWITCH_NS),),
        load=Open(arrivals=arrivals),
    )


def busy_alone(plan: Plan, epoch: int, number: int, instance: int, length_ns: int) -> Step:
    """The same under busy load, whose first moments do not count."""
    lead_ns = round(LEAD_S * 1e9)
    return Step(
        epoch=epoch,
        number=number,
        kind=Kind.BUSY,
        turns=(
            Turn(instance, -1, SWITCH_NS, lead_ns),
            Turn(instance, 0, lead_ns + SWITCH_NS, lead_ns + length_ns + SWITCH_NS),
        ),
        load=Closed(users=plan.users),
    )


def _figures(
    plan: Plan, step: Step, reading: Reading, rows: Sequence[Row], instance: int
) -> dict[str, float]:
    """What one instance shows in one step of its own; nothing where no request was completed."""
    expected = [request.statuses for request in plan.app.request]
    requests = requests_of(reading, rows, instance, expected)
    completed = int(np.count_nonzero(requests.done_block == 0))
    if not completed:
        return {}
    if step.kind is Kind.BUSY:
        return {"throughput": completed / OwnClock(reading.switches, instance).own_s}
    used_ns = sum(
        switch.cpu_ns + switch.leaked_ns for switch in reading.switches if switch.instance == instance
    )
    p50, p90 = np.quantile(requests.latency_s, [0.5, 0.9])
    return {"light": used_ns / 1e9 / completed, "p50": float(p50), "p90": float(p90)}


def _require(run: Run) -> Run:
    if run.error is not None:
        raise run.error
    if not run.complete:
        raise KeyboardInterrupt
    return run


def first_plan(plan: Plan, app: App) -> Plan:
    """The plan of a measurement that goes on, as it was before its first trial learned anything."""
    return replace(plan, app=app, rates={}, capacities={}, shapes={}, start_shapes=(), varies=(), left={})


def seeded(plan: Plan, number: int) -> Plan:
    """The plan of one trial: an order of its own; timers scaled in every second one with time alone."""
    scaled = number % (2 * SEQUENTIAL_EVERY) == SEQUENTIAL_EVERY
    return replace(plan, seed=plan.seed + number, scale_timers=scaled)
