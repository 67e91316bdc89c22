"""`gate`: passes or fails a run by thresholds, for CI."""

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.accuracy import Accuracy
from bench.cli import display
from bench.cli.options import checked
from bench.cli.shared import predictor, relative
from bench.errors import MeasurementError, ResultsError, UsageError
from bench.plan.machine import Machine
from bench.report import gate as gate_report
from bench.report import markdown, terminal
from bench.results.folder import read_run
from bench.results.gate import Outcome, Threshold, judge
from bench.results.store import Store, pretty, read_machine, read_record
from bench.results.verify import verify
from bench.testbed.process import ROOT

ACCURACY = ROOT / "results" / "accuracy"
FAILED = 1
CODES = {
    Outcome.PASS: 0,
    Outcome.INCONCLUSIVE: 0,
    Outcome.FAIL: FAILED,
    Outcome.INVALID: MeasurementError.exit_code,
}
_THRESHOLD = re.compile(r"(?P<setup>[^=]+)=(?P<percent>\d+(\.\d+)?)\s*%")


def _threshold(text: str) -> Threshold:
    match = _THRESHOLD.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no threshold; write it as batch=80%")
    return Threshold(setup=match["setup"].strip(), ratio=float(match["percent"]) / 100)


def gate(
    folder: Path,
    /,
    *,
    max_overhead: Annotated[tuple[str, ...], Parameter(validator=checked(_threshold))],
    strict: bool = False,
    accuracy: Path = ACCURACY,
) -> int:
    """Pass or fail a run by thresholds, for CI.

    Exit codes: 0 pass or inconclusive (with --strict only pass), 1 fail, 4 invalid or lossy.

    Args:
        folder: A run's results folder.
        max_overhead: SETUP=N%: largest overhead of a set-up; may be given several times.
        strict: Fail, too, when the upper end of the interval is over the threshold.
        accuracy: An accuracy measurement, for the rate of false alarms; without it, results/accuracy.
    """
    thresholds = [_threshold(text) for text in max_overhead]
    predict = predictor(folder)
    summary = read_run(folder, predict).summary
    known = [setup.name for setup in summary.setups if setup.name != summary.baseline]
    named = Counter(threshold.setup for threshold in thresholds)
    twice = next((setup for setup, times in named.items() if times > 1), None)
    if twice:
        raise UsageError(f"{twice} has two thresholds", "give each set-up one --max-overhead")
    for threshold in thresholds:
        if threshold.setup not in known:
            raise UsageError(
                f"{folder} has no set-up {threshold.setup!r} to judge", f"it has {', '.join(known)}"
            )
    faults = verify(folder, predict).faults
    fault = f"the folder does not say what was measured: {faults[0]}" if faults else None
    judged = judge(summary, thresholds, strict=strict, fault=fault)
    sure = gate_report.false_alarms(*_accuracy(accuracy))
    report = gate_report.report(judged, sure)
    terminal.show(report, display.console())
    store = Store(folder)
    store.write("gate.json", pretty(judged))
    store.write("gate.xml", gate_report.junit(judged))
    text = markdown.render(report)
    store.write("gate.md", text.encode())
    _summarise(text)
    sys.stdout.write(f"\nWritten: gate.json, gate.xml (JUnit) and gate.md in {relative(folder)}\n")
    return CODES[judged.outcome]


def _accuracy(folder: Path) -> tuple[Accuracy | None, Machine | None]:
    path = folder / "accuracy.json"
    if not path.exists():
        return None, None
    return read_record(path, Accuracy), read_machine(folder)


def _summarise(text: str) -> None:
    """Where CI shows a summary, it gets one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}", "GITHUB_STEP_SUMMARY names it"
        ) from None
