"""The charts of a run."""

from bench.findings import SetupSummary, SoloSummary, Summary
from bench.layers import Layers, Step
from bench.report import vega, words
from bench.report.document import Chart

VERDICTS = {
    "overhead": vega.SERIES[0],
    "no overhead beyond the bounds": vega.SERIES[2],
    "inconclusive": vega.MUTED,
    "invalid": vega.RED,
}


def overhead(summary: Summary) -> Chart | None:
    """What every set-up costs, with intervals and the noise floor; none without a figure."""
    shown = [setup for setup in summary.setups if setup.overhead is not None]
    base_s = next((each.cpu_per_checkout_s for each in summary.setups if each.name == summary.baseline), None)
    if not shown or base_s is None:
        return None
    reach = vega.reach([setup.overhead.cpu_high_s for setup in shown if setup.overhead]) * 1e6
    rows = [_overhead_row(setup, reach) for setup in shown]
    floor = (summary.noise_floor or 0.0) * base_s * 1e6
    kinds = [kind for kind in VERDICTS if any(row["verdict"] == kind for row in rows)]
    colour: vega.Spec = {
        "field": "verdict", "type": "nominal", "title": None,
        "scale": {"domain": kinds, "range": [VERDICTS[kind] for kind in kinds]},
        "legend": {"orient": "top"} if len(kinds) > 1 else None,
    }  # fmt: skip
    names = [row["set-up"] for row in rows]
    y = vega.names("set-up", names)
    x = vega.number("us", "extra CPU us per checkout", [min(0.0, *vega.column(rows, "low")), reach])
    layers: list[vega.Spec | None] = [
        vega.band(-floor, floor) if floor else None,
        vega.zero(),
        {
            "mark": {"type": "bar", "height": 4, "opacity": 0.45},
            "encoding": {"x": x, "y": y, "color": colour},
        },
        vega.interval("low", "high", y, colour),
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": vega.said("figure")},
        },
        vega.arrow(x, y, colour),
        {
            "mark": {"type": "text", "align": "left", "dx": 10, "color": vega.INK},
            "encoding": {"x": {"value": vega.WIDTH}, "y": y, "text": {"field": "label"}},
        },
    ]
    return vega.chart(
        "Extra CPU per checkout against the baseline, with 95 % intervals"
        + ("; the band is the noise floor" if floor else "")
        + vega.leads_out(rows),
        rows,
        layers,
        (len(names), vega.ROW),
        image="overhead.svg",
    )


def _overhead_row(setup: SetupSummary, reach: float) -> dict[str, object]:
    overhead = setup.overhead
    if overhead is None:
        raise ValueError(setup.name)
    label = f"{words.microseconds(overhead.cpu_s, sign=True)} us, {words.percent(overhead.ratio)} %"
    return {
        "set-up": setup.name,
        "us": min(overhead.cpu_s * 1e6, reach),
        "low": min(overhead.cpu_low_s * 1e6, reach),
        "high": min(overhead.cpu_high_s * 1e6, reach),
        "cut": overhead.cpu_s * 1e6 > reach,
        "label": f"{label} (invalid)" if setup.invalid else label,
        "figure": f"{setup.name}: {label}, 95 % interval {words.interval_us(overhead)} us; {setup.verdict}",
        "verdict": _kind(setup),
    }


def _kind(setup: SetupSummary) -> str:
    if setup.invalid:
        return "invalid"
    return next((kind for kind in VERDICTS if setup.verdict.startswith(kind[:11])), "inconclusive")


def latency(solo: SoloSummary) -> Chart | None:
    """Percentiles of latency against the arrival rate; none where everything is saturated."""
    rows: vega.Rows = [
        {
            "set-up": setup.name,
            "rate": level.offered_per_s,
            "ms": each.value_s * 1e3,
            "q": f"p{each.q * 100:g}",
            "figure": f"{setup.name}: p{each.q * 100:g} {each.value_s * 1e3:.2f} ms "
            f"at {level.offered_per_s:.1f}/s",
        }
        for setup in solo.setups
        for level in setup.levels
        if not level.saturated and not setup.invalid
        for each in level.percentiles
        if each.value_s is not None
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["set-up"]) for row in rows))
    quantiles = list(dict.fromkeys(str(row["q"]) for row in rows))
    colour = {
        "field": "set-up", "type": "nominal", "title": None,
        "scale": {"domain": names, "range": vega.cycled(vega.SERIES, len(names))},
        "legend": {"orient": "bottom", "columns": 4},
    }  # fmt: skip
    shape = {
        "field": "set-up", "type": "nominal", "title": None,
        "scale": {"domain": names, "range": vega.cycled(vega.SHAPES, len(names))},
        "legend": {"orient": "bottom", "columns": 4},
    }  # fmt: skip
    x = {"field": "rate", "type": "quantitative", "title": "checkouts/s planned"}
    y = {"field": "ms", "type": "quantitative", "title": "latency, ms"}
    spec: vega.Spec = {
        "data": {"values": rows},
        "facet": {"column": {"field": "q", "type": "nominal", "title": None, "sort": quantiles}},
        "spec": {
            "width": 250 if len(quantiles) > 1 else vega.WIDTH,
            "height": 230,
            "layer": [
                {"mark": {"type": "line", "opacity": 0.7}, "encoding": {"x": x, "y": y, "color": colour}},
                {
                    "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
                    "encoding": {
                        "x": x, "y": y, "color": colour, "shape": shape, "tooltip": vega.said("figure"),
                    },
                },
            ],
        },
        "resolve": {"scale": {"y": "independent"}},
    }  # fmt: skip
    return Chart(title="Latency from the planned send, by arrival rate", spec=vega.themed(spec))


def throughput(solo: SoloSummary) -> Chart | None:
    """How much throughput each set-up loses; none without a change that is known."""
    kinds = {"at saturation": "capacity", "under the latency limit": "under_limit"}
    rows: vega.Rows = []
    for setup in solo.setups:
        for kind, field in kinds.items():
            found = getattr(setup, field)
            if setup.invalid or found.change is None or found.per_s is None:
                continue
            change = found.change
            label = (
                f"{words.percent(change.ratio)} % [{words.percent(change.low)}, {words.percent(change.high)}]"
            )
            rows.append(
                {
                    "set-up": setup.name,
                    "kind": kind,
                    "%": change.ratio * 100,
                    "low": change.low * 100,
                    "high": change.high * 100,
                    "figure": f"{setup.name}, {kind}: {found.per_s:.1f}/s, {label}",
                }
            )
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["set-up"]) for row in rows))
    colour = vega.kinds("kind", list(kinds))
    y = vega.names("set-up", names)
    offset: vega.Spec = {"field": "kind", "sort": list(kinds)}
    x = vega.number(
        "%",
        "change of throughput, %",
        [min(0.0, *vega.column(rows, "low")), max(0.0, *vega.column(rows, "high"))],
    )
    layers: list[vega.Spec | None] = [
        vega.zero(),
        vega.interval("low", "high", y, colour, offset),
        {
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {"x": x, "y": y, "yOffset": offset, "color": colour, "tooltip": vega.said("figure")},
        },
    ]
    return vega.chart(
        "Throughput against the baseline, with 95 % intervals", rows, layers, (len(names), vega.ROW)
    )


def waterfall(layers: Layers) -> Chart:
    """The ladder's steps, each from where the one before has led, with what was predicted."""
    rows: vega.Rows = []
    at = 0.0
    for step in (*layers.steps, layers.whole):
        start = 0.0 if step is layers.whole else at
        rows.append(_step(step, start * 1e6))
        at += step.cpu_s
    names = [row["layer"] for row in rows]
    y = vega.names("layer", names)
    ends = [*vega.column(rows, "low"), *vega.column(rows, "high"), *vega.column(rows, "predicted high")]
    x = vega.number("start", "CPU us per checkout", [min(0.0, *vega.column(rows, "low")), max(ends)])
    kinds = vega.kinds("kind", ["measured", "predicted from microbenchmarks"])
    told = vega.said("figure")
    predicted = [
        {"filter": "datum.known"},
        {"calculate": "'predicted from microbenchmarks'", "as": "kind"},
    ]
    drawn: list[vega.Spec | None] = [
        vega.zero(),
        {
            "mark": {"type": "bar", "height": 12, "opacity": 0.8},
            "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "color": kinds, "tooltip": told},
        },
        {
            "mark": {"type": "rule", "color": vega.INK},
            "encoding": {"x": vega.plain("low"), "x2": {"field": "high"}, "y": y},
        },
        {
            "transform": predicted,
            "mark": {"type": "rule", "yOffset": 9},
            "encoding": {
                "x": vega.plain("predicted low"), "x2": {"field": "predicted high"}, "y": y, "color": kinds,
            },
        },
        {
            "transform": predicted,
            "mark": {"type": "point", "filled": True, "size": 40, "opacity": 1, "yOffset": 9},
            "encoding": {"x": vega.plain("predicted"), "y": y, "color": kinds, "tooltip": told},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 10, "color": vega.INK},
            "encoding": {"x": {"value": vega.WIDTH}, "y": y, "text": {"field": "label"}},
        },
    ]  # fmt: skip
    title = "Where the tax goes: each layer begins where the one before has led, with 95 % intervals"
    return vega.chart(title, rows, drawn, (len(names), vega.ROW + 8))


def _step(step: Step, start: float) -> dict[str, object]:
    predicted = step.predicted
    label = f"{words.microseconds(step.cpu_s, sign=True)} us"
    said = f"{step.layer}: {label}"
    row: dict[str, object] = {
        "layer": step.layer,
        "kind": "measured",
        "start": start,
        "end": start + step.cpu_s * 1e6,
        "low": start + step.low_s * 1e6,
        "high": start + step.high_s * 1e6,
        "label": label,
        "known": predicted is not None,
        "predicted high": start,
    }
    if predicted is not None:
        said += f", predicted {words.microseconds(predicted.cpu_s, sign=True)} us"
        row |= {
            "predicted": start + predicted.cpu_s * 1e6,
            "predicted low": start + predicted.low_s * 1e6,
            "predicted high": start + predicted.high_s * 1e6,
        }
    return row | {"figure": said}
