"""The command line: every mistake ends in a sentence, a hint and an exit code."""

import re
import shutil
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from nox import registry

import noxfile
from bench.analysis.summary import summarise
from bench.cli import invocation
from bench.cli.commands import COMMANDS, EXIT_CODES
from bench.cli.main import main
from bench.plan.budget import BUDGETS
from bench.results import manifest
from bench.results.store import Store, pretty
from bench.runner.run import carry_out
from bench.studies import RUN, STUDIES
from bench.studies.options import duration, share, spelled
from bench.studies.run.measure import StoreLog
from bench.studies.run.options import Options
from tests import make
from tests.make import Quiet, SimulatedPerformer

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "REFERENCE.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    store = Store.create(path)
    plan = make.plan(("none", "none-aa", "injected", "always-off", "ratio-10", "batch"))
    run = carry_out(plan, SimulatedPerformer(noise=0.002), StoreLog(store), Quiet())
    store.write("ending.json", pretty(run.raw.ending))
    # Pages and pictures take their time; one test makes them.
    store.write("summary.json", pretty(summarise(run.raw)))
    manifest.seal(path, RUN.raw, ["summary.json"])
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["run", "--light", "1"],
            2,
            "'1' is not a duration: write it with its unit, such as 100ms, 2s or 5m",
        ),
        (["run", "--latency-limit", "100"], 2, "'100' is not a duration: write it with its unit"),
        (["soak", "--duration", "5"], 2, "'5' is not a duration"),
        (["run", "--replicates", "x"], 2, "unable to convert"),
        (["run", "--slice", "1h"], 2, "is not between"),
        (["run", "--warm-up", "0s"], 2, "is not between"),
        (["run", "--users", "10"], 2, "--users"),
        (["run", "--budget", "huge"], 2, "huge"),
        (["run", "--setups", "a", "--preset", "b"], 2, "--setups and --preset exclude each other"),
        (["run", "a.toml", "b.toml"], 2, "unexpected argument: b.toml"),
        (["run", "--budget"], 2, "--budget needs a value"),
        (["gate"], 2, "FOLDER is missing"),
        (["run", "--target", "batch"], 2, "is not SETUP=URL"),
        (["run", "--no-such-option"], 2, "--no-such-option"),
        (["nonsense"], 2, "nonsense"),
        (["gate", "/nowhere", "--max-overhead", "batch"], 2, "is not a threshold"),
        (["trace", "--scenario", "nothing"], 2, "there is no scenario"),
        (["run", "--setups", "nothing"], 2, "there is no setup named 'nothing'"),
        (["run", "--path", "/items"], 2, "--path goes with --command"),
        (["run", "--latency-limit", "100ms"], 2, "--latency-limit goes with --find-rate"),
        (["run", "--setups", ","], 2, "--setups names no setup"),
        (["run", "--preset", "nothing"], 2, "there is no preset named 'nothing'"),
        (["run", "--name", "../x"], 2, "cannot be part of a folder's name"),
        (["run", "/nowhere.toml"], 2, "cannot read /nowhere.toml"),
        (["run", "--light", "0s", "--saturation", "0s"], 2, "no load remains"),
        (["run", "--master", "h:1"], 2, "--master goes with"),
        (["run", "--remote-workers", "1"], 2, "cannot reach instances"),
        (["run", "--target", "batch=http://h:1"], 2, "no target runs the baseline"),
        (["run", "--receiver-host", "0.0.0.0"], 2, "--receiver-host goes with"),
        (["report", "/nowhere"], 5, "is not a folder"),
        (["verify", "/nowhere"], 5, "is not a folder"),
        (["history", "/nowhere"], 5, "is not a folder"),
        (["gate", "/nowhere", "--max-overhead", "batch=1%"], 5, "is not a folder"),
        (["gate", "/nowhere"], 2, "there is no threshold"),
        (["gate", "/nowhere", "--max-spans", "batch=few"], 2, "is not a threshold"),
        (["gate", "/nowhere", "--max-spans", "b=1", "--max-spans", "b=2"], 2, "two thresholds for its spans"),
        (["gate", "/nowhere", "--thresholds", "/nowhere.toml"], 2, "cannot read /nowhere.toml"),
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


def test_a_table_is_as_wide_as_columns_says_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["setups"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_a_plan_is_shown_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--dry-run", "--budget", "quick", "--find-rate", "--workers", "2"]) == 0
    text = capsys.readouterr().out
    for word in (
        "budget quick",
        "about",
        "replicates with fresh processes",
        "none-aa",
        "highest rate",
        "2 workers",
    ):
        assert word in text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--users", "--rate"),
        ("--concurrency", "--rate"),
        ("--duration", "--budget"),
        ("--run-time", "--budget"),
        ("--host", "--target"),
        ("--app", "run FILE"),
    ],
)
def test_the_option_of_another_load_generator_names_the_one_here(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", option, "10"]) == 2
    message, _, hint = capsys.readouterr().err.partition("hint: ")
    assert words in hint
    assert "Did you mean" not in message


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_exit_codes_a_nox_session_and_a_row_in_the_reference(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: tracing-overhead {command}" in text
    assert "Exit codes" in text
    assert all(meaning in " ".join(text.split()) for meaning in EXIT_CODES.values())
    assert command in registry.get()
    assert f"| `{command}` | {COMMANDS[command].summary} |" in REFERENCE.read_text("utf-8")


def test_every_study_is_a_command() -> None:
    assert {study.name for study in STUDIES} <= set(COMMANDS)


def test_only_commands_are_sessions_and_rows_of_the_reference() -> None:
    assert set(COMMANDS) <= set(registry.get())
    rows = re.findall(r"^\| `([a-z0-9]+)` \|", REFERENCE.read_text("utf-8"), re.MULTILINE)
    assert rows == list(COMMANDS)


def test_a_report_is_made_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "summary.json").read_bytes()
    (folder / "summary.json").unlink()
    assert main(["report", str(folder)]) == 0
    assert (folder / "summary.json").read_bytes() == before
    assert "Tracing every request (batch) adds" in capsys.readouterr().out
    for form in ("md", "html", "json"):
        assert main(["report", str(folder), "--format", form]) == 0
        assert capsys.readouterr().out


def test_verify_compare_predict_and_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    assert "Verified" in capsys.readouterr().out
    assert main(["compare", str(folder), str(folder)]) == 0
    assert "no change detected" in capsys.readouterr().out
    assert main(["predict", "--rps", "100", "--spans", "5", "--ratio", "10%", "--from", str(folder)]) == 0
    assert "CPU, cores" in capsys.readouterr().out
    assert main(["history", str(folder.parent)]) == 0
    assert (folder.parent / "history.html").exists()


def test_a_change_fails_only_if_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    store = Store.create(changed)
    plan = make.plan(("none", "none-aa", "injected", "always-off", "ratio-10", "batch"))
    costs = {**make.COSTS, "batch": 0.022}
    run = carry_out(plan, SimulatedPerformer(costs=costs, noise=0.002), StoreLog(store), Quiet())
    store.write("ending.json", pretty(run.raw.ending))
    store.write("summary.json", pretty(summarise(run.raw)))
    assert main(["compare", str(folder), str(changed)]) == 0
    assert "changed: batch" in capsys.readouterr().out
    assert main(["compare", str(folder), str(changed), "--fail-on-change"]) == 1
    assert main(["compare", str(folder), str(folder), "--fail-on-change"]) == 0
    capsys.readouterr()
    assert main(["gate", str(changed), "--against", str(folder)]) == 1
    assert "it got worse" in capsys.readouterr().out
    assert main(["gate", str(folder), "--against", str(changed)]) == 0


def test_a_gate_has_an_exit_code_and_writes_what_ci_reads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(folder), "--max-overhead", "batch=30%"]) == 1
    assert (folder / "gate.xml").read_bytes().startswith(b"<?xml")
    assert b'<failure message="' in (folder / "gate.xml").read_bytes()
    assert main(["gate", str(folder), "--max-overhead", "nothing=30%"]) == 2
    assert "has no setup 'nothing'" in capsys.readouterr().err


def test_a_gate_reads_its_thresholds_from_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "thresholds.toml"
    file.write_text('[batch]\noverhead = "900%"\nspans = 2\n', "utf-8")
    assert main(["gate", str(folder), "--thresholds", str(file)]) == 1
    assert "batch, spans: the count is over the threshold" in capsys.readouterr().out
    file.write_text("[batch]\nspan = 2\n", "utf-8")
    assert main(["gate", str(folder), "--thresholds", str(file)]) == 2
    assert "span" in capsys.readouterr().err


def test_results_have_the_formats_that_ci_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder), "--format", "github-action-benchmark"]) == 0
    points = msgspec.json.decode(capsys.readouterr().out)
    batch = next(point for point in points if point["name"] == "shop, batch: CPU")
    assert batch["value"] == pytest.approx(60, abs=10)
    assert batch["unit"] == "% of the baseline"
    assert main(["report", str(folder), "--format", "junit"]) == 0
    suite = ET.fromstring(capsys.readouterr().out.encode())[0]  # noqa: S314 - it is our own
    assert (suite.get("tests"), suite.get("errors")) == ("6", "0")


def test_a_section_is_printed_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(folder), "--section", "what to do"]) == 0
    text = capsys.readouterr().out
    assert "one trace in 10 is kept" in text
    assert "Throughput" not in text
    assert main(["report", str(folder), "--section", "nothing"]) == 2
    assert "choose from What it costs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "prefix", "text"),
    [
        ({"NOX_CURRENT_SESSION": "run"}, "/usr", "`uvx nox -s report -- results/x --full`"),
        (
            {},
            "/home/me/.cache/uv/archive-v0/xyz",
            "`uvx --from /src/it tracing-overhead report results/x --full`",
        ),
        ({}, "/usr", "`tracing-overhead report results/x --full`"),
    ],
)
def test_hints_are_commands_that_work_where_they_are_read(
    variables: dict[str, str], prefix: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOX_CURRENT_SESSION", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(invocation, "source", lambda: "/src/it")
    monkeypatch.setattr(invocation, "which", lambda _name: "/usr/bin/tracing-overhead")
    assert invocation.spelled_here("`tracing-overhead report results/x --full`") == text


def test_nox_keeps_the_exit_code_of_a_command() -> None:
    ended = noxfile._ExitCode()
    assert 4 in ended
    assert ended == [4]


def test_setups_are_listed_and_printed_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setups"]) == 0
    assert "always-off" in capsys.readouterr().out
    assert main(["setups", "--env", "ratio-10"]) == 0
    text = capsys.readouterr().out
    assert "OTEL_TRACES_SAMPLER=parentbased_traceidratio" in text
    assert "BENCH_TRACING=batch" in text
    assert "bench.setup=ratio-10" in text


def test_values_are_read_as_people_write_them() -> None:
    for text, seconds in (("100ms", 0.1), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0)):
        assert duration(text) == pytest.approx(seconds)
        assert duration(spelled(seconds)) == pytest.approx(seconds)
    assert share("10%") == pytest.approx(0.1)
    assert share("0.5") == 0.5


def test_every_budget_can_be_chosen() -> None:
    for name in BUDGETS:
        assert main(["run", "--dry-run", "--budget", name]) == 0
    assert Options().budget in BUDGETS


def test_a_run_in_which_nothing_was_measured_leaves_its_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("bench.studies.run.measure"), "LOOK_S", 0.1)
    file, out = tmp_path / "app.toml", tmp_path / "out"
    file.write_text(
        'name = "x"\n[[process]]\nname = "web"\ncommand = "no-such-program {port}"\n[[request]]\npath = "/"\n'
    )
    assert main(["run", str(file), "--budget", "smoke", "-o", str(out)]) == 2
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


def test_results_that_were_changed_say_so_and_are_not_sealed_again(tmp_path: Path) -> None:
    for name, file in (("shutdown", "shutdown.jsonl"), ("faults", "faults.jsonl")):
        changed = tmp_path / name
        shutil.copytree(ROOT / "results" / name, changed)
        content = (changed / file).read_text("utf-8")
        (changed / file).write_text(content.replace("120", "119", 1).replace("1320", "1319", 1), "utf-8")
        assert main(["verify", str(changed)]) == 4
        assert main(["report", str(changed)]) == 4
        assert "CHANGED SINCE IT WAS MEASURED" in (changed / "report.md").read_text("utf-8")
        assert main(["verify", str(changed)]) == 4


def test_a_description_is_text_and_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[setup]]\nname = "mine"\ndescription = "[/x] \\u001b[31mRED [red]y"\n', "utf-8")
    assert main(["setups", "--setups-file", str(file)]) == 0
    assert main(["run", "--dry-run", "--setups", "mine", "--setups-file", str(file)]) == 0
    text = capsys.readouterr().out
    assert text.count("[/x] [31mRED [red]y") == 2
    assert "\x1b" not in text


def test_the_web_ui_offers_the_setups_of_a_setups_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[setup]]\nname = "mine"\ndescription = "My own."\n', "utf-8")
    environs: list[dict[str, str]] = []
    # Pinning lasts for as long as the process that the command becomes.
    monkeypatch.setattr("os.sched_setaffinity", lambda _pid, _cpus: None)
    monkeypatch.setattr("os.execve", lambda _file, _command, environ: environs.append(environ))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["web", "--setups-file", str(file), "--port", str(port)]) == 0
    program = "from locustfiles import explore; print(*explore.SETUPS)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environs[0], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "mine" in done.stdout.split()
