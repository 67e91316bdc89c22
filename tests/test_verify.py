"""A folder's figures follow from its raw records, and any changed digit is found."""

import gzip
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import cli, manifest, results
from bench.model import Machine, Purpose, Request, Window
from bench.plan import arrivals
from bench.store import Store, pretty, read_raw
from bench.verify import _slices, verify
from tests import make
from tests.test_overhead import COSTS

PLAN = make.plan(epochs=3, rate_per_s=20.0)
LINE = re.compile(r"line (\d+)")


def carried_out(folder: Path) -> None:
    """A run as its plan says, with figures, reports and manifest."""
    store = Store.create(folder)
    store.write_plan(PLAN)
    store.write("machine.json", pretty(Machine(started="2026-01-02T03:04:05", cpu="a CPU", cpus_usable=2)))
    rng = np.random.default_rng(3)
    for epoch in range(PLAN.epochs):
        for number in range(PLAN.windows):
            due = arrivals(PLAN, epoch, number)
            count = len(due) // len(PLAN.setups)
            costs = {name: cost * math.exp(rng.normal(0, 0.004)) for name, cost in COSTS.items()}
            window = make.work(PLAN, costs, epoch, number, completed=count)
            store.append_window(window)
            store.append_requests(
                Request(
                    epoch=epoch,
                    window=number,
                    setup=each.setup,
                    planned_ns=each.offset_ns,
                    sent_ns=each.offset_ns + 200_000,
                    done_ns=each.offset_ns + 9_000_000,
                    status=201,
                )
                for each in due
            )
    store.write("ending.json", pretty(make.COMPLETE))
    results.publish(folder, results.read(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    carried_out(folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_what_follows_is_verified(whole: Path) -> None:
    found = verify(whole)
    assert found.faults == ()
    assert found.sealed
    assert found.figures > 100


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


FILES = (
    "plan.json",
    "machine.json",
    "windows.jsonl",
    "requests.csv.gz",
    "ending.json",
    "summary.json",
    manifest.FILE,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_changed_digit_anywhere_is_found(whole: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([each for each in FILES if re.search(r"\d", text_of(whole / each))]))
    path = whole / name
    before, text = path.read_bytes(), text_of(path)
    places = [match.start() for match in re.finditer(r"\d", text)]
    at = places[data.draw(st.integers(0, len(places) - 1))]
    digit = str((int(text[at]) + data.draw(st.integers(1, 9))) % 10)
    write(path, text[:at] + digit + text[at + 1 :])
    try:
        faults = verify(whole).faults
        assert faults
        if name != manifest.FILE:
            assert faults[0].file == name
            assert faults[0].line == text.count("\n", 0, at) + 1
    finally:
        path.write_bytes(before)


def test_a_figure_that_does_not_follow_is_named_with_both_values(run: Path) -> None:
    path = run / "summary.json"
    text = path.read_text("utf-8")
    at = text.index('"noise_floor":')
    path.write_text(re.sub(r'"noise_floor": [\d.e-]+', '"noise_floor": 0.5', text), "utf-8")
    manifest.seal(run, ["summary.json"])
    (fault,) = verify(run).faults
    assert (fault.file, fault.field) == ("summary.json", "noise_floor")
    assert fault.line == text.count("\n", 0, at) + 1
    assert fault.message.startswith("is 0.5, and the raw records say ")


def test_a_raw_file_is_sealed_once(run: Path) -> None:
    path = run / "windows.jsonl"
    path.write_text(path.read_text("utf-8").replace('"completed":20', '"completed":19', 1), "utf-8")
    results.publish(run, results.read(run))
    faults = verify(run).faults
    assert [each.file for each in faults] == ["windows.jsonl", "windows.jsonl"]
    assert faults[0].line == 1
    assert "counts 19 checkouts of" in faults[1].message


def rewritten(folder: Path, windows: list[Window]) -> None:
    (folder / "windows.jsonl").unlink()
    for window in windows:
        Store(folder).append_window(window)
    (folder / manifest.FILE).unlink()
    results.publish(folder, results.read(folder))


def test_a_window_that_is_missing_is_missed(run: Path) -> None:
    windows = list(read_raw(run).windows)
    rewritten(run, windows[1:])
    assert any("epoch 0 has 1 of 2 windows" in each.message for each in verify(run).faults)


def test_a_fleet_that_the_plan_does_not_have_is_found(run: Path) -> None:
    path = run / "windows.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], lines[-1].replace('"batch"', '"spam"')]), "utf-8")
    assert any("line 6 has the fleets" in each.message for each in verify(run).faults)


def test_arrivals_of_another_seed_are_found(run: Path) -> None:
    path = run / "plan.json"
    path.write_bytes(pretty(replace(PLAN, seed=2)))
    (run / manifest.FILE).unlink()
    results.publish(run, results.read(run))
    (fault,) = verify(run).faults
    assert "does not hold the arrivals of the plan" in fault.message


def test_a_report_of_changed_records_says_so_and_format_writes_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "windows.jsonl"
    path.write_text(path.read_text("utf-8").replace('"completed":20', '"completed":19', 1), "utf-8")
    before = {each.name: each.read_bytes() for each in run.iterdir() if each.is_file()}
    assert cli.main(["report", str(run), "--format", "md"]) == 4
    assert "CHANGED SINCE IT WAS MEASURED: windows.jsonl, line 1" in capsys.readouterr().out
    assert {each.name: each.read_bytes() for each in run.iterdir() if each.is_file()} == before
    assert cli.main(["report", str(run)]) == 4
    assert "INVALID changed since it was measured" in capsys.readouterr().out


def test_a_field_that_was_not_known_then_is_no_fault(run: Path) -> None:
    path = run / "summary.json"
    path.write_text(re.sub(r'\n  "layers": null,', "", path.read_text("utf-8")), "utf-8")
    manifest.seal(run, ["summary.json"])
    assert verify(run).faults == ()


def test_the_command_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(run)]) == 0
    assert "Verified" in capsys.readouterr().out
    (run / "ending.json").unlink()
    assert cli.main(["verify", str(run)]) == 4
    assert "NOT VERIFIED: ending.json" in capsys.readouterr().out
    assert cli.main(["verify", str(run.parent)]) == 5
    assert "holds no results" in capsys.readouterr().err


def test_the_committed_solo_phase_was_carried_out_as_planned_and_another_order_is_found() -> None:
    raw = read_raw(Path(__file__).parent.parent / "results" / "reference")
    assert list(_slices(raw)) == []
    visits = [each for each in raw.slices if each.epoch == 1]
    others = [each for each in raw.slices if each.epoch != 1]
    turned = replace(raw, slices=(*others, *reversed(visits)))
    assert "block 1 visited" in next(_slices(turned)).message
    level = next(each for each in raw.slices if each.purpose is Purpose.LEVEL)
    moved = [
        replace(row, planned_ns=row.planned_ns + 10**8)
        if (row.epoch, row.window) == (level.epoch, level.number)
        else row
        for row in raw.solo_requests
    ]
    assert "arrivals of the plan" in next(_slices(replace(raw, solo_requests=tuple(moved)))).message
    wrong = [replace(row, status=500) if row.status == 201 else row for row in raw.solo_requests]
    assert "checkouts of" in next(_slices(replace(raw, solo_requests=tuple(wrong)))).message
