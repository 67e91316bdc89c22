"""Where the tax goes, as people read it: a waterfall, and a cost per span."""

from bench.layers import Layers, Step
from bench.line import Fit
from bench.report.words import ABSENT, Table, microseconds, signed

WIDTH = 30
NARROW = 12
"""Characters of the waterfall's bars, on a page and in a terminal."""
ABOUT = (
    "Each step is the difference of two set-ups, paired inside windows; the steps add up to the whole, and "
    "those below it are something else instead of what `batch` does. Predicted is what microbenchmarks of "
    "the same hour say for the operations that the sink has counted: {operations} a checkout. They run one "
    "operation over and over with warm caches; a service wakes up for each request, so the ratio tells how "
    "much dearer the same code is there."
)


def table(layers: Layers, width: int = WIDTH) -> Table:
    """The steps, the whole, and what is beside the ladder."""
    steps = (*layers.steps, layers.whole, *layers.beside)
    largest = max([layers.whole.cpu_s, *(step.cpu_s for step in layers.steps)]) or 1.0
    rows, at = [], 0.0
    for step in steps:
        on_ladder = step in layers.steps
        start = at if on_ladder else 0.0
        at += step.cpu_s if on_ladder else 0.0
        shown = on_ladder or step is layers.whole
        rows.append(
            (
                step.layer,
                step.setup,
                microseconds(step.cpu_s, sign=True),
                f"[{microseconds(step.low_s, sign=True)}, {microseconds(step.high_s, sign=True)}]",
                signed(step.per_span_s * 1e6, 1),
                *_predicted(step),
                _ratio(step),
                _bar(start / largest, step.cpu_s / largest, width) if shown else "",
            )
        )
    return Table(
        heads=(
            "layer", "set-up", "adds us", "95 % interval", "us per span", "predicted us", "95 % interval",
            "measured /\npredicted", "waterfall",
        ),
        right=(False, False, *([True] * 6), False),
        rows=tuple(rows),
        drawn=8,
    )  # fmt: skip


def _predicted(step: Step) -> tuple[str, str]:
    """What microbenchmarks say, and its interval."""
    if step.predicted is None:
        return ABSENT, ABSENT
    low, high = (microseconds(end, sign=True) for end in (step.predicted.low_s, step.predicted.high_s))
    return microseconds(step.predicted.cpu_s, sign=True), f"[{low}, {high}]"


def _ratio(step: Step) -> str:
    """How much dearer than predicted; nothing where either cannot be told from none."""
    predicted = step.predicted
    if predicted is None or predicted.ratio is None:
        return ABSENT
    return f"{predicted.ratio:.1f} [{predicted.ratio_low:.1f}, {predicted.ratio_high:.1f}]"


def _bar(start: float, length: float, width: int) -> str:
    """A bar from where the steps before have led."""
    begin, end = sorted((start, start + length))
    first = round(max(begin, 0.0) * width)
    last = max(round(max(end, 0.0) * width), first + 1)
    return "·" * first + "█" * (last - first)


def about(layers: Layers) -> str:
    """How to read it."""
    counted = ", ".join(f"{count:.1f} {what}" for what, count in sorted(layers.operations.items()))
    return ABOUT.format(operations=counted or "none")


def fit_line(fit: Fit) -> str:
    """The fitted model in a sentence."""
    return (
        f"Extra us per checkout = {fit.a_s * 1e6:,.0f} + {fit.b_s * 1e6:,.0f} x exported spans, "
        f"fitted to {', '.join(name for name, _, _ in fit.points)}; "
        f"they lie {fit.residual_s * 1e6:,.0f} us from it (standard deviation)."
    )
