"""Microbenchmarks in their own processes, pyperf's own tools on the result, and instruction counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.display import progress
from bench.studies.micro import instructions
from bench.studies.micro.measure import _launches
from bench.studies.micro.operations import TABLE

pytestmark = pytest.mark.calm


def bench(*arguments: str, timeout: int = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_every_operation_proves_itself_and_pyperf_reads_the_file(tmp_path: Path) -> None:
    done = bench("bench.cli", "micro", "--budget", "quick", "-o", str(tmp_path / "m"))
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "m" / "micro-summary.json").read_text("utf-8"))
    assert {each["name"] for each in summary["timings"]} == {operation.name for operation in TABLE}
    file = str(tmp_path / "m" / "micro.json")
    for tool in (["stats", file], ["hist", file], ["compare_to", file, file], ["check", file]):
        assert "span/root" in bench("pyperf", *tool).stdout, tool
    text = (tmp_path / "m" / "micro.json").read_text("utf-8")
    assert "hostname" not in text
    assert sys.executable not in text
    assert sys.base_prefix not in text


def test_it_can_be_made_again_from_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    done = bench("bench.cli", "micro", "--only", "id/*", "--replicates", "2", "-o", str(folder))
    assert done.returncode == 0, done.stderr
    before = (folder / "micro-summary.json").read_bytes()
    (folder / "micro-summary.json").unlink()
    again = bench("bench.cli", "report", str(folder))
    assert again.returncode == 0, again.stderr
    assert (folder / "micro-summary.json").read_bytes() == before


def test_a_pattern_that_matches_nothing_says_so() -> None:
    done = bench("bench.cli", "micro", "--only", "spam")
    assert done.returncode == 2
    assert "error: no operation matches 'spam'" in done.stderr
    assert "hint:" in done.stderr


def test_without_valgrind_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "micro", "--only", "id/span", "--replicates", "1",
         "--instructions", "-o", str(tmp_path / "m")],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "valgrind is not installed" in done.stdout.replace("\n", " ")


@pytest.mark.skipif(not instructions.available(), reason="valgrind is not installed")
@pytest.mark.parametrize("name", ["span/child", "inject/tracecontext-8", "server/sampled"])
def test_instructions_are_repeatable_to_one_in_ten_thousand(name: str) -> None:
    first, second = (instructions.of_operation(name, "counted") for _ in range(2))
    assert first > 1000
    assert abs(first / second - 1) < 1e-4


@pytest.mark.skipif(not instructions.available(), reason="valgrind is not installed")
def test_instructions_of_a_request_are_repeatable_to_one_in_ten_thousand() -> None:
    endpoints = {"http/protobuf": "http://127.0.0.1:9"}
    with progress(60) as shown:
        found = [
            count
            for _ in range(2)
            for _, count in instructions.of_requests(_launches(endpoints, "counted")[:1], shown)
        ]
    first, second = found
    assert isinstance(first, float)
    assert isinstance(second, float)
    assert abs(first / second - 1) < 1e-4
