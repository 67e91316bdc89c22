"""Known costs, measured run after run with fresh processes.

A trial is a run: the same testbed, the same plan, the same time slices. One after the other is measured on
the same instances, at the end of every replicate, for as many seconds: only the order differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.analysis.active_time import ActiveClock, requests_of
from bench.app.records import App
from bench.errors import MeasurementError
from bench.plan.budget import LIGHT_SLICE_S, SATURATION_SLICE_S, phase
from bench.plan.readings import RequestRow, StepReading
from bench.plan.records import (
    Arrival,
    Closed,
    Kind,
    Learned,
    Open,
    Phase,
    Plan,
    Quiet,
    Slice,
    Step,
)
from bench.plan.schedule import SWITCH_NS
from bench.runner.run import Log, Performer, Progress, Run, carry_out
from bench.studies.accuracy.trials import (
    PANELS,
    Beside,
    Panel,
    RunFigures,
    Trial,
    burns,
    burns_s,
    rate_shares,
    setups,
)
from bench.testbed.machine import Cpus

REPLICATES = 60
LEAD_S = 0.3
"""How long a closed loop that runs alone takes to fill."""
SPARE = 2
SEQUENTIAL_EVERY = 2
"""Every second trial of a panel also runs instances one by one, which takes as long as the slices."""
SEQUENTIAL_STEP = 1000
"""Steps of one after the other are numbered from here."""
TRIAL_S = 160.0
"""How long a trial takes, roughly; for the display only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What all trials of a measurement share.

    Attributes:
        app: the example.
        cpus: how they are divided.
        seed: of the first trial; every other one counts on from it.
        replicates: of every run; None: each panel's own.
        burns_s: CPU seconds per request that are injected, by setup; empty: not known yet.
        rate_per_s: light rate of the baseline; 0: not known yet.
    """

    app: App
    cpus: Cpus
    seed: int
    replicates: int | None = None
    burns_s: Mapping[str, float] = field(default_factory=dict)
    rate_per_s: float = 0.0


class TrialProgress:
    """Displays the run's number with everything that begins."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label

    def say(self, what: str, _detail: str = "", /) -> None:
        """Say what begins now."""
        self._progress.say(self._label, what)


def panel_of(number: int) -> Panel:
    """The panel of one trial."""
    return PANELS[number % len(PANELS)]


def has_alone(number: int) -> bool:
    """Whether one trial's instances are measured one after the other, too."""
    return number // len(PANELS) % SEQUENTIAL_EVERY == 0


def trial_plan(series: Series, number: int) -> Plan:
    """The plan of one trial; every second one with time alone scales the batch processor's timers."""
    panel = panel_of(number)
    names = setups(panel)
    return Plan(
        name=panel.name,
        budget="accuracy",
        seed=series.seed + number,
        app=series.app,
        setups=names,
        replicates=series.replicates or panel.replicates,
        warm_up=Phase(slice_s=0.05, rounds=12, blocks=1),
        light=phase(panel.light_s, LIGHT_SLICE_S, len(names)),
        saturation=phase(panel.saturation_s, SATURATION_SLICE_S, len(names)),
        spare=SPARE,
        rest_s=0.0,
        rate_per_s=series.rate_per_s,
        rate_shares=rate_shares(),
        cpus=series.cpus.usable,
        services_cpus=series.cpus.services,
        other_cpus=series.cpus.others,
        burns_s=dict(series.burns_s),
        burns=burns(series.app),
        scale_timers=number // len(PANELS) % (2 * SEQUENTIAL_EVERY) == SEQUENTIAL_EVERY,
    )


def calibrated(series: Series, performer: Performer, progress: Progress) -> Series:
    """The series with a light rate, and injected costs that follow from what a request of the baseline costs.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    plan = trial_plan(series, 0)
    first = replace(plan, setups=plan.setups[:2], replicates=1)
    run = _require(carry_out(first, performer, Log(), progress))
    light = next(reading for reading in run.readings if reading.kind is Kind.LIGHT)
    costs = [instance.cpu_ns / 1e9 / instance.completed for instance in light.instances if instance.completed]
    if len(costs) < 2:
        raise MeasurementError(
            "no request of the baseline was completed", "`tracing-overhead trace` shows the reason"
        )
    rate_per_s = max(run.learned.rates.values())
    return replace(series, burns_s=burns_s(sum(costs) / len(costs)), rate_per_s=rate_per_s)


def series_of(first: RunFigures, app: App, cpus: Cpus) -> Series:
    """The series that a measurement goes on with, from its first run."""
    plan = first.plan
    return Series(
        app=app,
        cpus=cpus,
        seed=plan.seed,
        replicates=None if plan.replicates == panel_of(0).replicates else plan.replicates,
        burns_s=plan.burns_s,
        rate_per_s=plan.rate_per_s,
    )


def trial(
    series: Series, number: int, performer: Performer, progress: Progress, *, beside: Beside = ""
) -> Trial:
    """One run of the series.

    Args:
        series: that it belongs to.
        number: of the run, from 0.
        performer: carries it out.
        progress: displays what is going on.
        beside: what another program does meanwhile.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    plan = trial_plan(series, number)
    alone: list[dict[str, dict[str, float]]] = []

    def one_after_the_other(run: Run, replicate: int) -> None:
        progress.say(f"replicate {replicate + 1} of {plan.replicates}: one after the other")
        alone.append(_alone(plan, run.learned, performer, replicate))

    if has_alone(number):
        run = carry_out(plan, performer, Log(), progress, one_after_the_other)
    else:
        run = carry_out(plan, performer, Log(), progress)
    _require(run)
    return Trial(
        number=number,
        plan=run.plan,
        learned=run.learned,
        readings=tuple(run.readings),
        rows=tuple((replicate, step, rows) for (replicate, step), rows in run.rows.items() if rows),
        alone=tuple(alone),
        beside=beside,
    )


def _alone(plan: Plan, learned: Learned, performer: Performer, replicate: int) -> dict[str, dict[str, float]]:
    """By figure and setup, each instance of a replicate alone, for as long as its time slices took."""
    light_ns, saturation_ns = (round(load.active_s * 1e9) for load in (plan.light, plan.saturation))
    figures: dict[str, dict[str, float]] = {"light": {}, "p50": {}, "p90": {}, "throughput": {}}
    order = np.random.default_rng([plan.seed, replicate, SEQUENTIAL_STEP]).permutation(len(plan.setups))
    for number, instance in enumerate(map(int, order)):
        steps = (
            light_alone(plan, replicate, SEQUENTIAL_STEP + 2 * number, instance, light_ns),
            saturation_alone(plan, replicate, SEQUENTIAL_STEP + 2 * number + 1, instance, saturation_ns),
        )
        for step in steps:
            reading, rows = performer.perform(plan, learned, step, _say_nothing)
            for figure, value in _figures(plan, step, reading, rows, instance).items():
                figures[figure][plan.names[instance]] = value
    # Spans of these requests must not get into the next replicate's account.
    last = SEQUENTIAL_STEP + 2 * len(plan.setups)
    settle = Step(replicate=replicate, number=last, kind=Kind.SETTLE, slices=(), load=Quiet())
    performer.perform(plan, learned, settle, _say_nothing)
    return figures


def _say_nothing(_block: int) -> None:
    """A step that belongs to no run is not displayed."""


def light_alone(plan: Plan, replicate: int, number: int, instance: int, length_ns: int) -> Step:
    """A step in which one instance runs all the time under light load, and all others are stopped."""
    rng = np.random.default_rng([plan.seed, replicate, number])
    rate = plan.rate_per_s * plan.rate_shares.get(plan.names[instance], 1.0)
    count = max(int(length_ns / 1e9 * rate), 1)
    offsets = (np.arange(count) + rng.random(count)) / rate * 1e9
    arrivals = tuple(Arrival(int(offset), instance, 0) for offset in offsets)
    return Step(
        replicate=replicate,
        number=number,
        kind=Kind.LIGHT,
        slices=(Slice(instance, 0, SWITCH_NS, length_ns + SWITCH_NS),),
        load=Open(arrivals=arrivals),
    )


def saturation_alone(plan: Plan, replicate: int, number: int, instance: int, length_ns: int) -> Step:
    """The same at full load, whose first moments do not count."""
    lead_ns = round(LEAD_S * 1e9)
    return Step(
        replicate=replicate,
        number=number,
        kind=Kind.SATURATION,
        slices=(
            Slice(instance, -1, SWITCH_NS, lead_ns),
            Slice(instance, 0, lead_ns + SWITCH_NS, lead_ns + length_ns + SWITCH_NS),
        ),
        load=Closed(users=plan.users),
    )


def _figures(
    plan: Plan, step: Step, reading: StepReading, rows: Sequence[RequestRow], instance: int
) -> dict[str, float]:
    """What one instance shows in one step of its own; nothing where no request was completed."""
    expected = plan.app.statuses
    requests = requests_of(reading, rows, instance, expected)
    completed = int(np.count_nonzero(requests.done_block == 0))
    if not completed:
        return {}
    if step.kind is Kind.SATURATION:
        return {"throughput": completed / ActiveClock(reading.switches, instance).active_s}
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
