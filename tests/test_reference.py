"""The committed reference run: what is shown of it follows from its raw records."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench import results
from bench.calibration import Calibration
from bench.findings import Summary
from bench.report import calibration as sheet
from bench.report import layers, load, markdown, words

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
REFERENCE = RESULTS / "reference"


def summary() -> Summary:
    return msgspec.json.decode((REFERENCE / "summary.json").read_bytes(), type=Summary)


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from leaves(each)
    else:
        yield value


def figures(of: Summary) -> Iterator[float]:
    """All numbers of a summary; another processor may round the last digit of one differently."""
    return (value for value in leaves(msgspec.to_builtins(of)) if isinstance(value, float))


def words_of(of: Summary) -> list[object]:
    """Everything else."""
    return [value for value in leaves(msgspec.to_builtins(of)) if not isinstance(value, float)]


def test_the_reference_follows_from_its_raw_records() -> None:
    made = results.read(REFERENCE)
    assert isinstance(made.figures, Summary)
    assert list(figures(made.figures)) == pytest.approx(list(figures(summary())), rel=1e-9)
    assert words_of(made.figures) == words_of(summary())
    assert markdown.render(made.document) == (REFERENCE / "report.md").read_text("utf-8")


def test_the_readme_shows_the_reference_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown, plan = summary(), summary().plan.solo
    assert shown.solo is not None
    assert plan is not None
    for table in (
        words.overhead_table(shown),
        words.ledger_table(shown),
        load.level_table(shown.solo, 0),
        load.throughput_table(shown.solo, plan),
    ):
        assert markdown.table(table) in readme
    assert load.title(plan, plan.levels[0]) in readme
    for sentence in (words.noise_floor(shown), words.load_line(shown), load.load_line(shown)):
        assert sentence in readme


def test_the_reference_is_valid_and_balances() -> None:
    assert summary().valid
    assert all(setup.ledger.balanced for setup in summary().setups)
    solo = summary().solo
    assert solo is not None
    assert all(setup.ledger.balanced for setup in solo.setups)


# ---------------------------------------------------------------- layers, and the harness's own data sheet


def readme_parts() -> dict[str, str]:
    """What the README shows of the layers and of the calibration, by where it stands there."""
    found = results.read(RESULTS / "calibration").figures
    run = results.read(RESULTS / "layers").figures
    assert isinstance(found, Calibration)
    assert isinstance(run, Summary)
    assert run.layers is not None
    return {
        "@LAYERS@": markdown.table(layers.table(run.layers)),
        "@LAYERS_LINE@": words.headline(run),
        "@TARGETS@": markdown.table(sheet.target_table(found)),
        "@WEIGHTS@": markdown.table(sheet.weight_table(found)),
        "@CALIBRATION_LINES@": " ".join(sheet.lines(found)),
    }


def test_the_readme_shows_the_layers_and_the_calibration() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, part in readme_parts().items():
        assert part in readme, name


@pytest.mark.parametrize("name", ["layers", "calibration"])
def test_what_is_committed_follows_from_its_raw_records(name: str) -> None:
    made = results.read(RESULTS / name)
    assert made.valid
    assert (RESULTS / name / "report.md").read_text("utf-8") == markdown.render(made.document)
