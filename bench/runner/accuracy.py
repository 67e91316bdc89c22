"""How accurate the harness is: trial after trial with fresh processes, known costs among them.

A trial is a run: the same testbed, the same plan, the same turns. One after the other is measured on
the same instances, right after the turns, with as many seconds in all: only the order differs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.accuracy import Trial, burns_s, setups
from bench.analysis.own_time import requests_of
from bench.app.records import BASELINE, TWIN, App
from bench.errors import MeasurementError
from bench.plan.budget import stretch
from bench.plan.readings import Reading, Row
from bench.plan.records import Arrival, Kind, Open, Plan, Step, Stretch, Turn
from bench.plan.schedule import SWITCH_NS
from bench.runner.run import Bench, Log, Progress, Run, carry_out
from bench.sink.messages import TraceSpan
from bench.testbed.machine import Cpus

TRIALS = 20
EPOCHS = 4
LIGHT_S = 2.1
"""Own seconds of an instance in an epoch: 60 s of light load over all of them."""
SPARE = 2
SEQUENTIAL_EVERY = 2
"""In every second trial: it takes as long as the turns."""
SEQUENTIAL_STEP = 1000
"""Such steps are numbered from here."""
TRIAL_S = 125.0
"""How long a trial takes, roughly; for the display only."""


class TrialProgress:
    """Who is told, with the trial's number."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label

    def say(self, what: str, _detail: str = "", /) -> None:
        """Tell what begins now."""
        self._progress.say(self._label, what)


def plan_of(app: App, seed: int, cpus: Cpus) -> Plan:
    """The plan of a trial whose rate and weights are not known yet."""
    names = setups()
    return Plan(
        name="accuracy",
        budget="accuracy",
        seed=seed,
        app=app,
        setups=names,
        epochs=EPOCHS,
        warm_up=Stretch(turn_s=0.05, rounds=12, blocks=1),
        light=stretch(LIGHT_S, 0.2, len(names)),
        busy=Stretch(turn_s=0.03, rounds=1, blocks=0),
        spare=SPARE,
        rest_s=0.0,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        burns_s={},
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


def trial(plan: Plan, bench: Bench, progress: Progress, *, sequential: bool) -> Trial:
    """One trial.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    costs: dict[str, float] = {}

    def one_after_the_other(epoch: int) -> None:
        if sequential and epoch == plan.epochs - 1:
            progress.say("one after the other")
            costs.update(_sequential(plan, bench, epoch))

    run = _require(carry_out(plan, bench, _TrialLog(one_after_the_other), progress))
    return Trial(
        plan=run.plan,
        readings=tuple(run.readings),
        rows=tuple((epoch, number, rows) for (epoch, number), rows in run.rows.items() if rows),
        sequential=costs,
    )


def _sequential(plan: Plan, bench: Bench, epoch: int) -> dict[str, float]:
    """CPU per request: all of the baseline, then all of each candidate, as much load as the turns had."""
    length_ns = round(plan.light.own_s * plan.epochs * 1e9)
    names = [BASELINE, TWIN, *(name for name in plan.names if name not in {BASELINE, TWIN})]
    costs = {}
    for number, name in enumerate(names, SEQUENTIAL_STEP):
        instance = plan.names.index(name)
        step = alone(plan, epoch, number, instance, length_ns)
        reading, rows = bench.perform(plan, step, lambda _block: None)
        costs[name] = cpu_per_request_s(plan, reading, rows, instance)
    return costs


def alone(plan: Plan, epoch: int, number: int, instance: int, length_ns: int) -> Step:
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


def cpu_per_request_s(plan: Plan, reading: Reading, rows: Sequence[Row], instance: int) -> float:
    """CPU seconds per completed request of one instance in one step."""
    expected = [request.statuses for request in plan.app.request]
    completed = int(np.count_nonzero(requests_of(reading, rows, instance, expected).completed))
    used = sum(switch.cpu_ns + switch.leaked_ns for switch in reading.switches if switch.instance == instance)
    return used / 1e9 / max(completed, 1)


def _require(run: Run) -> Run:
    if run.error is not None:
        raise run.error
    if not run.complete:
        raise KeyboardInterrupt
    return run


def seeded(plan: Plan, number: int) -> Plan:
    """The plan of one trial: orders and times of its own."""
    return replace(plan, seed=plan.seed + number)
