"""The charts of a run."""

from bench.analysis.claims import VerdictKind
from bench.analysis.layers import Layer
from bench.analysis.records import Cost, SetupSummary, Summary
from bench.report import vega, words
from bench.report.document import Chart
from bench.report.tables import cost_unit, ordered
from bench.report.words import Unit

COLOURS = {
    VerdictKind.DIFFERENT: ("overhead", vega.SERIES[0]),
    VerdictKind.EQUIVALENT: ("no overhead beyond the bounds", vega.SERIES[2]),
    VerdictKind.INCONCLUSIVE: ("inconclusive", vega.MUTED),
    VerdictKind.INVALID: ("invalid", vega.RED),
}
"""Words and colours of verdicts; a baseline has no bar."""


def overhead(summary: Summary) -> Chart | None:
    """What every setup costs, with intervals and the noise floor; None without a figure."""
    shown = [(setup, cost) for setup in ordered(summary) if (cost := setup.cost) and cost.added_s is not None]
    base = summary.setups[0].cost
    if not shown or base is None or base.cpu_per_request_s is None:
        return None
    unit = cost_unit(summary)
    reach = vega.reach([cost.added_high_s or 0.0 for _, cost in shown]) * unit.scale
    rows = [_overhead_row(setup, cost, reach, unit) for setup, cost in shown]
    noise = (summary.checks.noise_floor or 0.0) * base.cpu_per_request_s * unit.scale
    kinds = [pair for pair in COLOURS.values() if any(row["verdict"] == pair[0] for row in rows)]
    colour: vega.Spec = {
        "field": "verdict", "type": "nominal", "title": None,
        "scale": {"domain": [word for word, _ in kinds], "range": [colour for _, colour in kinds]},
        "legend": {"orient": "top"} if len(kinds) > 1 else None,
    }  # fmt: skip
    names = [row["setup"] for row in rows]
    y = vega.names("setup", names)
    title = f"added CPU {unit.name} per {summary.app.request}"
    x = vega.number("added", title, [min(0.0, *vega.column(rows, "low")), reach])
    layers: list[vega.Spec | None] = [
        vega.band(-noise, noise) if noise else None,
        vega.zero(),
        {
            "mark": {"type": "bar", "height": 4, "opacity": 0.45},
            "encoding": {"x": x, "y": y, "color": colour},
        },
        vega.interval("low", "high", y, colour),
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": vega.tooltip("figure")},
        },
        *vega.breaks(reach, y),
        {
            "mark": {"type": "text", "align": "left", "dx": 10, "color": vega.INK},
            "encoding": {"x": {"value": "width"}, "y": y, "text": {"field": "label"}},
        },
    ]
    return vega.chart(
        f"Added CPU per {summary.app.request} against the baseline, with 95 % intervals"
        + ("; the band is the noise floor" if noise else "")
        + vega.broken(rows),
        rows,
        layers,
        (len(names), vega.ROW),
        image="overhead.svg",
    )


def _overhead_row(setup: SetupSummary, cost: Cost, reach: float, unit: Unit) -> dict[str, object]:
    added_s = cost.added_s or 0.0
    label = f"{unit.figure(added_s, sign=True)} {unit.name}, {words.change_percent(cost.change)} %"
    ends = unit.interval(cost.added_low_s, cost.added_high_s)
    return {
        "setup": setup.name,
        "added": min(added_s * unit.scale, reach),
        "low": min((cost.added_low_s or 0.0) * unit.scale, reach),
        "high": min((cost.added_high_s or 0.0) * unit.scale, reach),
        "cut": added_s * unit.scale > reach,
        "label": f"{label} (invalid)" if setup.invalid else label,
        "figure": f"{setup.name}: {label}, 95 % interval {ends} {unit.name}; {words.verdict(setup.verdict)}",
        "verdict": COLOURS[setup.verdict.kind][0],
    }


def latency(summary: Summary) -> Chart | None:
    """What every percentile gains, with intervals; None without a change that is known."""
    rows = [
        vega.change_row(setup.name, name, change)
        for setup in ordered(summary)
        if setup.latency and not setup.invalid
        for name, change in setup.latency.changes.items()
    ]
    return vega.changes(rows, "change of latency, %", "Latency against the baseline, with 95 % intervals")


def throughput(summary: Summary) -> Chart | None:
    """How much throughput each setup loses; None without a change that is known."""
    rows = [
        vega.change_row(setup.name, kind, measured.change, f"{measured.per_s or 0:.1f}/s, ")
        for setup in ordered(summary)
        if not setup.invalid
        for kind, measured in (
            ("full load", setup.throughput),
            ("under the latency limit", setup.highest_rate),
        )
        if measured and measured.change
    ]
    return vega.changes(
        rows, "change of throughput, %", "Throughput against the baseline, with 95 % intervals"
    )


def waterfall(layers: tuple[Layer, ...]) -> Chart:
    """The steps of the ladder as a waterfall: each bar starts where the previous one ends."""
    rows: vega.Rows = []
    unit = words.unit_of(layer.cpu_s for layer in layers)
    foot = 0.0
    for layer in layers:
        top = foot + layer.cpu_s
        label = f"{unit.figure(layer.cpu_s, sign=True)} {unit.name}"
        rows.append(
            {
                "layer": layer.layer,
                "start": foot * unit.scale,
                "end": top * unit.scale,
                "low": (foot + layer.low_s) * unit.scale,
                "high": (foot + layer.high_s) * unit.scale,
                "label": label,
                "figure": f"{layer.layer}: {label} {unit.interval(layer.low_s, layer.high_s)} {unit.name}",
            }
        )
        foot = top
    y = vega.names("layer", [row["layer"] for row in rows])
    ends = [*vega.column(rows, "low"), *vega.column(rows, "high"), *vega.column(rows, "end")]
    x = vega.number("start", f"CPU {unit.name} per request", [min(0.0, *ends), max(ends)])
    drawn: list[vega.Spec | None] = [
        vega.zero(),
        {
            "mark": {"type": "bar", "height": 12, "color": vega.SERIES[0]},
            "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "tooltip": vega.tooltip("figure")},
        },
        {
            "mark": {"type": "rule", "color": vega.INK},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 10, "color": vega.INK},
            "encoding": {"x": {"value": "width"}, "y": y, "text": {"field": "label"}},
        },
    ]
    return vega.chart("What each layer adds, with 95 % intervals", rows, drawn, (len(rows), vega.ROW))
