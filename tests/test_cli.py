"""The command line: what a user types wrong, and what it answers."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from bench import cli, machine
from bench.model import Setup
from bench.options import defaults, plan_of, share
from bench.overhead import summarise
from bench.plan import duration_s
from bench.store import Store, pretty
from tests import make
from tests.test_overhead import requests, windows


def test_a_dry_run_prints_the_plan_and_measures_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert (
        cli.main(["run", "--dry-run", "--budget", "quick", "--seed", "5", "--out", str(tmp_path / "x")]) == 0
    )
    printed = capsys.readouterr().out
    assert "about 3 min" in printed
    assert "rotation: 3 epochs" in printed
    assert "solo (without the control): 3 blocks" in printed
    assert "seed 5" in printed
    assert "always-off" in printed
    assert not (tmp_path / "x").exists()


def test_every_run_has_a_twin_and_a_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dry-run", "--setups", "batch"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("none-again", "control", "batch"))


def test_all_setups_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["setups"]) == 0
    printed = capsys.readouterr().out
    assert "batch-manual" in printed
    assert "OTEL_TRACES_SAMPLER_ARG=0.1" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--setups", "btach"], 2, "no set-up named 'btach'"),
        (["run", "--setups", ""], 2, "names no set-up"),
        (["run", "--setups-file", "nowhere.toml"], 2, "cannot read nowhere.toml"),
        (["run", "--name", "../x"], 2, "cannot be part of a folder's name"),
        (["report", "nowhere"], 5, "nowhere is not a folder"),
        (["run", "--target", "batch=http://127.0.0.1:9"], 2, "no target runs the baseline"),
        (["run", "--target", "none=http://a:1", "--target", "none=http://b:1"], 2, "has two targets"),
        (["run", "--target", "btach=http://127.0.0.1:9"], 2, "no set-up named 'btach'"),
        (["run", "--target", "none=http://a:1"], 2, "nothing to compare"),
        (["run", "--target", "none=http://a:1", "--target", "batch=http://a:1/"], 2, "the same address"),
        (
            ["run", "--target", "none=http://a:1", "--target", "batch=http://b:1", "--setups", "batch"],
            2,
            "leave out",
        ),
        (["run", "--sink-host", "0.0.0.0"], 2, "goes with --target"),
        (
            ["run", "--collector", "rotel", "--target", "none=http://a:1", "--target", "batch=http://b:1"],
            2,
            "fleets started here",
        ),
        (["run", "--collector", "http://a:4318", "--setups", "batch-grpc"], 2, "exports over grpc"),
        (["run", "--master", "0.0.0.0:5557"], 2, "goes with --workers"),
        (["run", "--remote-workers", "2"], 2, "cannot reach fleets that listen on this machine's loopback"),
        (["setups", "--env", "btach"], 2, "no set-up named 'btach'"),
    ],
)
def test_a_users_mistake_ends_in_a_sentence_and_a_hint(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert "hint: " in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--utilisation", "2"],
        ["run", "--epochs", "0"],
        ["run", "--epochs", "1.5"],
        ["run", "--window", "fast"],
        ["run", "--rate", "1e9"],
        ["run", "--preset", "dapper", "--setups", "batch"],
        ["run", "--phases", "latency"],
        ["run", "--levels", "0.3,high"],
        ["run", "--latency-limit", "soon"],
        ["run", "--latency-limit", "1h"],
        ["run", "--workers", "-1"],
        ["run", "--master", "here"],
        ["run", "--target", "http://127.0.0.1:8000"],
        ["run", "--target", "none=127.0.0.1:8000"],
        ["fly"],
    ],
)
def test_a_number_out_of_range_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_setups_environment_is_printed_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["setups", "--env", "ratio-10"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "OTEL_TRACES_SAMPLER_ARG=0.1" in printed
    assert "OTEL_RESOURCE_ATTRIBUTES=bench.setup=ratio-10" in printed


def test_a_plan_follows_the_command_line() -> None:
    arguments = [
        "run",
        "--phases",
        "solo",
        "--levels",
        "0.8,0.2",
        "--latency-limit",
        "250ms",
        "--workers",
        "2",
    ]
    plan = plan_of(cli._parser().parse_args(arguments))
    assert plan.windows == 0
    assert plan.workers == 2
    assert plan.solo is not None
    assert plan.solo.levels == (0.2, 0.8)
    assert len(plan.solo.levels_s) == 2
    assert plan.solo.latency_limit_s == 0.25
    assert "control" not in plan.solo.setups
    rotation = plan_of(cli._parser().parse_args(["run", "--phases", "rotation"]))
    assert rotation.solo is None
    assert rotation.windows > 0


@pytest.mark.parametrize(("budget", "minutes"), [("quick", 4), ("default", 10)])
def test_the_budgets_stay_with_both_phases(budget: str, minutes: int) -> None:
    plan = plan_of(defaults(budget))
    assert plan.solo is not None
    assert duration_s(plan, repeated=plan.spare) < minutes * 60


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.json").touch()
    assert cli.main(["run", "--out", str(tmp_path)]) == 5
    assert "is not empty" in capsys.readouterr().err


def stored(folder: Path) -> None:
    """A folder as a run leaves it."""
    plan = make.plan(epochs=4)
    store = Store.create(folder)
    store.write_plan(plan)
    read, rows = windows(plan), requests(plan)
    for window in read:
        store.append_window(window)
    store.append_requests(rows)
    store.write("ending.json", pretty(make.COMPLETE))
    store.write("summary.json", pretty(summarise(make.raw(plan, read, rows))))


def test_a_report_is_made_again_from_the_raw_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "run")
    before = (tmp_path / "run" / "summary.json").read_bytes()
    assert cli.main(["report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "summary.json").read_bytes() == before
    assert (tmp_path / "run" / "report.md").read_text().startswith("# What tracing costs: test")
    assert "batch" in capsys.readouterr().out
    logs = {path.name for path in (tmp_path / "run" / "hgrm").iterdir()}
    assert logs == {f"{name}-rotation.hgrm" for name in ("none", "none-again", "control", "batch")}


def test_a_run_that_was_killed_can_still_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "run")
    for name in ("ending.json", "summary.json"):
        (tmp_path / "run" / name).unlink()
    assert cli.main(["report", str(tmp_path / "run")]) == 4
    assert "the harness itself was killed" in capsys.readouterr().out


def test_secrets_are_not_stored() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hush",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hush@127.0.0.1:4318",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "MY_TOKEN": "hush",
    }
    setup = Setup(name="x", description="", env=env)
    assert "hush" not in str(machine.redact([setup]))
    assert "hush" not in str(machine.effective(env))
    assert machine.effective(env)["OTEL_BSP_SCHEDULE_DELAY"] == "100"


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    described = str(machine.describe((2, (1,), (0,)), {}))
    assert platform.node() not in described.replace("'vm'", "") or len(platform.node()) < 4
    assert "opentelemetry-sdk" in described


def test_every_command_that_the_readme_shows_is_understood() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    shown = re.findall(r"(?:- run: |`)python -m bench ((?:run|gate|report|compare|verify) [^`\n]+)", readme)
    shown += [
        f"{'run' if session == 'bench' else session} {rest}"
        for session, rest in re.findall(r"`uvx nox -s ([a-z]+) -- ([^`\n]+)`", readme)
        if session != "services"
    ]
    assert len(shown) > 8
    for command in shown:
        words = shlex.split(command.replace("[...]", ""))
        assert cli._parser().parse_args(words).call is not None, command


def test_a_share_may_be_written_in_percent() -> None:
    assert share("10%") == pytest.approx(share("0.1"))
    for wrong in ("110%", "1.1", "x%", "-1%"):
        with pytest.raises(argparse.ArgumentTypeError):
            share(wrong)
