"""Building blocks of Vega-Lite charts; every mark has its figures as a description.

Every cost axis includes zero; a mark that does not fit is cut at the edge and shows a break.
An interval is drawn wherever there is one.
A colour is a name (`var(--...)`), so that the same chart is read in the dark and on paper.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import TypeAlias

from bench.analysis.claims import Change
from bench.report import words
from bench.report.document import Chart

INK, MUTED, LINE, BAND, PAPER = (f"var(--{name})" for name in ("ink", "muted", "line", "band", "paper"))
RED = "var(--red)"
SERIES = tuple(f"var(--series-{number})" for number in range(1, 9))
WIDTH, NARROW = 430, 110
"""Width of a chart's plot in pixels, on a screen and on a phone."""
MARGIN = 0.04
"""Share of an axis left free beyond the outermost interval."""
BREAK = 0.9
"""Where the break in a line stands, of the axis's length."""
LABELS = 260
"""Pixels for the names beside a plot."""
ON_A_PHONE: Mapping[tuple[str, object], object] = {
    ("width", WIDTH): NARROW, ("labelLimit", LABELS): 100, ("labelPadding", LABELS): 100,
    ("tickCount", 6): 3, ("columns", 0): 2, ("left", 30): 10, ("right", 24): 22,
}  # fmt: skip
"""Values of a spec, and their replacements on a phone."""
ROW = 26
FAR = 4.0
"""A figure above this multiple of the median is cut off, or all others would overlap."""
ROOM = 1.2

Spec: TypeAlias = Mapping[str, object]
ChartRow: TypeAlias = dict[str, object]
Rows: TypeAlias = list[ChartRow]


def chart(
    title: str, rows: Rows, layers: Sequence[Spec | None], size: tuple[int, int], image: str | None = None
) -> Chart:
    """A chart of rows in several layers; `size` is the number of names and the height of each."""
    spec: Spec = {
        "data": {"values": rows},
        "width": WIDTH,
        "height": size[0] * size[1],
        "layer": [layer for layer in layers if layer],
    }
    return Chart(title=title, spec=themed(spec), image=image)


def themed(spec: Spec) -> Spec:
    """The same with the looks that all charts share, each mark described by its formatted figures."""
    axis = {
        "labelColor": INK, "titleColor": MUTED, "titleFontWeight": "normal", "domain": False, "ticks": False,
        "gridColor": LINE, "labelFontSize": 13, "titleFontSize": 13, "labelPadding": 6, "tickCount": 6,
        "labelOverlap": "greedy",
    }  # fmt: skip
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        **_described(spec),
        "config": {
            "background": None,
            "padding": {"left": 30, "right": 24, "top": 4, "bottom": 4},
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": axis,
            "axisY": {"grid": False, "labelLimit": LABELS},
            "legend": {
                "labelColor": INK,
                "labelFontSize": 13,
                "symbolOpacity": 1,
                "labelLimit": 260,
                "columnPadding": 24,
                "columns": 0,
            },
            "header": {"labelColor": INK, "labelFontSize": 13},
            "text": {"fontSize": 13},
            "range": {"category": list(SERIES)},
        },
    }


def _described(spec: Spec) -> Spec:
    """Give each mark its tooltip as description; hide marks without a tooltip from screen readers.

    Vega would describe a mark by every number behind it, to the last digit.
    """
    made = dict(spec)
    for key in ("layer", "spec"):
        match made.get(key):
            case Mapping() as inner:
                made[key] = _described(inner)
            case list() as inner:
                made[key] = [_described(part) for part in inner]
            case _:
                pass
    mark, encoding = made.get("mark"), made.get("encoding")
    if isinstance(mark, Mapping) and isinstance(encoding, Mapping):
        if "tooltip" in encoding:
            made["encoding"] = {**encoding, "description": encoding["tooltip"]}
        else:
            made["mark"] = {**mark, "aria": False}
    return made


def narrowed(spec: Spec) -> Spec:
    """The same chart drawn again for a phone: a shorter plot, shorter names, letters as large."""
    return {key: _narrowed(key, value) for key, value in spec.items()}


def _narrowed(key: str, value: object) -> object:
    match value:
        case Mapping():
            return narrowed(value)
        case list():
            return [_narrowed(key, part) for part in value]
        case _:
            return ON_A_PHONE.get((key, value), value)


def reach(values: Sequence[float]) -> float:
    """How far an axis goes: to the largest, unless that would hide the others."""
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    near = [value for value in ordered if value <= FAR * max(middle, 0.0)]
    far = len(near) < len(ordered) and near and near[-1] > 0
    return near[-1] * ROOM if far else max(ordered[-1] * 1.02, 1e-6)


def column(rows: Rows, name: str) -> list[float]:
    """The numbers of a column, where there are any."""
    return [value for row in rows if isinstance(value := row.get(name), float)]


def names(field: str, order: Sequence[object]) -> Spec:
    """An axis of names in their own order."""
    return {"field": field, "type": "nominal", "sort": list(order), "title": None}


def number(field: str, title: str, domain: Sequence[float]) -> Spec:
    """An axis of numbers from end to end."""
    return {
        "field": field, "type": "quantitative", "title": title,
        "scale": {"domain": list(domain), "nice": False},
    }  # fmt: skip


def plain(field: str) -> Spec:
    """Another field on an axis that a layer has described already."""
    return {"field": field, "type": "quantitative"}


def kinds(field: str, order: Sequence[str]) -> Spec:
    """A colour a kind, with a legend."""
    return {
        "field": field, "type": "nominal", "title": None,
        "scale": {"domain": list(order), "range": cycled(SERIES, len(order))},
        "legend": {"orient": "top"} if len(order) > 1 else None,
    }  # fmt: skip


def interval(low: str, high: str, y: Spec, colour: Spec, offset: Spec | None = None) -> Spec:
    """A line from the lower end to the upper one."""
    encoding: dict[str, object] = {"x": plain(low), "x2": {"field": high}, "y": y, "color": colour}
    if offset:
        encoding["yOffset"] = offset
    return {"mark": {"type": "rule", "strokeWidth": 2.5}, "encoding": encoding}


def breaks(reach: float, y: Spec, offset: Spec | None = None) -> list[Spec]:
    """A visible break, two strokes through the line, in what does not fit an axis that ends there."""
    place: dict[str, object] = {"x": {"datum": reach * BREAK, "type": "quantitative"}, "y": y}
    if offset:
        place["yOffset"] = offset
    cut = [{"filter": "datum.cut"}]
    gap = {"type": "tick", "thickness": 7, "size": 14, "color": PAPER}
    strokes = {"type": "text", "text": "//", "fontSize": 15, "fontWeight": "bold", "color": INK}
    return [{"transform": cut, "mark": mark, "encoding": place} for mark in (gap, strokes)]


def broken(rows: Rows) -> str:
    """What a title says of breaks, if there are any."""
    return "; // marks what is longer than the axis" if any(row["cut"] for row in rows) else ""


def band(low: float, high: float) -> Spec:
    """A band behind everything."""
    return {
        "data": {"values": [{"low": low, "high": high}]},
        "mark": {"type": "rect", "color": BAND, "clip": True},
        "encoding": {"x": plain("low"), "x2": {"field": "high"}},
    }


def zero() -> Spec:
    """A line at 0."""
    # With data of its own: it would be drawn once for each row of the chart's.
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": MUTED},
        "encoding": {"x": {"datum": 0, "type": "quantitative"}},
    }


def tooltip(field: str) -> Spec:
    """The text that describes a mark, on a screen and to a screen reader."""
    return {"field": field, "type": "nominal"}


def cycled(values: Sequence[str], count: int) -> list[str]:
    """`count` values, repeated from the beginning where there are fewer."""
    return list(islice(cycle(values), count))


def change_row(setup: str, kind: str, change: Change, more: str = "") -> ChartRow:
    """A change of a setup's figure as a row of `changes`; `more` stands before it in the tooltip."""
    return {
        "setup": setup,
        "kind": kind,
        "%": change.ratio * 100,
        "low": change.low * 100,
        "high": change.high * 100,
        "figure": f"{setup}, {kind}: {more}{words.change_percent(change)} % {words.change_interval(change)}",
    }


def changes(rows: Rows, axis: str, title: str) -> Chart | None:
    """Changes as dots with their intervals, one line per setup; None without any."""
    if not rows:
        return None
    setups = list(dict.fromkeys(str(row["setup"]) for row in rows))
    order = list(dict.fromkeys(str(row["kind"]) for row in rows))
    edge = reach(column(rows, "high"))
    for row in rows:
        row["cut"] = float(str(row["%"])) > edge
        row |= {end: min(float(str(row[end])), edge) for end in ("%", "low", "high")}
    colour, y = kinds("kind", order), names("setup", setups)
    offset: Spec = {"field": "kind", "sort": order}
    ends = [min(0.0, *column(rows, "low")), max(0.0, *column(rows, "high"))]
    margin = (ends[1] - ends[0]) * MARGIN
    x = number("%", axis, [ends[0] - (margin if ends[0] else 0.0), ends[1] + (margin if ends[1] else 0.0)])
    encoding = {"x": x, "y": y, "yOffset": offset, "color": colour, "tooltip": tooltip("figure")}
    layers: list[Spec | None] = [
        zero(),
        interval("low", "high", y, colour, offset),
        {"mark": {"type": "point", "filled": True, "size": 45, "opacity": 1}, "encoding": encoding},
        *breaks(edge, y, offset),
    ]
    return chart(title + broken(rows), rows, layers, (len(setups), ROW + 6 * (len(order) - 1)))
