"""A report as its parts, whatever becomes of it: Markdown, a page.

The code for the content does not know the format, and vice versa. A chart stands before
the table of its figures; where charts cannot be shown, nothing is lost. Text may hold `code`, *emphasis*,
**strong** and [links](target), as in Markdown, and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.analysis.claims import Caveat
from bench.report.words import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A paragraph.

    Attributes:
        text: of it.
        red: whether it says that something is invalid.
    """

    text: str
    red: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiles:
    """Figures that a page shows large, at a glance; the text after them says the same.

    Attributes:
        state: whether the figures count, in a word or two.
        red: whether they do not.
        figures: each with what it is.
    """

    state: str
    red: bool
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart, as Vega-Lite describes one; the table after it holds its figures.

    Attributes:
        title: what it shows, for those who cannot see it, too.
        spec: in Vega-Lite's language.
        image: file name of a picture of it that lies beside the report; absent without one.
    """

    title: str
    spec: Mapping[str, object]
    image: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list, each item a text.

    Attributes:
        items: one or more.
        folded: what a page shows instead until a reader asks for the list; absent if it is always shown.
    """

    items: tuple[str, ...]
    folded: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Caveats:
    """Caveats with their advice."""

    caveats: tuple[Caveat, ...]

    def __bool__(self) -> bool:
        return bool(self.caveats)


Part: TypeAlias = Text | Tiles | Table | Chart | Items | Caveats


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and what stands under it; shown only if there is anything.

    Attributes:
        title: the heading.
        parts: in reading order.
        level: 2 for a chapter, 3 for a part of one.
        folded: whether a page shows it only to a reader who asks.
    """

    title: str
    parts: tuple[Part, ...]
    level: int = 2
    folded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        title: of it.
        lead: what stands before the first heading.
        sections: in reading order.
    """

    title: str
    lead: tuple[Part, ...]
    sections: tuple[Section, ...]


def section(title: str, *parts: Part | str | None, level: int = 2, folded: bool = False) -> Section:
    """Make a section: a string becomes a paragraph, and empty or absent parts are left out."""
    return Section(title=title, parts=tuple(_parts(parts)), level=level, folded=folded)


def document(title: str, lead: Sequence[Part | str | None], *sections: Section) -> Document:
    """A report of the sections that have anything to say."""
    return Document(title=title, lead=tuple(_parts(lead)), sections=tuple(filter(_says, sections)))


def _says(section: Section) -> bool:
    return bool(section.parts)


def _parts(parts: Sequence[Part | str | None]) -> list[Part]:
    return [Text(text=part) if isinstance(part, str) else part for part in parts if part]
