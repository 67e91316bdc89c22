"""Where the tax goes, as people read it: a waterfall, and a cost per span."""

from bench.layers import Fit, Layers, Step
from bench.report.words import ABSENT, Table, microseconds, signed

WIDTH = 30
"""Characters of the waterfall's bars."""
ABOUT = (
    "Each step is the difference of two set-ups, paired inside windows; the steps add up to the whole, and "
    "those below it are something else instead of what `batch` does. Predicted is what microbenchmarks of "
    "the same hour say for the operations that the sink has counted: {operations} a checkout. They run one "
    "operation over and over with warm caches; a service wakes up for each request, so the ratio tells how "
    "much dearer the same code is there."
)


def table(layers: Layers) -> Table:
    """The steps, the whole, and what is beside the ladder."""
    steps = (*layers.steps, layers.whole, *layers.beside)
    largest = max([layers.whole.cpu_s, *(step.cpu_s for step in layers.steps)])
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
                microseconds(step.predicted_s, sign=True) if step.predicted_s is not None else ABSENT,
                _ratio(step),
                _bar(start, step.cpu_s, largest) if shown else "",
            )
        )
    return Table(
        heads=(
            "layer", "set-up", "adds us", "95 % interval", "us per span", "predicted us",
            "measured /\npredicted", "waterfall",
        ),
        right=(False, False, True, True, True, True, True, False),
        rows=tuple(rows),
        red=frozenset(),
    )  # fmt: skip


def _ratio(step: Step) -> str:
    """How much dearer than predicted; nothing where the step cannot be told from none."""
    if step.predicted_s is None or step.predicted_s == 0.0 or step.low_s <= 0.0 <= step.high_s:
        return ABSENT
    ratio = step.cpu_s / step.predicted_s
    low, high = sorted((step.low_s / step.predicted_s, step.high_s / step.predicted_s))
    return f"{ratio:.1f} [{low:.1f}, {high:.1f}]"


def _bar(start: float, length: float, largest: float) -> str:
    """A bar from where the steps before have led."""
    begin, end = sorted((start, start + length))
    first = round(max(begin, 0.0) / largest * WIDTH)
    last = max(round(max(end, 0.0) / largest * WIDTH), first + 1)
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
