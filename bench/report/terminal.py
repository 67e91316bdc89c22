"""The report in a terminal, with rich: red is what must not be believed."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.findings import Caveat, Severity, Summary
from bench.report import layers, load, words


def show(summary: Summary, console: Console) -> None:
    """The whole report on a console."""
    if summary.plan.windows:
        _rotation(summary, console)
    _solo(summary, console)
    for caveat in summary.caveats:
        show_caveat(caveat, console)
    console.print(Text(words.headline(summary), "bold green" if summary.valid else "bold red"))


def show_table(table: words.Table, title: str, console: Console) -> None:
    """One table."""
    console.print(_table(table, title))


def show_caveat(caveat: Caveat, console: Console) -> None:
    """A doubt, in a line."""
    invalid = caveat.severity is Severity.INVALID
    console.print(
        Text(
            ("INVALID " if invalid else "caveat ") + words.caveat_line(caveat),
            "bold red" if invalid else "yellow",
        )
    )


def _rotation(summary: Summary, console: Console) -> None:
    console.print()
    console.print(
        _table(words.overhead_table(summary), "What tracing costs: CPU per checkout, four services together")
    )
    console.print(Text(words.noise_floor(summary)))
    console.print()
    if summary.layers:
        console.print(_table(layers.table(summary.layers, layers.NARROW), "Layers: where the tax goes"))
    if summary.fit:
        console.print(Text(layers.fit_line(summary.fit)))
        console.print()
    console.print(_table(words.ledger_table(summary), "Ledger: where every span went"))
    console.print()
    console.print(
        _table(words.memory_table(summary), "Latency at light load, and memory of the four services")
    )
    console.print(Text(words.load_line(summary)))
    if summary.load.workers:
        console.print()
        console.print(_table(words.workers_table(summary), "Load workers"))
    console.print()


def _solo(summary: Summary, console: Console) -> None:
    solo, plan = summary.solo, summary.plan.solo
    if solo is None or plan is None or not solo.blocks:
        return
    for at, level in enumerate(plan.levels):
        console.print(_table(load.level_table(solo, at), load.title(plan, level)))
        lacking = load.too_few(solo, at, is_long=summary.plan.budget == "long")
        if lacking:
            console.print(Text(lacking.replace("`", "")))
        console.print()
    console.print(_table(load.throughput_table(solo, plan), "Throughput"))
    dapper = load.dapper_table(solo)
    if dapper:
        console.print()
        console.print(_table(dapper, "Sampling ratio against latency and throughput"))
    console.print(Text(load.load_line(summary)))
    console.print()


def _table(table: words.Table, title: str) -> RichTable:
    rich = RichTable(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
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
