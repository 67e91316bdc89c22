"""What a request costs by its spans: a line through setups that differ in little else.

The range of a prediction is the prediction interval of one more setup.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bench.analysis.records import CostModel, SetupSummary
from bench.analysis.stats import t_quantile
from bench.app.records import Setup
from bench.plan.records import Plan

MIN_POINTS = 3
ALIKE = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
"""Variables in which the setups of the line may differ."""


def fit(plan: Plan, setups: Sequence[SetupSummary], load: Literal["light", "saturation"]) -> CostModel | None:
    """The line through a run's setups that export in batches over plain http, at one load.

    Ordinary least squares; None with fewer than three setups, or if all export the same.
    """
    costs = {setup.name: setup.light if load == "light" else setup.saturation for setup in setups}
    known = {setup.name: setup for setup in plan.setups}
    chosen = [
        setup
        for setup in setups
        if not setup.invalid
        and setup.accounting.requests
        and (cost := costs[setup.name]) is not None
        and cost.added_s is not None
        and _is_point(known[setup.name])
    ]
    if len(chosen) < MIN_POINTS:
        return None
    x = np.array([setup.accounting.spans_received / setup.accounting.requests for setup in chosen])
    y = np.array([cost.added_s for setup in chosen if (cost := costs[setup.name])])
    sxx = float(((x - x.mean()) ** 2).sum())
    carriers = [setup.accounting for setup in chosen if setup.accounting.spans_received]
    if not sxx or not carriers:
        return None
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / sxx
    fixed = float(y.mean() - slope * x.mean())
    residual = math.sqrt(float(((y - fixed - slope * x) ** 2).sum()) / (len(x) - 2))
    sizes = [accounting.bytes / accounting.spans_received for accounting in carriers]
    total = sum(accounting.bytes for accounting in carriers) / sum(
        accounting.spans_received for accounting in carriers
    )
    points = zip((setup.name for setup in chosen), map(float, x), map(float, y), strict=True)
    return CostModel(
        fixed_s=fixed,
        per_span_s=slope,
        residual_s=residual,
        points=tuple(points),
        bytes_per_span=(total, min(sizes), max(sizes)),
    )


def predict(model: CostModel, spans: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """CPU seconds of a request with `spans` exported spans, and the ends of their range.

    The range is that of one more setup (prediction interval of a simple regression; Draper and
    Smith, Applied Regression Analysis, 1998, 3.1).
    """
    x = np.array([point[1] for point in model.points])
    center, count = float(x.mean()), len(x)
    spread = 1 + 1 / count + (spans - center) ** 2 / float(((x - center) ** 2).sum())
    half = t_quantile(0.5 + confidence / 2, count - 2) * model.residual_s * math.sqrt(spread)
    value = model.fixed_s + model.per_span_s * spans
    return value, value - half, value + half


def _is_point(setup: Setup) -> bool:
    """True if it exports in batches, and differs from `batch` in what `ALIKE` names alone."""
    return (
        setup.tracing == "batch"
        # Setups with other versions, other tracers or a sampling collector do not lie on the same line.
        and not setup.has_packages
        and setup.collector_sampling == 1
        and set(setup.env) <= ALIKE
    )
