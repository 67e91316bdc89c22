"""Where the cost of tracing goes: a ladder of setups, each adding a layer to the one it stands against.

A step is the difference of two setups, paired inside replicates, never of two intervals; the steps of a
ladder add up to the whole, because every rung stands on the one before.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bench.analysis.claims import Record
from bench.analysis.stats import contrasts, half_width_of_mean, t_quantile
from bench.app.records import AA, BASELINE, Setup
from bench.plan.records import Plan

Prediction = tuple[float, float, float]
"""What microbenchmarks predict of a layer in CPU seconds, and the ends of its interval."""


class Layer(Record, frozen=True, kw_only=True):
    """What one layer of tracing adds to a request, a setup against the one below it.

    Attributes:
        setup: with the layer.
        against: without it.
        layer: what it is.
        cpu_s: CPU seconds that it adds at light load.
        low_s: lower end of its interval.
        high_s: upper end.
        predicted_s: what microbenchmarks predict; absent without them.
        predicted_low_s: lower end of that.
        predicted_high_s: upper end.
    """

    setup: str
    against: str
    layer: str
    cpu_s: float
    low_s: float
    high_s: float
    predicted_s: float | None = None
    predicted_low_s: float | None = None
    predicted_high_s: float | None = None


def rungs_of(plan: Plan) -> tuple[Setup, ...]:
    """The setups of a run that add a layer to another one of it."""
    return tuple(setup for setup in plan.setups if setup.layer and setup.against in plan.names)


def ladder(
    plan: Plan, logs: Mapping[str, Sequence[float]], predictions: Mapping[str, Prediction]
) -> tuple[Layer, ...]:
    """The layers of a run; none with fewer than two rungs or two replicates.

    The increments are z_k - z_j in units of the baseline's cost; z is the ratio to the baseline. Their
    standard error comes from the logs that everything is estimated from (delta method): the
    contrast with weights z_k, -z_j, and -(z_k - z_j) spread over the baseline's instances. The baseline's
    level has an error of its own; the two are added in quadrature.

    Args:
        plan: of the run.
        logs: ln(CPU per request at light load) by setup, one value per replicate.
        predictions: from microbenchmarks, by the setup with the layer.
    """
    rungs = rungs_of(plan)
    if len(rungs) < 2 or len(logs.get(BASELINE, ())) < 2:
        return ()
    base = tuple(name for name in (BASELINE, AA) if name in logs)
    means = {name: float(np.mean(values)) for name, values in logs.items()}
    foot = float(np.mean([means[name] for name in base]))
    ratio = {name: math.exp(mean - foot) for name, mean in means.items()} | {BASELINE: 1.0}
    weights = {rung.name: _weights(rung, ratio, base) for rung in rungs}
    errors = contrasts(logs, weights, len(rungs))
    base_s = math.exp(foot)
    level = half_width_of_mean(np.mean([logs[name] for name in base], axis=0), plan.confidence)
    layers = []
    for rung in rungs:
        estimate = errors[rung.name]
        half = t_quantile(0.5 + plan.confidence / 2, estimate.df) * estimate.standard_error
        added = ratio[rung.name] - ratio[rung.against]
        half = math.hypot(half, added * math.expm1(level))
        value, low, high = predictions.get(rung.name, (None, None, None))
        layers.append(
            Layer(
                setup=rung.name,
                against=rung.against,
                layer=rung.layer,
                cpu_s=added * base_s,
                low_s=(added - half) * base_s,
                high_s=(added + half) * base_s,
                predicted_s=value,
                predicted_low_s=low,
                predicted_high_s=high,
            )
        )
    return tuple(layers)


def _weights(rung: Setup, ratio: Mapping[str, float], base: Sequence[str]) -> dict[str, float]:
    above, below = ratio[rung.name], ratio[rung.against]
    weights = {rung.name: above}
    spread = above
    if rung.against != BASELINE:
        weights[rung.against] = -below
        spread -= below
    for name in base:
        # A rung may stand against the A/A setup, which is a part of the baseline, too.
        weights[name] = weights.get(name, 0.0) - spread / len(base)
    return weights
