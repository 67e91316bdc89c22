"""The report in a terminal, with rich: red is what must not be believed."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.records import Summary
from bench.analysis.setup_records import Caveat, Severity
from bench.report import tables
from bench.report.answer import answer
from bench.report.run import cost_model_line, load_line
from bench.report.words import Table, caveat_line

WIDEST = 400
"""Columns of a table at most."""


def show_run(summary: Summary, console: Console, *, full: bool = False) -> None:
    """The answer in five lines, and one table; everything else only if asked for."""
    lines = answer(summary)
    console.print()
    console.print(Text(lines[0], "bold" if summary.valid else "bold red"))
    for line in lines[1:]:
        console.print(Text(line))
    show_table(tables.answer_table(summary), "", console)
    if full:
        _everything(summary, console)
    show_caveats(summary.caveats, console, all_of_them=full)


def _everything(summary: Summary, console: Console) -> None:
    unit = summary.app.request
    if summary.plan.light.blocks:
        show_table(tables.cpu_table(summary, "light"), f"CPU per {unit}, light load", console)
        show_table(tables.latency_table(summary), "Latency at light load", console)
    if summary.plan.busy.blocks:
        show_table(tables.cpu_table(summary, "busy"), f"CPU per {unit}, busy load", console)
        show_table(tables.throughput_table(summary), "Throughput", console)
    if summary.layers:
        show_table(tables.layer_table(summary.layers), "Layers: where the cost goes", console)
    if summary.cost_model:
        console.print(Text(cost_model_line(summary) or ""))
    show_table(tables.rest_table(summary), "At rest and at start", console)
    show_table(tables.ledger_table(summary), "Ledger: where every span went", console)
    if summary.collector:
        show_table(tables.collector_table(summary.collector), "The collector", console)
    if summary.load.workers:
        show_table(tables.workers_table(summary), "Load workers", console)
    console.print(Text(load_line(summary)))


def show_table(table: Table, title: str, console: Console) -> None:
    """One table, as wide as it is: what does not fit is wrapped by the terminal, and never cut."""
    made = _rich(table, title)
    wide = Measurement.get(console, console.options.update(max_width=WIDEST), made).maximum
    before = console.width
    console.width = max(before, min(wide, WIDEST))
    console.print(made, crop=False)
    console.width = before


def show_caveats(caveats: Sequence[Caveat], console: Console, *, all_of_them: bool = True) -> None:
    """Caveats, one line each; of more than a few only how many there are."""
    shown = [caveat for caveat in caveats if all_of_them or caveat.severity is Severity.INVALID]
    for caveat in shown:
        invalid = caveat.severity is Severity.INVALID
        text = ("INVALID: " if invalid else "caveat: ") + caveat_line(caveat)
        console.print(Text(text, "red" if invalid else "yellow"))
    hidden = len(caveats) - len(shown)
    if hidden:
        console.print(Text(f"{hidden} caveats; --full shows them.", "yellow"))


def _rich(table: Table, title: str) -> RichTable:
    rich = RichTable(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    last = len(table.heads) - 1
    for number, (head, right) in enumerate(zip(table.heads, table.right, strict=True)):
        rich.add_column(
            Text(head),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=number in {0, last} or right,
        )
    for number, row in enumerate(table.rows):
        rich.add_row(*(Text(cell) for cell in row), style="red" if number in table.red else None)
    return rich
