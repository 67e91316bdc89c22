"""The operations that are timed prove what they are; here inside this process, in e2e in their own."""

import importlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyperf
import pytest

from bench.cli import results
from bench.errors import ResultsError
from bench.receiver.messages import CloseAccounts
from bench.results.store import Store, pretty
from bench.studies.micro import files
from bench.studies.micro.cold import cold_s
from bench.studies.micro.figures import MicroRun
from bench.studies.micro.measure import in_order, receiver_variables
from bench.studies.micro.operations import REFERENCE, TABLE, Operation, choose
from bench.studies.micro.timed import Subject, Untrue, Wait, build, timed
from bench.testbed.receiver import Receiver

ALONE = [operation for operation in TABLE if operation.room in {"spans", "context"}]
WITH_MESSAGES = [operation for operation in TABLE if operation.build in {"encode", "serialise", "gzip"}]


def name(operation: Operation) -> str:
    return operation.name


def test_names_are_unique_and_every_operation_can_be_built() -> None:
    assert max(Counter(operation.name for operation in TABLE).values()) == 1
    for operation in TABLE:
        assert hasattr(importlib.import_module(f"bench.studies.micro.{operation.room}"), operation.build)


@pytest.mark.parametrize("operation", [*ALONE, *WITH_MESSAGES], ids=name)
def test_an_operation_does_what_its_name_says(operation: Operation) -> None:
    subject = build(operation)
    try:
        assert subject.time(7) >= 0
        subject.check(7)
        subject.time(3)
        subject.check(10)
    finally:
        subject.close()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    running = Receiver(tmp_path_factory.mktemp("receiver"))
    try:
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("operation", [each for each in TABLE if each.build == "export"], ids=name)
def test_spans_that_are_exported_are_counted_at_the_receiver(
    operation: Operation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in receiver_variables(receiver).items():
        monkeypatch.setenv(variable, value)
    receiver.close_accounts(CloseAccounts(replicate=0))
    subject = build(operation)
    try:
        subject.time(3)
        subject.check(3)
    finally:
        subject.close()


@pytest.mark.parametrize("processor", ["count", "simple", "batch"])
def test_a_span_that_does_not_reach_its_processor_is_found(processor: str) -> None:
    subject = build(
        Operation(
            name="x",
            sentence="",
            room="spans",
            build="start_and_end",
            options={"sampler": "on", "processor": processor},
        )
    )
    subject.time(7)
    with pytest.raises(Untrue, match="7 of 8 spans"):
        subject.check(8)
    subject.close()


def test_a_pattern_chooses_and_always_brings_the_reference() -> None:
    assert [each.name for each in choose("id/*")] == [REFERENCE, "id/trace", "id/span"]
    assert [each.name for each in choose("queue")] == [REFERENCE, "span/queue-full"]
    assert choose("nothing-like-it") == ()
    assert choose(None) == TABLE


def test_replicates_shuffle_and_a_seed_repeats_them() -> None:
    orders = [in_order(TABLE, number, 7) for number in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert all(sorted(order, key=name) == sorted(TABLE, key=name) for order in orders)
    assert in_order(TABLE, 1, 7) == orders[1]
    assert in_order(TABLE, 1, 8) != orders[1]


def run_of(values: tuple[float, ...], number: int) -> pyperf.Run:
    metadata = {"name": "id/trace", "unit": "second", "replicate": number, "reference_s": "1e-06 2e-06 1e-06"}
    return pyperf.Run(values, metadata=metadata, collect_metadata=False)


def test_the_figures_can_be_made_again_from_pyperfs_file(tmp_path: Path) -> None:
    runs = [run_of((2e-7, 4e-7, 2e-7), number) for number in range(2)]
    pyperf.BenchmarkSuite([pyperf.Benchmark(runs)]).dump(str(tmp_path / files.FILE))
    store = Store(tmp_path)
    store.write(files.RUN, pretty(MicroRun(replicates=2, seed=1, steal=0.0)))
    summary = files.read(store.folder)
    assert summary.timings[0].ratio.value == pytest.approx(0.2)
    results.publish(results.read(tmp_path))
    assert "| id/trace" in (tmp_path / "report.md").read_text("utf-8")
    assert files.read(tmp_path) == summary


def test_a_file_that_is_not_pyperfs_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(files.RUN, pretty(MicroRun(replicates=2, seed=1, steal=0.0)))
    store.write(files.FILE, b"{}")
    with pytest.raises(ResultsError, match=files.FILE):
        files.read(tmp_path)


def test_others_have_the_cpu_before_an_operation_and_while_it_waits_and_it_does_not_pay_for_them() -> None:
    wait, asked = Wait(), list[None]()

    def burn(for_s: float) -> None:
        end = time.process_time() + for_s
        while time.process_time() < end:
            pass

    def do(loops: int) -> None:
        for _ in range(loops):
            burn(0.0002)
            wait()

    def disturb() -> None:
        asked.append(None)
        burn(0.001)

    subject = Subject(time=timed(do), check=lambda _done: None, wait=wait)
    assert 0.0002 <= cold_s(subject, disturb, samples=20) < 0.0006
    # Once more before the clock alone is read.
    assert len(asked) == 20 * 3
    asked.clear()
    subject.time(1)
    assert not asked
