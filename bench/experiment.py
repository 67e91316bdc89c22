"""Carries out a plan: calibrates the rate, then epoch by epoch, window by window, and keeps what it reads.

Rule 1: nothing here measures or computes; the rig measures, `overhead` computes.
Rule 2: a window is on disk before the next one begins; what ends a run early never
takes with it what was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from bench.cells import is_spoiled
from bench.errors import BenchError, MeasurementError, ResultsError, ServiceError
from bench.journey import Exemplar
from bench.model import Arrival, Ending, Kind, Memory, Plan, Raw, Request, Slice, Window
from bench.plan import CALIBRATION_RATE_PER_S, arrivals, rate_per_s
from bench.solo import SoloRig, SoloTurn, block, capacity_per_s

CALIBRATION_S = 1.5
CALIBRATION_WINDOWS = 2
"""Short windows, twice, in which the cost of a checkout is read before the rate is known."""
FIRST_CALIBRATION = -5
"""Calibration windows are numbered from here, below the warm-up's -1."""
EMPTY_FLUSHES = 3
"""The cost of a flush with nothing to flush is read so often per epoch."""


class Rig(SoloRig, Protocol):
    """What a plan is carried out with; `bench.rig` is the real one."""

    def start_epoch(self, epoch: int) -> None:
        """Fresh processes for all fleets."""

    def check_baseline(self) -> None:
        """Nothing, if the baseline runs without OpenTelemetry."""

    def measure(
        self, kind: Kind, epoch: int, window: int, arrivals: Sequence[Arrival], idle_s: float = 0.0
    ) -> tuple[Window, tuple[Request, ...]]:
        """One stretch of time."""

    def exemplars(self, epoch: int, window: int) -> tuple[Exemplar, ...]:
        """The slowest trace of every set-up in the window that was just measured."""

    def memory(self) -> tuple[Memory, ...]:
        """Memory of all services."""

    def check(self) -> None:
        """Nothing, while all processes of the run live."""

    def stop_epoch(self) -> None:
        """No fleet runs any more."""


class Record(Protocol):
    """Where results go; `bench.store` is the real one."""

    def write_plan(self, plan: Plan) -> None:
        """The plan as it is carried out."""

    def append_window(self, window: Window) -> None:
        """A window as it was read."""

    def append_requests(self, requests: Sequence[Request]) -> None:
        """A window's rows."""

    def append_exemplars(self, exemplars: Sequence[Exemplar]) -> None:
        """A window's slowest traces."""

    def append_slice(self, piece: Slice, requests: Sequence[Request]) -> None:
        """A slice of the solo phase as it was read, and its rows."""


class Progress(Protocol):
    """Who is told what is going on."""

    def say(self, what: str) -> None:
        """What begins now."""


class Outcome:
    """What a run left: everything read, and how it ended.

    Attributes:
        plan: as it was carried out, with its rate.
        windows: in order.
        requests: of the work windows.
        slices: of the solo phase, in order.
        solo_requests: their rows.
        spare: windows that may still be repeated.
        complete: whether the plan came to its end.
        error: what ended it early, unless a person did.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.windows: list[Window] = []
        self.requests: list[Request] = []
        self.slices: list[Slice] = []
        self.solo_requests: list[Request] = []
        self.spare = plan.spare
        self.complete = False
        self.error: BenchError | None = None

    @property
    def raw(self) -> Raw:
        """What it left, as it is stored."""
        return Raw(
            plan=self.plan,
            windows=tuple(self.windows),
            requests=tuple(self.requests),
            slices=tuple(self.slices),
            solo_requests=tuple(self.solo_requests),
            ending=Ending(complete=self.complete, failure=str(self.error) if self.error else None),
        )


def _nothing(_epoch: int) -> None:
    """What is done with an epoch's fleets before they are stopped, usually."""


def carry_out(
    plan: Plan,
    rig: Rig,
    record: Record,
    progress: Progress,
    before_stop: Callable[[int], None] = _nothing,
) -> Outcome:
    """The outcome of a plan; never raises for what a run can meet.

    A service that dies, a full disk or Ctrl-C ends the run early and stands in the outcome.

    Args:
        plan: what is carried out.
        rig: what it is carried out with.
        record: where results go.
        progress: who is told.
        before_stop: called with an epoch's number while its fleets still run.
    """
    outcome = Outcome(plan)
    try:
        outcome.plan = _calibrated(plan, rig, progress)
        _measure_capacity(outcome, rig, record, progress)
        record.write_plan(outcome.plan)
        for epoch in range(plan.epochs):
            _epoch(outcome, epoch, rig, record, progress)
            before_stop(epoch)
            rig.stop_epoch()
        outcome.complete = True
    except KeyboardInterrupt:
        progress.say("interrupted: stopping the services, keeping what was measured")
    except (ServiceError, MeasurementError, ResultsError) as error:
        outcome.error = error
    return outcome


def _calibrated(plan: Plan, rig: Rig, progress: Progress) -> Plan:
    """The plan with the arrival rate at which the services are busy as planned; starts epoch 0 for it.

    Only as a whole: a run that ends before has the plan that is on disk.
    """
    progress.say(f"starting {len(plan.setups)} fleets of four services")
    rig.start_epoch(0)
    rig.check_baseline()
    if plan.rate_per_s > 0:
        return plan
    progress.say("calibrating the arrival rate")
    # The first checkouts of a process cost several times as much as later ones, and checkouts
    # that come seldom more than those that come often: so first roughly, then at that rate.
    number = FIRST_CALIBRATION
    found = 0.0
    for _ in range(2):
        rough = replace(plan, rate_per_s=found or CALIBRATION_RATE_PER_S)
        costs = []
        for _ in range(CALIBRATION_WINDOWS):
            sent = arrivals(rough, 0, number, CALIBRATION_S)
            costs.append(_mean_cost(rig.measure(Kind.WARM_UP, 0, number, sent)[0]))
            number += 1
        # What the host takes away makes checkouts dearer: the cheapest reading is the truest.
        found = round(rate_per_s(plan, min(costs)), 2)
    return replace(plan, rate_per_s=found)


def _measure_capacity(outcome: Outcome, rig: Rig, record: Record, progress: Progress) -> None:
    """Finds what the baseline can do at most, from which the solo phase's rates follow."""
    plan = outcome.plan
    if plan.solo is None:
        return
    record.write_plan(plan)
    progress.say("measuring the baseline's capacity")
    found = capacity_per_s(plan.solo, rig, _keep(outcome, record))
    outcome.plan = replace(plan, solo=replace(plan.solo, capacity_per_s=round(found, 2)))


def _keep(outcome: Outcome, record: Record) -> SoloTurn:
    """What is done with a slice: it is on disk before the next one begins."""

    def keep(piece: Slice, requests: tuple[Request, ...]) -> None:
        record.append_slice(piece, requests)
        outcome.slices.append(piece)
        outcome.solo_requests += requests

    return keep


def _mean_cost(window: Window) -> float:
    """CPU seconds of a checkout, mean over the fleets.

    Raises:
        MeasurementError: a fleet completed none.
    """
    for fleet in window.fleets:
        if fleet.completed == 0:
            raise MeasurementError(
                f"no checkout of {fleet.setup} was completed",
                "`python -m services all` shows whether the services work",
            )
    costs = [sum(fleet.cpu_ns.values()) / 1e9 / fleet.completed for fleet in window.fleets]
    return sum(costs) / len(costs)


def _epoch(outcome: Outcome, epoch: int, rig: Rig, record: Record, progress: Progress) -> None:
    plan = outcome.plan
    label = f"epoch {epoch + 1} of {plan.epochs}"
    if epoch > 0:
        progress.say(f"{label}: fresh processes")
        rig.start_epoch(epoch)
    progress.say(f"{label}: warming up")
    warm_up = (Kind.WARM_UP, arrivals(plan, epoch, -1, plan.warm_up_s), 0.0)
    quiet = ((Kind.IDLE, (), plan.idle_s), *[(Kind.FLUSH, (), 0.0)] * EMPTY_FLUSHES)
    for kind, sent, idle_s in (warm_up, *(quiet if plan.windows else ())):
        window, _ = rig.measure(kind, epoch, -1, sent, idle_s)
        outcome.windows.append(window)
        record.append_window(window)
    _windows(outcome, epoch, rig, record, progress, label)
    if plan.solo:
        for what in block(plan, plan.solo, epoch, rig, _keep(outcome, record)):
            progress.say(f"{label}: {what}")
            rig.check()


def _windows(  # noqa: PLR0913, PLR0917 - what an epoch needs
    outcome: Outcome, epoch: int, rig: Rig, record: Record, progress: Progress, label: str
) -> None:
    """The rotation phase of an epoch."""
    plan = outcome.plan
    wanted, number = plan.windows, 0
    while number < wanted:
        progress.say(f"{label}: window {number + 1} of {wanted}")
        window, requests = rig.measure(Kind.WORK, epoch, number, arrivals(plan, epoch, number))
        if is_spoiled(window) and outcome.spare > 0:
            outcome.spare -= 1
            wanted += 1
            why = "a load worker died" if window.lost_workers else "the host took CPU away"
            progress.say(f"{label}: {why}; one more window instead")
        number += 1
        if number == wanted:
            window = replace(window, memory=rig.memory())
        record.append_window(window)
        record.append_requests(requests)
        outcome.windows.append(window)
        outcome.requests += requests
        record.append_exemplars(rig.exemplars(epoch, window.window))
        rig.check()
