"""The command line: every mistake ends in a sentence, a hint and an exit code."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import noxfile
from bench.cli.main import COMMANDS, main
from bench.cli.options import RunOptions, seconds, share
from bench.cli.run import StoreLog
from bench.cli.shared import publish_run
from bench.plan.budget import BUDGETS
from bench.results.folder import run_result
from bench.results.store import Store, pretty
from bench.runner.run import carry_out
from tests import make
from tests.make import Quiet, SimulatedBench


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    store = Store.create(path)
    plan = make.plan(("none", "none-again", "control", "always-off", "ratio-10", "batch"))
    run = carry_out(plan, SimulatedBench(noise=0.002), StoreLog(store), Quiet())
    store.write("ending.json", pretty(run.raw.ending))
    publish_run(path, run_result(run.raw))
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "--light", "-1"], 2, "it must lie between"),
        (["run", "--epochs", "x"], 2, "unable to convert"),
        (["run", "--turn", "1h"], 2, "is no time"),
        (["run", "--budget", "huge"], 2, "huge"),
        (["run", "--setups", "a", "--preset", "b"], 2, "--setups"),
        (["run", "--target", "batch"], 2, "is not SETUP=URL"),
        (["run", "--no-such-option"], 2, "--no-such-option"),
        (["nonsense"], 2, "nonsense"),
        (["gate", "/nowhere", "--max-overhead", "batch"], 2, "is no threshold"),
        (["trace", "--story", "nothing"], 2, "there is no story"),
        (["run", "--setups", "nothing"], 2, "there is no set-up named 'nothing'"),
        (["run", "--setups", ","], 2, "--setups names no set-up"),
        (["run", "--preset", "nothing"], 2, "there is no preset named 'nothing'"),
        (["run", "--name", "../x"], 2, "cannot be part of a folder's name"),
        (["run", "--app", "/nowhere.toml"], 2, "cannot read /nowhere.toml"),
        (["run", "--light", "0", "--busy", "0"], 2, "neither light nor busy load is left"),
        (["run", "--master", "h:1"], 2, "--master goes with"),
        (["run", "--remote-workers", "1"], 2, "cannot reach instances"),
        (["run", "--target", "batch=http://h:1"], 2, "no target runs the baseline"),
        (["run", "--sink-host", "0.0.0.0"], 2, "--sink-host goes with"),
        (["report", "/nowhere"], 5, "is not a folder"),
        (["verify", "/nowhere"], 5, "is not a folder"),
        (["history", "/nowhere"], 5, "is not a folder"),
        (["gate", "/nowhere", "--max-overhead", "batch=1%"], 5, "is not a folder"),
        (["trace", "--header", "a=b"], 2, "--header goes with --endpoint"),
        (["web", "--port", "99999999"], 2, "cannot listen on port"),
        (["backends", "nothing"], 2, "there is no backend named"),
        (["micro", "--only", "nothing-like-this"], 2, "no operation matches"),
    ],
)
def test_mistakes_end_in_a_sentence(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert f"error: {words}" in error or words in error
    assert "hint: " in error
    assert "python -m bench" not in error


def test_a_plan_is_shown_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--dry-run", "--budget", "quick", "--find-rate", "--workers", "2"]) == 0
    text = capsys.readouterr().out
    for word in (
        "budget quick",
        "about",
        "epochs of fresh processes",
        "none-again",
        "highest rate",
        "2 workers",
    ):
        assert word in text


def test_every_command_is_a_nox_session() -> None:
    assert set(noxfile.COMMANDS) == set(COMMANDS)


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert main([command, "--help"]) == 0
        assert f"Usage: tracing-overhead {command}" in capsys.readouterr().out


def test_a_report_is_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "summary.json").read_bytes()
    (folder / "summary.json").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "summary.json").read_bytes() == before
    assert "Tracing everything (batch) costs shop" in capsys.readouterr().out
    for form in ("md", "html", "json"):
        assert main(["report", str(folder), "--format", form]) == 0
        assert capsys.readouterr().out


def test_verify_compare_predict_and_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    assert "Verified" in capsys.readouterr().out
    assert main(["compare", str(folder), str(folder)]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert main(["predict", "--rps", "100", "--spans", "5", "--ratio", "10%", "--from", str(folder)]) == 0
    assert "CPU, cores" in capsys.readouterr().out
    assert main(["history", str(folder.parent)]) == 0
    assert (folder.parent / "history.html").exists()


def test_a_gate_has_an_exit_code_and_writes_what_ci_reads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(folder), "--max-overhead", "batch=30%"]) == 1
    assert (folder / "gate.xml").read_bytes().startswith(b"<?xml")
    assert main(["gate", str(folder), "--max-overhead", "nothing=30%"]) == 2
    assert "has no set-up 'nothing'" in capsys.readouterr().err


def test_set_ups_are_listed_and_printed_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setups"]) == 0
    assert "always-off" in capsys.readouterr().out
    assert main(["setups", "--env", "ratio-10"]) == 0
    text = capsys.readouterr().out
    assert "OTEL_TRACES_SAMPLER=parentbased_traceidratio" in text
    assert "BENCH_TRACING=batch" in text
    assert "bench.setup=ratio-10" in text


def test_the_reader_of_the_output_may_have_enough(folder: Path) -> None:
    command = f"{sys.executable} -m bench.cli report {folder} --format md | head -1"
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_values_are_read_as_people_write_them() -> None:
    assert seconds("100ms") == pytest.approx(0.1)
    assert seconds("2s") == 2.0
    assert share("10%") == pytest.approx(0.1)
    assert share("0.5") == 0.5


def test_every_budget_can_be_chosen() -> None:
    for name in BUDGETS:
        assert main(["run", "--dry-run", "--budget", name]) == 0
    assert RunOptions().budget in BUDGETS


def test_an_output_that_is_closed_is_no_error() -> None:
    command = f"exec {sys.executable} -m bench.cli setups >&- 2>&-"
    assert (
        subprocess.run(["/bin/sh", "-c", command], cwd=Path(__file__).parent.parent, check=False).returncode
        == 0
    )


def test_a_run_in_which_nothing_was_measured_leaves_its_folder_free(tmp_path: Path) -> None:
    file, out = tmp_path / "app.toml", tmp_path / "out"
    file.write_text(
        'name = "x"\n[[process]]\nname = "web"\ncommand = "no-such-program {port}"\n[[request]]\npath = "/"\n'
    )
    assert main(["run", "--app", str(file), "--budget", "smoke", "--out", str(out)]) == 2
    assert not out.exists()


def test_a_raw_file_with_a_wrong_byte_is_no_traceback(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    content = (damaged / "requests.csv.gz").read_bytes()
    for at in range(len(content) // 8, len(content), len(content) // 6):
        wrong = bytearray(content)
        wrong[at] ^= 0xFF
        (damaged / "requests.csv.gz").write_bytes(wrong)
        assert main(["report", str(damaged)]) in {4, 5}, at
    assert "requests.csv.gz" in capsys.readouterr().err
