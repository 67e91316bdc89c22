"""Carries out a calibration: trial after trial with fresh processes, known costs among them.

Rule 1: a trial is a run: the same rig, the same plan, the same windows.
Rule 2: one after the other is measured on the same fleets, right after the rotation, with as
many checkouts a fleet and as many seconds in all: only the order differs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from bench.calibration import Trial, setups
from bench.experiment import Outcome, Rig, carry_out
from bench.machine import Cpus
from bench.model import BASELINE, TWIN, Kind, Plan, Window
from bench.plan import arrivals

TRIALS = 20
EPOCHS, WINDOWS, WINDOW_S = 4, 2, 7.5
"""60 s of load over all fleets."""
SPARE = 2
"""Windows of a trial that may be repeated because the host took the CPU away, as in any run."""
WARM_UP_S, IDLE_S = 2.0, 0.5
SEQUENTIAL_EVERY = 2
"""In every second trial: it takes as long as the rotation."""
SEQUENTIAL_WINDOW = 1000
"""Such windows are numbered from here."""
TRIAL_S = 135.0
"""How long a trial takes, roughly; for the display only."""


class _Nothing:
    """A record that keeps nothing: a trial is kept whole."""

    def write_plan(self, plan: Plan) -> None:
        """Nothing."""

    def append_window(self, window: Window) -> None:
        """Nothing."""

    def append_requests(self, requests: object) -> None:
        """Nothing."""

    def append_exemplars(self, exemplars: object) -> None:
        """Nothing."""

    def append_slice(self, piece: object, requests: object) -> None:
        """Nothing."""


class Progress:
    """Who is told, with the trial's number."""

    def __init__(self, say: Callable[[str, str], None], what: str) -> None:
        self._say = say
        self._what = what

    def say(self, what: str) -> None:
        """What begins now."""
        self._say(self._what, what)


def plan_of(seed: int, cpus: Cpus, connections: int) -> Plan:
    """The plan of a trial whose rate and weights are not known yet."""
    return Plan(
        name="calibrate",
        budget="calibrate",
        seed=seed,
        setups=setups(0.0),
        epochs=EPOCHS,
        windows=WINDOWS,
        spare=SPARE,
        window_s=WINDOW_S,
        warm_up_s=WARM_UP_S,
        idle_s=IDLE_S,
        utilisation=0.55,
        cpus=cpus[0],
        services_cpus=cpus[1],
        other_cpus=cpus[2],
        connections=connections,
    )


class Balance(Rig, Protocol):
    """A rig that carries out one plan after another."""

    def replan(self, plan: Plan) -> None:
        """What the next epochs are for."""


def weighted(plan: Plan, rig: Balance, progress: Progress) -> Plan:
    """The plan with its rate, and with weights that follow from what a checkout of the baseline costs.

    Raises:
        BenchError: what a run can meet.
    """
    short = replace(plan, setups=plan.setups[:2], epochs=1, windows=1)
    rig.replan(short)
    outcome = carry_out(short, rig, _Nothing(), progress)
    _require(outcome)
    window = outcome.windows[-1]
    costs = [sum(fleet.cpu_ns.values()) / 1e9 / fleet.completed for fleet in window.fleets]
    return replace(plan, rate_per_s=outcome.plan.rate_per_s, setups=setups(sum(costs) / len(costs)))


def trial(plan: Plan, rig: Balance, progress: Progress, *, sequential: bool) -> Trial:
    """One trial.

    Raises:
        BenchError: what a run can meet.
        KeyboardInterrupt: a person ended it.
    """
    alone: list[Window] = []
    rig.replan(plan)

    def one_after_the_other(epoch: int) -> None:
        if sequential and epoch == plan.epochs - 1:
            progress.say("one after the other")
            alone.extend(_sequential(plan, rig, epoch))

    outcome = carry_out(plan, rig, _Nothing(), progress, one_after_the_other)
    _require(outcome)
    return Trial(plan=outcome.plan, windows=tuple(outcome.windows), sequential=tuple(alone))


def _sequential(plan: Plan, rig: Rig, epoch: int) -> list[Window]:
    """All of the baseline, then all of each candidate; as much load in all as the rotation had."""
    length_s = plan.epochs * plan.windows * plan.window_s / len(plan.setups)
    names = [BASELINE, TWIN, *(setup.name for setup in plan.setups if setup.name not in {BASELINE, TWIN})]
    by_name = {setup.name: setup for setup in plan.setups}
    windows = []
    for number, name in enumerate(names, SEQUENTIAL_WINDOW):
        sent = arrivals(replace(plan, setups=(by_name[name],)), epoch, number, length_s)
        windows.append(rig.measure(Kind.WARM_UP, epoch, number, sent)[0])
    return windows


def _require(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error
    if not outcome.complete:
        raise KeyboardInterrupt
