"""`gate`: passes or fails a run by budgets, for CI."""

import argparse
import os
import re
from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.analysis.accuracy import Calibration
from bench.cli.shared import Commands
from bench.errors import MeasurementError, ResultsError, UsageError
from bench.analysis.records import Summary
from bench.gate import Budget, Gate, Outcome, judge
from bench.plan.records import Machine
from bench.testbed.process import ROOT
from bench.report import gate as said
from bench.report import markdown, terminal
from bench.results.store import Store, pretty, read_machine, read_record
from bench.verify import verify

CALIBRATION = ROOT / "results" / "calibration"
FAILED = 1
CODES = {
    Outcome.PASS: 0,
    Outcome.INCONCLUSIVE: 0,
    Outcome.FAIL: FAILED,
    Outcome.INVALID: MeasurementError.exit_code,
}
_BUDGET = re.compile(r"(?P<setup>[^=]+)=(?P<percent>\d+(\.\d+)?)\s*%")


def add(commands: Commands) -> None:
    """`gate`."""
    gate = commands.add_parser(
        "gate",
        help="pass or fail a run by budgets, for CI",
        epilog="Exit codes: 0 pass or inconclusive (with --strict only pass), 1 fail, 4 invalid or lossy.",
    )
    gate.set_defaults(call=_gate)
    gate.add_argument("folder", type=Path, metavar="DIR", help="a run's results folder")
    gate.add_argument(
        "--max-overhead", metavar="SETUP=N%", action="append", required=True, type=_budget, dest="budgets",
        help="largest overhead of a set-up; may be given several times",
    )  # fmt: skip
    gate.add_argument(
        "--strict",
        action="store_true",
        help="fail, too, when the upper end of the interval is over the budget",
    )
    gate.add_argument(
        "--calibration", type=Path, metavar="DIR", default=CALIBRATION,
        help="a calibration of this machine, for the rate of false alarms (default: results/calibration)",
    )  # fmt: skip


def _budget(text: str) -> Budget:
    match = _BUDGET.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no budget; write it as batch=80%")
    return Budget(setup=match["setup"].strip(), ratio=float(match["percent"]) / 100)


def _gate(args: argparse.Namespace) -> int:
    summary = results.read(args.folder).figures
    if not isinstance(summary, Summary):
        raise UsageError(f"{args.folder} is no run", "a gate judges what `tracing-overhead run` has left")
    known = [setup.name for setup in summary.setups if setup.name != summary.baseline]
    twice = next((each.setup for each in args.budgets if _times(args.budgets, each.setup) > 1), None)
    if twice:
        raise UsageError(f"{twice} has two budgets", "give each set-up one --max-overhead")
    for budget in args.budgets:
        if budget.setup not in known:
            raise UsageError(
                f"{args.folder} has no set-up {budget.setup!r} to judge", f"it has {', '.join(known)}"
            )
    found = verify(args.folder).faults
    fault = f"the folder does not say what was measured: {found[0]}" if found else None
    gate = judge(summary, args.budgets, strict=args.strict, fault=fault)
    sure = said.false_alarms(*_calibration(args.calibration))
    _show(gate, sure)
    store = Store(args.folder)
    store.write("gate.json", pretty(gate))
    store.write("gate.xml", said.junit(gate))
    text = markdown.render(said.report(gate, sure))
    store.write("gate.md", text.encode())
    _summarise(text)
    return CODES[gate.outcome]


def _times(budgets: list[Budget], setup: str) -> int:
    return sum(each.setup == setup for each in budgets)


def _calibration(folder: Path) -> tuple[Calibration | None, Machine | None]:
    path = folder / "calibration.json"
    if not path.exists():
        return None, None
    return read_record(path, Calibration), read_machine(folder)


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
    terminal.show_table(said.table(gate), "Overhead against its budget", console)
    console.print(Text(sure))
    style = {Outcome.PASS: "bold green", Outcome.INCONCLUSIVE: "bold yellow"}.get(gate.outcome, "bold red")
    console.print(Text(said.headline(gate), style))
