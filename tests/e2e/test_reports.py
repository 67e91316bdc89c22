"""Layers, the specification's report and accuracy, each in small, with real processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.calm


def bench(*arguments: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_layers_add_up_and_are_predicted(tmp_path: Path) -> None:
    folder = tmp_path / "layers"
    done = bench(
        "run", "--preset", "layers", "--with-prices", "--budget", "smoke", "-o", str(folder), timeout=1200
    )
    assert done.returncode in {0, 4}, done.stderr
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    incomplete = {
        setup["name"]: setup["accounting"].get("problems")
        for setup in summary["setups"]
        if setup["accounting"]["complete"] is False
    }
    # On a busy machine `simple` times out: its failed checkouts are in its accounting.
    assert not incomplete.keys() - {"simple"}, incomplete
    layers = summary["layers"]
    assert layers[0]["layer"] == "instrumentation, no SDK"
    assert layers[-1]["layer"] == "metrics"
    assert all("predicted_s" in layer for layer in layers)
    encoded = {setup["name"]: setup["accounting"] for setup in summary["setups"]}["layer-encode"]
    assert encoded["spans_received"] == 10 * encoded["requests"]
    before = (folder / "summary.json").read_bytes()
    assert bench("report", str(folder)).returncode == done.returncode
    assert (folder / "summary.json").read_bytes() == before


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_specifications_report_accounts_for_every_span(tmp_path: Path, protocol: str) -> None:
    folder = tmp_path / "spec"
    done = bench("spec", "--budget", "quick", "--rate", "200", "--protocol", protocol, "-o", str(folder))
    assert done.returncode in {0, 4}, done.stderr
    report = json.loads((folder / "spec.json").read_text("utf-8"))
    assert {each["processor"] for each in report["at_rate"]} == {"simple", "batch"}
    for each in report["at_rate"]:
        # Where the host takes the CPU away, fewer are created in time; none may be lost.
        assert 0 < each["delivered"] == each["created"] <= 2 * 3 * 200
        assert not each["held"] or each["created"] >= 0.99 * 2 * 3 * 200
    assert all(each["lost"] == 0 for each in report["throughput"])
    assert bench("report", str(folder)).returncode == done.returncode


def test_a_rate_that_cannot_be_held_is_said(tmp_path: Path) -> None:
    done = bench(
        "spec", "--budget", "quick", "--replicates", "1", "--rate", "200000", "-o", str(tmp_path / "spec")
    )
    assert done.returncode in {0, 4}, done.stderr
    assert "200,000 spans/s cannot be held here with the simple processor" in done.stdout
    assert "200,000 spans/s cannot be held here with the batch processor" in done.stdout


def test_accuracy_weighs_all_weights_run_after_run_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "accuracy"
    done = bench("accuracy", "--replicates", "2", "--budget", "smoke", "-o", str(folder))
    # 4 where an interval shows that a target is missed; three short runs seldom show anything.
    assert done.returncode in {0, 4}, done.stderr
    found = json.loads((folder / "accuracy.json").read_text("utf-8"))
    assert found["trials"] == 2
    assert found["false_verdicts"]["of"] == 4
    assert {known["setup"] for known in found["known"]} == {
        "weight-0", "weight-1", "weight-2", "weight-5", "weight-10", "inside-one", "inside-two", "inside-all",
        "apart-2", "apart-10",
    }  # fmt: skip
    # One after the other has no CPU at saturation, and nothing that is burnt apart.
    alone = {"light", "throughput", "p50", "p90"}
    for weighing in found["weighings"]:
        expected = not weighing["setup"].startswith("apart") and weighing["figure"] in alone
        assert ("alone" in weighing) == expected, weighing
    assert bench("report", str(folder)).returncode == done.returncode
    refused = bench("accuracy", "--replicates", "3", "--budget", "smoke", "--resume", str(folder))
    assert refused.returncode == 2
    assert "leave out --seed, --budget, --beside and --out" in refused.stderr
    again = bench("accuracy", "--replicates", "3", "--resume", str(folder))
    assert again.returncode in {0, 4}, again.stderr
    assert bench("verify", str(folder)).returncode == 0
    found = json.loads((folder / "accuracy.json").read_text("utf-8"))
    assert [(extent["panel"], extent["replicates"]) for extent in found["extents"]] == [
        ("weights", 2),
        ("inside", 2),
        ("two-minutes", 2),
    ]


def test_a_cross_language_scenario_is_reported_as_its_dashboard_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "s001"
    done = bench("s001", "--budget", "quick", "-o", str(folder))
    assert done.returncode == 0, done.stderr
    (point,) = json.loads(bench("report", str(folder), "--format", "github-action-benchmark").stdout)
    assert point["unit"] == "ns/op"
    assert 20 < point["value"] < 5000
    assert "opentelemetry-api=" in point["extra"]
    assert "hostname" not in (folder / "s001.json").read_text("utf-8")
