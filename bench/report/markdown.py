"""A report as Markdown: `report.md`, to be sent to a colleague."""

from tabulate import tabulate

from bench.analysis.claims import Caveat, Severity
from bench.report import words
from bench.report.document import Caveats, Chart, Document, Items, Part, Section, Text, Tiles

RED = "🔴"


def render(document: Document) -> str:
    """A whole report."""
    parts = [f"# {document.title}", *map(_part, document.lead)]
    for section in document.sections:
        parts += _section(section)
    return words.printable("\n\n".join(filter(None, parts)) + "\n")


def render_section(section: Section) -> str:
    """What stands under one heading."""
    return words.printable("\n\n".join(filter(None, map(_part, section.parts))) + "\n")


def _section(section: Section) -> list[str]:
    return [f"{'#' * section.level} {escape(section.title)}", *map(_part, section.parts)]


def _part(part: Part) -> str:
    match part:
        case Text():
            return f"{RED} **{_plain(part.text)}**" if part.red else _plain(part.text)
        case words.Table():
            return "\n\n".join(filter(None, (table(part), _plain(part.note))))
        case Items():
            return "\n".join(f"- {_plain(item)}" for item in part.items)
        case Caveats():
            return "\n".join(map(_caveat, part.caveats)) or "None."
        case Tiles():
            return ""
        case Chart():
            return f"![{part.title}]({part.image})" if part.image else ""


def table(shown: words.Table) -> str:
    """A table; invalid rows are marked."""
    rows = [
        [
            f"{RED} {cell}" if at in shown.red and number == 0 else cell
            for number, cell in enumerate(map(escape, row))
        ]
        for at, row in enumerate(shown.rows)
    ]
    align = ["right" if right else "left" for right in shown.right]
    return str(
        tabulate(
            rows,
            headers=[head.replace("\n", " ") for head in shown.heads],
            tablefmt="github",
            colalign=align if rows else None,
            disable_numparse=True,
        )
    )


def escape(cell: str) -> str:
    """Text that is no markup, whatever it holds."""
    return _plain(cell).replace("|", "\\|").replace("\n", "<br>")


def _plain(text: str) -> str:
    """Text with its emphasis and without any HTML."""
    return text.replace("<", "&lt;")


def _caveat(caveat: Caveat) -> str:
    mark = f"{RED} **INVALID:** " if caveat.severity is Severity.INVALID else ""
    return f"- {mark}{escape(words.caveat_line(caveat))}"
