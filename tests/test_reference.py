"""The committed reference run: what is shown of it follows from its raw records."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench import results
from bench.calibration import Calibration
from bench.emission import SpecReport
from bench.findings import Summary
from bench.report import calibration as sheet
from bench.report import emission, layers, load, markdown, timings, words
from bench.timings import MicroSummary
from bench.verify import verify

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


SHOWN = (
    "span/noop", "span/dropped", "span/child", "span/attributes-12", "span/batch", "span/queue-full",
    "attribute/one", "exception/20-frames", "inject/tracecontext-8", "extract/tracecontext-8", "encode/512",
    "export/http-1", "export/grpc-1", "export/http-512", "server/bare", "server/no-provider",
    "server/unsampled", "server/sampled", "server/lean", "server/native",
    "httpx-async/bare", "httpx-async/sampled",
)  # fmt: skip
"""The operations that the README has room for."""


def collector_table(name: str) -> words.Table:
    run = results.read(RESULTS / name).figures
    assert isinstance(run, Summary)
    assert run.valid
    assert run.collector is not None
    return words.collector_table(run.collector)


def readme_parts() -> dict[str, str]:
    """What the README shows of all committed results, by where it stands there."""
    timed = results.read(RESULTS / "micro").figures
    emitted = results.read(RESULTS / "spec").figures
    assert isinstance(timed, MicroSummary)
    assert isinstance(emitted, SpecReport)
    operations = timings.timing_table(timed)
    operations = replace(operations, rows=tuple(row for row in operations.rows if row[0] in SHOWN))
    found = results.read(RESULTS / "calibration").figures
    run = results.read(RESULTS / "layers").figures
    assert isinstance(found, Calibration)
    assert isinstance(run, Summary)
    assert run.layers is not None
    through = [collector_table(name) for name in ("otelcol", "rotel")]
    return {
        "@COLLECTORS@": markdown.table(
            replace(through[0], rows=tuple(row for each in through for row in each.rows))
        ),
        "@MICRO@": markdown.table(operations),
        "@MICRO_LINE@": words.micro_headline(timed.run.rounds, len(timed.timings), valid=timed.valid),
        "@CHECKOUTS@": markdown.table(timings.checkout_table(timed)),
        "@SPEC_THROUGHPUT@": markdown.table(emission.throughput_table(emitted)),
        "@SPEC_CPU@": markdown.table(emission.cpu_table(emitted)),
        "@SPEC_MEMORY@": markdown.table(emission.memory_table(emitted)),
        "@SPEC_VERDICTS@": " ".join(emission.verdicts(emitted)),
        "@LAYERS@": markdown.table(layers.table(run.layers)),
        "@LAYERS_LINE@": words.headline(run),
        "@TARGETS@": markdown.table(sheet.target_table(found)),
        "@WEIGHTS@": markdown.table(sheet.weight_table(found)),
        "@CALIBRATION_LINES@": " ".join(sheet.lines(found)),
    }


def test_the_readme_shows_the_other_results() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, part in readme_parts().items():
        assert part in readme, name


@pytest.mark.parametrize("name", ["reference", "layers", "calibration", "micro", "spec", "otelcol", "rotel"])
def test_what_is_committed_is_what_was_measured(name: str) -> None:
    found = verify(RESULTS / name)
    assert found.faults == ()
    assert found.sealed


@pytest.mark.parametrize("name", ["layers", "calibration", "micro", "spec", "otelcol", "rotel"])
def test_what_is_committed_follows_from_its_raw_records(name: str) -> None:
    made = results.read(RESULTS / name)
    assert made.valid
    assert (RESULTS / name / "report.md").read_text("utf-8") == markdown.render(made.document)


def test_what_is_committed_names_no_path_of_the_machine() -> None:
    for path in RESULTS.rglob("*"):
        if path.suffix in {".json", ".jsonl", ".md", ".html", ".svg", ".toml"}:
            text = path.read_text("utf-8")
            assert not re.search(r"/(?:home|root|Users|tmp)/", text), path
