"""Setups that do other work than the baseline, or do it when nothing is measured, are reported."""

from dataclasses import replace

import msgspec
import pytest

from bench.analysis.claims import Severity
from bench.analysis.work_checks import answers, at_rest, late, work
from bench.app.records import Tracing
from bench.plan.readings import Account, InstanceReading, Raw
from bench.plan.records import Kind, Shape
from bench.runner.learning import learned_from
from tests import make
from tests.make import SimulatedPerformer

FLUSHLESS = msgspec.structs.replace(make.APP, tracing=Tracing())


@pytest.fixture(scope="module")
def raw() -> Raw:
    return make.raw(make.plan(("none", "none-aa", "injected", "batch"), rest_s=1.0), SimulatedPerformer())


def changed(raw: Raw, kind: Kind, setup: str, **values: object) -> Raw:
    """The records with other values of a setup in the steps of a kind."""

    def one(reading: InstanceReading) -> InstanceReading:
        return replace(reading, **values) if reading.setup == setup else reading  # type: ignore[arg-type]

    return replace(
        raw,
        readings=tuple(
            replace(reading, instances=tuple(map(one, reading.instances)))
            if reading.kind is kind
            else reading
            for reading in raw.readings
        ),
    )


def test_an_ordinary_run_has_no_caveat(raw: Raw) -> None:
    assert not list(work(raw))


@pytest.mark.parametrize(("size", "is_reported"), [(4_100, False), (2_100, False), (60, True), (9_000, True)])
def test_an_error_with_the_status_of_a_success_is_reported(raw: Raw, size: int, is_reported: bool) -> None:  # noqa: FBT001
    asked = changed(raw, Kind.LEARN, "none", answer_bytes=(4_000,))
    found = list(answers(changed(asked, Kind.LEARN, "batch", answer_bytes=(size,))))
    assert [caveat.setup for caveat in found] == (["batch"] if is_reported else [])


def test_exports_after_the_load_are_reported_where_nothing_flushes(raw: Raw) -> None:
    loaded_ns = sum(
        instance.cpu_ns
        for reading in raw.readings
        if reading.kind in {Kind.LIGHT, Kind.SATURATION}
        for instance in reading.instances
        if instance.setup == "batch"
    )
    replicates = raw.plan.replicates
    for share, severity in ((0.01, None), (0.05, Severity.CAVEAT), (0.3, Severity.INVALID)):
        after = changed(raw, Kind.SETTLE, "batch", cpu_ns=round(share * loaded_ns / replicates))
        assert not list(late(after))
        reported = list(late(replace(after, plan=replace(after.plan, app=FLUSHLESS))))
        assert [caveat.severity for caveat in reported] == ([severity] if severity else [])


def test_work_at_rest_is_reported(raw: Raw) -> None:
    (reading, *_) = [reading for reading in raw.readings if reading.kind is Kind.REST]
    at_rest_ns = round(reading.duration_s * 0.08e9)
    (caveat,) = at_rest(changed(raw, Kind.REST, "none", cpu_ns=at_rest_ns))
    assert "8.0 % of a CPU" in caveat.message


def test_a_sampled_setup_is_held_to_all_shapes_of_the_one_that_samples_everything() -> None:
    plan = make.plan(("none", "ratio-10", "batch"))
    plan = replace(plan, app=FLUSHLESS)
    asked, ordered = ({"web SERVER GET": count} for count in (1, 2))
    readings = [
        InstanceReading(setup="none", completed=40),
        # Only one kind was among the few that it sampled.
        InstanceReading(setup="ratio-10", completed=4, account=Account(shapes=(asked,))),
        InstanceReading(setup="batch", completed=40, account=Account(shapes=(asked, ordered))),
    ]
    assert set(map(str, learned_from(plan, readings).shapes["ratio-10"])) == {str(asked), str(ordered)}


def test_a_setup_that_loses_a_whole_process_does_not_teach_its_loss_as_normal() -> None:
    plan = replace(make.plan(("none", "batch", "simple")), app=FLUSHLESS)
    whole = {"web\tserver\tGET /": 1, "web\tproducer\tsend": 1, "worker\tconsumer\trun": 1}
    without_worker = {key: count for key, count in whole.items() if not key.startswith("worker")}
    without_inner = {key: count for key, count in whole.items() if "producer" not in key}

    def learned(seen: Shape) -> tuple[Shape, ...]:
        readings = [
            InstanceReading(setup="none", completed=60),
            InstanceReading(setup="batch", completed=60, account=Account(shapes=(seen,))),
            InstanceReading(setup="simple", completed=60, account=Account(shapes=(whole,))),
        ]
        return learned_from(plan, readings).shapes["batch"]

    assert learned(without_worker) == (whole,)
    # Fewer spans inside a process are no loss: instrumentations may differ.
    assert learned(without_inner) == (without_inner,)
