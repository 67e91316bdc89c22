"""The statistics: by hand, against published tables, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import Estimate, binomial_range, contrasts, dunnett, quantile, t_quantile, trend

SIMULATIONS = 600


def estimate(log_ratio: float = 0.0, standard_error: float = 0.01, df: float = 10.0) -> Estimate:
    return Estimate(log_ratio=log_ratio, standard_error=standard_error, df=df, family=1, pooled=True)


def test_a_contrast_is_the_mean_of_epoch_means() -> None:
    # Epoch means 0.10 and 0.14; their variance 0.0008, so SE = sqrt(0.0008 / 2) = 0.02.
    found = contrasts({"a": [[0.09, 0.11], [0.13, 0.15]]})["a"]
    assert found.log_ratio == pytest.approx(0.12)
    assert found.standard_error == pytest.approx(0.02)
    assert found.df == 1.0


def test_the_variance_is_pooled_over_setups() -> None:
    # Variances between epochs 0.0002 (a) and 0.0018 (b): pooled 0.0010, SE = sqrt(0.0010 / 2).
    found = contrasts({"a": [[0.0], [0.02]], "b": [[0.0], [0.06]]})
    assert found["a"].standard_error == pytest.approx(math.sqrt(0.0010 / 2))
    assert found["b"].standard_error == pytest.approx(math.sqrt(0.0010 / 2))
    # Two epochs, two set-ups: 1 * 2 degrees, shared, so divided by 1 + 1/4.
    assert found["a"].df == pytest.approx(1.6)


def test_windows_that_scatter_are_a_floor_for_the_variance_between_epochs() -> None:
    # Epoch means are equal by luck; windows +-0.1 around them: var 0.02, of a mean of two 0.01.
    found = contrasts({"a": [[-0.1, 0.1], [-0.1, 0.1]]})["a"]
    assert found.standard_error == pytest.approx(math.sqrt(0.01 / 2))


def test_one_epoch_is_judged_by_its_windows() -> None:
    found = contrasts({"a": [[0.1, 0.2, 0.3]]})["a"]
    assert found.log_ratio == pytest.approx(0.2)
    assert found.standard_error == pytest.approx(0.1 / math.sqrt(3))


def test_a_single_window_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two windows"):
        contrasts({"a": [[0.1]]})


def test_a_setup_that_is_far_noisier_than_the_others_keeps_its_noise_to_itself() -> None:
    rng = np.random.default_rng(1)
    quiet = {f"q{number}": rng.normal(0, 0.01, (8, 3)).tolist() for number in range(6)}
    found = contrasts({**quiet, "loud": rng.normal(0, 1.0, (8, 3)).tolist()})
    assert not found["loud"].pooled
    assert found["loud"].df == 7.0
    assert found["q0"].pooled
    assert found["q0"].standard_error < 0.01


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


def test_equivalence_needs_the_whole_90_percent_interval_inside() -> None:
    assert estimate(0.0, 0.01).within(0.02)  # 1.812 * 0.01 = 0.0181
    assert not estimate(0.003, 0.01).within(0.02)
    assert not estimate(0.0, 0.012).within(0.02)


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


def simulate(
    rng: np.random.Generator,
    truth: np.ndarray,
    epochs: int,
    windows: int,
    *,
    sd_epoch: float,
    sd_window: float,
) -> dict[str, list[list[float]]]:
    """Contrasts of set-ups that share a baseline, with heavy tails (t, 4 df) in both layers."""
    heavy = math.sqrt(2.0)  # the standard deviation of a t with 4 degrees of freedom
    count = len(truth) + 1
    layout = rng.standard_t(4, (epochs, 1, count)) / heavy * sd_epoch
    scatter = rng.standard_t(4, (epochs, windows, count)) / heavy * sd_window
    level = layout + scatter + np.concatenate([[0.0], truth])
    return {f"s{at}": (level[..., at] - level[..., 0]).tolist() for at in range(1, count)}


@pytest.mark.parametrize(("epochs", "windows"), [(4, 3), (7, 4)])
def test_intervals_cover_and_false_positives_are_rare(epochs: int, windows: int) -> None:
    rng = np.random.default_rng(20)
    truth = np.array([0.0, 0.07, 0.3, 0.4, 0.5, 1.8])
    covered = positives = families = 0
    for _ in range(SIMULATIONS):
        found = contrasts(simulate(rng, truth, epochs, windows, sd_epoch=0.008, sd_window=0.015))
        for at, true in enumerate(truth, 1):
            low, high = found[f"s{at}"].interval(0.95)
            covered += low <= true <= high
        twin = found["s1"]
        low, high = twin.interval(0.95)
        positives += not low <= 0 <= high
        claims = [found[f"s{at}"].claim(0.95) for at in range(1, len(truth) + 1)]
        families += all(low <= true <= high for (low, high), true in zip(claims, truth, strict=True))
    assert 0.93 <= covered / SIMULATIONS / len(truth) <= 0.97
    assert 0.03 <= positives / SIMULATIONS <= 0.07
    assert 0.93 <= families / SIMULATIONS <= 0.975


def test_a_setup_that_is_noisier_than_the_rest_is_still_covered() -> None:
    rng = np.random.default_rng(21)
    covered = others = 0
    for _ in range(SIMULATIONS):
        rows = simulate(rng, np.zeros(6), 7, 4, sd_epoch=0.008, sd_window=0.015)
        shifts = rng.normal(0, 0.04, 7)
        rows["s6"] = [[value + shift for value in row] for row, shift in zip(rows["s6"], shifts, strict=True)]
        found = contrasts(rows)
        low, high = found["s6"].interval(0.95)
        covered += low <= 0 <= high
        low, high = found["s1"].interval(0.95)
        others += low <= 0 <= high
    assert covered / SIMULATIONS >= 0.91
    assert 0.93 <= others / SIMULATIONS <= 0.97
