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
from bench.report.answer import answer
from bench.report.document import Caveats, Document, Items, Part
from bench.report.document import Text as Text_
from bench.report.tables import answer_table
from bench.report.words import Table, caveat_line, plural, printable

BETWEEN = 3
"""Characters between two columns."""
NARROWEST = 16
"""Characters that a column of text may shrink to, if its words are no longer; figures never shrink."""

GLUE = "\N{NO-BREAK SPACE}"
_EMPHASIS = re.compile(r"\*([A-Z][^*]*)\*")
_UNIT = re.compile(r" (?=(?:%|us|ms|MB|s)(?: |$))")

Spelling = Callable[[str], str]
"""How commands within a text are typed where it is read."""


def show_run(summary: Summary, console: Console, spelled: Spelling = str, *, full: str = "") -> None:
    """The answer in five lines, one table, and what speaks against them.

    Args:
        summary: what the run found.
        console: where it is shown.
        spelled: how commands are typed here.
        full: what shows the rest, such as a command.
    """
    screen = _Screen(console, spelled)
    first, *others = answer(summary)
    console.print()
    screen.say(first, "bold" if summary.valid else "bold red")
    for line in others:
        screen.say(line)
    screen.table(answer_table(summary))
    hidden = [caveat for caveat in summary.caveats if caveat.severity is not Severity.INVALID]
    # The first reason why nothing counts is the first line already.
    screen.caveats([caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID][1:])
    if hidden:
        screen.say(f"{plural(len(hidden), 'caveat')}{f': {full}' if full else ''}.", "yellow")


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

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(_EMPHASIS.sub(r"\1", printable(self.spelled(text))), style))

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
        for columns in parts(table, self.console.width):
            self.console.print(_rich(table, columns))


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


def _rich(table: Table, columns: Sequence[int]) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        rich.add_column(
            Text(_head(table, column)),
            justify="right" if table.right[column] else "left",
            overflow="fold" if _wraps(table, column) else "ellipsis",
            no_wrap=not _wraps(table, column),
        )
    for number, row in enumerate(table.rows):
        rich.add_row(
            *(Text(printable(row[column])) for column in columns),
            style="red" if number in table.red else None,
        )
    return rich
