"""A run against budgets: it fails only when it is sure, and passes only what is sound."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.findings import Caveat, Overhead, Summary
from bench.gate import Budget, Gate, Outcome, judge
from bench.report import gate as said
from bench.report import markdown
from tests.test_compare import summary
from tests.test_verify import carried_out


def with_overhead(low: float, high: float, base: Summary | None = None) -> Summary:
    found = base or summary()
    ratio = (low + high) / 2
    overhead = Overhead(
        ratio=ratio, low=low, high=high, claim_low=low, claim_high=high, mde=0.01, negligible=False,
        cpu_s=ratio, cpu_low_s=low, cpu_high_s=high, standard_error=0.01, df=9.0,
    )  # fmt: skip
    setups = tuple(
        replace(each, overhead=overhead) if each.name == "batch" else each for each in found.setups
    )
    return replace(found, setups=setups)


def gated(low: float, high: float, budget: float, *, strict: bool = False) -> Gate:
    return judge(with_overhead(low, high), [Budget(setup="batch", ratio=budget)], strict=strict)


@pytest.mark.parametrize(
    ("low", "high", "outcome", "strictly"),
    [
        (0.3, 0.4, Outcome.PASS, Outcome.PASS),
        (0.4, 0.6, Outcome.INCONCLUSIVE, Outcome.FAIL),
        (0.6, 0.7, Outcome.FAIL, Outcome.FAIL),
    ],
)
def test_a_budget_fails_only_when_the_whole_interval_is_over_it(
    low: float, high: float, outcome: Outcome, strictly: Outcome
) -> None:
    assert gated(low, high, 0.5).outcome is outcome
    assert gated(low, high, 0.5, strict=True).outcome is strictly


@given(st.floats(-0.5, 5), st.floats(0.001, 2), st.floats(0, 6), st.floats(0, 1))
def test_a_larger_budget_is_never_harder_to_keep(
    low: float, width: float, budget: float, more: float
) -> None:
    order = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]
    tight, loose = (gated(low, low + width, each).outcome for each in (budget, budget + more))
    assert order.index(loose) <= order.index(tight)


def test_the_worst_budget_decides() -> None:
    budgets = [Budget(setup="batch", ratio=0.1), Budget(setup="none-again", ratio=0.5)]
    gate = judge(summary(), budgets)
    assert [each.outcome for each in gate.judged] == [Outcome.FAIL, Outcome.PASS]
    assert gate.outcome is Outcome.FAIL


def unbalanced(found: Summary) -> Summary:
    setups = tuple(replace(each, ledger=replace(each.ledger, balanced=False)) for each in found.setups)
    return replace(found, setups=setups)


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda found: replace(found, valid=False),
        lambda found: replace(found, complete=False),
        unbalanced,
        lambda found: replace(found, setups=tuple(replace(each, invalid=True) for each in found.setups)),
    ],
    ids=["invalid", "cut-short", "lossy", "set-up"],
)
def test_what_is_invalid_lossy_or_cut_short_never_passes(spoiled: object) -> None:
    found = spoiled(with_overhead(0.0, 0.01))  # type: ignore[operator]
    assert judge(found, [Budget(setup="batch", ratio=9.0)]).outcome is Outcome.INVALID


@pytest.mark.parametrize("code", ["no-twin", "no-control", "control-weak", "ledger-blind"])
def test_a_run_that_could_not_have_found_an_overhead_does_not_pass(code: str) -> None:
    found = with_overhead(0.0, 0.01)
    blind = replace(found, caveats=(*found.caveats, Caveat(code=code, message="", advice="")))
    gate = judge(blind, [Budget(setup="batch", ratio=9.0), Budget(setup="none-again", ratio=9.0)])
    assert gate.outcome is Outcome.INCONCLUSIVE
    assert code in gate.judged[0].why
    assert judge(blind, [Budget(setup="batch", ratio=-0.5)]).outcome is Outcome.FAIL


def test_a_folder_that_was_changed_never_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carried_out(tmp_path / "run")
    arguments = ["gate", str(tmp_path / "run"), "--max-overhead", "batch=200%"]
    assert cli.main(arguments) == 0
    lines = (tmp_path / "run" / "windows.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "run" / "windows.jsonl").write_text("".join(lines[:-2]), "utf-8")
    assert cli.main(arguments) == 4
    assert "the folder does not say what was measured: windows.jsonl" in capsys.readouterr().out.replace(
        "\n", " "
    )


def test_a_gate_rests_on_the_interval_for_all_set_ups() -> None:
    found = with_overhead(0.55, 0.65)
    wide = tuple(
        replace(each, overhead=replace(each.overhead, claim_low=0.45))
        if each.name == "batch" and each.overhead
        else each
        for each in found.setups
    )
    gate = judge(replace(found, setups=wide), [Budget(setup="batch", ratio=0.5)])
    assert gate.outcome is Outcome.INCONCLUSIVE


def test_junit_says_the_same() -> None:
    suite = ET.fromstring(said.junit(gated(0.6, 0.7, 0.5)))[0]  # noqa: S314 - our own
    assert suite.attrib["failures"] == "1"
    assert suite[0].attrib["name"] == "batch"
    assert "budget 50.0 %" in suite[0][0].attrib["message"]
    suite = ET.fromstring(said.junit(gated(0.4, 0.6, 0.5)))[0]  # noqa: S314
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "1")


def test_the_report_names_budget_interval_and_false_alarms() -> None:
    text = markdown.render(said.report(gated(0.6, 0.7, 0.5), said.false_alarms(None, None)))
    assert "FAIL" in text
    assert "+60.0, +70.0" in text
    assert "not known" in text


@pytest.mark.parametrize(
    ("budget", "code", "word"), [("batch=200%", 0, "pass"), ("batch=10%", 1, "fail"), ("batch=50%", 0, "inc")]
)
def test_the_command_passes_and_fails(  # noqa: PLR0917 - fixtures
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    budget: str,
    code: int,
    word: str,
) -> None:
    carried_out(tmp_path / "run")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    assert cli.main(["gate", str(tmp_path / "run"), "--max-overhead", budget]) == code
    assert word in capsys.readouterr().out
    assert (tmp_path / "step.md").read_text("utf-8").startswith("# Tracing overhead:")
    assert (tmp_path / "run" / "gate.xml").read_bytes().startswith(b"<?xml")


def test_a_set_up_has_one_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carried_out(tmp_path / "run")
    twice = ["--max-overhead", "batch=10%", "--max-overhead", "batch=20%"]
    assert cli.main(["gate", str(tmp_path / "run"), *twice]) == 2
    assert "batch has two budgets" in capsys.readouterr().err


def test_a_budget_for_nothing_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carried_out(tmp_path / "run")
    assert cli.main(["gate", str(tmp_path / "run"), "--max-overhead", "spam=10%"]) == 2
    assert "hint: it has none-again, control, batch" in capsys.readouterr().err
