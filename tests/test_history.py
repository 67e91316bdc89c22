"""Results over time: what can be compared, what changed, what could not be read."""

import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench import cli, results
from bench.history import Past, PastOverhead, PastRun, PastSetup, history
from bench.model import SCHEMA, Machine, Setup
from bench.report import history as said
from bench.report import html, markdown
from bench.store import Store, pretty
from tests import make

ERROR, DF = 0.01, 12.0


def past(
    number: int, ratio: float, *, machine: Machine | None = None, invalid: bool = False, env: str = "1"
) -> Past:
    """A run that found so much for `batch`."""
    overhead = PastOverhead(
        ratio=ratio, low=ratio - 0.02, high=ratio + 0.02, standard_error=ERROR / (1 + ratio), df=DF
    )
    twin = PastOverhead(ratio=0.0, low=-0.02, high=0.02, standard_error=ERROR, df=DF)
    plan = make.plan(own=(Setup(name="mine", description="", env={"X": env}),))
    return Past(
        name=f"run-{number:04}",
        run=PastRun(
            schema=SCHEMA,
            baseline="none",
            valid=True,
            plan=plan,
            setups=(
                PastSetup(name="none", invalid=False, overhead=None),
                PastSetup(name="none-again", invalid=False, overhead=twin),
                PastSetup(name="mine", invalid=invalid, overhead=overhead),
            ),
        ),
        machine=machine or Machine(started=f"2026-01-01T00:00:{number:02}", cpu="one", cpus_usable=2),
    )


def changes(found: list[Past], setup: str = "mine") -> list[bool]:
    group = history(found, {}, ()).groups[0]
    trend = next(trend for trend in group.trends if trend.setup == setup)
    return [point.change is not None for point in trend.points]


def test_a_step_that_the_intervals_support_is_marked_and_no_other() -> None:
    assert changes([past(at, ratio) for at, ratio in enumerate((0.5, 0.51, 0.7, 0.71))]) == [
        False, False, True, False,
    ]  # fmt: skip


def test_a_flat_trend_is_rarely_marked() -> None:
    """Of a hundred folders of twenty equal results five may show a change, all results considered."""
    rng = np.random.default_rng(3)
    marked = 0
    for _ in range(200):
        values = np.expm1(np.log1p(0.5) + rng.normal(0, ERROR / 1.5, 20))
        marked += any(changes([past(at, float(value)) for at, value in enumerate(values)]))
    assert marked / 200 <= 0.09


def test_a_slow_drift_is_found_although_no_step_is_large() -> None:
    values = [float(np.expm1(0.5 + 0.006 * at)) for at in range(30)]
    assert any(changes([past(at, value) for at, value in enumerate(values)]))


def test_twins_that_differ_widen_what_counts_as_a_change() -> None:
    off = PastOverhead(ratio=0.3, low=0.2, high=0.4, standard_error=ERROR, df=DF)
    runs = [past(0, 0.5), past(1, 0.7)]
    assert changes(runs) == [False, True]
    setups = tuple(
        replace(each, overhead=off) if each.name == "none-again" else each for each in runs[1].run.setups
    )
    assert changes([runs[0], replace(runs[1], run=replace(runs[1].run, setups=setups))]) == [False, False]


def test_another_baseline_is_another_group() -> None:
    one, other = past(0, 0.5), past(1, 0.5)
    base = replace(other.run.plan.setups[0], env={"PYTHONOPTIMIZE": "2"})
    plan = replace(other.run.plan, setups=(base, *other.run.plan.setups[1:]))
    found = history([one, replace(other, run=replace(other.run, plan=plan))], {}, ())
    assert [group.results for group in found.groups] == [1, 1]


def test_an_invalid_result_is_shown_and_never_compared() -> None:
    assert changes([past(0, 0.5), past(1, 2.0, invalid=True), past(2, 0.5)]) == [False, False, False]


def test_other_machines_and_other_set_ups_are_other_trends() -> None:
    elsewhere = Machine(started="2026-02-01", cpu="another", cpus_usable=2)
    found = history([past(0, 0.5), past(1, 0.9, machine=elsewhere), past(2, 0.5, env="2")], {}, ())
    assert [group.results for group in found.groups] == [2, 1]
    assert [trend.setup for trend in found.groups[0].trends].count("mine") == 2


def test_a_run_through_a_collector_is_told_apart() -> None:
    through = past(1, 0.5)
    through = replace(through, run=replace(through.run, plan=replace(through.run.plan, collector="rotel")))
    found = history([past(0, 0.5), through], {}, ())
    assert [group.results for group in found.groups] == [1, 1]
    assert "through rotel" in found.groups[1].what


def test_versions_that_changed_stand_beside_a_result() -> None:
    machines = [
        Machine(
            started=f"2026-01-0{at + 1}", python=python, packages={"opentelemetry-sdk": sdk, "rich": str(at)}
        )
        for at, (python, sdk) in enumerate((("3.11", "1.44"), ("3.12", "1.45")))
    ]
    group = history([past(at, 0.5, machine=each) for at, each in enumerate(machines)], {}, ()).groups[0]
    assert group.trends[-1].points[1].versions == ("Python 3.11 to 3.12", "opentelemetry-sdk 1.44 to 1.45")


def stored(folder: Path, found: Past) -> None:
    store = Store.create(folder / found.name)
    store.write_plan(found.run.plan)
    store.write("summary.json", pretty(found.run))
    store.write("machine.json", pretty(found.machine))


def test_a_thousand_results_take_less_than_three_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(1000):
        stored(tmp_path, past(number, float(rng.normal(0.5, 0.01))))
    before = time.process_time()
    found = results.past(tmp_path)
    shown = said.report(found)
    assert len(markdown.render(shown)) > 1000
    assert len(html.render(shown).encode()) < 2_000_000
    assert time.process_time() - before < 3.0
    assert found.groups[0].results == 1000


def test_broken_folders_are_named_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        stored(tmp_path, past(number, 0.5))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "summary.json").write_text("{")
    (tmp_path / "broken" / "plan.json").write_text("{}")
    (tmp_path / "future").mkdir()
    (tmp_path / "future" / "plan.json").write_text("{}")
    (tmp_path / "future" / "summary.json").write_bytes(msgspec.json.encode({"schema": 99}))
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "plan.json").write_text("{}")
    (tmp_path / "old").mkdir()
    plain = pretty(past(0, 0.5).run).replace(b'"standard_error"', b'"unknown"')
    (tmp_path / "old" / "summary.json").write_bytes(plain)
    (tmp_path / "old" / "plan.json").write_text("{}")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "summary.json").write_bytes(pretty(past(0, 0.5).run))
    (tmp_path / "other").mkdir()
    assert cli.main(["history", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "skipped broken: " in out
    assert "skipped future: summary.json has schema 99, not 1" in out
    assert "skipped killed: it has no summary.json" in out
    assert "skipped old: " in out
    assert "skipped lost: plan.json is missing" in out
    assert "standard_error" in out
    assert "`other`" in (tmp_path / "history.md").read_text("utf-8")
    assert (tmp_path / "history.html").read_text("utf-8").startswith("<!doctype html>")


def test_a_folder_without_runs_is_an_error_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["history", str(tmp_path)]) == 5
    assert "holds no runs" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_an_error_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history", str(tmp_path / "nowhere")]) == 5
    assert "hint:" in capsys.readouterr().err
