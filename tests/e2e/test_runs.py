"""Whole runs: a healthy one, and what happens when a part of it is killed in the middle."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.runs import PATIENCE_S, ROOT, Run, invalid

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
    "--phases",
    "rotation",
]


def test_a_smoke_run_balances_over_http_and_grpc_for_every_kind_of_span(start: Callable[..., Run]) -> None:
    names = (
        "none-again,control,api-only,always-off,ratio-50,batch,batch-lean,batch-manual,batch-native,"
        "batch-grpc,batch-gzip,simple,simple-grpc"
    )
    run = start("--budget", "smoke", "--epochs", "1", "--windows", "2", "--setups", names)
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
    assert summary["solo"]["blocks"] == 1
    assert all(setup["ledger"]["balanced"] for setup in summary["solo"]["setups"])
    files = {
        "hgrm",
        "slices.jsonl",
        "solo.csv.gz",
        "plan.json",
        "machine.json",
        "windows.jsonl",
        "requests.csv.gz",
        "ending.json",
        "summary.json",
        "report.md",
        "report.html",
        "overhead.svg",
        "manifest.json",
        "traces.jsonl.gz",
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


def test_no_process_outlives_a_harness_that_was_killed_while_fleets_were_stopped(
    start: Callable[..., Run],
) -> None:
    run = start("--budget", "smoke", "--phases", "solo", "--setups", "batch")
    run.wait_for(lambda: "solo, set-up 3" in run.text())
    run.children |= set(psutil.Process(run.process.pid).children(recursive=True))
    assert any(child.status() == psutil.STATUS_STOPPED for child in run.children)
    run.process.kill()
    run.process.wait()
    assert run.survivors() == []


def counts(summary: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Checkouts and received spans by set-up."""
    return {
        setup["name"]: (setup["ledger"]["checkouts"], setup["ledger"]["spans_received"])
        for setup in summary["setups"]
    }


def test_two_workers_find_what_one_process_finds(start: Callable[..., Run]) -> None:
    fixed = [
        "--epochs", "2", "--windows", "3", "--window", "5", "--rate", "30", "--seed", "7",
        "--setups", "none-again,batch", "--phases", "rotation",
    ]  # fmt: skip
    found = []
    for extra in ([], ["--workers", "2"]):
        run = start(*fixed, *extra)
        assert run.end() in {0, 4}, run.text()
        found.append(run.summary())
    one, two = found
    # A window that the host spoiled is repeated, so the number of windows may differ.
    assert not invalid(two) & {"ledger", "stray", "errors", "failure", "dropped"}
    if one["load"]["set_aside"] == two["load"]["set_aside"]:
        assert counts(one) == counts(two)
    assert [worker["worker"] for worker in two["load"]["workers"]] == [0, 1]
    for mine, theirs in zip(one["setups"], two["setups"], strict=True):
        if mine["overhead"]:
            assert mine["overhead"]["low"] <= theirs["overhead"]["high"]
            assert theirs["overhead"]["low"] <= mine["overhead"]["high"]


def test_a_killed_load_worker_costs_its_window_and_not_the_run(start: Callable[..., Run]) -> None:
    run = start(*SHORT, "--workers", "2")
    run.wait_for_window()
    workers = [child for child in run.children if "--worker" in child.cmdline()]
    assert len(workers) == 2
    workers[0].kill()
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert summary["complete"]
    assert summary["load"]["lost_workers"] == 1
    assert "1 load worker died" in run.text()
    assert not invalid(summary) & {"worker", "ledger", "failure"}, summary["caveats"]
    assert run.survivors() == []


@contextlib.contextmanager
def fleets_elsewhere(ports: dict[str, int], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Fleets as a person starts them, with the environment that is printed for their set-up."""
    fleets: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for fleet in fleets:
            fleet.terminate()
        for fleet in fleets:
            fleet.wait(PATIENCE_S)

    with contextlib.ExitStack() as stack:
        stack.callback(end)
        for name, port in ports.items():
            printed = subprocess.run(
                [sys.executable, "-m", "bench", "setups", "--env", name],
                cwd=ROOT, check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            environ = dict(line.split("=", 1) for line in printed.splitlines())
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            fleets.append(
                subprocess.Popen(
                    [sys.executable, "-m", "services", "all", "--port", str(port), "--connections", "2"],
                    cwd=ROOT, env=os.environ | environ, stdout=log, stderr=log,
                )
            )  # fmt: skip
        for name in ports:
            until = time.monotonic() + PATIENCE_S
            while "Try it" not in (folder / f"{name}.log").read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
        yield fleets


def test_fleets_that_run_elsewhere_are_measured_over_http(start: Callable[..., Run], tmp_path: Path) -> None:
    ports = {"none": 8300, "none-again": 8310, "batch": 8320}
    with fleets_elsewhere(ports, tmp_path) as fleets:
        targets = [f"--target={name}=http://127.0.0.1:{port}" for name, port in ports.items()]
        run = start(*targets, "--budget", "smoke")
        assert run.end() in {0, 4}, run.text()
        summary = run.summary()
        assert not invalid(summary) & {"ledger", "solo-ledger", "stray", "errors", "failure"}, run.text()
        batch = next(setup for setup in summary["setups"] if setup["name"] == "batch")
        assert batch["ledger"]["spans_received"] == batch["ledger"]["checkouts"] * 22
        assert batch["overhead"]["ratio"] > 0.2
        assert batch["memory_bytes"]["pss"] > 40e6
        assert "same-processes" in {caveat["code"] for caveat in summary["caveats"]}
        assert all(fleet.poll() is None for fleet in fleets)


def test_workers_that_a_person_starts_take_their_share(start: Callable[..., Run], tmp_path: Path) -> None:
    ports = {"none": 8330, "batch": 8340}
    with fleets_elsewhere(ports, tmp_path), socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = free.getsockname()[1]
        free.close()
        targets = [f"--target={name}=http://127.0.0.1:{port}" for name, port in ports.items()]
        run = start(
            *targets, "--budget", "smoke", "--phases", "rotation", "--rate", "20",
            "--workers", "1", "--remote-workers", "1", "--master", f"127.0.0.1:{master}",
        )  # fmt: skip
        run.wait_for(lambda: "starting the sink" in run.text())
        command = ["-m", "locust", "-f", "locustfiles/planned.py", "--worker", "--master-host", "127.0.0.1"]
        log = (tmp_path / "worker.log").open("wb")
        with log:
            worker = subprocess.Popen(
                [sys.executable, *command, "--master-port", str(master)], cwd=ROOT, stdout=log, stderr=log
            )
        try:
            assert run.end() in {0, 4}, run.text()
            # The run tells its workers to stop.
            worker.wait(PATIENCE_S)
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        shares = [each["arrivals"] for each in run.summary()["load"]["workers"]]
        assert len(shares) == 2
        assert abs(shares[0] - shares[1]) <= 4
        assert not invalid(run.summary()) & {"ledger", "errors", "failure", "dropped"}, run.text()


def test_a_target_that_is_not_there_is_said(start: Callable[..., Run]) -> None:
    run = start("--target=none=http://127.0.0.1:9", "--target=none-again=http://127.0.0.1:8")
    assert run.end() == 3
    assert "frontend-app of none does not answer" in run.text()
    assert "hint: " in run.text()
    assert "Traceback" not in run.text()
