"""Presets on the real thing: every setup traces, all of it is counted, and nothing leaves this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.app.setups import choose
from bench.testbed import environments
from bench.testbed.app_files import load
from bench.traces.catalogue import TOOLS
from tests.e2e.machines import watched
from tests.e2e.runs import Run, invalid, setup_of
from tests.e2e.test_runs import TIMING

SHORT = ("--budget", "smoke")
ONCE = (*SHORT, "--replicates", "1")
"""Enough to count spans; what is compared needs two replicates."""


def test_other_tracers_really_trace_and_nothing_leaves_this_machine(start: Callable[..., Run]) -> None:
    loaded = load(None)
    names = loaded.app.preset["tracers"]
    # What is not installed yet comes from a registry, which the run itself cannot reach.
    environments.places(loaded.app, choose(loaded.app, names), loaded.place.folder)
    with watched() as machine:
        run = start("--preset", "tracers", *ONCE, prefix=machine.prefix)
        assert run.end() in {0, 4}, run.text()
        assert machine.packets == [], "a process sent something to another machine"
        # What would be seen if one did: a packet to an address that only documents use.
        machine.run("python3", "-c", "import socket; socket.socket(type=2).sendto(b'x', ('192.0.2.1', 9))")
        machine.wait_for_packet()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    for name in names:
        accounting = setup_of(summary, name)["accounting"]
        assert accounting["complete"] is True, (name, accounting)
        assert accounting["spans_received"] > 0, name


def test_every_instrumentation_of_the_example_has_its_spans(start: Callable[..., Run]) -> None:
    run = start("--preset", "instrumentors", *SHORT)
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    spans = {
        setup["name"]: setup["accounting"].get("spans_received", 0) / setup["accounting"]["requests"]
        for setup in summary["setups"]
    }
    # A server span, a receive and two sends in each of four services; three calls; three statements.
    assert spans == pytest.approx(
        {
            "none": 0, "none-aa": 0, "injected": 0, "uninstrumented": 0, "batch": 22,
            "only-starlette": 16, "only-httpx": 3, "only-sqlite3": 3,
            "without-starlette": 6, "without-httpx": 19, "without-sqlite3": 19,
        }
    )  # fmt: skip
    assert all(setup["accounting"]["complete"] is True for setup in summary["setups"])
    compared = {row["setup"]: row for row in summary["contrasts"]}
    assert compared["without-httpx"]["spans"] == -3
    assert compared["only-sqlite3"]["against"] == "uninstrumented"


def test_metrics_and_log_records_are_counted_beside_spans(start: Callable[..., Run]) -> None:
    run = start("--preset", "signals", *ONCE)
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    for name in ("batch", "batch-metrics", "batch-logs", "all-signals"):
        accounting = setup_of(summary, name)["accounting"]
        assert accounting["complete"] is True, (name, accounting)
        assert bool(accounting.get("metrics")) == (name in {"batch-metrics", "all-signals"}), name
        # One record of each of the four services.
        logs = 4 * accounting["requests"] if name in {"batch-logs", "all-signals"} else 0
        assert accounting.get("logs", 0) == logs, name


def test_a_small_queue_loses_spans_and_that_is_a_finding(start: Callable[..., Run], tmp_path: Path) -> None:
    setups = tmp_path / "queues.toml"
    queue = 'env = { OTEL_BSP_MAX_QUEUE_SIZE = "4", OTEL_BSP_MAX_EXPORT_BATCH_SIZE = "4" }'
    setups.write_text(f'[[setup]]\nname = "tiny"\nmay_lose = true\nagainst = "batch"\n{queue}\n')
    run = start("--setups", "batch,tiny", "--setups-file", str(setups), *ONCE)
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert setup_of(summary, "tiny")["accounting"]["lost"] > 0
    assert not invalid(summary) - TIMING, run.text()
    assert "loss" in {caveat["code"] for caveat in summary["caveats"]}


@pytest.mark.calm
def test_each_version_of_python_runs_in_one_run(start: Callable[..., Run]) -> None:
    run = start("--preset", "pythons", *SHORT)
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    here = [version for version in ("3.11", "3.12", "3.13") if environments.interpreter(version)]
    assert {row["setup"]: row["against"] for row in summary["contrasts"]} == {
        f"batch-{version}": f"none-{version}" for version in here
    }


def test_a_share_is_expected_of_what_a_collector_samples(start: Callable[..., Run]) -> None:
    if not TOOLS["otelcol"].is_here():
        pytest.skip("otelcol is not here: `uvx nox -s backends -- otelcol` gets it")
    # So many requests that a tenth of them cannot be none by chance.
    longer = ("--light", "2s", "--saturation", "2s")
    run = start("--preset", "tail", "--collector", "otelcol", *ONCE, *longer)
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    tail, batch = (setup_of(summary, name)["accounting"] for name in ("tail-10", "batch"))
    assert tail["complete"] is True
    assert batch["complete"] is True
    traces = tail["traces"]
    assert 0 < traces["expected_low"] <= traces["received"] <= traces["expected_high"] < tail["requests"] / 2
    assert batch["traces"]["received"] == batch["requests"]
    # The collector has had all of both, and about a tenth of the one has gone on.
    assert summary["collector"]["spans"] > batch["spans_received"] + 3 * tail["spans_received"]
