"""Presets: lists of setups, in the table or made for an application."""

import itertools
from pathlib import Path

import pytest

from bench.app.presets import PRESETS, batching_setups, instrumentor_setups
from bench.app.records import Setup
from bench.app.setups import DISABLED_INSTRUMENTATIONS, TABLE, choose, declared_spans
from bench.errors import UsageError
from bench.studies.run.options import Options
from bench.studies.run.planning import left_out, run_plan
from bench.testbed import environments
from bench.testbed.app_files import load
from tests import make


def off(setup: Setup) -> set[str]:
    """The instrumentations that a setup switches off."""
    return set(setup.env[DISABLED_INSTRUMENTATIONS].split(","))


def test_every_instrumentation_is_left_out_once_and_alone_once() -> None:
    setups = {setup.name: setup for setup in instrumentor_setups(["flask", "redis", "sqlite3"])}
    assert len(setups) == 7
    assert off(setups["without-redis"]) == {"redis"}
    assert setups["without-redis"].against == "batch"
    assert off(setups["only-redis"]) == {"flask", "sqlite3"}
    assert setups["only-redis"].against == "uninstrumented"
    assert off(setups["uninstrumented"]) == {"flask", "redis", "sqlite3"}


def test_what_an_application_switches_off_itself_stays_off() -> None:
    for setup in instrumentor_setups(["flask", "redis"], "logging,urllib3"):
        assert off(setup) >= {"logging", "urllib3"}


def test_one_instrumentation_alone_is_all_of_them() -> None:
    assert [setup.name for setup in instrumentor_setups(["flask"])] == ["without-flask"]


def test_spans_of_what_is_partly_instrumented_are_never_those_of_the_app_file() -> None:
    assert declared_spans(make.APP, make.plan().setups[-1])
    assert declared_spans(make.APP, instrumentor_setups(["flask"])[0]) is None


def test_the_grid_of_the_batch_processor_has_no_batch_larger_than_its_queue() -> None:
    setups = batching_setups()
    assert len({setup.name for setup in setups}) == len(setups) == 16
    for setup in setups:
        assert int(setup.env["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"]) <= int(setup.env["OTEL_BSP_MAX_QUEUE_SIZE"])
        assert setup.may_lose


def test_names_in_presets_exist() -> None:
    known = {setup.name for setup in TABLE}
    assert known >= set(itertools.chain(*PRESETS.values()))


@pytest.mark.parametrize("preset", ["instrumentors", "batching", "signals", "ratios"])
def test_a_plan_of_a_preset_remembers_it_and_has_what_its_setups_are_compared_with(preset: str) -> None:
    plan = run_plan(Options(preset=preset), load(None))
    assert plan.preset == preset
    assert {setup.against for setup in plan.setups} <= {"", *plan.names}


def test_a_plan_names_its_app_file_as_it_was_typed_and_no_folder_of_a_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    typed = Path("services/glances.toml")
    assert run_plan(Options(app=typed), load(typed)).app_file == "services/glances.toml"
    assert run_plan(Options(app=typed.absolute()), load(typed)).app_file == "glances.toml"


def test_sampling_in_a_collector_needs_one_that_can() -> None:
    with pytest.raises(UsageError) as caught:
        run_plan(Options(preset="tail"), load(None))
    assert "--collector otelcol" in caught.value.hint


def test_a_setup_whose_python_is_not_here_is_left_out_of_a_preset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environments, "interpreter", lambda version: None if version == "3.13" else "python")
    loaded = load(None)
    plan = run_plan(Options(preset="pythons"), loaded)
    assert [name for name in plan.names if name.startswith("batch")] == ["batch-3.11", "batch-3.12"]
    missing = left_out(choose(loaded.app, loaded.app.preset["pythons"], loaded.own))
    assert missing == ["batch-3.13", "none-3.13"]


def test_an_interpreter_is_the_one_that_was_asked_for() -> None:
    import platform
    import subprocess

    version = platform.python_version()
    found = environments.interpreter(version)
    assert found
    code = "import platform; print(platform.python_version())"
    assert subprocess.check_output([found, "-c", code], text=True).strip() == version
    assert environments.interpreter("2.99") is None


def test_whoever_cannot_be_asked_for_instrumentations_has_to_name_them() -> None:
    with pytest.raises(UsageError) as caught:
        environments.instrumentors(load(None).place, make.APP)
    assert "instrumentors = [" in caught.value.hint


def test_the_setups_of_a_choice_stay_one_setup_each() -> None:
    own = batching_setups()
    names = [setup.name for setup in choose(make.APP, [setup.name for setup in own], own)]
    assert names == ["none", *(setup.name for setup in own)]
