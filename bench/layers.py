"""Where the tax goes: the layers of tracing one by one, and what microbenchmarks predict of them.

Rule 1: a step is the difference of two set-ups, paired inside windows, never of two intervals;
the steps of the ladder add up to the whole, because every rung stands on the one before.
Rule 2: what microbenchmarks predict follows from operations that the sink has counted, and from
no factor that was fitted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.cells import Cells, level, logs, references
from bench.line import Traffic
from bench.model import BASELINE, Plan
from bench.setups import shape
from bench.stats import contrasts, t_quantile


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """A set-up that adds one layer to another one."""

    setup: str
    against: str
    layer: str


LADDER = (
    Rung(setup="layer-api", against=BASELINE, layer="instrumentation, no SDK"),
    Rung(setup="layer-off", against="layer-api", layer="SDK, nothing sampled"),
    Rung(setup="layer-propagate", against="layer-off", layer="context propagated"),
    Rung(setup="layer-record", against="layer-propagate", layer="spans recorded"),
    Rung(setup="layer-discard", against="layer-record", layer="batch, discarded"),
    Rung(setup="layer-encode", against="layer-discard", layer="encoded, discarded"),
    Rung(setup="batch-lean", against="layer-encode", layer="sent over http"),
    Rung(setup="batch", against="batch-lean", layer="receive and send spans"),
    Rung(setup="batch-metrics", against="batch", layer="metrics"),
)
BESIDE = (
    Rung(setup="simple", against="batch", layer="simple, not batch"),
    Rung(setup="batch-grpc", against="batch", layer="grpc, not http"),
    Rung(setup="batch-gzip", against="batch", layer="gzip"),
)
"""Not on the ladder: each is something else instead of what `batch` does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one layer adds to a checkout.

    Attributes:
        setup: the set-up with the layer.
        against: the one without it.
        layer: what it is.
        cpu_s: CPU seconds that it adds to a checkout; negative where it saves some.
        low_s: lower end of its interval.
        high_s: upper end.
        per_span_s: the same divided by the spans that a sampled checkout of the set-up makes.
        predicted: what microbenchmarks predict; absent without them.
    """

    setup: str
    against: str
    layer: str
    cpu_s: float
    low_s: float
    high_s: float
    per_span_s: float
    predicted: "Predicted | None" = None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """What microbenchmarks predict of a step, and how far that can be relied on.

    Attributes:
        cpu_s: CPU seconds that it adds to a checkout.
        low_s: lower end of its interval, from the microbenchmarks' own.
        high_s: upper end.
        ratio: measured over predicted; absent where either cannot be told from nothing.
        ratio_low: lower end of its interval, both sides' errors in it.
        ratio_high: upper end.
    """

    cpu_s: float
    low_s: float
    high_s: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """Where the tax goes.

    Attributes:
        steps: the ladder, from the baseline up; their sum is the whole.
        beside: what something else would cost instead.
        whole: the top of the ladder against the baseline.
        operations: of one checkout, counted by the sink: requests served, calls, SQL statements.
    """

    steps: tuple[Step, ...]
    beside: tuple[Step, ...]
    whole: Step
    operations: dict[str, float]


def is_ladder(plan: Plan) -> bool:
    """Whether a plan has all rungs."""
    names = {setup.name for setup in plan.setups}
    return {rung.setup for rung in LADDER} <= names


def ladder(
    plan: Plan, cells: Cells, traffic: Mapping[str, Traffic], prices: Mapping[str, Price]
) -> Layers | None:
    """The layers of a run; none unless it has all rungs and two windows.

    The increments are z_k - z_j, in baseline checkouts, with z the ratios to the baseline. Their
    standard error comes from the logs that everything is estimated from (delta method): the
    contrast with weights z_k, -z_j, and -(z_k - z_j) spread over the baseline's fleets.

    Args:
        plan: as it was carried out.
        cells: CPU per checkout.
        traffic: of every set-up.
        prices: of operations by name, from microbenchmarks; empty without them.
    """
    if not is_ladder(plan) or sum(map(len, cells.values())) < 2:
        return None
    names = [setup.name for setup in plan.setups]
    base = references(names)
    values = logs(cells, plan)
    at = {name: float(np.mean([np.mean(row) for row in rows])) for name, rows in values.items()}
    foot = float(np.mean([at[name] for name in base]))
    ratio = {name: math.exp(log - foot) for name, log in at.items()} | {BASELINE: 1.0}
    whole = Rung(setup=LADDER[-1].setup, against=BASELINE, layer="everything")
    rungs = [*LADDER, *(rung for rung in BESIDE if rung.setup in names), whole]
    weights = {(rung.setup, rung.against): _weights(rung, ratio, base) for rung in rungs}
    errors = contrasts(values, {" - ".join(pair): each for pair, each in weights.items()})
    base_s = float(np.mean([level(cells, name) or 0.0 for name in base]))
    counted = operations(traffic)
    parts = contributions(counted, traffic, prices)
    setups = {setup.name: setup for setup in plan.setups}

    def step(rung: Rung) -> Step:
        estimate = errors[f"{rung.setup} - {rung.against}"]
        half = t_quantile(0.5 + plan.confidence / 2, estimate.df) * estimate.standard_error
        added = ratio[rung.setup] - ratio[rung.against]
        mine = [parts[each.setup] for each in (LADDER if rung is whole else (rung,)) if each.setup in parts]
        return Step(
            setup=rung.setup,
            against=rung.against,
            layer=rung.layer,
            cpu_s=added * base_s,
            low_s=(added - half) * base_s,
            high_s=(added + half) * base_s,
            per_span_s=added * base_s / sum(shape(setups[rung.setup]).values()),
            predicted=_predicted(_total(mine), prices, added * base_s, half * base_s, plan.confidence)
            if mine
            else None,
        )

    return Layers(
        steps=tuple(step(rung) for rung in LADDER),
        beside=tuple(step(rung) for rung in rungs if rung in BESIDE),
        whole=step(whole),
        operations=counted,
    )


def _weights(rung: Rung, ratio: Mapping[str, float], base: Sequence[str]) -> dict[str, float]:
    above, below = ratio[rung.setup], ratio[rung.against]
    weights = {rung.setup: above}
    if rung.against == BASELINE:
        return weights | dict.fromkeys(base, -above / len(base))
    return weights | {rung.against: -below} | dict.fromkeys(base, -(above - below) / len(base))


# ---------------------------------------------------------------- what microbenchmarks predict

REQUESTS, CALLS, STATEMENTS = "requests served", "calls", "SQL statements"
_SCOPES = {"starlette": REQUESTS, "httpx": CALLS, "sqlite3": STATEMENTS}
PRICED = (
    "span/root", "span/batch", "span/simple", "extract/tracecontext-8", "inject/tracecontext-8",
    "encode/1", "encode/64", "serialise/1", "serialise/64", "gzip/1", "gzip/64",
    "export/http-1", "export/http-512", "export/grpc-1", "export/grpc-512",
    *(f"server/{each}" for each in ("bare", "no-provider", "unsampled", "lean", "sampled", "metrics")),
    *(f"httpx-async/{each}" for each in ("bare", "no-provider", "unsampled", "sampled", "metrics")),
    *(f"sqlite/{each}" for each in ("bare", "no-provider", "unsampled", "sampled")),
)  # fmt: skip
"""The operations that predictions are made of."""


def operations(traffic: Mapping[str, Traffic]) -> dict[str, float]:
    """Operations of one checkout, counted where each makes exactly one span (`batch-lean`)."""
    lean = traffic.get("batch-lean")
    if lean is None or not lean.checkouts:
        return {}
    return {
        _SCOPES.get(scope.rpartition(".")[2], scope): count / lean.checkouts
        for scope, count in lean.scopes.items()
    }


def predictions(
    counted: Mapping[str, float], traffic: Mapping[str, Traffic], prices: Mapping[str, float]
) -> dict[str, float]:
    """CPU seconds that each step should add to a checkout if it cost what it costs in a hot loop.

    Args:
        counted: operations of a checkout.
        traffic: of every set-up.
        prices: CPU seconds of every operation in `PRICED`.

    Returns:
        By the step's set-up; nothing unless requests, calls and statements were counted.
    """
    if not {REQUESTS, CALLS, STATEMENTS} <= counted.keys():
        return {}
    price = prices.__getitem__

    def moved(server: tuple[str, str], other: tuple[str, str]) -> float:
        """Every request, and every call and statement, in one variant instead of another."""
        return (
            counted[REQUESTS] * (price(f"server/{server[0]}") - price(f"server/{server[1]}"))
            + counted[CALLS] * (price(f"httpx-async/{other[0]}") - price(f"httpx-async/{other[1]}"))
            + counted[STATEMENTS] * (price(f"sqlite/{other[0]}") - price(f"sqlite/{other[1]}"))
        )

    instrumented, off = ("no-provider", "bare"), ("unsampled", "no-provider")
    propagation = counted[REQUESTS] * price("extract/tracecontext-8")
    propagation += counted[CALLS] * price("inject/tracecontext-8")
    encode = _line(price("encode/1") + price("serialise/1"), price("encode/64") + price("serialise/64"), 64)
    http = _line(price("export/http-1"), price("export/http-512"), 512)
    grpc = _line(price("export/grpc-1"), price("export/grpc-512"), 512)
    gzip = _line(price("gzip/1"), price("gzip/64"), 64)
    queued = price("span/batch") - price("span/root")
    lean, full = _sent(traffic["batch-lean"]), _sent(traffic["batch"])
    metrics = counted[REQUESTS] * (price("server/metrics") - price("server/sampled"))
    metrics += counted[CALLS] * (price("httpx-async/metrics") - price("httpx-async/sampled"))
    inline = price("span/simple") - price("span/batch")
    return {
        "layer-api": moved(instrumented, instrumented),
        "layer-off": moved(off, off) - propagation,
        "layer-propagate": propagation,
        "layer-record": moved(("lean", "unsampled"), ("sampled", "unsampled")),
        "layer-discard": lean[1] * queued,
        "layer-encode": _cost(encode, lean),
        "batch-lean": _cost(http, lean) - _cost(encode, lean),
        "batch": counted[REQUESTS] * (price("server/sampled") - price("server/lean"))
        + (full[1] - lean[1]) * queued
        + _cost(http, full)
        - _cost(http, lean),
        "batch-metrics": metrics,
        "simple": full[1] * inline + _cost(http, (full[1], full[1])) - _cost(http, full),
        "batch-grpc": _cost(grpc, full) - _cost(http, full),
        "batch-gzip": _cost(gzip, full),
    }


def contributions(
    counted: Mapping[str, float], traffic: Mapping[str, Traffic], prices: Mapping[str, Price]
) -> dict[str, dict[str, float]]:
    """How often each operation is paid for in each step, by the step's set-up; nothing without all prices.

    Predictions are sums of prices times counts, so each count is what a price of one alone predicts.
    """
    if not set(PRICED) <= prices.keys():
        return {}
    found: dict[str, dict[str, float]] = {}
    for name in PRICED:
        alone = dict.fromkeys(PRICED, 0.0) | {name: 1.0}
        for setup, count in predictions(counted, traffic, alone).items():
            found.setdefault(setup, {})[name] = count
    return found


def _total(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(part[name] for part in parts) for name in PRICED}


def _predicted(
    counts: Mapping[str, float],
    prices: Mapping[str, Price],
    measured_s: float,
    half_s: float,
    confidence: float,
) -> Predicted:
    """What a step should cost, with the prices' own errors.

    Their degrees of freedom are put together as Welch and Satterthwaite did (1946); the ratio's
    error is that of a quotient's log (delta method), both intervals' halves taken as its parts.
    """
    value = sum(count * prices[name].cpu_s for name, count in counts.items())
    variances = {name: (count * prices[name].standard_error) ** 2 for name, count in counts.items()}
    total = sum(variances.values())
    heads = sum(variance**2 / prices[name].df for name, variance in variances.items())
    df = total**2 / heads if heads else math.inf
    half = t_quantile(0.5 + confidence / 2, df) * math.sqrt(total) if total else 0.0
    alone = Predicted(cpu_s=value, low_s=value - half, high_s=value + half)
    if abs(measured_s) <= half_s or abs(value) <= half:
        return alone
    ratio = measured_s / value
    spread = abs(ratio) * math.hypot(half_s / measured_s, half / value)
    if spread >= abs(ratio):
        return alone
    # On the log scale, where a quotient is as far from its ends above as below.
    ends = ratio * math.exp(-spread / abs(ratio)), ratio * math.exp(spread / abs(ratio))
    return Predicted(
        cpu_s=value,
        low_s=value - half,
        high_s=value + half,
        ratio=ratio,
        ratio_low=min(ends),
        ratio_high=max(ends),
    )


def _line(one: float, many: float, count: int) -> tuple[float, float]:
    """What a batch costs whatever its size, and every span in it, from two sizes."""
    per_span = (many - one) / (count - 1)
    return one - per_span, per_span


def _sent(traffic: Traffic) -> tuple[float, float]:
    """Export requests and spans of a checkout."""
    return traffic.exports / traffic.checkouts, traffic.spans / traffic.checkouts


def _cost(line: tuple[float, float], sent: tuple[float, float]) -> float:
    return line[0] * sent[0] + line[1] * sent[1]
