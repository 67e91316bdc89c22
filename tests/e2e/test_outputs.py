"""Outputs that nobody reads, limits, Ctrl-C at any moment: the exit code says what was found."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.runs import ROOT
from tests.test_results import measure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(tmp_path_factory.mktemp("outputs") / "run")


def test_the_reader_of_the_output_may_have_enough(folder: Path) -> None:
    command = f"{sys.executable} -m bench.cli report {folder} --format md | head -1"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_an_output_that_is_closed_is_no_error() -> None:
    command = f"exec {sys.executable} -m bench.cli setups >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, check=False).returncode == 0


def shell(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command line as a shell runs it; `$T` is the program."""
    program = f"{sys.executable} -m bench.cli"
    return subprocess.run(
        ["/bin/bash", "-c", script], env={**os.environ, "T": program, **env},
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize(("limit", "code"), [("batch=1000%", 0), ("batch=1%", 1)])
def test_a_verdict_survives_a_reader_that_has_gone(folder: Path, limit: str, code: int) -> None:
    gate = f"$T gate {folder} --max-overhead {limit}"
    ended = shell(f"{gate} | true; exit ${{PIPESTATUS[0]}}")
    assert (ended.returncode, ended.stderr) == (code, "")


@pytest.mark.parametrize("output", ["2>&1 | true; exit ${PIPESTATUS[0]}", "2>/dev/full"])
def test_an_error_that_nobody_hears_keeps_its_exit_code(output: str) -> None:
    assert shell(f"$T gate /nowhere --max-overhead batch=80% {output}").returncode == 5


def test_what_cannot_be_written_is_reported(folder: Path) -> None:
    ended = shell(f"$T report {folder} --format text >/dev/full")
    assert ended.returncode == 5
    assert ended.stderr.startswith("error: cannot write to standard output: No space left on device\nhint: ")


def test_a_terminal_of_ascii_gets_what_it_can_show(folder: Path) -> None:
    ended = shell(f"$T report {folder} --format text", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.isascii()


def test_few_files_may_be_open(folder: Path) -> None:
    ended = shell(f"ulimit -n 64; $T report {folder} --format md")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ctrl_c_during_the_imports_is_no_traceback() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); from bench.cli.__main__ import run; run()", "setups"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(4)
    ]  # fmt: skip
    for number, process in enumerate(started):
        assert process.stdout
        process.stdout.readline()
        # The moment is what is tried.
        time.sleep(0.08 * (number + 1))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert "Traceback" not in error
        assert process.returncode in {0, 130, -signal.SIGINT}


def test_a_defect_is_no_verdict_of_a_gate() -> None:
    program = "import bench.cli.main as m; m.main = lambda: 1 / 0; from bench.cli.__main__ import run; run()"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert ended.returncode == 70
    assert ended.stderr.endswith("please report it\n")
