"""The scorecard: how accurate the harness is, target by target."""

from bench.analysis.stats import Interval
from bench.report import vega
from bench.report.document import Chart, Document, Section, document, section
from bench.report.words import MICROSECONDS, Table, percent, plural
from bench.studies.accuracy.records import Accuracy, Known
from bench.studies.accuracy.targets import WORDS, ends_of, ends_of_times, in_words, targets
from bench.studies.accuracy.trials import APART, INSIDE

ABOUT = (
    "Each run is a complete run with few setups, evaluated like any other. *Weights* are burnt after the "
    "response, in one process; *inside* means before or after the outgoing calls of one, two or all "
    "processes. Each is compared with a setup that has the same code and burns nothing, `weight-0` or "
    "`patched`; `weight-0` is compared with the baseline. *Apart* means in a process of the instance for "
    "which no request waits. Only there is the truth known exactly: CPU burnt in a service cools caches for "
    "the code around it and, at full load, makes requests wait for each other. The effect on throughput is "
    "known, too: the number of CPUs divided by the CPU per request. Setups that burn in services get a light "
    "rate with the utilisation of the baseline, because work is cheaper on a CPU that is already awake. "
    "*Covered in* counts runs whose interval contains the truth; *detected in* counts verdicts against the "
    "baseline, which hold for all setups of a run at once."
)
ABOUT_SAME = (
    "The A/A setup against the baseline, and `weight-0` against both. A high percentile needs more requests "
    "than a run of a minute has."
)
ABOUT_BETTER = (
    "Errors of identical setups. *One after the other*: in every replicate, right after the time slices, the "
    "same instances run alone, each for as long as its time slices took. Processes, requests and seconds are "
    "the same."
)
ABOUT_AGREEMENT = (
    "The true cost of tracing is not known; here it is measured with the same instances in time slices and "
    "alone, and so is the effect of delayed responses on percentiles. The timer of the batch processor keeps "
    "running while an instance is paused; *scaled* timers are multiplied by the number of instances."
)


def report(accuracy: Accuracy, *more: Section) -> Document:
    """The scorecard, and the figures behind it.

    Args:
        accuracy: what was measured.
        more: further sections, at the end.
    """
    return document(
        "Scorecard: how accurate the harness is",
        [],
        section("Scorecard", target_table(accuracy), extent(accuracy)),
        section("Injected costs, recovered", chart(accuracy), known_table(accuracy), ABOUT),
        section("Identical setups", same_table(accuracy), ABOUT_SAME),
        section("Against one after the other", better_table(accuracy), ABOUT_BETTER)
        if accuracy.better
        else section(""),
        section("In time slices and alone", agreement_table(accuracy), ABOUT_AGREEMENT)
        if accuracy.agreements
        else section(""),
        *more,
    )


BESIDE = {
    "": "",
    "busy": " Meanwhile another program kept one CPU busy.",
    "random": " Meanwhile another program woke up at random and ran half of the time.",
}


def extent(accuracy: Accuracy) -> str:
    """How much was measured, in a sentence."""
    panels = ", ".join(
        f"{extent.trials} {PANEL_WORDS[extent.panel]} ({extent.setups} setups, {extent.replicates} "
        f"replicates, {extent.measuring_s:.0f} s of load over all instances)"
        for extent in accuracy.extents
    )
    why = ", ".join(f"{words}: {count}" for words, count in accuracy.spoiled_by.items())
    return (
        f"{plural(accuracy.trials, 'run')}, fresh processes in every replicate: {panels}. "
        f"{accuracy.spoiled} of them failed a validity check{f' ({why})' if why else ''}; they are counted "
        f"here like the others.{BESIDE[accuracy.beside]}"
    )


PANEL_WORDS = {
    "weights": "with costs after the response",
    "inside": "with costs inside requests",
    "two-minutes": "of two minutes",
}


def target_table(accuracy: Accuracy) -> Table:
    """Each target, and whether it was met."""
    asked = targets(accuracy)
    return Table(
        heads=("target", "met", "measured"),
        left=(0, 1, 2),
        rows=tuple((target.what, target.shown, target.value) for target in asked),
        red=frozenset(at for at, target in enumerate(asked) if target.shown == "NO"),
    )


def known_table(accuracy: Accuracy) -> Table:
    """Each injected cost in each figure: true against measured."""
    return Table(
        heads=(
            "setup", "where", "figure", "injected %", "measured %", "bias", "95 % interval", "error % (rms)",
            "covered in", "detected in",
        ),
        left=(0, 1, 2),
        keys=3,
        rows=tuple(
            (
                known.setup,
                where(known.setup),
                WORDS[known.figure],
                percent(known.true),
                percent(known.found),
                *_bias(known),
                percent(known.error, sign=False, decimals=2),
                f"{known.coverage.count} of {known.coverage.of}",
                f"{known.detected.count} of {known.detected.of}" if known.detected else "-",
            )
            for known in accuracy.known
        ),
    )  # fmt: skip


INSIDE_OF = {0: "all processes", 1: "1 process", 2: "2 processes"}


def where(setup: str) -> str:
    """Where in a request a setup burns."""
    if setup in APART:
        return "apart"
    if setup not in INSIDE:
        return "after the response"
    count, when, _ = INSIDE[setup]
    return f"{when} the calls, {INSIDE_OF[count]}"


def _bias(known: Known) -> tuple[str, str]:
    if known.figure == "throughput":
        return _ends(known.bias, 100.0, "%")
    return _ends(known.bias, MICROSECONDS.scale, MICROSECONDS.name)


def _ends(mean: Interval, scale: float, unit: str) -> tuple[str, str]:
    return f"{mean.value * scale:+.1f} {unit}", ends_of(mean, scale)


def same_table(accuracy: Accuracy) -> Table:
    """Identical setups, figure by figure."""
    return Table(
        heads=("figure", "runs", "differ by %", "95 % interval %", "error % (rms)", "intervals that cover 0"),
        left=(0,),
        rows=tuple(
            (
                WORDS[same.figure],
                str(same.trials),
                percent(same.difference.value, decimals=2),
                ends_of(same.difference, 100),
                percent(same.error, sign=False, decimals=2),
                in_words(same.coverage),
            )
            for same in accuracy.same
            if same.trials
        ),
    )


def better_table(accuracy: Accuracy) -> Table:
    """Time slices against one after the other."""
    return Table(
        heads=(
            "figure", "load of each", "runs", "error in time slices %", "one after the other %", "times",
            "95 % interval",
        ),
        left=(0,),
        keys=2,
        rows=tuple(
            (
                WORDS[better.figure],
                f"{better.active_s:.0f} s",
                str(better.trials),
                percent(better.error, sign=False, decimals=2),
                percent(better.alone, sign=False, decimals=2),
                f"{better.times:.1f}",
                ends_of_times(better),
            )
            for better in accuracy.better
        ),
    )  # fmt: skip


def agreement_table(accuracy: Accuracy) -> Table:
    """Unknown costs, in time slices and alone."""
    return Table(
        heads=(
            "setup", "figure", "timers", "runs", "in time slices %", "alone %", "difference %",
            "95 % interval %",
        ),
        left=(0, 1, 2),
        keys=3,
        rows=tuple(
            (
                agreement.setup,
                WORDS[agreement.figure],
                "scaled" if agreement.scaled else "not scaled",
                str(agreement.trials),
                percent(agreement.in_slices),
                percent(agreement.alone),
                percent(agreement.difference.value),
                ends_of(agreement.difference, 100),
            )
            for agreement in accuracy.agreements
        ),
    )  # fmt: skip


def chart(accuracy: Accuracy) -> Chart:
    """Light CPU, found against true, every trial a point; those of one weight side by side."""
    in_slices, alone = "in time slices (this harness)", "one after the other"
    rows: vega.Rows = []
    for weighing in accuracy.weighings:
        if weighing.figure != "light":
            continue
        place = ((weighing.trial + 0.5) / max(accuracy.trials, 1) - 0.5) * 0.6
        values = {in_slices: weighing.found, alone: weighing.alone}
        rows += [
            {
                "true": weighing.true * 100 + place,
                "found": value * 100,
                "how": how,
                "figure": f"{weighing.setup}, {how}: {percent(value)} % found of {percent(weighing.true)} %",
            }
            for how, value in values.items()
            if value is not None
        ]
    ends = [-0.5, max([*vega.column(rows, "true"), 10.0]) + 0.5]
    x = {
        "field": "true", "type": "quantitative", "title": "injected, % of a request",
        "scale": {"domain": ends, "nice": False},
    }  # fmt: skip
    y = {"field": "found", "type": "quantitative", "title": "measured, %"}
    points = {
        "data": {"values": rows},
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.75},
        "encoding": {
            "x": x, "y": y, "color": vega.kinds("how", [in_slices, alone]),
            "shape": {"field": "how", "type": "nominal", "legend": None},
            "tooltip": vega.tooltip("figure"),
        },
    }  # fmt: skip
    line = {
        "data": {"values": [{"true": end, "found": end} for end in ends]},
        "mark": {"type": "line", "color": vega.MUTED, "strokeDash": [4, 4]},
        "encoding": {"x": x, "y": y},
    }
    spec: vega.Spec = {"width": 560, "height": 340, "layer": [line, points]}
    return Chart(
        title="Injected costs, and what was measured of them",
        spec=vega.themed(spec),
        image="accuracy.svg",
    )
