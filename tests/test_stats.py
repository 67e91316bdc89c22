"""The statistics: by hand, against published tables, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.stats import (
    Estimate,
    against,
    binomial_range,
    contrasts,
    correlations,
    has_tail,
    maximum_modulus,
    mean_with_interval,
    pooled_df,
    quantile,
    t_quantile,
    trend,
    welch,
)

SIMULATIONS = 400


def estimate(log_ratio: float = 0.0, standard_error: float = 0.01, df: float = 10.0) -> Estimate:
    return Estimate(log_ratio=log_ratio, standard_error=standard_error, df=df)


def test_a_contrast_is_the_mean_over_replicates() -> None:
    # Values 0.10 and 0.14; their variance 0.0008, so SE = sqrt(0.0008 / 2) = 0.02.
    found = contrasts({"base": [0.0, 0.0], "a": [0.10, 0.14]}, {"a": against("a", ["base"])}, 1)["a"]
    assert found.log_ratio == pytest.approx(0.12)
    assert found.standard_error == pytest.approx(0.02)
    assert found.df == pytest.approx(1)


def test_a_quantile_that_is_a_mean_of_replicates_needs_a_tail_in_each() -> None:
    assert has_tail(2000, 0.99)
    assert has_tail(2000, 0.99, parts=4)
    assert not has_tail(2000, 0.99, parts=10)
    assert not has_tail(1999, 0.99)


def test_one_replicate_has_no_interval() -> None:
    assert contrasts({"base": [0.0], "a": [0.1]}, {"a": against("a", ["base"])}, 1) == {}


def test_what_the_machine_does_to_all_cancels() -> None:
    mood = [0.3, -0.2, 0.5]
    logs = {"base": mood, "a": [value + 0.1 for value in mood]}
    found = contrasts(logs, {"a": against("a", ["base"])}, 1)["a"]
    assert found.log_ratio == pytest.approx(0.1)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


def test_twins_as_a_baseline_do_not_correlate_with_their_own_difference() -> None:
    weights = [against("again", ["none"]), against("a", ["none", "again"])]
    assert correlations(weights)[0, 1] == pytest.approx(0.0)


def test_degrees_of_freedom_are_shared_by_contrasts() -> None:
    assert pooled_df(4, np.eye(5)) == 15
    assert pooled_df(4, np.ones((5, 5))) == 3


def test_the_maximum_modulus_is_the_published_one() -> None:
    # Stoline and Ury (1979), table 1, two-sided 5 %: k = 3, 10 df: 2.829; k = 5, 20 df: 2.816.
    assert maximum_modulus(3, 10, 0.95) == pytest.approx(2.83, abs=0.02)
    assert maximum_modulus(5, 20, 0.95) == pytest.approx(2.82, abs=0.02)
    assert maximum_modulus(1, 10, 0.95) == pytest.approx(t_quantile(0.975, 10))


def test_a_contrast_that_scatters_much_more_is_judged_by_its_own() -> None:
    rng = np.random.default_rng(3)
    logs = {name: list(rng.normal(0, 0.01, 5)) for name in ("base", "a", "b", "c")}
    logs["wild"] = [0.5, -0.5, 0.6, -0.4, 0.1]
    found = contrasts(logs, {name: against(name, ["base"]) for name in ("a", "b", "c", "wild")}, 4)
    assert not found["wild"].shares_variance
    assert found["a"].shares_variance
    assert found["wild"].standard_error > found["a"].standard_error


def simulate(replicates: int, effect: float, seed: int, tails: float = 4) -> dict[str, Estimate]:
    rng = np.random.default_rng(seed)
    mood = rng.normal(0, 0.1, replicates)
    names = ("none", "none-aa", "injected", "a", "b", "c", "d")
    # Heavy tails: Student's t with four degrees of freedom.
    logs = {name: list(mood + 0.01 * rng.standard_t(tails, replicates)) for name in names}
    logs["a"] = [value + effect for value in logs["a"]]
    references = ("none", "none-aa")
    weights = {
        name: against(name, ("none",) if name == "none-aa" else references)
        for name in names
        if name != "none"
    }
    return contrasts(logs, weights, 4)


def test_intervals_cover_what_is_true() -> None:
    covered = [
        low <= 0.05 <= high
        for seed in range(SIMULATIONS)
        for low, high in [simulate(4, 0.05, seed)["a"].interval(0.95)]
    ]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_no_more_than_one_run_in_twenty_claims_something_of_nothing() -> None:
    claims = 0
    for seed in range(SIMULATIONS):
        found = simulate(4, 0.0, seed)
        claims += any(not low <= 0.0 <= high for name in "abcd" for low, high in [found[name].claim(0.95)])
    # 5 % of 400 is 20; three standard deviations more is 33.
    assert claims <= 33


def test_an_replicate_that_is_more_expensive_for_all_that_is_traced_takes_degrees_of_freedom_away() -> None:
    rng = np.random.default_rng(3)
    logs = {name: list(rng.normal(0, 0.01, 6)) for name in ("none", "a", "b", "c", "d")}
    weights = {name: against(name, ["none"]) for name in "abcd"}
    apart = max(found.df for found in contrasts(logs, weights, 4).values())
    shared = rng.normal(0, 0.05, 6)
    together = {name: list(np.asarray(values) + (name != "none") * shared) for name, values in logs.items()}
    assert contrasts(together, weights, 4)["a"].df < 0.7 * apart
    # Nearly one and the same contrast: as if there were a single one.
    assert contrasts(together, weights, 4)["a"].df == pytest.approx(5, abs=1)


def test_the_mde_is_found_in_four_runs_of_five() -> None:
    mde = np.median([simulate(4, 0.0, seed, tails=100)["a"].mde(0.95) for seed in range(50)])
    found = []
    for seed in range(SIMULATIONS):
        low, _ = simulate(4, float(mde), seed, tails=100)["a"].claim(0.95)
        found.append(low > 0)
    assert 0.70 <= np.mean(found) <= 0.92


def test_no_overhead_is_claimed_only_inside_the_bounds() -> None:
    assert estimate(0.001, 0.002).within(0.02)
    assert not estimate(0.019, 0.002).within(0.02)
    assert not estimate(0.001, 0.002).within(0.02, widening=0.02)


def test_two_runs_add_the_squares_of_their_errors() -> None:
    change = welch(estimate(0.1, 0.03, 5), estimate(0.3, 0.04, 8), 3)
    assert change.log_ratio == pytest.approx(0.2)
    assert change.standard_error == pytest.approx(0.05)
    assert 5 < change.df < 13
    assert change.critical(0.95) == pytest.approx(t_quantile(1 - 0.05 / 6, change.df))


def test_a_drift_is_found_and_noise_is_not() -> None:
    drift = trend([[0.0, 0.1, 0.2, 0.31], [0.5, 0.6, 0.72, 0.8]])
    assert drift is not None
    assert drift.slope == pytest.approx(0.1, abs=0.01)
    assert drift.p < 1e-4
    flat = trend([[0.0, 0.1, 0.0, 0.1], [0.1, 0.0, 0.1, 0.0]])
    assert flat is not None
    assert flat.p > 0.3
    assert trend([[0.1]]) is None


@given(st.integers(10, 5000), st.floats(0.01, 0.99))
def test_a_binomial_count_stays_in_its_range(trials: int, ratio: float) -> None:
    low, high = binomial_range(trials, ratio, 0.999)
    assert 0 <= low <= trials * ratio <= high <= trials


def test_a_quantile_needs_twenty_values_beyond_it() -> None:
    assert quantile(range(1999), 0.99) is None
    assert quantile(range(2000), 0.99) == pytest.approx(1979.01)
    assert quantile(range(200), 0.9) is not None


def test_a_mean_has_an_interval_from_two_values_on() -> None:
    assert mean_with_interval([1.0], 0.95).low is None
    found = mean_with_interval([1.0, 3.0], 0.95)
    assert found.value == 2.0
    assert found.low == pytest.approx(-10.7, abs=0.1)
    assert found.high == pytest.approx(14.7, abs=0.1)


def test_zero_errors_make_an_infinite_t() -> None:
    assert estimate(0.1, 0.0).t == math.inf
    assert estimate(0.0, 0.0).t == 0.0
