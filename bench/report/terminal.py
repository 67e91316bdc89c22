"""The report in a terminal, with rich: red is what must not be believed."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.records import Summary
from bench.analysis.setup_records import Caveat, Severity
from bench.report.answer import answer
from bench.report.document import Caveats, Document, Items, Part
from bench.report.document import Text as Text_
from bench.report.tables import answer_table
from bench.report.words import Table, caveat_line, plural

WIDEST = 400
"""Columns of a table at most."""


def show_run(summary: Summary, console: Console) -> None:
    """The answer in five lines, one table, and what speaks against them."""
    lines = answer(summary)
    console.print()
    console.print(Text(lines[0], "bold" if summary.valid else "bold red"))
    for line in lines[1:]:
        console.print(Text(line))
    show_table(answer_table(summary), console)
    invalid = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    _show_caveats(invalid, console)
    hidden = len(summary.caveats) - len(invalid)
    if hidden:
        console.print(Text(f"{plural(hidden, 'caveat')}; --full shows them.", "yellow"))


def show(document: Document, console: Console) -> None:
    """A whole report but for its charts: its tables have their figures."""
    console.print(Text(f"\n{document.title}", "bold"))
    for part in document.lead:
        _show_part(part, console)
    for section in document.sections:
        console.print(Text(f"\n{section.title}", "bold"))
        for part in section.parts:
            _show_part(part, console)


def _show_part(part: Part, console: Console) -> None:
    match part:
        case Text_():
            console.print(Text(part.text, "bold red" if part.red else ""))
        case Table():
            show_table(part, console)
        case Items(folded=None):
            for item in part.items:
                console.print(Text(f"- {item}"))
        case Caveats():
            _show_caveats(part.caveats, console)
        case _:
            pass


def _show_caveats(caveats: Sequence[Caveat], console: Console) -> None:
    for caveat in caveats:
        invalid = caveat.severity is Severity.INVALID
        text = ("INVALID: " if invalid else "caveat: ") + caveat_line(caveat)
        console.print(Text(text, "red" if invalid else "yellow"))


def show_table(table: Table, console: Console) -> None:
    """One table, as wide as it is: what does not fit is wrapped by the terminal, and never cut."""
    made = _rich(table)
    wide = Measurement.get(console, console.options.update(max_width=WIDEST), made).maximum
    before = console.width
    console.width = max(before, min(wide, WIDEST))
    console.print(made, crop=False)
    console.width = before


def _rich(table: Table) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
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
