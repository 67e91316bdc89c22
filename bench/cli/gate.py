"""`gate`: passes or fails a run by thresholds, for CI."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from bench.analysis.proportions import Rate
from bench.app.records import CHECKS
from bench.cli import display
from bench.cli.compare import side
from bench.cli.display import relative
from bench.compare import gate_document
from bench.compare.comparison import pairing
from bench.compare.gate import Outcome, Quantity, Threshold, judge
from bench.errors import MeasurementError, ResultsError, UsageError
from bench.plan.machine import Machine
from bench.report import markdown
from bench.results.folder import read_run
from bench.results.store import Store, pretty, read_machine, read_record
from bench.results.verify import verify
from bench.studies.accuracy.records import Accuracy
from bench.studies.micro import files as micro_files
from bench.studies.options import checked
from bench.studies.run.parts import predictor

ACCURACY = Path("results") / "accuracy"
FAILED = 1
CODES = {
    Outcome.PASS: 0,
    Outcome.INCONCLUSIVE: 0,
    Outcome.FAIL: FAILED,
    Outcome.INVALID: MeasurementError.exit_code,
}
_THRESHOLD = re.compile(r"(?P<setup>[^=]+)=(?P<percent>\d+(\.\d+)?)\s*%")
_COUNT = re.compile(r"(?P<setup>[^=]+)=(?P<count>\d+(\.\d+)?)")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setup's table in a file of thresholds."""

    overhead: str | None = None
    spans: float | None = None
    bytes: float | None = None
    exports: float | None = None
    instructions: float | None = None


def _threshold(text: str) -> Threshold:
    match = _THRESHOLD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a threshold; write it as batch=80%")
    return Threshold(setup=match["setup"].strip(), limit=float(match["percent"]) / 100)


def _count(text: str, figure: Quantity = Quantity.SPANS) -> Threshold:
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a threshold; write it as batch=22")
    return Threshold(setup=match["setup"].strip(), limit=float(match["count"]), figure=figure)


Overheads = Annotated[tuple[str, ...], Parameter(validator=checked(_threshold))]
Counts = Annotated[tuple[str, ...], Parameter(validator=checked(_count))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What a run is judged by.

    Attributes:
        max_overhead: SETUP=N%: largest overhead of a setup; may be given several times.
        max_spans: SETUP=N: most spans of a request; counted, and so exact on any machine.
        max_bytes: SETUP=N: most bytes that a request sends to the collector.
        max_exports: SETUP=N: most exports of a request.
        max_instructions: SETUP=N: most CPU instructions of a request, as counted by --instructions.
        instructions: A folder of `tracing-overhead micro --instructions` that has counted them.
        thresholds: A TOML file with a table for each setup: overhead = "80%", spans = 22, and so on.
        strict: Also fail when the upper end of the interval is over the threshold.
        against: A results folder: fail when a figure got worse than there.
        accuracy: An accuracy measurement, for the rate of false alarms; results/accuracy by default.
    """

    max_overhead: Overheads = ()
    max_spans: Counts = ()
    max_bytes: Counts = ()
    max_exports: Counts = ()
    max_instructions: Counts = ()
    instructions: Path | None = None
    thresholds: Path | None = None
    strict: bool = False
    against: Path | None = None
    accuracy: Path = ACCURACY

    def all(self) -> list[Threshold]:
        """Every threshold of the command line and of the file.

        Raises:
            UsageError: there is none, one is there twice, or the file cannot be read.
        """
        counts = {
            Quantity.SPANS: self.max_spans, Quantity.BYTES: self.max_bytes,
            Quantity.EXPORTS: self.max_exports, Quantity.INSTRUCTIONS: self.max_instructions,
        }  # fmt: skip
        given = [
            *map(_threshold, self.max_overhead),
            *(_count(text, figure) for figure, texts in counts.items() for text in texts),
            *(_read(self.thresholds) if self.thresholds else ()),
        ]
        if not given and self.against is None:
            raise UsageError("there is no threshold", "add --max-overhead batch=80%, or --against DIR")
        named = Counter((threshold.setup, threshold.figure) for threshold in given)
        twice = next((what for what, times in named.items() if times > 1), None)
        if twice:
            raise UsageError(
                f"{twice[0]} has two thresholds for its {twice[1]}", "give each setup one of a kind"
            )
        return given


def _read(path: Path) -> Iterator[Threshold]:
    """The thresholds of a file."""
    try:
        tables = msgspec.toml.decode(path.read_bytes(), type=dict[str, Limits])
        for setup, limits in tables.items():
            if limits.overhead is not None:
                yield _threshold(f"{setup}={limits.overhead}")
            for figure in list(Quantity)[1:]:
                limit = getattr(limits, figure)
                if limit is not None:
                    yield Threshold(setup=setup, limit=limit, figure=figure)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}", "name a TOML file with --thresholds"
        ) from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", 'write it as [batch], overhead = "80%", spans = 22') from None


def gate(folder: Path, /, options: GateOptions | None = None) -> int:
    """Pass or fail a run in CI: by thresholds, or against an earlier result.

    It exits with 0 for pass and inconclusive (with --strict only for pass), with 1 for fail, and with 4 for
    an invalid or lossy run.

    Args:
        folder: A run's results folder.
        options: What it is judged by.
    """
    options = options or GateOptions()
    thresholds = options.all()
    predict = predictor(folder)
    summary = read_run(folder, predict).summary
    known = [setup.name for setup in summary.setups if setup.name != summary.baseline]
    for threshold in thresholds:
        if threshold.setup not in known:
            raise UsageError(
                f"{folder} has no setup {threshold.setup!r} to judge", f"choose from {', '.join(known)}"
            )
    wrong = verify(folder, predict).discrepancies
    discrepancy = f"the folder does not say what was measured: {wrong[0]}" if wrong else None
    counted = micro_files.read(options.instructions).run.requests if options.instructions else {}
    against = None
    if options.against:
        folders = [options.against, folder]
        against = pairing(side(options.against, folders), side(folder, folders))
        if not thresholds and not any(change.setup not in CHECKS for change in against.changes):
            raise UsageError(
                f"{folder} and {options.against} have no setup in common", "compare runs of the same setups"
            )
    judged = judge(
        summary,
        thresholds,
        strict=options.strict,
        discrepancy=discrepancy,
        instructions=counted,
        against=against,
    )
    sure = gate_document.false_alarms(*_false_verdicts(options.accuracy))
    report = gate_document.report(judged, sure)
    display.show(report)
    store = Store(folder)
    store.write("gate.json", pretty(judged))
    store.write("gate.xml", gate_document.junit(judged))
    text = markdown.render(report)
    store.write("gate.md", text.encode())
    _summarise(text)
    sys.stdout.write(f"\nWritten: gate.json, gate.xml (JUnit) and gate.md in {relative(folder)}\n")
    return CODES[judged.outcome]


def _false_verdicts(folder: Path) -> tuple[Rate | None, Machine | None]:
    path = folder / "accuracy.json"
    if not path.exists():
        return None, None
    return read_record(path, Accuracy).false_verdicts, read_machine(folder)


def _summarise(text: str) -> None:
    """Append the report to the summary that CI shows, if there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}",
            "set GITHUB_STEP_SUMMARY to a file that can be written",
        ) from None
