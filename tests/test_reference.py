"""The committed reference run: what is shown of it follows from its raw records."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.calibration import Trial, calibration
from bench.emission import Iteration, report
from bench.findings import Summary
from bench.micro import record
from bench.micro.operations import TABLE
from bench.overhead import summarise
from bench.report import calibration as sheet
from bench.report import emission, layers, load, markdown, timings, words
from bench.store import read_lines, read_packed, read_raw

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
REFERENCE = RESULTS / "reference"
SENTENCES = {operation.name: operation.sentence for operation in TABLE}
SHOWN_OPERATIONS = (
    "reference", "span/noop", "span/dropped", "span/root", "span/attributes-12", "span/batch",
    "span/queue-full", "event/three-attributes", "exception/20-frames", "inject/tracecontext-8",
    "extract/tracecontext-8", "sampler/parentbased_always_on", "encode/64", "gzip/64",
    "export/http-1", "export/http-512", "export/grpc-1", "export/grpc-512",
    "server/bare", "server/no-provider", "server/unsampled", "server/sampled", "server/lean",
    "server/native", "httpx-async/bare", "httpx-async/sampled", "sqlite/bare", "sqlite/sampled",
)  # fmt: skip
"""Of the microbenchmarks, what the README shows."""


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
    again = summarise(read_raw(REFERENCE))
    assert list(figures(again)) == pytest.approx(list(figures(summary())), rel=1e-9)
    assert words_of(again) == words_of(summary())
    assert markdown.render(again) == (REFERENCE / "report.md").read_text("utf-8")


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
        assert markdown._table(table) in readme
    assert load.title(plan, plan.levels[0]) in readme
    for sentence in (words.noise_floor(shown), words.load_line(shown), load.load_line(shown)):
        assert sentence in readme


def test_the_reference_is_valid_and_balances() -> None:
    assert summary().valid
    assert all(setup.ledger.balanced for setup in summary().setups)
    solo = summary().solo
    assert solo is not None
    assert all(setup.ledger.balanced for setup in solo.setups)


# ---------------------------------------------------------------- the other kinds of results


def readme_parts() -> dict[str, str]:
    """What the README shows of the committed results, by where it stands there."""
    micro = record.read(RESULTS / "micro")
    chosen = replace(micro, timings=tuple(each for each in micro.timings if each.name in SHOWN_OPERATIONS))
    run = summarise(read_raw(RESULTS / "layers"), record.read(RESULTS / "layers").prices)
    assert run.layers is not None
    spec = report(read_lines(RESULTS / "spec" / "iterations.jsonl", Iteration))
    found = calibration(read_packed(RESULTS / "calibration" / "trials.jsonl.gz", Trial))
    titles = emission.ITEMS
    return {
        "@MICRO_COUNT@": str(len(micro.timings)),
        "@MICRO@": markdown._table(timings.timing_table(chosen, SENTENCES)),
        "@INSTRUCTIONS@": markdown._table(timings.checkout_table(micro)),
        "@LAYERS@": markdown._table(layers.table(run.layers)),
        "@LAYERS_LINE@": words.headline(run),
        "@SPEC@": "\n\n".join(
            [
                f"**{titles['throughput']}**",
                markdown._table(emission.throughput_table(spec)),
                f"**{titles['cpu'].format(rate=f'{spec.rate_per_s:,.0f}')}**",
                markdown._table(emission.cpu_table(spec)),
                f"**{titles['memory']}**",
                markdown._table(emission.memory_table(spec)),
                *emission.verdicts(spec),
            ]
        ),
        "@TARGETS@": markdown._table(sheet.target_table(found)),
        "@WEIGHTS@": markdown._table(sheet.weight_table(found)),
        "@CALIBRATION_LINES@": " ".join(sheet.lines(found)),
    }


def test_the_readme_shows_the_other_results_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, part in readme_parts().items():
        assert part in readme, name


def test_the_other_results_follow_from_their_raw_records() -> None:
    micro = record.read(RESULTS / "micro")
    assert micro.valid
    assert (RESULTS / "micro" / "micro.md").read_text("utf-8") == markdown.render_micro(micro, SENTENCES)
    found = calibration(read_packed(RESULTS / "calibration" / "trials.jsonl.gz", Trial))
    assert (RESULTS / "calibration" / "report.md").read_text("utf-8") == markdown.render_calibration(found)
    spec = report(read_lines(RESULTS / "spec" / "iterations.jsonl", Iteration))
    assert (RESULTS / "spec" / "report.md").read_text("utf-8") == markdown.render_spec(spec)
    prices = record.read(RESULTS / "layers").prices
    run = summarise(read_raw(RESULTS / "layers"), prices)
    assert (RESULTS / "layers" / "report.md").read_text("utf-8") == markdown.render(run)
    assert all(setup.ledger.balanced for setup in run.setups)
