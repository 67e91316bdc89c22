"""What a checkout costs by its spans: a line through set-ups that differ in little else.

Rule 1: a line is no better than its points: what it predicts has the range of one more set-up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.model import Setup
from bench.stats import t_quantile


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What a set-up's checkouts sent.

    Attributes:
        checkouts: completed ones.
        spans: received.
        exports: export requests.
        bytes: on the wire.
        scopes: spans by instrumentation scope.
    """

    checkouts: int
    spans: int
    exports: int
    bytes: int
    scopes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """us per checkout = a + b x spans: extra CPU against spans that leave the services.

    Attributes:
        a_s: CPU seconds of an instrumented checkout of which nothing is sampled.
        b_s: CPU seconds that every exported span adds.
        residual_s: standard deviation around the line.
        points: set-up, spans per checkout, extra CPU seconds, of those that it was fitted to.
        bytes_per_span: on the wire: over all of them, and the least and the most of one.
    """

    a_s: float
    b_s: float
    residual_s: float
    points: tuple[tuple[str, float, float], ...]
    bytes_per_span: tuple[float, float, float]

    def predict(self, spans: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """CPU seconds of a checkout with so many exported spans, and the ends of their range.

        The range is that of one more set-up (prediction interval of a simple regression; Draper
        and Smith, Applied Regression Analysis, 1998, 3.1).
        """
        x = np.array([point[1] for point in self.points])
        center, count = float(x.mean()), len(x)
        spread = 1 + 1 / count + (spans - center) ** 2 / float(((x - center) ** 2).sum())
        half = t_quantile(0.5 + confidence / 2, count - 2) * self.residual_s * math.sqrt(spread)
        value = self.a_s + self.b_s * spans
        return value, value - half, value + half


def fit(setups: Sequence[Setup], cpu_s: Mapping[str, float], traffic: Mapping[str, Traffic]) -> Fit | None:
    """The line through a run's set-ups that differ in how many spans they export, and in little else.

    Ordinary least squares; none with fewer than three set-ups, or if all export the same.

    Args:
        setups: of the run.
        cpu_s: extra CPU seconds per checkout of those that count.
        traffic: what they sent.
    """
    points = [
        (setup.name, traffic[setup.name].spans / traffic[setup.name].checkouts, cpu_s[setup.name])
        for setup in setups
        if _is_point(setup) and setup.name in cpu_s and traffic[setup.name].checkouts
    ]
    if len(points) < 3:
        return None
    x, y = (np.array([point[at] for point in points]) for at in (1, 2))
    sxx = float(((x - x.mean()) ** 2).sum())
    sizes = [traffic[name].bytes / traffic[name].spans for name, _, _ in points if traffic[name].spans]
    if not sxx or not sizes:
        return None
    b = float(((x - x.mean()) * (y - y.mean())).sum()) / sxx
    a = float(y.mean() - b * x.mean())
    residual = math.sqrt(float(((y - a - b * x) ** 2).sum()) / (len(points) - 2))
    total = sum(traffic[name].bytes for name, _, _ in points) / sum(
        traffic[name].spans for name, _, _ in points
    )
    return Fit(
        a_s=a,
        b_s=b,
        residual_s=residual,
        points=tuple(points),
        bytes_per_span=(total, min(sizes), max(sizes)),
    )


def _is_point(setup: Setup) -> bool:
    """Whether it is instrumented, has the SDK, and exports in batches over plain http."""
    env = setup.env
    return (
        env.get("BENCH_TRACING") == "batch"
        and env.get("BENCH_SPANS", "auto") in {"auto", "lean"}
        and env.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
        and set(env) <= {"BENCH_TRACING", "BENCH_SPANS", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    )
