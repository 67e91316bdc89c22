"""A report as one page that opens anywhere: no script, no request, charts as SVG inside.

Whatever a name or a sentence holds is text: everything is escaped, nothing is trusted.
Colours are names that the page's style gives a value, one for light, one for the dark.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from bench.report import vega
from bench.report.document import Chart, Document
from bench.report.words import caveat_line, printable

Draw: TypeAlias = Callable[[Mapping[str, object]], str | None]
PAPER = {
    "--paper": "#ffffff", "--shade": "#f6f8fa",
    "--ink": "#1f2328", "--muted": "#656d76", "--line": "#e4e8ec", "--band": "#dfe5ec", "--red": "#c62828",
    "--series-1": "#0067b8", "--series-2": "#b35900", "--series-3": "#00795c", "--series-4": "#a33a7b",
    "--series-5": "#5b4fc7", "--series-6": "#7a6a00", "--series-7": "#0d7f91", "--series-8": "#6b4c3a",
}  # fmt: skip
"""Every colour that a chart names, on paper."""
DARK = {
    "--paper": "#0f1318", "--shade": "#171c22",
    "--ink": "#e6e9ec", "--muted": "#9aa4ae", "--line": "#30363d", "--band": "#2b3440", "--red": "#ff7b72",
    "--series-1": "#58a6ff", "--series-2": "#f0a35e", "--series-3": "#4cc9a0", "--series-4": "#e58fc4",
    "--series-5": "#a79bff", "--series-6": "#d8c34a", "--series-7": "#4fc3d9", "--series-8": "#c9a48d",
}  # fmt: skip
_LABELLED = re.compile(r'<(path|line|text) aria-label="([^"]*)"([^>]*?)/>')
_UNIT = re.compile(r"(?<=\d) (?=(?:%|µs|ms|MB|s)(?:\b|$|[^\w]))")
_CLIP = re.compile(r"(?<=[#\"])clip\d+")
_COLOUR = re.compile(r"var\((--[a-z0-9-]+)\)")
# Text inside of a page: no HTML, no images, no automatic links.
_INLINE = MarkdownIt("zero", {"html": False}).enable(["backticks", "emphasis", "link", "escape"])


def render(document: Document, draw: Draw | None = None) -> str:
    """The whole page.

    Args:
        document: what it holds.
        draw: draws a chart, and returns nothing where that fails; without it, `svg` does.
    """
    return printable(
        _TEMPLATE.render(
            document=document, paper=PAPER, dark=DARK, draw=lambda spec: _figure(spec, draw or svg)
        )
    )


def specs(document: Document) -> Iterator[Mapping[str, object]]:
    """Every chart that a page and its pictures draw: wide, and as narrow as a phone."""
    for part in (*document.lead, *(part for section in document.sections for part in section.parts)):
        if isinstance(part, Chart):
            yield part.spec
            yield vega.narrowed(part.spec)


def _figure(spec: Mapping[str, object], draw: Draw) -> Markup:
    drawn = draw(spec)
    if drawn is None:
        return Markup("<p>This chart could not be drawn here; the table below holds its figures.</p>")
    return Markup(drawn)  # noqa: S704 - Vega escapes what it draws


def svg(spec: Mapping[str, object]) -> str:
    """A chart as SVG whose colours are names; a mark shows its figures when pointed at."""
    drawn: str = vl_convert.vegalite_to_svg(dict(spec))
    # All charts of a page share its ids: make clip ids unique, so that no chart is clipped by another's.
    drawn = _CLIP.sub(rf"\g<0>-{zlib.crc32(msgspec.json.encode(spec)):08x}", drawn)
    return _LABELLED.sub(r'<\1 aria-label="\2"\3><title>\2</title></\1>', drawn)


def picture(drawn: str) -> str:
    """A drawn chart as SVG that stands alone, on white."""
    coloured = _COLOUR.sub(lambda match: PAPER[match[1]], drawn)
    return coloured.replace("<g ", '<rect width="100%" height="100%" fill="#ffffff"/><g ', 1)


def _inline(text: str) -> Markup:
    return Markup(_INLINE.renderInline(_together(text)))  # noqa: S704 - the parser escapes all HTML


def _lines(text: str) -> Markup:
    """A cell's text, its line breaks kept."""
    return Markup("<br>").join(_together(text).split("\n"))


def _together(text: str) -> str:
    """Text whose numbers stay on one line with their units."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", text)


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("bench", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "inline": _inline,
        "lines": _lines,
        "anchor": _anchor,
        "narrowed": vega.narrowed,
        "doubt": caveat_line,
        "kind": lambda part: type(part).__name__,
    }
    return made


_TEMPLATE = _environment().get_template("page.html.j2")
