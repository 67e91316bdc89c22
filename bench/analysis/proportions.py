"""Shares and means over runs, each with its own interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.stats import Interval, mean_with_interval, t_quantile

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How often something happened.

    Attributes:
        count: how often.
        of: of how many.
        low: lower end of the share's 95 % interval.
        high: upper end.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """How often, as a share."""
        return self.count / self.of if self.of else 0.0


def rate(count: int, of: int) -> Rate:
    """A share of independent cases with its exact interval (Clopper and Pearson, 1934)."""
    return _rate(count, of, float(of))


def clustered(groups: Sequence[Sequence[bool]]) -> Rate:
    """A share of cases that come in groups, each of which may be lucky or unlucky as a whole.

    Clopper and Pearson's interval of as many independent cases as scatter alike (Korn and Graubard, Survey
    Methodology 24, 1998): the variance is that of the groups' totals around the share.
    """
    groups = [group for group in groups if group]
    count, of = sum(map(sum, groups)), sum(map(len, groups))
    if len(groups) < 2:
        return _rate(count, of, float(len(groups)))
    share = count / of
    residuals = [sum(group) - share * len(group) for group in groups]
    variance = len(groups) / (len(groups) - 1) * sum(residual**2 for residual in residuals) / of**2
    if not variance:
        # All groups alike: their scatter is unknown.
        return _rate(count, of, float(of) if 0 < count < of else float(len(groups)))
    # With few groups, their variance is poorly known.
    factor = (
        t_quantile(0.5 + CONFIDENCE / 2, of - 1) / t_quantile(0.5 + CONFIDENCE / 2, len(groups) - 1)
    ) ** 2
    return _rate(count, of, min(share * (1 - share) / variance * factor, float(of)))


def _rate(count: int, of: int, effective: float) -> Rate:
    if not of or not effective:
        return Rate(count=count, of=of, low=0.0, high=1.0)
    # A second of every command would go into this import.
    from scipy.stats import beta

    hits = count / of * effective
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, hits, effective - hits + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, effective - hits)) if count < of else 1.0
    return Rate(count=count, of=of, low=low, high=high)


def mean_of(values: Sequence[float]) -> Interval:
    """A mean with Student's interval; without one for fewer than two values."""
    return mean_with_interval(values, CONFIDENCE) if values else Interval(value=0.0)


def rms(errors: Sequence[float]) -> float | None:
    """The root of the mean square; None without values."""
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else None
