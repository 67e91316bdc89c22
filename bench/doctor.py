"""What to expect of a machine: a short trial with two identical fleets, and what follows for each budget.

Rule 1: the trial is a real run in small, and not a loop of arithmetic: what varies here
varies in a run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import stats
from bench.cells import cpu_cells
from bench.errors import MeasurementError
from bench.experiment import Progress, Rig, carry_out
from bench.journey import Exemplar
from bench.model import BASELINE, TWIN, Kind, Plan, Request, Slice, Window
from bench.plan import UTILISATION, Budget
from bench.setups import choose

TRIAL_S = 25
"""About how long a trial takes, start included."""
PROCESS_SD = 0.005
"""What identical fleets of one epoch differ by although they get the same requests: memory
layout and whatever else a process keeps for its life. Seen on two virtual CPUs; the trial is
too short to see it."""
MEAN_COST = 2.0
"""CPU of a checkout, mean over a budget's set-ups, in checkouts of the baseline."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a trial showed.

    Attributes:
        cpu_per_checkout_s: of the baseline.
        request_sd: standard deviation of ln(CPU) from one checkout to the next.
    """

    cpu_per_checkout_s: float
    request_sd: float


class _NoRecord:
    """A trial leaves no results folder."""

    def write_plan(self, plan: Plan) -> None:
        """Nothing."""

    def append_window(self, window: Window) -> None:
        """Nothing."""

    def append_requests(self, requests: Sequence[Request]) -> None:
        """Nothing."""

    def append_exemplars(self, exemplars: Sequence[Exemplar]) -> None:
        """Nothing."""

    def append_slice(self, piece: Slice, requests: Sequence[Request]) -> None:
        """Nothing."""


def plan(cpus: tuple[int, tuple[int, ...], tuple[int, ...]]) -> Plan:
    """A trial: the baseline and its twin, many short windows."""
    count, services_cpus, other_cpus = cpus
    return Plan(
        name="doctor",
        budget="doctor",
        seed=0,
        setups=choose([TWIN]),
        epochs=1,
        windows=10,
        window_s=1.0,
        warm_up_s=1.0,
        idle_s=0.5,
        utilisation=UTILISATION,
        cpus=count,
        services_cpus=services_cpus,
        other_cpus=other_cpus,
    )


def trial(plan_: Plan, rig: Rig, progress: Progress) -> Trial:
    """What two identical fleets show in a few seconds.

    Raises:
        BenchError: the trial could not be carried out.
        KeyboardInterrupt: it was interrupted.
    """
    outcome = carry_out(plan_, rig, _NoRecord(), progress)
    if outcome.error is not None:
        raise outcome.error
    if not outcome.complete:
        raise KeyboardInterrupt
    work = [window for window in outcome.windows if window.kind is Kind.WORK]
    cells = cpu_cells(outcome.windows, work).get(0, [])
    if len(cells) < 3:
        raise MeasurementError("the trial's checkouts were not completed", "is the machine overloaded?")
    differences = [math.log(cell[TWIN] / cell[BASELINE]) for cell in cells]
    per_window = len(outcome.requests) / len(cells) / 2
    return Trial(
        cpu_per_checkout_s=float(np.mean([cell[BASELINE] for cell in cells])),
        request_sd=float(np.std(differences, ddof=1)) * math.sqrt(per_window / 2),
    )


def expected_mde(budget: Budget, found: Trial) -> float:
    """The smallest overhead that 80 % of runs of a budget would find here.

    A contrast's variance: 3/2 (one fleet against the mean of two) of what processes differ by
    and requests scatter, over epochs.
    """
    setups = len(budget.setups)
    rate = UTILISATION / (MEAN_COST * found.cpu_per_checkout_s)
    requests = rate * budget.windows * budget.window_s / setups
    fleet = PROCESS_SD**2 + found.request_sd**2 / requests
    weights = [
        stats.against(name, (BASELINE, TWIN)) for name in budget.setups if name not in {BASELINE, TWIN}
    ]
    estimate = stats.Estimate(
        log_ratio=0.0,
        standard_error=math.sqrt(1.5 * fleet / budget.epochs),
        df=stats.pooled_df(budget.epochs, stats.correlations(weights)),
        family=len(weights),
        correlation=0.0,
        pooled=True,
    )
    return math.expm1(estimate.mde(0.95))
