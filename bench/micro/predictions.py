"""What microbenchmarks predict of the layers of tracing.

A prediction follows from operations that the receiver has counted, and from no factor that was fitted.
It knows the setups of the built-in ladder by their names.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.analysis.accounting import Traffic
from bench.analysis.layers import Prediction
from bench.analysis.stats import t_quantile, welch_df

CONFIDENCE = 0.95
LEAN, FULL = "batch-lean", "layer-asgi"
"""Rungs that send every span, without and with receive and send spans."""


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


def predictor(prices: Mapping[str, Price]) -> Callable[[Mapping[str, Traffic]], dict[str, Prediction]]:
    """Predicts layers from what the setups sent."""

    def predict(traffic: Mapping[str, Traffic]) -> dict[str, Prediction]:
        parts = contributions(operations(traffic), traffic, prices)
        return {setup: predicted(counts, prices) for setup, counts in parts.items()}

    return predict


def predicted(counts: Mapping[str, float], prices: Mapping[str, Price]) -> Prediction:
    """What a layer should cost, with the prices' own errors."""
    value = sum(count * prices[name].cpu_s for name, count in counts.items())
    variances = {name: (count * prices[name].standard_error) ** 2 for name, count in counts.items()}
    total = sum(variances.values())
    df = welch_df(list(variances.values()), [prices[name].df for name in variances])
    half = t_quantile(0.5 + CONFIDENCE / 2, df) * math.sqrt(total) if total else 0.0
    return value, value - half, value + half


REQUESTS, CALLS, STATEMENTS = "requests served", "calls", "SQL statements"
_SCOPES = {"starlette": REQUESTS, "httpx": CALLS, "sqlite3": STATEMENTS}
RUNGS = (
    ("bare", "bare"),
    ("lean-no-provider", "no-provider"),
    ("lean-unsampled", "unsampled"),
    ("lean", "sampled"),
)
"""Variants of a server, and of calls and statements: rung by rung up to all spans but receive and send."""
PRICED = (
    "span/root", "span/batch", "span/simple", "extract/tracecontext-8", "inject/tracecontext-8",
    "encode/1", "encode/64", "serialise/1", "serialise/64", "gzip/1", "gzip/64",
    "export/http-1", "export/http-512", "export/grpc-1", "export/grpc-512",
    *(f"server/{variant}" for variant, _ in RUNGS), "server/sampled", "server/metrics",
    *(f"httpx-async/{variant}" for _, variant in RUNGS), "httpx-async/metrics",
    *(f"sqlite/{variant}" for _, variant in RUNGS),
)  # fmt: skip
"""The operations that predictions are made of."""


def operations(traffic: Mapping[str, Traffic]) -> dict[str, float]:
    """Operations of one request, counted where each makes exactly one span (`batch-lean`)."""
    lean = traffic.get(LEAN)
    if lean is None or not lean.completed:
        return {}
    return {
        _SCOPES.get(scope.rpartition(".")[2], scope): count / lean.completed
        for scope, count in lean.account.scopes.items()
    }


def predictions(
    counted: Mapping[str, float], traffic: Mapping[str, Traffic], prices: Mapping[str, float]
) -> dict[str, float]:
    """CPU seconds that each step should add to a request if it cost what it costs in a hot loop.

    Args:
        counted: operations of a request.
        traffic: of every setup.
        prices: CPU seconds of every operation in `PRICED`.

    Returns:
        By the step's setup; nothing unless requests, calls and statements were counted.
    """
    if not {REQUESTS, CALLS, STATEMENTS} <= counted.keys() or FULL not in traffic:
        return {}
    price = prices.__getitem__

    def rung(server: str, other: str) -> float:
        """Every request, and every call and statement, of one variant."""
        return (
            counted[REQUESTS] * price(f"server/{server}")
            + counted[CALLS] * price(f"httpx-async/{other}")
            + counted[STATEMENTS] * price(f"sqlite/{other}")
        )

    bare, instrumented, off, recorded = (rung(*names) for names in RUNGS)
    propagation = counted[REQUESTS] * price("extract/tracecontext-8")
    propagation += counted[CALLS] * price("inject/tracecontext-8")
    encode = _line(price("encode/1") + price("serialise/1"), price("encode/64") + price("serialise/64"), 64)
    http = _line(price("export/http-1"), price("export/http-512"), 512)
    grpc = _line(price("export/grpc-1"), price("export/grpc-512"), 512)
    gzip = _line(price("gzip/1"), price("gzip/64"), 64)
    queued = price("span/batch") - price("span/root")
    lean, full = _sent(traffic[LEAN]), _sent(traffic[FULL])
    metrics = counted[REQUESTS] * (price("server/metrics") - price("server/sampled"))
    metrics += counted[CALLS] * (price("httpx-async/metrics") - price("httpx-async/sampled"))
    inline = price("span/simple") - price("span/batch")
    return {
        "layer-api": instrumented - bare,
        "layer-off": off - instrumented - propagation,
        "layer-propagate": propagation,
        "layer-record": recorded - off,
        "layer-discard": lean[1] * queued,
        "layer-encode": _cost(encode, lean),
        LEAN: _cost(http, lean) - _cost(encode, lean),
        FULL: counted[REQUESTS] * (price("server/sampled") - price("server/lean"))
        + (full[1] - lean[1]) * queued
        + _cost(http, full)
        - _cost(http, lean),
        "layer-metrics": metrics,
        "simple": full[1] * inline + _cost(http, (full[1], full[1])) - _cost(http, full),
        "batch-grpc": _cost(grpc, full) - _cost(http, full),
        "batch-gzip": _cost(gzip, full),
    }


def contributions(
    counted: Mapping[str, float], traffic: Mapping[str, Traffic], prices: Mapping[str, Price]
) -> dict[str, dict[str, float]]:
    """How often each operation is paid for in each step, by the step's setup; nothing without all prices.

    Predictions are sums of prices times counts, so each count is what a price of one alone predicts.
    """
    if not set(PRICED) <= prices.keys():
        return {}
    counts: dict[str, dict[str, float]] = {}
    for name in PRICED:
        alone = dict.fromkeys(PRICED, 0.0) | {name: 1.0}
        for setup, count in predictions(counted, traffic, alone).items():
            counts.setdefault(setup, {})[name] = count
    return counts


def _line(one: float, many: float, count: int) -> tuple[float, float]:
    """What a batch costs whatever its size, and every span in it, from two sizes."""
    per_span = (many - one) / (count - 1)
    return one - per_span, per_span


def _sent(traffic: Traffic) -> tuple[float, float]:
    """Export requests and spans of a request."""
    return traffic.account.exports / traffic.completed, traffic.spans / traffic.completed


def _cost(line: tuple[float, float], sent: tuple[float, float]) -> float:
    return line[0] * sent[0] + line[1] * sent[1]
