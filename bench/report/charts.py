"""Charts, as Altair describes them; who needs one imports this late, for Altair takes a second to load."""

import json

import altair as alt
import vl_convert

from bench.calibration import Calibration
from bench.report.calibration import TITLE


def svg(chart: str) -> str:
    """A chart's JSON as SVG."""
    drawn: str = vl_convert.vegalite_to_svg(chart)
    return drawn


WIDTH, HEIGHT = 560, 340


def plot(found: Calibration) -> str:
    """Recovered against true, every trial a point, as an Altair chart's JSON.

    The points of one weight lie side by side, so that they can be told apart.
    """
    rotation, sequential = "rotation (this harness)", "one after the other"
    rows = []
    for weighing in found.weighings:
        place = (weighing.trial + 0.5) / max(found.trials, 1) - 0.5
        rows.append(
            {
                "true": weighing.true * 100 + place * 0.6,
                "found": weighing.found * 100,
                "how": rotation,
            }
        )
        if weighing.sequential is not None:
            rows.append(
                {
                    "true": weighing.true * 100 + place * 0.6,
                    "found": weighing.sequential * 100,
                    "how": sequential,
                }
            )
    largest = max([row["true"] for row in rows if isinstance(row["true"], float)], default=10.0) + 0.5
    points = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, size=45, opacity=0.75)
        .encode(
            x=alt.X("true:Q", title="added, % of a checkout").scale(domain=[-0.5, largest], nice=False),
            y=alt.Y("found:Q", title="found, %"),
            color=alt.Color("how:N", title=None).scale(
                domain=[rotation, sequential], range=["#0072b2", "#e69f00"]
            ).legend(orient="top"),
            shape=alt.Shape("how:N", title=None, legend=None),
        )
    )  # fmt: skip
    line = (
        alt.Chart(alt.InlineData(values=[{"x": -0.5, "y": -0.5}, {"x": largest, "y": largest}]))
        .mark_line(color="#888888", strokeDash=[4, 4])
        .encode(x="x:Q", y="y:Q")
    )
    chart = alt.layer(line, points).properties(width=WIDTH, height=HEIGHT, title=TITLE)
    return json.dumps(chart.to_dict())
