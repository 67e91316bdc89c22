"""Whole runs with real processes: counts are exact, whatever ends a run early leaves nothing behind."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.runs import COMMAND, PATIENCE_S, ROOT, SHORT, Run, invalid, setup_of

TIMING = {
    "aa",
    "injected",
    "lag",
    "steal",
    "foreign",
    "slices",
    "trend",
    "load-utilization",
    "outside",
    "too-short",
}
"""Checks that a machine that does other things at the same time may not pass."""


def test_every_kind_of_span_over_http_and_grpc_is_accounted_for_and_can_be_verified(
    start: Callable[..., Run],
) -> None:
    names = (
        "disabled,always-off,ratio-50,batch,batch-lean,batch-manual,batch-native,batch-grpc,batch-gzip,simple"
    )
    run = start("--budget", "smoke", "--setups", names, "--find-rate")
    assert run.end() in {0, 4}, run.text()
    assert "to detect overheads from" in run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    for setup in summary["setups"]:
        assert setup["accounting"]["complete"] is True, setup["accounting"]
    batch = setup_of(summary, "batch")
    assert batch["accounting"]["spans_received"] == batch["accounting"]["requests"] * 22
    assert setup_of(summary, "batch-manual")["accounting"]["spans_received"] % 7 == 0
    traces = setup_of(summary, "ratio-50")["accounting"]["traces"]
    assert traces["sampled"] == traces["received"]
    assert setup_of(summary, "simple")["latency"]["overloaded"]
    assert batch["highest_rate"]["per_s"] > 0
    assert batch["light"]["change"]["ratio"] > 0.2
    done = subprocess.run([*COMMAND, "verify", str(run.out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_killed_receiver_makes_the_report_red(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_step("rest")
    run.child("bench.receiver").kill()
    assert run.end() == 4, run.text()
    assert "accounting" in invalid(run.summary())
    assert "NOT VALID" in run.text()
    assert setup_of(run.summary(), "batch")["verdict"]["kind"] == "invalid"


def test_a_killed_service_is_named_and_what_was_measured_is_kept(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_step("light")
    run.child("services", "payment-service").kill()
    assert run.end() == 3, run.text()
    assert "payment-service (setup " in run.text()
    assert (run.out / "report.html").exists()
    assert run.survivors() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_measured_and_leaves_nothing(
    start: Callable[..., Run], number: signal.Signals
) -> None:
    run = start(*SHORT)
    run.wait_for_step("rest")
    run.process.send_signal(number)
    assert run.end() == 130, run.text()
    assert not run.summary()["complete"]
    assert run.survivors() == []


def test_ctrl_c_while_the_receiver_starts_leaves_nothing(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for(lambda: [child for child in run.looked() if "bench.receiver" in child.cmdline()])
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130, run.text()
    assert not [child for child in run.children if child.is_running()], "at once, and not after a while"
    assert "Traceback" not in run.text()
    assert not run.out.exists(), "nothing was measured"


def test_nothing_outlives_a_harness_that_was_killed_while_instances_were_stopped(
    start: Callable[..., Run],
) -> None:
    run = start(*SHORT)
    run.wait_for_step("rest")
    stopped = run.child("services", "frontend-app")
    (owner,) = (
        owner
        for path in Path(tempfile.gettempdir()).glob("bench-*/owner.json")
        if (owner := json.loads(path.read_text("utf-8")))["pid"] == run.process.pid
    )
    run.process.kill()
    run.process.wait()
    assert run.survivors() == []
    assert not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE
    owners = [path.read_text("utf-8") for path in Path(tempfile.gettempdir()).glob("bench-*/owner.json")]
    assert not [text for text in owners if owner["run"] in text], "its folder stays"
    assert not owner["group"] or not Path(owner["group"]).exists(), "its control groups stay"


def test_nothing_outlives_a_harness_that_was_killed_while_it_timed_operations(
    start: Callable[..., Run],
) -> None:
    run = start("--only", "id/*", command="micro")
    run.wait_for((run.out / "micro.json").exists)
    run.look()
    neighbour = run.child("services", "payment-service")
    run.process.kill()
    run.process.wait()
    assert run.survivors() == []
    assert not neighbour.is_running() or neighbour.status() == psutil.STATUS_ZOMBIE


def test_a_full_disk_is_reported_and_leaves_nothing(start: Callable[..., Run]) -> None:
    run = start(*SHORT)
    run.wait_for_step("light")
    # Of the harness alone: its services have started and keep writing to their databases.
    limit = (run.out / "readings.jsonl").stat().st_size + 100
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert run.end() == 5, run.text()
    assert "File too large" in run.text()
    assert "Traceback" not in run.text()
    assert run.survivors() == []


@pytest.mark.calm
def test_signals_do_what_control_groups_do(start: Callable[..., Run]) -> None:
    run = start(*SHORT, "--signals")
    assert run.end() in {0, 4}, run.text()
    assert not invalid(run.summary()) - TIMING, run.text()


@pytest.mark.calm
def test_two_workers_count_as_one_process_does(start: Callable[..., Run]) -> None:
    counts = []
    for extra in ((), ("--workers", "2")):
        run = start(*SHORT, "--seed", "5", "--rate", "12", "--saturation", "0s", *extra)
        assert run.end() in {0, 4}, run.text()
        assert not invalid(run.summary()) - TIMING, run.text()
        lines = (run.out / "plan.json").read_text()
        assert '"rate_per_s": 12' in lines
        counts.append(setup_of(run.summary(), "batch")["latency"]["requests"])
    assert counts[0] == counts[1]


def test_a_killed_load_worker_is_reported(start: Callable[..., Run]) -> None:
    run = start(*SHORT, "--workers", "2")
    run.wait_for_step("rest")
    workers = [child for child in run.children if "--worker" in child.cmdline()]
    workers[0].kill()
    assert run.end() in {0, 4}, run.text()
    assert "worker" in {caveat["code"] for caveat in run.summary()["caveats"]}


@contextlib.contextmanager
def elsewhere(ports: dict[str, int], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Instances as a user starts them, with the environment that is printed for their setup."""
    instances: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for instance in instances:
            instance.terminate()
        for instance in instances:
            instance.wait(PATIENCE_S)

    with contextlib.ExitStack() as stack:
        stack.callback(end)
        for name, port in ports.items():
            printed = subprocess.run(
                [*COMMAND, "setups", "--env", name], cwd=ROOT, check=True, capture_output=True, text=True
            ).stdout
            environ = dict(line.split("=", 1) for line in printed.splitlines())
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            instances.append(
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
        yield instances


@pytest.mark.calm
def test_instances_that_run_elsewhere_are_measured_over_http(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    ports = {"none": 8300, "none-aa": 8310, "batch": 8320}
    with elsewhere(ports, tmp_path) as instances:
        targets = [f"--target={name}=http://127.0.0.1:{port}" for name, port in ports.items()]
        run = start(*targets, "--budget", "smoke", "--light", "4s", "--saturation", "2s")
        assert run.end() in {0, 4}, run.text()
        summary = run.summary()
        assert not invalid(summary) - TIMING, run.text()
        batch = setup_of(summary, "batch")
        assert batch["accounting"]["spans_received"] == batch["accounting"]["requests"] * 22
        assert batch["light"]["change"]["ratio"] > 0.2
        assert batch["rest"]["pss_bytes"] > 40e6
        assert {"same-processes", "not-known"} <= {caveat["code"] for caveat in summary["caveats"]}
        assert all(instance.poll() is None for instance in instances)


def test_a_target_that_is_not_there_is_reported(start: Callable[..., Run]) -> None:
    run = start("--target=none=http://127.0.0.1:9", "--target=none-aa=http://127.0.0.1:8")
    assert run.end() == 3
    assert "does not answer its usage path" in run.text()
