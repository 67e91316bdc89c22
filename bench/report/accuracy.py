"""The harness's data sheet as people read it: tables and sentences."""

from bench.analysis.accuracy import Accuracy, Rate, targets
from bench.report import vega
from bench.report.document import Chart, Document, Section, document, section
from bench.report.words import MICROSECONDS, Table, percent

ABOUT = (
    "A run is a whole run in small, with the statistics that a run is judged by. Costs are burnt "
    "after the answer; `found in` counts verdicts, which hold for all set-ups of a run at "
    "once. The weights of one run share its baseline, so their errors are not independent."
)


def report(accuracy: Accuracy, *more: Section) -> Document:
    """The harness's data sheet.

    Args:
        accuracy: what the measurement found.
        more: what else a report ends with.
    """
    return document(
        "What this harness can be believed",
        [target_table(accuracy)],
        section(
            "Known costs, recovered",
            chart(accuracy),
            weight_table(accuracy),
            *lines(accuracy),
            ABOUT,
        ),
        *more,
    )


def target_table(accuracy: Accuracy) -> Table:
    """What is asked of the harness, and what it reaches."""
    asked = targets(accuracy)
    return Table(
        heads=("asked", "reached", "found"),
        left=(0, 1, 2),
        rows=tuple((target.what, "yes" if target.reached else "NO", target.value) for target in asked),
        red=frozenset(at for at, target in enumerate(asked) if not target.reached),
    )


def weight_table(accuracy: Accuracy) -> Table:
    """Each known cost: true against recovered."""
    return Table(
        heads=(
            "added %", "added us", "found us (mean)", "error us (rms)", "intervals that cover",
            "found in", "95 % interval %",
        ),
        left=(),
        rows=tuple(
            (
                percent(weight.share, sign=False, decimals=0),
                MICROSECONDS.figure(weight.added_s),
                MICROSECONDS.figure(weight.found_s, sign=True),
                MICROSECONDS.figure(weight.error_s),
                _of(weight.coverage),
                _of(weight.detected),
                f"[{weight.detected.low * 100:.0f}, {weight.detected.high * 100:.0f}]",
            )
            for weight in accuracy.weights
        ),
    )  # fmt: skip


def _of(accuracy: Rate) -> str:
    return f"{accuracy.count} of {accuracy.trials}"


def lines(accuracy: Accuracy) -> tuple[str, ...]:
    """What else there is to say, a sentence each."""
    smallest = (
        "No weight was found in 80 % of the runs."
        if accuracy.smallest is None
        else f"Smallest cost found in 80 % of the runs: {accuracy.smallest * 100:.1f} % of a request "
        f"(interpolated); the runs themselves say {accuracy.mde * 100:.1f} % (median MDE)."
    )
    sentences = [
        (
            f"{accuracy.trials} runs of {accuracy.measuring_s:g} s of load over {len(accuracy.weights) + 2} "
            f"instances, fresh processes in each; {accuracy.spoiled} of them invalid by a check, and counted "
            "here all the same."
        ),
        smallest,
    ]
    if accuracy.error is not None and accuracy.sequential_error is not None:
        sentences.append(
            f"Error of an overhead (rms): {accuracy.error * 100:.2f} % in turns, "
            f"{accuracy.sequential_error * 100:.2f} % one after the other, same instances, same number of "
            "requests, same time."
        )
    return tuple(sentences)


def chart(accuracy: Accuracy) -> Chart:
    """Recovered against true, every trial a point; those of one weight side by side."""
    in_turns, sequential = "in turns (this harness)", "one after the other"
    rows: vega.Rows = []
    for weighing in accuracy.weighings:
        place = ((weighing.trial + 0.5) / max(accuracy.trials, 1) - 0.5) * 0.6
        values = {in_turns: weighing.found, sequential: weighing.sequential}
        rows += [
            {"true": weighing.true * 100 + place, "found": value * 100, "how": how}
            for how, value in values.items()
            if value is not None
        ]
    ends = [-0.5, max([*vega.column(rows, "true"), 10.0]) + 0.5]
    x = {
        "field": "true", "type": "quantitative", "title": "added, % of a request",
        "scale": {"domain": ends, "nice": False},
    }  # fmt: skip
    y = {"field": "found", "type": "quantitative", "title": "found, %"}
    points = {
        "data": {"values": rows},
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.75},
        "encoding": {
            "x": x, "y": y, "color": vega.kinds("how", [in_turns, sequential]),
            "shape": {"field": "how", "type": "nominal", "legend": None},
        },
    }  # fmt: skip
    line = {
        "data": {"values": [{"true": end, "found": end} for end in ends]},
        "mark": {"type": "line", "color": vega.MUTED, "strokeDash": [4, 4]},
        "encoding": {"x": x, "y": y},
    }
    spec: vega.Spec = {"width": 560, "height": 340, "layer": [line, points]}
    return Chart(
        title="What this harness finds of a cost that is known",
        spec=vega.themed(spec),
        image="accuracy.svg",
    )
