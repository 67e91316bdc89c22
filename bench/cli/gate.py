"""`gate`: passes or fails a run by thresholds, for CI."""

import argparse
import os
import re
from pathlib import Path

from rich.text import Text

from bench.analysis.accuracy import Accuracy
from bench.cli import display
from bench.cli.shared import Commands, predictor
from bench.errors import MeasurementError, ResultsError, UsageError
from bench.plan.machine import Machine
from bench.report import gate as gate_report
from bench.report import markdown, terminal
from bench.results.folder import read_run
from bench.results.gate import Gate, Outcome, Threshold, judge
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


def add(commands: Commands) -> None:
    """`gate`."""
    gate = commands.add_parser(
        "gate",
        help="pass or fail a run by thresholds, for CI",
        epilog="Exit codes: 0 pass or inconclusive (with --strict only pass), 1 fail, 4 invalid or lossy.",
    )
    gate.set_defaults(call=_gate)
    gate.add_argument("folder", type=Path, metavar="DIR", help="a run's results folder")
    gate.add_argument(
        "--max-overhead", metavar="SETUP=N%", action="append", required=True, type=_threshold,
        dest="thresholds",
        help="largest overhead of a set-up; may be given several times",
    )  # fmt: skip
    gate.add_argument(
        "--strict",
        action="store_true",
        help="fail, too, when the upper end of the interval is over the threshold",
    )
    gate.add_argument(
        "--accuracy", type=Path, metavar="DIR", default=ACCURACY,
        help="an accuracy measurement, for the rate of false alarms (default: results/accuracy)",
    )  # fmt: skip


def _threshold(text: str) -> Threshold:
    match = _THRESHOLD.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no threshold; write it as batch=80%")
    return Threshold(setup=match["setup"].strip(), ratio=float(match["percent"]) / 100)


def _gate(args: argparse.Namespace) -> int:
    predict = predictor(args.folder)
    summary = read_run(args.folder, predict).summary
    known = [setup.name for setup in summary.setups if setup.name != summary.baseline]
    twice = next((each.setup for each in args.thresholds if _times(args.thresholds, each.setup) > 1), None)
    if twice:
        raise UsageError(f"{twice} has two thresholds", "give each set-up one --max-overhead")
    for threshold in args.thresholds:
        if threshold.setup not in known:
            raise UsageError(
                f"{args.folder} has no set-up {threshold.setup!r} to judge", f"it has {', '.join(known)}"
            )
    faults = verify(args.folder, predict).faults
    fault = f"the folder does not say what was measured: {faults[0]}" if faults else None
    gate = judge(summary, args.thresholds, strict=args.strict, fault=fault)
    sure = gate_report.false_alarms(*_accuracy(args.accuracy))
    _show(gate, sure)
    store = Store(args.folder)
    store.write("gate.json", pretty(gate))
    store.write("gate.xml", gate_report.junit(gate))
    text = markdown.render(gate_report.report(gate, sure))
    store.write("gate.md", text.encode())
    _summarise(text)
    return CODES[gate.outcome]


def _times(thresholds: list[Threshold], setup: str) -> int:
    return sum(each.setup == setup for each in thresholds)


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


def _show(gate: Gate, sure: str) -> None:
    console = display.console()
    terminal.show_table(gate_report.table(gate), "Overhead against its threshold", console)
    console.print(Text(sure))
    style = {Outcome.PASS: "bold green", Outcome.INCONCLUSIVE: "bold yellow"}.get(gate.outcome, "bold red")
    console.print(Text(gate_report.headline(gate), style))
