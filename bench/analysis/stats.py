"""Estimates of paired contrasts, and what may be claimed from them.

The unit of replication is the replicate: fresh processes. A contrast has one value per replicate, paired
inside it, and all contrasts of a figure share one variance, which adds degrees of freedom when replicates
are few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array: TypeAlias = NDArray[np.floating[Any]]
Weights: TypeAlias = Mapping[str, float]
"""A contrast: how much each instance's value counts in it."""

OWN_VARIANCE_FACTOR = 2.5
"""A contrast whose variance exceeds this many medians uses its own variance. With 1.5, the interval of a
setup with three times the scatter would cover 92 % instead of 88 %, but all others would have less power
than the minimal detectable effect states: with four replicates, a factor of 3 occurs by chance."""
PRIOR_DF = 1
"""Weight of the pooled variance beside such a contrast's own, in degrees of freedom. With 0,
a variance that is large by chance would get the quantile of a single degree of freedom with two
replicates."""
POWER = 0.80
"""Share of runs that would find an effect of the minimal detectable size."""
MIN_TAIL_OF_PART = 5
"""Fewest samples beyond a quantile, per part: p99 of 200 with 2 % slow ones is a fifth too small."""
MIN_TAIL_SAMPLES = 20
"""A quantile q is shown only where n (1 - q) reaches this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A paired contrast on the log scale.

    Attributes:
        log_ratio: mean over replicates of ln(setup / baseline).
        standard_error: of it.
        df: degrees of freedom of that standard error.
        family: how many contrasts are claimed together.
        shares_variance: whether the variance is the contrasts' common one.
    """

    log_ratio: float
    standard_error: float
    df: float
    family: int = 1
    shares_variance: bool = True

    @property
    def t(self) -> float:
        """The contrast in standard errors; 0 where both are 0."""
        if self.standard_error == 0.0:
            return 0.0 if self.log_ratio == 0.0 else float(np.copysign(np.inf, self.log_ratio))
        return self.log_ratio / self.standard_error

    @property
    def ratio(self) -> float:
        """The change that the contrast is: 0.33 is +33 %."""
        return float(np.expm1(self.log_ratio))

    def ratios(self, confidence: float) -> tuple[float, float]:
        """The ends of its own interval, as changes."""
        low, high = self.interval(confidence)
        return float(np.expm1(low)), float(np.expm1(high))

    def half_width(self, confidence: float) -> float:
        """Half of the contrast's own interval."""
        return t_quantile(0.5 + confidence / 2, self.df) * self.standard_error

    def interval(self, confidence: float) -> tuple[float, float]:
        """The contrast's own interval on the log scale."""
        half = self.half_width(confidence)
        return self.log_ratio - half, self.log_ratio + half

    def claim(self, confidence: float) -> tuple[float, float]:
        """The interval that holds for all contrasts of the family at once."""
        half = self.critical(confidence) * self.standard_error
        return self.log_ratio - half, self.log_ratio + half

    def critical(self, confidence: float) -> float:
        """How many standard errors from 0 a claim begins.

        The studentised maximum modulus where the family shares one variance; Bonferroni's value
        where each contrast has its own, because many small standard errors do not err together.
        """
        if self.shares_variance:
            return maximum_modulus(self.family, self.df, confidence)
        return t_quantile(1 - (1 - confidence) / 2 / self.family, self.df)

    def mde(self, confidence: float) -> float:
        """The smallest log ratio that such a run claims with 80 % power."""
        return (self.critical(confidence) + t_quantile(POWER, self.df)) * self.standard_error

    def within(self, delta: float, widening: float = 0.0) -> bool:
        """True if the 90 % interval of the ratio, widened on both sides, lies inside (-delta, delta).

        Two one-sided tests at 5 % each, for this contrast alone (Schuirmann, 1987).
        """
        low, high = self.interval(0.90)
        return float(np.expm1(low - widening)) > -delta and float(np.expm1(high + widening)) < delta


def against(setup: str, references: Sequence[str]) -> dict[str, float]:
    """The weights of a setup against the mean of one or more identical instances."""
    return {setup: 1.0, **dict.fromkeys(references, -1.0 / len(references))}


def differences(logs: Mapping[str, Sequence[float]], weights: Weights) -> Array:
    """A contrast's value in every replicate."""
    terms = [weight * np.asarray(logs[name], float) for name, weight in weights.items()]
    return np.asarray(np.sum(terms, axis=0), float)


def contrasts(
    logs: Mapping[str, Sequence[float]], weights: Mapping[str, Weights], family: int
) -> dict[str, Estimate]:
    """Estimates of some contrasts, paired inside replicates.

    All instances are taken to scatter alike, so every contrast says something about the same
    variance: that of an instance is the contrast's over the sum of its squared weights.

    Args:
        logs: ln(figure) by setup, one value per replicate.
        weights: of the setups in each contrast, summing to 0.
        family: how many of the contrasts are claimed together.

    Returns:
        One estimate per contrast; none with fewer than two replicates.
    """
    units = {name: differences(logs, contrast) for name, contrast in weights.items()}
    count = min((len(values) for values in units.values()), default=0)
    if count < 2:
        return {}
    factor = {name: sum(weight**2 for weight in contrast.values()) for name, contrast in weights.items()}
    variances = {name: float(np.var(values, ddof=1)) / factor[name] for name, values in units.items()}
    # Over all contrasts, noisy ones included: to leave out those whose variance is large, often by
    # luck, makes what is left too small (family-wise error 10 % instead of 5).
    pooled = float(np.mean(list(variances.values())))
    scaled = [values / factor[name] ** 0.5 for name, values in units.items()]
    df = pooled_df(count, np.maximum(correlations(list(weights.values())), _shared(scaled)))
    noisy = _noisy(variances)
    estimates = {}
    for name, values in units.items():
        variance = pooled
        if name in noisy:
            own = (PRIOR_DF * pooled + (count - 1) * variances[name]) / (PRIOR_DF + count - 1)
            variance = max(pooled, own)
        estimates[name] = Estimate(
            log_ratio=float(np.mean(values)),
            standard_error=float(np.sqrt(variance * factor[name] / count)),
            df=min(PRIOR_DF + count - 1.0, df) if name in noisy else df,
            family=max(family, 1),
            shares_variance=name not in noisy,
        )
    return estimates


def correlations(weights: Sequence[Weights]) -> Array:
    """How contrasts correlate because they share instances, all of them scattering alike."""
    names = sorted({name for contrast in weights for name in contrast})
    rows = np.array([[contrast.get(name, 0.0) for name in names] for contrast in weights])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T, float)


def _shared(contrast_values: Sequence[Array]) -> float:
    """The observed mean correlation of contrasts over replicates; 0 if unknown or negative.

    A replicate may be more expensive for all that is traced, which their shared instances do not explain.
    The variance of a mean of S values of one variance is that variance times (1 + (S - 1) rho) / S.
    """
    count = len(contrast_values)
    variance = float(np.mean([np.var(values, ddof=1) for values in contrast_values]))
    if count < 3 or not variance:
        return 0.0
    of_mean = float(np.var(np.mean(contrast_values, axis=0), ddof=1))
    return min(max((of_mean / variance * count - 1) / (count - 1), 0.0), 1.0)


def _noisy(variances: Mapping[str, float]) -> frozenset[str]:
    """The contrasts that are too noisy for the pooled variance; none among fewer than three."""
    if len(variances) < 3:
        return frozenset()
    limit = OWN_VARIANCE_FACTOR * float(np.median(list(variances.values())))
    return frozenset(name for name, variance in variances.items() if variance > limit > 0)


def pooled_df(replicates: int, correlation: Array) -> float:
    """Effective degrees of freedom of a variance pooled over contrasts that correlate.

    The variance of a mean of S sample variances of normals is 2 s^4 sum(rho_ij^2) / (S^2 (E-1))
    (matched to a chi-square as Satterthwaite, 1946, does).
    """
    return (replicates - 1) * len(correlation) ** 2 / float(np.sum(correlation**2))


def t_quantile(probability: float, df: float) -> float:
    """Student's t."""
    return float(special.stdtrit(df, probability))


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A figure and the ends of its interval; no ends where there are too few values for any."""

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Interval":
        """The same in another unit."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return Interval(value=self.value * factor, low=low, high=high)


def mean_with_interval(values: Sequence[float], confidence: float) -> Interval:
    """The mean of independent values, and Student's t around it; no ends with a single value."""
    center = float(np.mean(values))
    if len(values) < 2:
        return Interval(value=center)
    half = half_width_of_mean(values, confidence)
    return Interval(value=center, low=center - half, high=center + half)


def half_width_of_mean(values: Sequence[float] | Array, confidence: float) -> float:
    """Half of Student's interval around the mean of independent values."""
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(t_quantile(0.5 + confidence / 2, len(values) - 1) * spread)


def welch(before: Estimate, after: Estimate, family: int = 1) -> Estimate:
    """The change from one figure to another, from two runs that share nothing.

    The squares of the standard errors add up. Claims hold for `family` changes at once (Bonferroni).
    """
    variances = before.standard_error**2, after.standard_error**2
    return Estimate(
        log_ratio=after.log_ratio - before.log_ratio,
        standard_error=float(np.sqrt(sum(variances))),
        df=welch_df(variances, (before.df, after.df)),
        family=max(family, 1),
        shares_variance=False,
    )


def welch_df(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent estimates (Welch, Satterthwaite, 1946)."""
    pooled = sum(variance**2 / df for variance, df in zip(variances, dfs, strict=True))
    return sum(variances) ** 2 / pooled if pooled else sum(dfs)


@cache
def maximum_modulus(family: int, df: float, confidence: float) -> float:
    """The `confidence` quantile of max |T_i| of `family` t variables that share one variance.

    The studentised maximum modulus: P(max |T_i| <= c) = E_s [2 Phi(c s) - 1]^family with
    s = chi_df / sqrt(df), for numerators that do not correlate. Contrasts against a shared
    baseline do; for them the value is too large and never too small (Sidak, 1967).
    """
    # Half a second of every command would go into this import.
    from scipy.optimize import brentq

    if family == 1:
        return t_quantile(0.5 + confidence / 2, df)
    levels = (np.arange(400) + 0.5) / 400
    s = np.sqrt(2 * special.gammaincinv(df / 2, levels) / df)

    def shortfall(c: float) -> float:
        return float(np.mean((2 * special.ndtr(c * s) - 1) ** family)) - confidence

    return float(brentq(shortfall, 0.5, 500.0, xtol=1e-6))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """The drift of a contrast from block to block inside replicates.

    Attributes:
        slope: change of the log ratio per block.
        p: two-sided probability of such a slope without a drift.
    """

    slope: float
    p: float


def trend(rows: Sequence[Sequence[float] | Array]) -> Drift | None:
    """The common slope of log ratios over the blocks of their replicates; None with too few blocks.

    Ordinary least squares with a level of its own for every replicate.
    """
    x_all, y_all = [], []
    for blocks in rows:
        if len(blocks) < 2:
            continue
        x = np.arange(len(blocks), dtype=float)
        y = np.asarray(blocks, float)
        x_all.append(x - x.mean())
        y_all.append(y - y.mean())
    if not x_all:
        return None
    x, y = np.concatenate(x_all), np.concatenate(y_all)
    df = len(x) - len(x_all) - 1
    sxx = float(x @ x)
    if df < 1:
        return None
    slope = float(x @ y) / sxx
    residual = y - slope * x
    standard_error = float(np.sqrt(float(residual @ residual) / df / sxx))
    if standard_error == 0.0:
        return Drift(slope=slope, p=1.0 if slope == 0.0 else 0.0)
    return Drift(slope=slope, p=float(2 * special.stdtr(df, -abs(slope) / standard_error)))


def binomial_range(trials: int, ratio: float, confidence: float) -> tuple[int, int]:
    """The central range of a binomial count that holds at least `confidence`."""
    tail = (1 - confidence) / 2
    return _binomial_quantile(tail, trials, ratio), _binomial_quantile(1 - tail, trials, ratio)


def _binomial_quantile(level: float, trials: int, ratio: float) -> int:
    """The smallest count whose cumulative probability reaches a level."""
    if not trials:
        return 0
    count = max(int(np.ceil(special.bdtrik(level, trials, ratio))), 0)
    return count - 1 if count and special.bdtr(count - 1, trials, ratio) >= level else count


def quantile(values: Sequence[float] | Array, q: float) -> float | None:
    """The q quantile, or None where fewer than 20 values lie beyond it."""
    return float(np.quantile(np.asarray(values, float), q)) if has_tail(len(values), q) else None


def has_tail(samples: int, q: float, parts: int = 1) -> bool:
    """True if at least 20 values lie beyond a quantile, and five per part if it is averaged over parts."""
    # 2,000 * (1 - 0.99) is 20.000000000000018, and 200 * (1 - 0.9) is 19.999999999999996.
    return round(samples * min(q, 1 - q), 6) >= max(MIN_TAIL_SAMPLES, MIN_TAIL_OF_PART * parts)
