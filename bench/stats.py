"""What the numbers may claim: paired log ratios, pooled variance, t and Dunnett, equivalence, MDE.

Rule 1: the unit of replication is the epoch, never the request: requests of one epoch
share processes, memory layout and hash seed.
Rule 2: the variance is pooled over contrasts, because few epochs say little about each alone.
Rule 3: what is shown has an interval of its own; what is *claimed* holds for all set-ups at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from scipy import stats as distributions

Array = NDArray[np.float64]

Rows = Sequence[Sequence[float]]
"""Values by epoch, by window."""
Weights = Mapping[str, float]
"""A contrast: how much each fleet counts in it."""

OWN_VARIANCE_FACTOR = 2.5
"""A contrast whose variance exceeds this many medians is judged by its own."""
PRIOR_DF = 2
"""What the pooled variance is worth beside such a contrast's own, in degrees of freedom. With
none, a variance that is large by luck gets the quantile of a single degree of freedom where
there are two epochs. Simulated with heavy tails, two to five epochs and eight contrasts:
intervals cover 96 to 97 % where all fleets scatter alike, and 86 to 94 % for one that scatters
twice or three times as much."""
POWER = 0.80
"""The MDE is what such a share of runs would find."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A paired contrast on the log scale.

    Attributes:
        log_ratio: mean over epochs of the mean over windows of ln(set-up / baseline).
        standard_error: of it.
        df: degrees of freedom of that standard error.
        family: how many contrasts are looked at together.
        correlation: the lowest one between two of them; absent where they share no variance.
        pooled: whether the variance is the set-ups' common one.
    """

    log_ratio: float
    standard_error: float
    df: float
    family: int
    correlation: float | None
    pooled: bool

    @property
    def t(self) -> float:
        """The contrast in standard errors; 0 where both are 0."""
        if self.standard_error == 0.0:
            return 0.0 if self.log_ratio == 0.0 else float(np.copysign(np.inf, self.log_ratio))
        return self.log_ratio / self.standard_error

    def interval(self, confidence: float) -> tuple[float, float]:
        """The contrast's own interval on the log scale."""
        half = t_quantile(0.5 + confidence / 2, self.df) * self.standard_error
        return self.log_ratio - half, self.log_ratio + half

    def claim(self, confidence: float) -> tuple[float, float]:
        """The interval that holds for all contrasts of the family at once."""
        half = self.critical(confidence) * self.standard_error
        return self.log_ratio - half, self.log_ratio + half

    def critical(self, confidence: float) -> float:
        """How many standard errors a claim is away from 0.

        Dunnett's (1955) where the family shares one variance, and Bonferroni's where each has its
        own: there Dunnett's is too small, because many small standard errors do not err together.
        """
        if self.correlation is None:
            return t_quantile(1 - (1 - confidence) / 2 / self.family, self.df)
        return dunnett(self.family, self.df, confidence, self.correlation)

    def mde(self, confidence: float) -> float:
        """The smallest log ratio that such a run claims with 80 % power."""
        return (self.critical(confidence) + t_quantile(POWER, self.df)) * self.standard_error

    def within(self, delta: float, widening: float = 0.0) -> bool:
        """Whether the 90 % interval of the ratio, widened on both sides, lies inside (-delta, delta).

        Two one-sided tests at 5 % each, for this contrast alone (Schuirmann, 1987).
        """
        low, high = self.interval(0.90)
        return float(np.expm1(low - widening)) > -delta and float(np.expm1(high + widening)) < delta


def against(setup: str, references: Sequence[str]) -> dict[str, float]:
    """The weights of a set-up against the mean of one or more identical fleets."""
    return {setup: 1.0, **dict.fromkeys(references, -1.0 / len(references))}


def differences(logs: Mapping[str, Rows], weights: Weights) -> list[Array]:
    """A contrast's values by epoch and window."""
    terms = [(weight, logs[fleet]) for fleet, weight in weights.items()]
    count = len(terms[0][1])
    return [
        np.sum([weight * np.asarray(rows[epoch], float) for weight, rows in terms], axis=0)
        for epoch in range(count)
    ]


def contrasts(logs: Mapping[str, Rows], weights: Mapping[str, Weights]) -> dict[str, Estimate]:
    """The estimates of some contrasts between fleets, paired inside windows.

    All fleets are taken to scatter alike, so every contrast says something about the same
    variance: that of a fleet is the contrast's over the sum of its squared weights.

    Args:
        logs: ln(cpu per checkout) by fleet, by epoch, by window; every fleet has the same windows.
        weights: of the fleets in each contrast, summing to 0.

    Returns:
        An estimate a contrast. With one epoch its windows stand in for epochs, which
        understates the noise between processes; the caller says so.

    Raises:
        ValueError: fewer than two windows in all.
    """
    if not weights:
        return {}
    units = {name: differences(logs, each) for name, each in weights.items()}
    replicates = {name: _replicates(rows) for name, rows in units.items()}
    count = min(len(values) for values in replicates.values())
    if count < 2:
        raise ValueError("a variance needs at least two windows")
    factor = {name: sum(weight**2 for weight in each.values()) for name, each in weights.items()}
    between = {name: float(np.var(values, ddof=1)) / factor[name] for name, values in replicates.items()}
    within = {name: _window_variance(rows) / factor[name] for name, rows in units.items()}
    # Over all contrasts, noisy ones included: to leave out those whose variance is large,
    # often by luck, makes what is left too small (family-wise error 10 % instead of 5).
    pooled = max(float(np.mean(list(side.values()))) for side in (between, within))
    correlation = correlations(list(weights.values()))
    df = pooled_df(count, correlation)
    own = _own_variance(between)
    estimates = {}
    for name, values in replicates.items():
        variance = pooled
        if name in own:
            mine = max(between[name], within[name])
            variance = (PRIOR_DF * pooled + (count - 1) * mine) / (PRIOR_DF + count - 1)
        estimates[name] = Estimate(
            log_ratio=float(np.mean(values)),
            standard_error=float(np.sqrt(variance * factor[name] / count)),
            df=PRIOR_DF + count - 1.0 if name in own else df,
            family=len(weights),
            correlation=max(float(correlation.min()), 0.0),
            pooled=name not in own,
        )
    return estimates


def correlations(weights: Sequence[Weights]) -> Array:
    """How contrasts correlate because they share fleets, all fleets scattering alike."""
    fleets = sorted({fleet for each in weights for fleet in each})
    rows = np.array([[each.get(fleet, 0.0) for fleet in fleets] for each in weights])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows.T, float)


def _replicates(rows: Sequence[Array]) -> Array:
    """The independent values of a set-up: epoch means, or the windows of the only epoch."""
    if len(rows) == 1:
        return rows[0]
    return np.array([float(np.mean(windows)) for windows in rows])


def _own_variance(between: Mapping[str, float]) -> frozenset[str]:
    """The contrasts that are too noisy for the pooled variance; none among fewer than three."""
    if len(between) < 3:
        return frozenset()
    limit = OWN_VARIANCE_FACTOR * float(np.median(list(between.values())))
    return frozenset(name for name, variance in between.items() if variance > limit > 0)


def _window_variance(rows: Sequence[Array]) -> float:
    """Variance of an epoch's mean as its windows alone predict it; a floor for the one between epochs.

    With few epochs the variance between them can come out too small by luck; it cannot
    truly be smaller than what the windows inside them scatter.
    """
    if len(rows) == 1 or any(len(windows) < 2 for windows in rows):
        return 0.0
    return float(np.mean([np.var(windows, ddof=1) / len(windows) for windows in rows]))


def pooled_df(epochs: int, correlation: Array) -> float:
    """Effective degrees of freedom of a variance pooled over contrasts that correlate.

    The variance of a mean of S sample variances of normals is 2 s^4 sum(rho_ij^2) / (S^2 (E-1))
    (matched to a chi-square as Satterthwaite, 1946, does).
    """
    return (epochs - 1) * len(correlation) ** 2 / float(np.sum(correlation**2))


def t_quantile(probability: float, df: float) -> float:
    """Student's t."""
    return float(distributions.t.ppf(probability, df))


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float | None, float | None]:
    """The mean of independent values, and Student's t around it; no ends with a single one."""
    center = float(np.mean(values))
    if len(values) < 2:
        return center, None, None
    half = t_quantile(0.5 + confidence / 2, len(values) - 1) * float(np.std(values, ddof=1))
    half /= len(values) ** 0.5
    return center, center - half, center + half


@cache
def dunnett(family: int, df: float, confidence: float, correlation: float = 0.5) -> float:
    """Dunnett's two-sided critical value: the `confidence` quantile of max |T_i|.

    T_i are `family` t variables with one variance that correlate by `correlation` (1/2 where
    each is a difference from one shared baseline). With r^2 that correlation, q^2 = 1 - r^2,
    z normal and s = chi_df / sqrt(df),
    P(max |T_i| <= c) = E_s E_z [Phi((rz + cs)/q) - Phi((rz - cs)/q)]^family (Dunnett, 1955).
    Where contrasts correlate unequally the lowest correlation gives a value that is too large
    and never one that is too small (Slepian's inequality).
    """
    if family == 1:
        return t_quantile(0.5 + confidence / 2, df)
    z, z_weight = np.polynomial.hermite_e.hermegauss(64)
    z_weight = z_weight / np.sqrt(2 * np.pi)
    levels = (np.arange(200) + 0.5) / 200
    s = np.sqrt(distributions.chi2.ppf(levels, df) / df)
    r, q = np.sqrt(correlation), np.sqrt(1 - correlation)

    def shortfall(c: float) -> float:
        upper = special.ndtr((r * z[None, :] + c * s[:, None]) / q)
        lower = special.ndtr((r * z[None, :] - c * s[:, None]) / q)
        inside = ((upper - lower) ** family) @ z_weight
        return float(np.mean(inside)) - confidence

    return float(optimize.brentq(shortfall, 0.5, 500.0, xtol=1e-6))


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """The drift of a contrast from window to window inside epochs.

    Attributes:
        slope: change of the log ratio per window.
        p: two-sided probability of such a slope without a drift.
    """

    slope: float
    p: float


def trend(rows: Sequence[Sequence[float] | Array]) -> Trend | None:
    """The common slope of a set-up's log ratios over the windows of its epochs.

    Ordinary least squares with a level of its own for every epoch; None with too few windows.
    """
    x_all, y_all = [], []
    for windows in rows:
        if len(windows) < 2:
            continue
        x = np.arange(len(windows), dtype=float)
        y = np.asarray(windows, float)
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
        return Trend(slope=slope, p=1.0 if slope == 0.0 else 0.0)
    return Trend(slope=slope, p=float(2 * distributions.t.sf(abs(slope) / standard_error, df)))


def binomial_range(trials: int, ratio: float, confidence: float) -> tuple[int, int]:
    """The central range of a binomial count that holds at least `confidence`."""
    tail = (1 - confidence) / 2
    low, high = (float(distributions.binom.ppf(level, trials, ratio)) for level in (tail, 1 - tail))
    return max(int(low), 0), int(high)


REPLICATES = 400
"""Resamples of a bootstrap; its standard error is then known to 4 %."""


def quantile_contrast(
    mine: Sequence[Array], reference: Sequence[Array], q: float, seed: int
) -> tuple[float, float, float] | None:
    """ln(quantile / the reference's quantile), its standard error and degrees of freedom.

    Block bootstrap: whole blocks are drawn with replacement, for both sides the same ones, so
    that what a block did to both cancels, and requests that met the same moment stay together
    (Kuensch, 1989; Davison and Hinkley, 1997, 2.4). Drawing from B blocks instead of from all
    there could be makes the variance too small by (B - 1) / B; percentiles of so few would cover
    85 % instead of 95. So only the standard error is taken from it, times sqrt(B / (B - 1)), and
    the interval from Student's t with B - 1 degrees of freedom.

    Args:
        mine: values by block.
        reference: values by block, as many blocks.
        q: which quantile.
        seed: of the draws.

    Returns:
        None with fewer than two blocks, or where a side has too few values.
    """
    blocks = len(mine)
    if blocks < 2 or any(not _has_tail(sum(map(len, side)), q) for side in (mine, reference)):
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES).astype(float)
    top, bottom = (_weighted_quantiles(side, drawn, q) for side in (mine, reference))
    center = np.quantile(np.concatenate(mine), q) / np.quantile(np.concatenate(reference), q)
    spread = float(np.std(np.log(top / bottom), ddof=1))
    return float(np.log(center)), spread * float(np.sqrt(blocks / (blocks - 1))), blocks - 1.0


def _weighted_quantiles(side: Sequence[Array], drawn: Array, q: float) -> Array:
    """The q quantile of each resample, a resample being how often every block was drawn."""
    values = np.concatenate(side)
    order = np.argsort(values)
    block = np.repeat(np.arange(len(side)), [len(each) for each in side])[order]
    reached = np.cumsum(drawn[:, block], axis=1)
    # A resample of empty blocks alone has no quantile; the smallest value stands in for it.
    at = np.argmax(reached >= q * np.maximum(reached[:, -1:], 1e-9), axis=1)
    return np.asarray(values[order][at], float)


MIN_TAIL_SAMPLES = 20
"""A quantile q is shown only where n (1 - q) reaches this."""


def quantile(values: Sequence[float] | Array, q: float) -> float | None:
    """The q quantile, or None where fewer than 20 values lie beyond it."""
    if not _has_tail(len(values), q):
        return None
    return float(np.quantile(np.asarray(values, float), q))


def _has_tail(samples: int, q: float) -> bool:
    """Whether enough values lie beyond a quantile."""
    # 2,000 * (1 - 0.99) is 20.000000000000018, and 200 * (1 - 0.9) is 19.999999999999996.
    return round(samples * min(q, 1 - q), 6) >= MIN_TAIL_SAMPLES


def samples_for(q: float) -> int:
    """How many samples a quantile needs before it is shown."""
    return round(MIN_TAIL_SAMPLES / min(q, 1 - q))
