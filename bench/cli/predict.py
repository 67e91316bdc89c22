"""`predict`: what tracing would cost at another rate, with other traces, from a run's cost model."""

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from bench.analysis import cost_model
from bench.analysis.records import CostModel
from bench.cli import display
from bench.cli.options import number, read_as, share
from bench.cli.shared import predictor
from bench.errors import ResultsError
from bench.report.run import cost_model_line
from bench.results.folder import read_run
from bench.testbed.process import ROOT

REFERENCE = Path("results") / "reference"
"""From the current folder, or beside the harness where that is a clone."""
FEW_POINTS = 4


def predict(
    *,
    rps: Annotated[float, Parameter(validator=number(0.001, 1e9))],
    spans: Annotated[float, Parameter(validator=number(0, 1e6))],
    ratio: Annotated[float, Parameter(converter=read_as(share))] = 1.0,
    source: Annotated[Path | None, Parameter(name="--from")] = None,
) -> int:
    """What tracing would cost you, from a run's cost per span.

    Args:
        rps: Requests per second.
        spans: Spans of a request, over all its services.
        ratio: Share of the traces that is sampled, 0.1 or 10%.
        source: The results folder; without it, the reference run.
    """
    source = source or next((folder for folder in (REFERENCE, ROOT / REFERENCE) if folder.is_dir()), None)
    if source is None:
        raise ResultsError(
            "there is no run to predict from",
            "name the folder of one with --from; `tracing-overhead run` makes it",
        )
    summary = read_run(source, predictor(source)).summary
    model = summary.cost_model
    if model is None:
        raise ResultsError(
            f"{source} has no cost model",
            "it takes three valid set-ups with a batch processor that differ in spans or ratio, such as "
            "--setups always-off,ratio-50,batch",
        )
    console = display.console()
    console.print(_table(model, rps, spans, ratio))
    console.print(cost_model_line(summary) or "", highlight=False)
    processes = len(summary.plan.app.process)
    console.print(
        f"The range is that of one more set-up (95 %) on that machine, for requests of {summary.app.name}, "
        f"which has {processes} processes; each process more or less changes the first number.",
        highlight=False,
    )
    if len(model.points) < FEW_POINTS:
        console.print(
            f"{len(model.points)} set-ups fix this line, which makes the range wide: measure more, such as "
            "--setups always-off,ratio-10,ratio-50,batch,batch-lean.",
            style="yellow",
        )
    if not summary.valid:
        console.print("The run is NOT VALID: so is this.", style="bold red")
    return 0


def _table(model: CostModel, rps: float, spans: float, ratio: float) -> Table:
    exported = spans * ratio
    costs_s = [max(value, 0.0) for value in cost_model.predict(model, exported)]
    sizes = [size * exported * rps for size in model.bytes_per_span]
    title = f"{rps:g} requests/s of {spans:g} spans, {ratio * 100:.4g} % sampled"
    table = Table(box=None, pad_edge=False, title=title)
    table.title_justify = "left"
    for head in ("tracing adds", "", "range"):
        table.add_column(head, justify="left" if head == "tracing adds" else "right")
    rows = (
        ("CPU, cores", [cost_s * rps for cost_s in costs_s]),
        ("CPU per request, us", [cost_s * 1e6 for cost_s in costs_s]),
        ("spans per second, on average", [exported * rps] * 3),
        ("bytes per second, on average", sizes),
    )
    for name, (value, low, high) in rows:
        ends = "" if low == high else f"[{_two_digits(low)}, {_two_digits(high)}]"
        table.add_row(name, _two_digits(value), ends)
    return table


def _two_digits(value: float) -> str:
    """Two significant digits: a prediction has no more."""
    if not value:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"
