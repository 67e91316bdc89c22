"""The statistics: by hand, against published tables, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import (
    Estimate,
    against,
    binomial_range,
    contrasts,
    correlations,
    dunnett,
    mean_interval,
    pooled_df,
    quantile,
    t_quantile,
    trend,
)

SIMULATIONS = 400


def estimate(log_ratio: float = 0.0, standard_error: float = 0.01, df: float = 10.0) -> Estimate:
    return Estimate(
        log_ratio=log_ratio, standard_error=standard_error, df=df, family=1, correlation=0.5, pooled=True
    )


def of_one(rows: list[list[float]]) -> Estimate:
    """The estimate of one set-up against a baseline that never changes."""
    logs = {"base": [[0.0] * len(row) for row in rows], "a": rows}
    return contrasts(logs, {"a": against("a", ["base"])})["a"]


def test_a_contrast_is_the_mean_of_epoch_means() -> None:
    # Epoch means 0.10 and 0.14; their variance 0.0008, so SE = sqrt(0.0008 / 2) = 0.02.
    found = of_one([[0.09, 0.11], [0.13, 0.15]])
    assert found.log_ratio == pytest.approx(0.12)
    assert found.standard_error == pytest.approx(0.02)
    assert found.df == pytest.approx(1.0)


def test_what_all_fleets_share_in_a_window_cancels() -> None:
    logs = {"base": [[1.0, 5.0], [9.0, 2.0]], "a": [[1.1, 5.1], [9.1, 2.1]]}
    found = contrasts(logs, {"a": against("a", ["base"])})["a"]
    assert found.log_ratio == pytest.approx(0.1)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_variance_is_pooled_over_setups() -> None:
    # Variances between epochs 0.0002 (a) and 0.0018 (b): pooled 0.0010, SE = sqrt(0.0010 / 2).
    logs = {"base": [[0.0], [0.0]], "a": [[0.0], [0.02]], "b": [[0.0], [0.06]]}
    found = contrasts(logs, {name: against(name, ["base"]) for name in "ab"})
    assert found["a"].standard_error == pytest.approx(math.sqrt(0.0010 / 2))
    assert found["b"].standard_error == pytest.approx(math.sqrt(0.0010 / 2))
    # Two epochs, two set-ups that correlate by a half: 1 * 2^2 / (1 + 1 + 2/4).
    assert found["a"].df == pytest.approx(1.6)


def test_a_contrast_against_two_fleets_has_three_quarters_of_the_variance() -> None:
    # A fleet's variance v: against one fleet 2 v, against the mean of two 1.5 v.
    logs = {"base": [[0.0], [0.0]], "twin": [[0.0], [0.0]], "a": [[0.0], [0.06]]}
    one = contrasts(logs, {"twin": against("twin", ["base"]), "a": against("a", ["base"])})
    two = contrasts(logs, {"twin": against("twin", ["base"]), "a": against("a", ["base", "twin"])})
    # One: (0 + 0.0018 / 2) / 2 a fleet; two: (0 + 0.0018 / 1.5) / 2.
    assert one["a"].standard_error == pytest.approx(math.sqrt(0.00045 * 2 / 2))
    assert two["a"].standard_error == pytest.approx(math.sqrt(0.00060 * 1.5 / 2))
    assert two["twin"].standard_error == pytest.approx(math.sqrt(0.00060 * 2 / 2))


def test_the_twin_is_uncorrelated_with_what_is_found_of_the_others() -> None:
    found = correlations([against("twin", ["base"]), *(against(name, ["base", "twin"]) for name in "abc")])
    assert found[0, 1:] == pytest.approx([0.0] * 3)
    assert found[1, 2] == pytest.approx(1 / 3)
    # Three epochs: 2 * 4^2 / (4 + 6 / 9).
    assert pooled_df(3, found) == pytest.approx(32 / (4 + 6 / 9))


def test_windows_that_scatter_are_a_floor_for_the_variance_between_epochs() -> None:
    # Epoch means are equal by luck; windows +-0.1 around them: var 0.02, of a mean of two 0.01.
    assert of_one([[-0.1, 0.1], [-0.1, 0.1]]).standard_error == pytest.approx(math.sqrt(0.01 / 2))


def test_one_epoch_is_judged_by_its_windows() -> None:
    found = of_one([[0.1, 0.2, 0.3]])
    assert found.log_ratio == pytest.approx(0.2)
    assert found.standard_error == pytest.approx(0.1 / math.sqrt(3))


def test_a_single_window_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two windows"):
        of_one([[0.1]])


def test_a_setup_that_is_far_noisier_than_the_others_keeps_its_noise_to_itself() -> None:
    rng = np.random.default_rng(1)
    logs = {name: rng.normal(0, 0.01, (8, 3)).tolist() for name in ("base", *"abcdef")}
    logs["loud"] = rng.normal(0, 1.0, (8, 3)).tolist()
    found = contrasts(logs, {name: against(name, ["base"]) for name in (*"abcdef", "loud")})
    assert not found["loud"].pooled
    assert found["loud"].df == 9  # seven of its own, two that the others are worth
    assert found["a"].pooled
    assert found["loud"].standard_error > 2 * found["a"].standard_error


@pytest.mark.parametrize(
    ("family", "df", "published"),
    # Two-sided 5 % points for equal correlation 1/2 (Dunnett, 1964, table II).
    [(1, 10, 2.23), (2, 10, 2.57), (3, 10, 2.76), (5, 10, 2.99), (2, 20, 2.38), (5, 20, 2.73), (9, 60, 2.77)],
)
def test_dunnetts_value_is_the_published_one(family: int, df: int, published: float) -> None:
    assert dunnett(family, df, 0.95) == pytest.approx(published, abs=0.012)


@given(st.integers(2, 12), st.floats(1.5, 80))
def test_claims_about_many_are_wider_than_intervals_of_one(family: int, df: float) -> None:
    assert dunnett(family, df, 0.95) > t_quantile(0.975, df)


def test_the_mde_is_what_80_percent_of_runs_find() -> None:
    assert estimate().mde(0.95) == pytest.approx((2.228 + 0.879) * 0.01, rel=1e-3)
    of_three = Estimate(log_ratio=0.0, standard_error=0.01, df=10.0, family=3, correlation=0.5, pooled=True)
    assert of_three.mde(0.95) == pytest.approx((2.76 + 0.879) * 0.01, rel=5e-3)


def test_equivalence_needs_the_whole_90_percent_interval_inside() -> None:
    assert estimate(0.0, 0.01).within(0.02)  # 1.812 * 0.01 = 0.0181
    assert not estimate(0.003, 0.01).within(0.02)
    assert not estimate(0.0, 0.012).within(0.02)
    assert not estimate(0.0, 0.01).within(0.02, widening=0.003)


def test_a_trend_is_found_by_hand() -> None:
    found = trend([[0.0, 0.01, 0.02], [0.10, 0.11, 0.12]])
    assert found is not None
    assert found.slope == pytest.approx(0.01)
    assert found.p < 1e-6


def test_levels_of_epochs_are_no_trend() -> None:
    found = trend([[0.0, 0.01, 0.0], [0.5, 0.49, 0.5]])
    assert found is not None
    assert found.slope == pytest.approx(0.0)
    assert found.p > 0.9


def test_a_trend_needs_windows() -> None:
    assert trend([[0.1], [0.2]]) is None


def test_a_binomial_range_holds_what_it_promises() -> None:
    low, high = binomial_range(1000, 0.1, 0.999)
    assert (low, high) == (70, 132)


@given(st.integers(1, 3000), st.floats(0.001, 0.999))
def test_a_binomial_range_surrounds_the_mean(trials: int, ratio: float) -> None:
    low, high = binomial_range(trials, ratio, 0.999)
    assert 0 <= low <= math.ceil(trials * ratio)
    assert math.floor(trials * ratio) <= high <= trials


def test_a_quantile_without_enough_samples_is_absent() -> None:
    assert quantile(range(1999), 0.99) is None
    assert quantile(range(2000), 0.99) == pytest.approx(1979.01)
    assert quantile(range(39), 0.5) is None


NAMES = ("base", "twin", "a", "b", "c", "d", "e")
DESIGN = {
    "twin": against("twin", ["base"]),
    **{name: against(name, ["base", "twin"]) for name in NAMES[2:]},
}
TRUTH = {"base": 0.0, "twin": 0.0, "a": 0.07, "b": 0.3, "c": 0.4, "d": 0.5, "e": 1.8}


MIXED = (0.008, 0.015)
EPOCHS_ONLY = (0.01, 0.0001)


def simulate(
    rng: np.random.Generator, epochs: int, windows: int, noise: tuple[float, float]
) -> dict[str, list[list[float]]]:
    """Fleets with heavy tails (t, 4 df) between epochs and windows, and a drift that all of them share."""
    heavy = math.sqrt(2.0)  # the standard deviation of a t with 4 degrees of freedom
    drift = rng.normal(0, 0.2, (epochs, windows))
    logs = {}
    for name in NAMES:
        layout = rng.standard_t(4, (epochs, 1)) / heavy * noise[0]
        scatter = rng.standard_t(4, (epochs, windows)) / heavy * noise[1]
        logs[name] = (TRUTH[name] + drift + layout + scatter).tolist()
    return logs


def holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


@pytest.mark.parametrize(
    ("epochs", "windows", "noise"), [(3, 3, MIXED), (5, 5, MIXED), (3, 3, EPOCHS_ONLY), (5, 5, EPOCHS_ONLY)]
)
def test_intervals_cover_and_false_positives_are_rare(
    epochs: int, windows: int, noise: tuple[float, float]
) -> None:
    rng = np.random.default_rng(20)
    covered = positives = families = 0
    for _ in range(SIMULATIONS):
        found = contrasts(simulate(rng, epochs, windows, noise), DESIGN)
        covered += sum(holds(found[name].interval(0.95), TRUTH[name]) for name in DESIGN)
        positives += not holds(found["twin"].interval(0.95), 0.0)
        families += all(holds(found[name].claim(0.95), TRUTH[name]) for name in DESIGN)
    assert 0.93 <= covered / SIMULATIONS / len(DESIGN) <= 0.975
    assert 0.02 <= positives / SIMULATIONS <= 0.07
    assert families / SIMULATIONS >= 0.93


def test_a_setup_that_is_noisier_than_the_rest_is_nearly_covered() -> None:
    rng = np.random.default_rng(21)
    covered = others = 0
    for _ in range(SIMULATIONS):
        logs = simulate(rng, 5, 5, MIXED)
        shifts = rng.normal(0, 0.03, 5)
        logs["e"] = [[value + shift for value in row] for row, shift in zip(logs["e"], shifts, strict=True)]
        found = contrasts(logs, DESIGN)
        covered += holds(found["e"].interval(0.95), TRUTH["e"])
        others += holds(found["a"].interval(0.95), TRUTH["a"])
    assert covered / SIMULATIONS >= 0.88
    assert others / SIMULATIONS >= 0.95


def test_a_mean_has_students_interval_and_a_single_value_none() -> None:
    center, low, high = mean_interval([1.0, 2.0, 3.0], 0.95)
    # t(0.975, 2) = 4.303; sd 1, three values.
    assert (center, low, high) == pytest.approx((2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert mean_interval([5.0], 0.95) == (5.0, None, None)
