"""The runner: the order of execution, spare blocks, and every way in which a run can end."""

from collections.abc import Sequence

import pytest

from bench.errors import MeasurementError, ResultsError, ServiceError
from bench.plan.readings import RequestRow, StepReading
from bench.plan.records import Kind, Learned, Plan, Step
from bench.receiver.messages import KeptTrace
from bench.runner import doctor
from bench.runner.run import Log, carry_out
from bench.testbed.machine import Cpus
from tests import make
from tests.make import Quiet, SimulatedPerformer


class MemoryLog(Log):
    """Keeps what is logged, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.learned: list[Learned] = []

    def write_plan(self, plan: Plan) -> None:
        self.events.append(f"plan {plan.name}")

    def write_learned(self, learned: Learned) -> None:
        self.events.append("learned")
        self.learned.append(learned)

    def append(self, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        self.events.append(f"{reading.kind} {len(rows) > 0}")

    def append_traces(self, replicate: int, traces: Sequence[KeptTrace]) -> None:  # noqa: ARG002
        self.events.append(f"traces {replicate}")


def test_steps_are_performed_in_order_and_logged_each_before_the_next() -> None:
    bench, log = SimulatedPerformer(), MemoryLog()
    carry_out(make.plan(replicates=1), bench, log, Quiet())
    assert bench.log == [
        "start 0", "learn 0", "warm-up 0", "capacity 0", "flush 0", "rest 0", "light 0", "flush 0",
        "empty-flush 0", "saturation 0", "flush 0", "empty-flush 0", "settle 0", "stop",
    ]  # fmt: skip
    assert log.events == [
        "plan test", "start False", "learn False", "learned", "warm-up True", "capacity True", "learned",
        "flush False", "rest False", "light True", "flush False", "empty-flush False", "saturation True",
        "flush False", "empty-flush False", "settle False", "traces 0",
    ]  # fmt: skip


def test_shapes_and_rates_are_learned_in_the_first_replicate() -> None:
    log = MemoryLog()
    run = carry_out(make.plan(replicates=2), SimulatedPerformer(), log, Quiet())
    assert len(log.learned) == 2
    assert not log.learned[0].rates
    assert log.learned[0].shapes["batch"] == (make.SHAPE,)
    assert log.learned[1].rates["none"] == pytest.approx(30.0, rel=0.05)
    assert run.learned == log.learned[1]


def test_spoiled_blocks_are_repeated_while_there_are_spare_ones() -> None:
    def steal(step: Step) -> float:
        return 0.2 if step.kind is Kind.LIGHT and step.replicate == 0 and step.number < 7 else 0.0

    bench = SimulatedPerformer(steal_s=steal)
    run = carry_out(make.plan(replicates=2, spare=3), bench, MemoryLog(), Quiet())
    light = [reading for reading in run.readings if reading.kind is Kind.LIGHT]
    assert [reading.planned_blocks for reading in light] == [4, 3, 4]


@pytest.mark.parametrize(
    "error", [ServiceError("died", "why"), MeasurementError("no", "so"), ResultsError("full", "x")]
)
def test_an_expected_error_ends_the_run_and_is_kept(error: Exception) -> None:
    def fail(step: Step) -> None:
        if step.replicate == 1 and step.kind is Kind.SATURATION:
            raise error

    run = make.run(make.plan(), SimulatedPerformer(fail=fail))
    assert run.error is error
    assert not run.complete
    assert run.raw.ending.failure == str(error)
    assert any(reading.replicate == 1 and reading.kind is Kind.LIGHT for reading in run.readings)


def test_a_defect_is_not_swallowed() -> None:
    def fail(_step: Step) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make.run(make.plan(), SimulatedPerformer(fail=fail))


def test_a_setup_that_completes_nothing_ends_the_run_before_it_measures() -> None:
    run = make.run(make.plan(), SimulatedPerformer(status=500))
    assert isinstance(run.error, MeasurementError)
    assert "no request of none was completed" in str(run.error)


def test_the_doctor_expects_less_of_a_shorter_budget() -> None:
    from bench.plan.budget import BudgetName
    from bench.studies.run.options import Options
    from bench.studies.run.planning import run_plan
    from bench.testbed.app_files import load

    plan = doctor.plan(make.APP, Cpus(usable=2, services=(1,), others=(0,)))
    found = doctor.trial(plan, SimulatedPerformer(noise=0.01), Quiet())
    assert found.cpu_per_request_s == pytest.approx(0.010, rel=0.1)
    names: tuple[BudgetName, ...] = ("smoke", "quick", "default")
    loaded = load(None)
    plans = [run_plan(Options(budget=name), loaded) for name in names]
    expected = [doctor.expected_mde(plan, found) or 0.0 for plan in plans]
    assert all(expected)
    assert expected == sorted(expected, reverse=True)


@pytest.mark.parametrize("replicates", [1, 2, 5])
@pytest.mark.parametrize("names", [("none",), ("none", "none-aa"), ("none", "injected"), ("none", "batch")])
def test_only_plans_with_replicates_and_traced_setups_have_an_expectation(
    names: tuple[str, ...], replicates: int
) -> None:
    expected = doctor.expected_mde(make.plan(names, replicates=replicates), doctor.TYPICAL)
    assert (expected is not None) == ("batch" in names and replicates > 1)
    assert expected is None or 0 < expected < 10
