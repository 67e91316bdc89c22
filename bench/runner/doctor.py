"""What to expect of a machine: a short trial with two identical instances, and what follows for each budget.

The trial is a short real run, not a loop of arithmetic, so it has the same variation as a run.
"""

import math
from dataclasses import dataclass

import numpy as np

from bench.analysis import stats
from bench.analysis.blocks import MIN_COMPLETED, measured_phases
from bench.app.records import AA, BASELINE, CHECKS, App
from bench.app.setups import choose
from bench.errors import MeasurementError
from bench.plan.records import Kind, Phase, Plan
from bench.runner.run import Log, Performer, Progress, carry_out
from bench.testbed.machine import Cpus

TRIAL_S = 25
"""About how long a trial takes, start included."""
PROCESS_SD = 0.004
"""Standard deviation between identical instances of one replicate with the same requests: memory layout
and other properties that a process keeps until it ends. The trial is too short to measure it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorTrial:
    """What a trial showed.

    Attributes:
        cpu_per_request_s: of the baseline.
        rate_per_s: light rate.
        request_sd: standard deviation of ln(CPU) from one request to the next.
    """

    cpu_per_request_s: float
    rate_per_s: float
    request_sd: float


def plan(app: App, cpus: Cpus) -> Plan:
    """A trial: the baseline and its A/A setup, many short blocks of light load."""
    return Plan(
        name="doctor",
        budget="doctor",
        seed=0,
        app=app,
        setups=choose(app, [AA]),
        replicates=1,
        warm_up=Phase(slice_s=0.05, rounds=12, blocks=1),
        light=Phase(slice_s=0.2, rounds=5, blocks=5),
        saturation=Phase(slice_s=0.03, rounds=1, blocks=0),
        rest_s=0.0,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
    )


def trial(plan_: Plan, bench: Performer, progress: Progress) -> DoctorTrial:
    """What two identical instances show in a few seconds.

    Raises:
        BenchError: the trial could not be carried out.
        KeyboardInterrupt: it was interrupted.
    """
    run = carry_out(plan_, bench, Log(), progress)
    if run.error is not None:
        raise run.error
    if not run.complete:
        raise KeyboardInterrupt
    part = measured_phases(run.raw, Kind.LIGHT)[0]
    cells = [cells for cells in part.cells if min(cell.completed for cell in cells) >= MIN_COMPLETED]
    cost = part.cpu_per_request_s(plan_.names.index(BASELINE))
    if len(cells) < 3 or cost is None:
        raise MeasurementError(
            "the trial's requests were not completed", "close other programs, or use --wait-for-quiet"
        )
    differences = [
        math.log(one.cpu_s / one.completed) - math.log(other.cpu_s / other.completed) for one, other in cells
    ]
    per_block = float(np.mean([cell.completed for pair in cells for cell in pair]))
    return DoctorTrial(
        cpu_per_request_s=cost,
        rate_per_s=max(run.learned.rates.values()),
        request_sd=float(np.std(differences, ddof=1)) * math.sqrt(per_block / 2),
    )


TYPICAL = DoctorTrial(cpu_per_request_s=0.006, rate_per_s=60.0, request_sd=0.14)
"""What a trial of the built-in example showed (results/reference): for an estimate before a trial is made."""


def expected_mde(plan_: Plan, trial: DoctorTrial) -> float | None:
    """The smallest overhead that 80 % of runs of a plan would find here; None if nothing is under test.

    A contrast's variance is 3/2 (one instance against the mean of two) of the variance of processes plus
    that of requests, divided by the number of replicates.
    """
    names = plan_.names
    tested = [name for name in names if name not in CHECKS and name != BASELINE]
    if not tested or plan_.replicates < 2 or not plan_.light.blocks:
        return None
    requests = max(trial.rate_per_s * plan_.light.active_s, 1.0)
    variance = PROCESS_SD**2 + trial.request_sd**2 / requests
    weights = [stats.against(name, (BASELINE, AA)) for name in names if name not in {BASELINE, AA}]
    estimate = stats.Estimate(
        log_ratio=0.0,
        standard_error=math.sqrt(1.5 * variance / plan_.replicates),
        df=stats.pooled_df(plan_.replicates, stats.correlations(weights)),
        family=len(tested),
    )
    return math.expm1(estimate.mde(0.95))
