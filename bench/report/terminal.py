"""The report in a terminal, with rich: red is what must not be believed."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from bench.calibration import Calibration
from bench.emission import SpecReport
from bench.findings import Caveat, Severity, Summary
from bench.report import calibration, emission, layers, load, timings, words
from bench.timings import MicroSummary

WIDEST = 400
"""Columns of a table at most."""


def show(figures: Summary | MicroSummary | SpecReport | Calibration, console: Console) -> None:
    """What was found, on a console."""
    match figures:
        case Summary():
            _run(figures, console)
        case MicroSummary():
            _micro(figures, console)
        case SpecReport():
            _spec(figures, console)
        case Calibration():
            _calibration(figures, console)


def _run(summary: Summary, console: Console) -> None:
    if summary.plan.windows:
        _rotation(summary, console)
    _solo(summary, console)
    _caveats(summary.caveats, console)
    console.print(Text(words.headline(summary), "bold green" if summary.valid else "bold red"))


def _micro(summary: MicroSummary, console: Console) -> None:
    show_table(timings.timing_table(summary), "What one operation costs, CPU time", console)
    if summary.run.checkouts:
        show_table(timings.checkout_table(summary), timings.CHECKOUT, console)
    _caveats(summary.caveats, console)
    console.print(Text(words.micro_headline(summary.run.rounds, len(summary.timings), valid=summary.valid)))


def _spec(found: SpecReport, console: Console) -> None:
    titles = emission.ITEMS
    rate = f"{found.rate_per_s:,.0f}"
    show_table(emission.throughput_table(found), titles["throughput"], console)
    show_table(emission.cpu_table(found), titles["cpu"].format(rate=rate), console)
    show_table(emission.memory_table(found), titles["memory"], console)
    for sentence in emission.verdicts(found):
        console.print(Text(sentence, "bold red"))
    _caveats(found.caveats, console)


def _calibration(found: Calibration, console: Console) -> None:
    show_table(calibration.target_table(found), "What this harness can be believed", console)
    show_table(calibration.weight_table(found), "Known costs, recovered", console)
    for line in calibration.lines(found):
        console.print(Text(line))


def show_table(table: words.Table, title: str, console: Console) -> None:
    """One table, as wide as it is: what does not fit is wrapped by the terminal, and never cut."""
    made = _table(table, title)
    wide = Measurement.get(console, console.options.update(max_width=WIDEST), made).maximum
    before = console.width
    console.width = max(before, min(wide, WIDEST))
    console.print(made, crop=False)
    console.width = before


def _caveats(caveats: Sequence[Caveat], console: Console) -> None:
    """Doubts, a line each."""
    for caveat in caveats:
        invalid = caveat.severity is Severity.INVALID
        said = ("INVALID " if invalid else "caveat ") + words.caveat_line(caveat)
        console.print(Text(said, "bold red" if invalid else "yellow"))


def _rotation(summary: Summary, console: Console) -> None:
    console.print()
    show_table(
        words.overhead_table(summary), "What tracing costs: CPU per checkout, four services together", console
    )
    console.print(Text(words.noise_floor(summary)))
    console.print()
    if summary.layers:
        show_table(layers.table(summary.layers, layers.NARROW), "Layers: where the tax goes", console)
    if summary.fit:
        console.print(Text(layers.fit_line(summary.fit)))
        console.print()
    show_table(words.ledger_table(summary), "Ledger: where every span went", console)
    console.print()
    if summary.collector:
        show_table(
            words.collector_table(summary.collector), "The collector between services and sink", console
        )
        console.print(Text(words.ABOUT_COLLECTOR.replace("`", "")))
        console.print()
    show_table(words.memory_table(summary), "Latency at light load, and memory of the four services", console)
    console.print(Text(words.load_line(summary)))
    if summary.load.workers:
        console.print()
        show_table(words.workers_table(summary), "Load workers", console)
    console.print()


def _solo(summary: Summary, console: Console) -> None:
    solo, plan = summary.solo, summary.plan.solo
    if solo is None or plan is None or not solo.blocks:
        return
    for at, level in enumerate(plan.levels):
        show_table(load.level_table(solo, at), load.title(plan, level), console)
        lacking = load.too_few(solo, at, is_long=summary.plan.budget == "long")
        if lacking:
            console.print(Text(lacking.replace("`", "")))
        console.print()
    show_table(load.throughput_table(solo, plan), "Throughput", console)
    dapper = load.dapper_table(solo)
    if dapper:
        console.print()
        show_table(dapper, "Sampling ratio against latency and throughput", console)
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
