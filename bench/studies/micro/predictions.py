"""What microbenchmarks predict of the layers of tracing.

Every step of a ladder names the operations that a request of it consists of (`operations` in its app file); a
layer is predicted as the difference of two such sums. How often a request does an operation is counted at the
receiver; no factor is fitted.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.analysis.accounting import Traffic
from bench.analysis.layers import Prediction, rungs_of
from bench.analysis.stats import t_quantile, welch_df
from bench.analysis.summary import Predict
from bench.app.records import BASELINE, Setup
from bench.plan.records import Plan

CONFIDENCE = 0.95
Unit: TypeAlias = Literal["requests", "calls", "statements", "spans"]
UNITS: dict[str, Unit] = {
    "server": "requests",
    "extract": "requests",
    "httpx-async": "calls",
    "inject": "calls",
    "sqlite": "statements",
    "span": "spans",
}
"""The unit of a request whose number says how often an operation of this group is done."""
BATCHES: dict[str, tuple[str, str, int]] = {
    "encode": ("encode/1", "encode/64", 64),
    "serialise": ("serialise/1", "serialise/64", 64),
    "gzip": ("gzip/1", "gzip/64", 64),
    "export/http": ("export/http-1", "export/http-512", 512),
    "export/grpc": ("export/grpc-1", "export/grpc-512", 512),
}
"""Operations on a batch: timed with one span and with many, from which the price of any batch follows."""
SCOPES: dict[str, Unit] = {"starlette": "requests", "httpx": "calls", "sqlite3": "statements"}
"""The unit for which an instrumentation makes exactly one span, by the last word of its scope."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What an operation costs, from microbenchmarks.

    Attributes:
        cpu_s: CPU seconds of doing it once.
        standard_error: of it.
        df: degrees of freedom of that.
    """

    cpu_s: float
    standard_error: float = 0.0
    df: float = math.inf


def priced(setups: Iterable[Setup]) -> frozenset[str]:
    """Names of the operations that predictions of these setups need."""
    named = {name.removeprefix("-") for setup in setups for name in setup.operations}
    bare = {f"{_group(name)}/bare" for name in named if _group(name) in {"server", "httpx-async", "sqlite"}}
    ends = {end for name in named & BATCHES.keys() for end in BATCHES[name][:2]}
    return frozenset(name for name in {*named, *bare, *ends} if name not in BATCHES)


def predictor(prices: Mapping[str, Price]) -> Predict:
    """Predicts the layers of a plan from what its setups sent."""

    def predict(plan: Plan, traffic: Mapping[str, Traffic]) -> dict[str, Prediction]:
        return {
            setup: predicted(counts, prices)
            for setup, counts in steps(plan, traffic).items()
            if counts.keys() <= prices.keys()
        }

    return predict


def predicted(counts: Mapping[str, float], prices: Mapping[str, Price]) -> Prediction:
    """CPU seconds of some operations, with an interval from the prices' own errors."""
    value = sum(count * prices[name].cpu_s for name, count in counts.items())
    variances = {name: (count * prices[name].standard_error) ** 2 for name, count in counts.items()}
    total = sum(variances.values())
    df = welch_df(list(variances.values()), [prices[name].df for name in variances])
    half = t_quantile(0.5 + CONFIDENCE / 2, df) * math.sqrt(total) if total else 0.0
    return value, value - half, value + half


def steps(plan: Plan, traffic: Mapping[str, Traffic]) -> dict[str, dict[str, float]]:
    """How often a request does each operation because of a layer, by the setup with the layer.

    Nothing unless the ladder names its operations and some step of it exports spans.
    """
    rungs = [rung for rung in rungs_of(plan) if rung.operations]
    exporting = next((rung for rung in rungs if _sends(traffic.get(rung.name))), None)
    if exporting is None:
        return {}
    units = _units(traffic[exporting.name])
    if not set(SCOPES.values()) <= units.keys():
        return {}
    costs = {rung.name: _operations(rung, units, _sent(rung, rungs, traffic)) for rung in rungs}
    costs[BASELINE] = _bare(rungs, units)
    return {
        rung.name: {
            name: count
            for name in sorted(costs[rung.name].keys() | costs[rung.against].keys())
            if (count := costs[rung.name].get(name, 0.0) - costs[rung.against].get(name, 0.0))
        }
        for rung in rungs
        if rung.against in costs
    }


def _units(traffic: Traffic) -> dict[Unit, float]:
    """How many of each unit a request has, counted by instrumentations that make one span for each."""
    counts: Counter[Unit] = Counter()
    for scope, spans in traffic.account.scopes.items():
        unit = SCOPES.get(scope.rpartition(".")[2])
        if unit:
            counts[unit] += spans
    return {unit: count / traffic.completed for unit, count in counts.items()}


def _sends(traffic: Traffic | None) -> bool:
    return traffic is not None and bool(traffic.completed and traffic.spans and traffic.account.exports)


def _sent(rung: Setup, rungs: Sequence[Setup], traffic: Mapping[str, Traffic]) -> tuple[float, float]:
    """Export requests and spans of a request of a step.

    Taken from the first step that sends as many spans, so that a difference of two steps is free of
    timing noise; for a step that sends none, from the first step that does.
    """
    sent = [_per_request(traffic[other.name]) for other in rungs if _sends(traffic.get(other.name))]
    own = traffic.get(rung.name)
    spans = round(own.spans / own.completed, 1) if own is not None and _sends(own) else round(sent[0][1], 1)
    return next(pair for pair in sent if round(pair[1], 1) == spans)


def _per_request(traffic: Traffic) -> tuple[float, float]:
    return traffic.account.exports / traffic.completed, traffic.spans / traffic.completed


def _operations(rung: Setup, units: Mapping[Unit, float], sent: tuple[float, float]) -> dict[str, float]:
    """How often a request of a step does each operation."""
    counts: defaultdict[str, float] = defaultdict(float)
    exports, spans = sent
    for word in rung.operations:
        name, sign = word.removeprefix("-"), -1 if word.startswith("-") else 1
        if name in BATCHES:
            one, many, size = BATCHES[name]
            # A batch costs `one` less a span's share, and every span (many - one) / (size - 1).
            share = (spans - exports) / (size - 1)
            counts[one] += sign * (exports - share)
            counts[many] += sign * share
        else:
            unit = UNITS.get(_group(name))
            counts[name] += sign * (spans if unit == "spans" else units.get(unit, 0.0) if unit else 0.0)
    return dict(counts)


def _bare(rungs: Sequence[Setup], units: Mapping[Unit, float]) -> dict[str, float]:
    """How often a request of the baseline does each operation of the ladder, without OpenTelemetry."""
    groups = {_group(name) for rung in rungs for name in rung.operations}
    return {
        f"{group}/bare": units[UNITS[group]]
        for group in ("server", "httpx-async", "sqlite")
        if group in groups
    }


def _group(name: str) -> str:
    return name.removeprefix("-").partition("/")[0]
