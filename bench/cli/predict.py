"""`predict`: what tracing would cost at another rate, with other traces, from a run's cost model."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from bench.analysis import cost_model
from bench.analysis.records import CostModel
from bench.cli import display
from bench.errors import ResultsError
from bench.report.run import cost_model_lines
from bench.results.folder import sound_run
from bench.studies.options import number, read_as, share
from bench.studies.run.parts import predictor
from bench.testbed.process import ROOT

REFERENCE = Path("results") / "reference"
"""From the current folder, or beside the harness where that is a clone."""
FEW_POINTS = 4
MANY = 1.1
"""Factor by which spans may exceed those of the run's requests without a caveat."""


def predict(
    *,
    rps: Annotated[float, Parameter(validator=number(0.001, 1e9))],
    spans: Annotated[float, Parameter(validator=number(0, 1e6))],
    ratio: Annotated[float, Parameter(converter=read_as(share), metavar="SHARE")] = 1.0,
    source: Annotated[Path | None, Parameter(name="--from")] = None,
) -> int:
    """What tracing would cost you, from a run's cost per span.

    Args:
        rps: Requests per second.
        spans: Spans of a request, over all its services.
        ratio: Share of the traces that is sampled, 0.1 or 10%.
        source: The results folder; the reference run by default.
    """
    source = source or next((folder for folder in (REFERENCE, ROOT / REFERENCE) if folder.is_dir()), None)
    if source is None:
        raise ResultsError(
            "there is no run to predict from",
            "name the folder of one with --from; `tracing-overhead run` makes it",
        )
    summary = sound_run(source, predictor(source)).summary
    models = {"light load": summary.cost_model, "at full load": summary.cost_model_saturation}
    known = {load: model for load, model in models.items() if model}
    if not known:
        raise ResultsError(
            f"{source} has no cost model",
            "it takes three valid setups with a batch processor that differ in spans or ratio, such as "
            "--setups always-off,ratio-50,batch",
        )
    console = display.console()
    console.print(_table(known, rps, spans, ratio))
    for line in cost_model_lines(summary):
        console.print(line, highlight=False)
    processes = len(summary.plan.app.process)
    console.print(
        "A service with little load pays the column under light load, one near its limit the other. "
        f"The range is that of one more setup (95 %) on that machine, for requests of {summary.app.name}, "
        f"which has {processes} processes; each process more or less changes the first number.",
        highlight=False,
    )
    for caveat in _caveats(known, spans, ratio):
        console.print(caveat, style="yellow")
    points = min(len(model.points) for model in known.values())
    if points < FEW_POINTS:
        console.print(
            f"The model rests on {points} setups only, which makes the range wide: measure more, such as "
            "--setups always-off,ratio-10,ratio-50,batch.",
            style="yellow",
        )
    if not summary.valid:
        console.print("The run is NOT VALID, so the prediction is not valid either.", style="bold red")
    return 0


def _caveats(models: Mapping[str, CostModel], spans: float, ratio: float) -> Iterator[str]:
    """Why the line may not hold for such requests."""
    measured = [exported for model in models.values() for _, exported, _ in model.points]
    if not min(measured) <= spans * ratio <= max(measured):
        yield (
            f"{spans * ratio:g} exported spans are outside of what was measured, {min(measured):.3g} to "
            f"{max(measured):.3g}: whether the line goes on straight is unknown."
        )
    if ratio < 1 and spans > MANY * max(measured):
        yield (
            f"Unsampled spans cost CPU, too; the model has that cost for requests of {max(measured):.3g} "
            "spans only, so the prediction is too low."
        )


def _table(models: Mapping[str, CostModel], rps: float, spans: float, ratio: float) -> Table:
    exported = spans * ratio
    title = f"{rps:g} requests/s of {spans:g} spans, {ratio * 100:.4g} % sampled"
    table = Table(box=None, pad_edge=False, title=title)
    table.title_justify = "left"
    for head in ("tracing adds", *(head for load in models for head in (load, "range"))):
        table.add_column(head, justify="left" if head == "tracing adds" else "right")
    costs_s = [
        [max(value, 0.0) for value in cost_model.predict(model, exported)] for model in models.values()
    ]
    sizes = next(iter(models.values())).bytes_per_span
    rows = (
        ("CPU, cores", [[cost_s * rps for cost_s in ends] for ends in costs_s]),
        ("CPU per request, µs", [[cost_s * 1e6 for cost_s in ends] for ends in costs_s]),
        ("spans per second, on average", [[exported * rps] * 3] * len(models)),
        ("bytes per second, on average", [[size * exported * rps for size in sizes]] * len(models)),
    )
    for name, by_load in rows:
        cells = []
        for value, low, high in by_load:
            cells += [_two_digits(value), "" if low == high else f"[{_two_digits(low)}, {_two_digits(high)}]"]
        table.add_row(name, *cells)
    return table


def _two_digits(value: float) -> str:
    """Two significant digits: a prediction has no more."""
    if not value:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"
