"""Whole experiments on fakes: the order of things, and failures in the middle."""

from dataclasses import replace
from typing import Any

import pytest

from bench.errors import MeasurementError, ResultsError, ServiceError
from bench.experiment import Outcome, carry_out
from bench.findings import Summary
from bench.model import Kind, Plan
from bench.overhead import summarise
from tests import make
from tests.fakes import FakeProgress, FakeRecord, FakeRig

PLAN = make.plan(rate_per_s=40.0)
EPOCH = ["warm-up {0}.-1", "idle {0}.-1", *["flush {0}.-1"] * 3]
WORK = ["work {0}.0", "check", "work {0}.1", "memory", "check", "stop"]


def carried_out(plan: Plan, rig: FakeRig | None = None) -> tuple[Outcome, FakeRig, FakeRecord]:
    rig, record = rig or FakeRig(plan), FakeRecord()
    return carry_out(plan, rig, record, FakeProgress()), rig, record


def summary(outcome: Outcome) -> Summary:
    return summarise(outcome.raw)


def expected(epoch: int) -> list[str]:
    return [line.format(epoch) for line in EPOCH + WORK]


def test_epochs_and_windows_come_in_their_order() -> None:
    outcome, rig, record = carried_out(PLAN)
    assert rig.log == ["start 0", "check baseline", *expected(0), "start 1", *expected(1)]
    assert outcome.complete
    assert record.windows == outcome.windows
    assert record.requests == outcome.requests


def test_the_slowest_traces_of_every_window_are_kept() -> None:
    _, _, record = carried_out(PLAN)
    assert [(each.epoch, each.window) for each in record.exemplars] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_memory_is_read_once_an_epoch_outside_windows() -> None:
    outcome, _, _ = carried_out(PLAN)
    assert [bool(window.memory) for window in outcome.windows if window.kind is Kind.WORK] == [
        False,
        True,
    ] * 2


def test_the_rate_is_calibrated_before_the_plan_is_stored() -> None:
    outcome, rig, record = carried_out(make.plan(rate_per_s=0.0))
    assert rig.log[2:6] == ["warm-up 0.-5", "warm-up 0.-4", "warm-up 0.-3", "warm-up 0.-2"]
    # The fakes' checkouts cost 11.4 ms on average; one CPU half busy.
    assert outcome.plan.rate_per_s == pytest.approx(0.5 / 0.0114, abs=0.01)
    assert record.plans == [outcome.plan]


def test_a_run_that_ends_while_it_is_calibrated_has_the_plan_that_it_began_with() -> None:
    class Interrupted(FakeRig):
        def measure(self, kind: Kind, epoch: int, window: int, *more: Any, **and_more: Any) -> Any:
            if window == -2:
                raise KeyboardInterrupt
            return super().measure(kind, epoch, window, *more, **and_more)

    plan = make.plan(rate_per_s=0.0)
    outcome, _, record = carried_out(plan, Interrupted(plan))
    assert outcome.plan == plan
    assert record.plans == []


@pytest.mark.parametrize(
    "error",
    [ServiceError("batch died", "look"), ResultsError("disk full", "make room"), MeasurementError("x", "y")],
)
def test_a_failure_in_the_middle_keeps_what_was_measured(error: ServiceError) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise error

    outcome, _, record = carried_out(PLAN, FakeRig(PLAN, fail))
    assert outcome.error is error
    assert not outcome.complete
    assert sum(window.kind is Kind.WORK for window in record.windows) == 3
    found = summary(outcome)
    assert not found.valid
    assert found.epochs == 2
    assert any(str(error) in caveat.message for caveat in found.caveats)


def test_ctrl_c_keeps_what_was_measured_and_blames_nobody() -> None:
    def interrupt(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    outcome, _, record = carried_out(PLAN, FakeRig(PLAN, interrupt))
    assert outcome.error is None
    assert not outcome.complete
    assert sum(window.kind is Kind.WORK for window in record.windows) == 2
    assert "interrupted" in {caveat.code for caveat in summary(outcome).caveats}


def test_a_failure_before_the_first_window_has_a_summary_too() -> None:
    class Broken(FakeRig):
        def start_epoch(self, epoch: int) -> None:
            raise ServiceError(f"nothing starts in epoch {epoch}", "look")

    outcome, _, _ = carried_out(PLAN, Broken(PLAN))
    assert not summary(outcome).valid


def test_a_window_that_the_host_spoiled_is_repeated_while_there_are_spare_ones() -> None:
    class Stolen(FakeRig):
        steal_s = 1.0

    plan = replace(PLAN, spare=3)
    outcome, rig, _ = carried_out(plan, Stolen(plan))
    works = [line for line in rig.log if line.startswith("work")]
    assert works == [*(f"work 0.{number}" for number in range(5)), "work 1.0", "work 1.1"]
    assert outcome.spare == 0
    assert [bool(window.memory) for window in outcome.windows if window.kind is Kind.WORK].count(True) == 2
    assert summary(outcome).load.set_aside == 3
