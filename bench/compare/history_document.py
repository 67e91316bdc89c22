"""Results over time as people read them."""

from bench.compare.history import Group, History, HistoryPoint, SetupHistory
from bench.report import vega
from bench.report.document import Chart, Document, Items, Section, document, section
from bench.report.words import ABSENT, Table, change_interval, change_percent, percent, plural

SHOWN = 60
"""Rows of a trend's table; changes are always shown."""
ABOUT = (
    "A change is marked where a result differs significantly from the level since the last change, with a "
    "correction for the number of results and setups (95 % for all of them): the more results, the larger a "
    "change has to be. Invalid results are shown but not compared. Overheads are compared, absolute figures "
    "are not."
)


def report(history: History) -> Document:
    """All results of a folder."""
    total = sum(group.results for group in history.groups)
    skipped = tuple(f"`{name}`: {why}" for name, why in history.skipped.items())
    return document(
        "Tracing overhead over time",
        [
            f"{plural(total, 'run')}, {plural(len(history.groups), 'group')} of comparable runs. {ABOUT}"
            if total
            else "No runs."
        ],
        *(
            part
            for group in sorted(history.groups, key=lambda group: group.results == 1)
            for part in _sections(group)
        ),
        section("Could not be read", Items(items=skipped) if skipped else None),
        section("Other results", ", ".join(f"`{name}`" for name in history.others) or None),
    )


def _sections(group: Group) -> list[Section]:
    title = f"{group.what}: {plural(group.results, 'run')}"
    if group.results == 1:
        # One run has no history.
        return [section(title, Items(items=tuple(map(_alone, group.setups))), folded=True)]
    return [
        section(title, trend_chart(group), _changes(group)),
        *(section(trend.setup, table(trend), level=3) for trend in group.setups),
    ]


def _alone(trend: SetupHistory) -> str:
    point = trend.points[0]
    invalid = ", invalid" if point.invalid else ""
    return f"{trend.setup} {_shown(point)}{invalid}: `{point.result}`"


def _shown(point: HistoryPoint) -> str:
    return f"{change_percent(point.overhead)} % {change_interval(point.overhead)}"


def _changes(group: Group) -> str:
    changes = [
        f"`{trend.setup}` {percent(point.change[0])} % at `{point.result}`"
        for trend in group.setups
        for point in trend.points
        if point.change
    ]
    return f"Significant changes: {'; '.join(changes) or 'none'}."


def table(trend: SetupHistory) -> Table:
    """A setup's results, the newest last; the oldest are left out where there are many."""
    first = len(trend.points) - SHOWN
    points = [point for at, point in enumerate(trend.points) if at >= first or point.change]
    return Table(
        heads=(
            "result",
            "measured",
            "overhead %",
            "95 % interval %",
            "change %",
            "95 % interval %",
            "what else changed",
        ),
        left=(0, 1, 6),
        rows=tuple(_row(point) for point in points),
        red=frozenset(at for at, point in enumerate(points) if point.invalid),
    )


def _row(point: HistoryPoint) -> tuple[str, ...]:
    change = point.change
    return (
        point.result,
        point.started[:16].replace("T", " ") or ABSENT,
        f"{change_percent(point.overhead)}{' (invalid)' if point.invalid else ''}",
        change_interval(point.overhead),
        percent(change[0]) if change else "",
        f"[{percent(change[1])}, {percent(change[2])}]" if change else "",
        ", ".join(point.versions),
    )


def trend_chart(group: Group) -> Chart | None:
    """Every setup's overhead over time, with its interval as a band; none with a single result."""
    if group.results < 2:
        return None
    rows: vega.Rows = [
        {
            "setup": trend.setup,
            "at": at + 1,
            "%": point.overhead.ratio * 100,
            "low": point.overhead.low * 100,
            "high": point.overhead.high * 100,
            "changed": point.change is not None,
            "invalid": point.invalid,
            "figure": f"{point.result}: {trend.setup} {_shown(point)}",
        }
        for trend in group.setups
        for at, point in enumerate(trend.points)
    ]
    names = [trend.setup for trend in group.setups]
    x = {"field": "at", "type": "quantitative", "title": "result", "axis": {"tickMinStep": 1, "format": "d"}}
    y = {"field": "%", "type": "quantitative", "title": None, "scale": {"zero": False}}
    valid = [{"filter": "!datum.invalid"}]
    ends = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
    drawn: list[vega.Spec | None] = [
        {"transform": valid, "mark": {"type": "area", "opacity": 0.25, "color": vega.SERIES[0]},
         "encoding": {"x": x, **ends}},
        {"transform": valid, "mark": {"type": "line", "color": vega.SERIES[0]}, "encoding": {"x": x, "y": y}},
        {"transform": [{"filter": "datum.changed"}],
         "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": vega.SERIES[1]},
         "encoding": {"x": x, "y": y, "tooltip": vega.tooltip("figure")}},
        {"transform": [{"filter": "datum.invalid"}],
         "mark": {"type": "point", "shape": "cross", "size": 40, "opacity": 1, "color": vega.RED},
         "encoding": {"x": x, "y": y, "tooltip": vega.tooltip("figure")}},
    ]  # fmt: skip
    head = {"title": None, "labelAngle": 0, "labelAlign": "left", "labelPadding": 8}
    spec: vega.Spec = {
        "data": {"values": rows},
        "facet": {"row": {"field": "setup", "type": "nominal", "sort": names, "header": head}},
        "spec": {"width": vega.WIDTH, "height": 90, "layer": drawn},
        "resolve": {"scale": {"y": "independent"}},
    }
    title = (
        "Overhead in % by result, oldest first; bands are 95 % intervals, dots are changes, crosses invalid"
    )
    return Chart(title=title, spec=vega.themed(spec))
