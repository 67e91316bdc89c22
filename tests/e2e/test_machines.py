"""More than one machine: a remote load worker, remote instances, a collector between, a link that fails."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.e2e.machines import A, B, Machines, two_machines
from tests.e2e.runs import COMMAND, PATIENCE_S, ROOT, Run, invalid, setup_of
from tests.e2e.test_runs import TIMING

PORTS = {"none": 8300, "none-aa": 8310, "batch": 8320}
BEHIND_COLLECTOR = {name: port + 100 for name, port in PORTS.items()}
"""Instances that export to a collector of their own."""


def targets(ports: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"--target={name}=http://{B}:{port}" for name, port in ports.items())


TARGETS = targets(PORTS)
SHORT = (
    "--budget", "smoke", "--replicates", "1", "--light", "4s", "--saturation", "1s", "--receiver-host", A,
)  # fmt: skip
SPREAD = ("--remote-workers", "1", "--workers", "1", "--master", f"{A}:5557")
OTELCOL = ROOT / ".backends" / "otelcol" / "otelcol"
BY_COLLECTOR = f"""
receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: "{B}:4318" }} }} }} }}
processors: {{ batch: {{ timeout: 200ms }} }}
exporters: {{ otlphttp: {{ endpoint: "http://{A}:4318" }} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines: {{ traces: {{ receivers: [otlp], processors: [batch], exporters: [otlphttp] }} }}
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with two_machines() as made:
        yield made


Commands: TypeAlias = dict[str, tuple[Sequence[str], dict[str, str]]]
"""By name: a command and further variables."""


@contextlib.contextmanager
def processes(
    machines: Machines, folder: Path, commands: Commands
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes on the second machine."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:
        for name, (command, environ) in commands.items():
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            running[name] = stack.enter_context(
                subprocess.Popen(
                    [*machines.on("b"), *command], cwd=ROOT, env=os.environ | environ, stdout=log, stderr=log
                )
            )
            stack.callback(running[name].terminate)
        yield running


def instances(endpoint: str, ports: Mapping[str, int] = PORTS) -> Commands:
    """The application in every setup, as a user starts it elsewhere."""
    commands: Commands = {}
    for name, port in ports.items():
        printed = subprocess.run(
            [*COMMAND, "setups", "--env", name], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        environ = dict(line.split("=", 1) for line in printed.splitlines())
        words = [
            sys.executable,
            "-m",
            "services",
            "all",
            "--host",
            B,
            "--port",
            str(port),
            "--connections",
            "2",
        ]
        commands[name] = words, environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    return commands


def wait_for(folder: Path, names: Sequence[str], words: str) -> None:
    until = time.monotonic() + PATIENCE_S
    for name in names:
        while words not in (folder / f"{name}.log").read_text("utf-8"):
            assert time.monotonic() < until, (folder / f"{name}.log").read_text("utf-8")
            time.sleep(0.05)


@pytest.fixture(scope="module")
def away(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two machines, with instances on the second one that are started once for all tests."""
    folder = tmp_path_factory.mktemp("away")
    with processes(machines, folder, instances(f"http://{A}:4318")):
        wait_for(folder, tuple(PORTS), "Try it")
        yield machines


def worker() -> tuple[Sequence[str], dict[str, str]]:
    """A load worker, as a user starts it elsewhere."""
    words = [sys.executable, "-m", "locust", "-f", "locustfiles/planned.py", "--worker", "--master-host", A]
    return words, {"PYTHONPATH": str(ROOT)}


def test_instances_on_another_machine_are_counted_exactly(away: Machines, start: Callable[..., Run]) -> None:
    run = start(*TARGETS, *SHORT, prefix=away.on("a"))
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    batch = setup_of(summary, "batch")
    assert batch["accounting"]["complete"]
    assert batch["accounting"]["spans_received"] == batch["accounting"]["requests"] * 22
    # The network is in every latency, is told, and is in no difference between setups.
    (network,) = (caveat for caveat in summary["caveats"] if caveat["code"] == "network")
    assert "a round trip to the instances takes 4." in network["message"], network
    assert setup_of(summary, "none")["latency"]["p50_s"] > 0.004
    assert away.link.lost > 0, "one packet in a thousand is lost, and nothing else is"


@pytest.mark.calm
def test_a_worker_on_another_machine_sends_its_share(
    away: Machines, start: Callable[..., Run], tmp_path: Path
) -> None:
    with processes(away, tmp_path, {"worker": worker()}):
        run = start(*TARGETS, *SHORT, *SPREAD, prefix=away.on("a"))
        assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    workers = summary["load"]["workers"]
    assert len(workers) == 2
    assert abs(workers[0]["arrivals"] - workers[1]["arrivals"]) <= len(PORTS) * 10
    assert all(worker["lag_p50_s"] >= 0 for worker in workers)
    assert setup_of(summary, "batch")["accounting"]["complete"]


def test_a_worker_that_is_killed_is_reported(
    away: Machines, start: Callable[..., Run], tmp_path: Path
) -> None:
    with processes(away, tmp_path, {"worker": worker()}) as running:
        run = start(*TARGETS, *SHORT, *SPREAD, prefix=away.on("a"))
        run.wait_for_step("capacity")
        running["worker"].kill()
        assert run.end() in {3, 4}, run.text()
    assert "worker" in run.text()
    assert run.summary()["load"]["lost_workers"] >= 1
    assert run.survivors() == []


def test_a_link_that_is_cut_is_reported_and_ends_the_run(away: Machines, start: Callable[..., Run]) -> None:
    run = start(*TARGETS, *SHORT, prefix=away.on("a"))
    run.wait_for_step("capacity")
    away.link.is_cut = True
    try:
        assert run.end() == 3, run.text()
    finally:
        away.link.is_cut = False
    assert "error: " in run.text()
    assert "hint: " in run.text()
    assert "Traceback" not in run.text()
    assert not run.summary()["valid"]
    assert run.survivors() == []


@pytest.mark.skipif(not OTELCOL.exists(), reason="otelcol is missing: `uvx nox -s backends`")
def test_a_collector_on_another_machine_is_in_between(
    machines: Machines, start: Callable[..., Run], tmp_path: Path
) -> None:
    config = tmp_path / "otelcol.yaml"
    config.write_text(BY_COLLECTOR, "utf-8")
    commands = instances(f"http://{B}:4318", BEHIND_COLLECTOR)
    commands["collector"] = [str(OTELCOL), f"--config={config}"], {}
    with processes(machines, tmp_path, commands):
        wait_for(tmp_path, tuple(PORTS), "Try it")
        wait_for(tmp_path, ["collector"], "Everything is ready")
        run = start(*targets(BEHIND_COLLECTOR), *SHORT, prefix=machines.on("a"))
        assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    assert setup_of(summary, "batch")["accounting"]["complete"]
