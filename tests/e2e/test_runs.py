"""Whole runs: a healthy one, and what happens when a part of it is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
SHORT = [
    "--epochs",
    "1",
    "--windows",
    "4",
    "--window",
    "3",
    "--rate",
    "12",
    "--setups",
    "none-again,batch,simple",
]
PATIENCE_S = 120.0


class Run:
    """A run in the background."""

    def __init__(self, out: Path, *arguments: str) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench", "run", "--out", str(out), *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children: set[psutil.Process] = set()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, once it gives something."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"nothing came in {PATIENCE_S:g} s: {self.log.read_text()}")

    def wait_for_window(self) -> None:
        """Returns in the middle of the run, when its first window is on disk."""
        path = self.out / "windows.jsonl"
        self.wait_for(lambda: path.exists() and '"kind":"work"' in path.read_text())
        self.children |= set(psutil.Process(self.process.pid).children(recursive=True))

    def child(self, *words: str) -> psutil.Process:
        """The first child whose command line has all these words."""
        return next(child for child in self.children if all(word in child.cmdline() for word in words))

    def end(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE_S)

    def text(self) -> str:
        return self.log.read_text()

    def summary(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return loaded

    def survivors(self) -> list[psutil.Process]:
        """Children that are left after a few seconds."""
        _, alive = psutil.wait_procs(self.children, timeout=10)
        return [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs, and stops what a failed test leaves behind."""
    runs: list[Run] = []

    def begin(*arguments: str) -> Run:
        runs.append(Run(tmp_path / f"run{len(runs)}", *arguments))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.wait(PATIENCE_S)


def invalid(summary: dict[str, Any]) -> set[str]:
    return {caveat["code"] for caveat in summary["caveats"] if caveat["severity"] == "invalid"}


def test_a_smoke_run_balances_over_http_and_grpc_for_every_kind_of_span(start: Callable[..., Run]) -> None:
    names = (
        "none-again,control,api-only,always-off,ratio-50,batch,batch-lean,batch-manual,batch-native,"
        "batch-grpc,batch-gzip,simple,simple-grpc"
    )
    run = start("--epochs", "1", "--windows", "2", "--window", "4", "--setups", names)
    run.wait_for_window()
    load, sink = run.child("locust"), run.child("bench.sink")
    services = [child for child in run.children if "services" in child.cmdline()]
    assert len(services) == 14 * 4
    if len(os.sched_getaffinity(0)) > 1:
        on = {cpu for child in services for cpu in child.cpu_affinity()}
        assert len(on) == 1
        for other in (load, sink, psutil.Process(run.process.pid)):
            assert not on & set(other.cpu_affinity())
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) & {"ledger", "stray", "errors", "flush", "failure"}, summary["caveats"]
    for setup in summary["setups"]:
        ledger = setup["ledger"]
        assert ledger["balanced"]
        assert ledger["lost"] == ledger["duplicated"] == ledger["orphaned"] == 0
        if setup["name"].startswith(("batch", "simple")):
            assert ledger["spans_received"] == ledger["spans_expected"] > 0
            assert ledger["traces_whole"] == ledger["checkouts"]
    files = {
        "plan.json",
        "machine.json",
        "windows.jsonl",
        "requests.csv.gz",
        "ending.json",
        "summary.json",
        "report.md",
    }
    assert {path.name for path in run.out.iterdir()} == files
    assert run.survivors() == []


def test_a_killed_sink_turns_the_report_red(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_window()
    run.child("bench.sink").kill()
    assert run.end() not in {0, 130}
    summary = run.summary()
    assert not summary["valid"]
    assert {"ledger", "failure"} <= invalid(summary)
    batch = next(setup for setup in summary["setups"] if setup["name"] == "batch")
    assert batch["verdict"].startswith("invalid (")
    assert batch["ledger"]["lost"] > 0
    assert "🔴 **INVALID" in (run.out / "report.md").read_text()
    assert "the sink was killed by signal 9" in run.text()
    assert run.survivors() == []


def test_a_killed_service_is_named_and_what_was_measured_is_kept(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_window()
    run.child("services", "payment-service").kill()
    assert run.end() == 3
    assert "payment-service of" in run.text()
    assert "was killed by signal 9" in run.text()
    assert "hint: " in run.text()
    assert "Traceback" not in run.text()
    assert not run.summary()["valid"]
    assert run.survivors() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_measured_and_leaves_nothing_behind(
    start: Callable[..., Run], number: int
) -> None:
    run = start(*SHORT)
    run.wait_for_window()
    run.process.send_signal(number)
    assert run.end() == 130
    summary = run.summary()
    assert not summary["complete"]
    assert summary["setups"][0]["ledger"]["checkouts"] > 0
    assert "Traceback" not in run.text()
    assert run.survivors() == []


def test_ctrl_c_while_fleets_start_leaves_nothing_behind(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for(lambda: "fleets of four services" in run.text())
    run.children |= set(psutil.Process(run.process.pid).children(recursive=True))
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    assert "Traceback" not in run.text()
    assert run.survivors() == []


def test_no_process_outlives_a_harness_that_was_killed(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_window()
    run.process.kill()
    run.process.wait()
    assert run.survivors() == []


def test_a_full_disk_is_said_and_leaves_nothing_behind(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(*SHORT)
    run.wait_for_window()
    # A file that can grow no more: what a full disk does to an append.
    path = run.out / "windows.jsonl"
    path.rename(tmp_path / "kept")
    path.symlink_to("/dev/full")
    assert run.end() == 5
    assert "No space left on device" in run.text()
    assert "Traceback" not in run.text()
    assert run.survivors() == []
