"""The report in a terminal, with rich; invalid figures are red."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.claims import Caveat, Severity
from bench.analysis.records import Summary
from bench.plan.machine import Machine
from bench.report.answer import answer
from bench.report.document import Caveats, Document, Items, Part
from bench.report.document import Text as Text_
from bench.report.tables import answer_table
from bench.report.words import ASCII, Table, caveat_line, plural, printable

BETWEEN, WITHIN_GROUP = 3, 2
"""Characters between two columns, and between those of a table with groups."""
WIDEST_TEXT = 100
"""Longer lines of text are hard to read."""
MOST_CAVEATS = 2
"""The others are only counted; the whole report has them all."""
NARROWEST = 16
"""Characters that a column of text may shrink to, if its words are no longer; figures never shrink."""

GLUE = "\N{NO-BREAK SPACE}"
_EMPHASIS = re.compile(r"\*([A-Z][^*]*)\*")
_UNIT = re.compile(r" (?=(?:%|µs|ms|MB|s)(?:\W|$))|(?<=±) ")
"""A blank at which a line must not end."""

Spelling = Callable[[str], str]
"""How commands within a text are typed where it is read."""


def show_run(
    summary: Summary,
    console: Console,
    spelled: Spelling = str,
    *,
    machine: Machine | None = None,
    full: str = "",
) -> None:
    """The answer, one table, and what speaks against them.

    Args:
        summary: what the run measured.
        console: where it is shown.
        spelled: how commands are typed here.
        machine: where it was measured; None where that is unknown.
        full: what shows the rest, such as a command.
    """
    screen = _Screen(console, spelled)
    first, *others = answer(summary, machine)
    console.print()
    screen.say(first, "bold" if summary.valid else "bold red", hanging=True)
    for line in others:
        screen.say(line, hanging=True)
    screen.table(answer_table(summary))
    hidden = [caveat for caveat in summary.caveats if caveat.severity is not Severity.INVALID]
    # The first reason why nothing counts is the first line already.
    screen.caveats([caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID][1:])
    screen.caveats(hidden[:MOST_CAVEATS])
    if len(hidden) > MOST_CAVEATS:
        more = plural(len(hidden) - MOST_CAVEATS, "more caveat")
        screen.say(f"{more}{f': {full}' if full else ''}.", "yellow")


def show(document: Document, console: Console, spelled: Spelling = str) -> None:
    """A whole report but for its charts: its tables have their figures."""
    screen = _Screen(console, spelled)
    screen.say(f"\n{document.title}", "bold")
    for part in document.lead:
        screen.part(part)
    for section in document.sections:
        screen.say(f"\n{section.title}", "bold")
        for part in section.parts:
            screen.part(part)


@dataclass(frozen=True)
class _Screen:
    """A terminal that parts of a report are shown on.

    Attributes:
        console: rich's.
        spelled: how commands are typed here.
    """

    console: Console
    spelled: Spelling

    @property
    def is_ascii(self) -> bool:
        return not self.console.encoding.startswith("utf")

    def fitting(self, text: str) -> str:
        """Text of characters that the terminal has."""
        return printable(text).translate(ASCII) if self.is_ascii else printable(text)

    def say(self, text: str, style: str = "", *, hanging: bool = False) -> None:
        """A paragraph; one that hangs has its second and further lines indented."""
        text = _EMPHASIS.sub(r"\1", self.spelled(text))
        for line in text.split("\n"):
            wrapped = wrap(
                _UNIT.sub(GLUE, line),
                min(self.console.width, WIDEST_TEXT),
                subsequent_indent="  " if hanging else "",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for part in wrapped or [""]:
                self.console.print(Text(self.fitting(part.replace(GLUE, " ")), style), soft_wrap=True)

    def part(self, part: Part) -> None:
        match part:
            case Text_():
                self.say(part.text, "bold red" if part.red else "")
            case Table():
                self.table(part)
            case Items(folded=None):
                for item in part.items:
                    self.say(f"- {item}")
            case Caveats():
                self.caveats(part.caveats)
            case _:
                pass

    def caveats(self, caveats: Sequence[Caveat]) -> None:
        for caveat in caveats:
            invalid = caveat.severity is Severity.INVALID
            text = ("INVALID: " if invalid else "caveat: ") + caveat_line(caveat)
            self.say(text, "red" if invalid else "yellow")

    def table(self, table: Table) -> None:
        """A table that is wider than the terminal is printed in parts, each with its key columns."""
        lines = list(grouped(table, self.console.width)) if table.groups else []
        if lines and max(cell_len(line) for line, _ in lines) <= self.console.width:
            self.console.print()
            for line, style in lines:
                self.console.print(Text(self.fitting(line), style), soft_wrap=True)
            self.console.print()
        else:
            for columns in parts(table, self.console.width):
                self.console.print(_rich(table, columns, self.fitting))
        if table.note:
            self.say(table.note, "dim")


def grouped(table: Table, width: int) -> Iterator[tuple[str, str]]:
    """The lines of a table with groups of columns, each with its style.

    A cell that is followed by an empty one reaches into that.

    Args:
        table: with groups.
        width: characters of a line; heads are wrapped where the table would be wider.
    """
    gaps = [
        WITHIN_GROUP if at or not group.title else BETWEEN
        for group in table.groups
        for at in range(len(group.heads))
    ]
    gaps[0] = 0
    heads = table.shown
    widths = [max(cell_len(head), _narrow(table, column, "")) for column, head in enumerate(heads)]
    if sum(widths) + sum(gaps) > width:
        widths = [_narrow(table, column, head) for column, head in enumerate(heads)]
    titles, first = "", 0
    for group in table.groups:
        end = first + len(group.heads)
        room = sum(widths[first:end]) + sum(gaps[first + 1 : end])
        titles += " " * gaps[first] + group.title.center(room)
        first = end
    yield titles.rstrip(), "bold"
    columns = [wrap(head, room, break_long_words=False) for head, room in zip(heads, widths, strict=True)]
    height = max(map(len, columns))
    for line in zip(*([" "] * (height - len(lines)) + lines for lines in columns), strict=True):
        yield _line(table, line, widths, gaps), "bold"
    for number, row in enumerate(table.rows):
        if table.divider and table.divider[0] == number:
            word = f"{table.divider[1]} "
            yield word.ljust(sum(widths) + sum(gaps), "─"), "dim"
        yield _line(table, row, widths, gaps), "red" if number in table.red else ""


def _narrow(table: Table, column: int, head: str) -> int:
    """Characters of a column whose head may take a line for each of its words."""
    cells = (row[column] for row in table.rows if row[column + 1 : column + 2] != ("",))
    return max(map(cell_len, [*head.split(), *cells]), default=0)


def _line(table: Table, cells: Sequence[str], widths: Sequence[int], gaps: Sequence[int]) -> str:
    line, column = "", 0
    while column < len(cells):
        cell, room, gap = cells[column], widths[column], gaps[column]
        if tuple(cells[column + 1 : column + 2]) == ("",):
            column += 1
            room += gaps[column] + widths[column]
        padding = " " * (room - cell_len(cell))
        line += " " * gap + (padding + cell if table.right[column] else cell + padding)
        column += 1
    return line.rstrip()


def parts(table: Table, width: int) -> Iterator[tuple[int, ...]]:
    """The columns of each part of a table that fits `width` characters; the key columns are in all."""
    least = [_least(table, column) for column in range(len(table.heads))]
    keys = list(range(table.keys))
    taken, used = list(keys), sum(least[: table.keys])
    for column in range(table.keys, len(least)):
        if used + least[column] > width and len(taken) > len(keys):
            yield tuple(taken)
            taken, used = list(keys), sum(least[: table.keys])
        taken.append(column)
        used += least[column]
    yield tuple(taken)


def _least(table: Table, column: int) -> int:
    """Characters that a column cannot do without, the gap to the next one included."""
    return max(_width(table, column), *map(cell_len, _together(table.heads[column]).split(" "))) + BETWEEN


def _width(table: Table, column: int) -> int:
    """Characters that the widest cell needs below its head."""
    cells = [row[column] for row in table.rows]
    natural = max(map(cell_len, cells), default=0)
    if not _wraps(table, column):
        return natural
    natural = max(natural, cell_len(table.heads[column]))
    words = [cell_len(word) for cell in cells for word in cell.split()]
    return min(natural, max([NARROWEST, *words]))


def _head(table: Table, column: int) -> str:
    """A head in as many lines as make it no wider than what stands below."""
    lines = wrap(_together(table.heads[column]), max(_least(table, column) - BETWEEN, 1))
    return "\n".join(lines).replace(GLUE, " ")


def _together(head: str) -> str:
    """A head whose unit stays with the word before it."""
    return _UNIT.sub(GLUE, head)


def _wraps(table: Table, column: int) -> bool:
    """Sentences may be wrapped between words; names, figures and what is drawn may not."""
    return column >= table.keys and not table.right[column] and column != table.drawn


def _rich(table: Table, columns: Sequence[int], fitting: Spelling) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        rich.add_column(
            Text(fitting(_head(table, column))),
            justify="right" if table.right[column] else "left",
            overflow="fold" if _wraps(table, column) else "ellipsis",
            no_wrap=not _wraps(table, column),
        )
    for number, row in enumerate(table.rows):
        rich.add_row(
            *(Text(fitting(row[column])) for column in columns),
            style="red" if number in table.red else None,
        )
    return rich
