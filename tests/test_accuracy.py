"""The accuracy of the harness: injected costs are recovered, and every claim has an interval."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bench.analysis.proportions import clustered, mean_of, rate
from bench.plan.readings import RequestRow, StepReading
from bench.plan.records import NOTHING_LEARNED, Kind, Learned, Plan, Step
from bench.plan.schedule import is_overloaded, step_of
from bench.report import markdown
from bench.runner.run import Log, carry_out
from bench.studies.accuracy import document, measure
from bench.studies.accuracy.figures import accuracy, figures_of
from bench.studies.accuracy.records import Accuracy
from bench.studies.accuracy.targets import shown, targets
from bench.studies.accuracy.trials import (
    APART,
    DELAYS,
    INSIDE,
    PANELS,
    PATCHED,
    SAME,
    TRACED,
    Trial,
    setups,
    shares,
)
from bench.testbed.machine import Cpus
from bench.testbed.orders import windows_of
from tests import make
from tests.make import Quiet, SimulatedPerformer

BASE_S = 0.010
ABLE_S = 0.0001
"""What it costs to be able to burn inside of requests."""


def bench(noise: float = 0.002) -> SimulatedPerformer:
    costs = {"none": BASE_S, "none-aa": BASE_S, "always-off": 0.013, "batch": 0.016}
    for name, share in shares().items():
        costs[name] = BASE_S * (1 + share) + (ABLE_S if name == PATCHED or name in INSIDE else 0.0)
    for name, (_, _, share) in DELAYS.items():
        costs[name] = BASE_S * (1 + share) + ABLE_S
    return SimulatedPerformer(costs=costs, noise=noise)


SERIES = measure.Series(app=make.APP, cpus=Cpus(usable=2, services=(1,), others=(0,)), seed=5, replicates=3)


@pytest.fixture(scope="module")
def series() -> Iterator[measure.Series]:
    with pytest.MonkeyPatch.context() as patch:
        # Whole requests are counted: a tenth of a second would see no difference of a hundredth.
        patch.setattr(measure, "SATURATION_SLICE_S", 0.2)
        patch.setattr(measure, "PANELS", tuple(replace(panel, saturation_s=10.0) for panel in PANELS))
        yield measure.calibrated(SERIES, bench(), Quiet())


def tried(series: measure.Series, number: int) -> Trial:
    return measure.trial(series, number, bench(), Quiet())


@pytest.fixture(scope="module")
def found(series: measure.Series) -> Accuracy:
    assert series.burns_s["weight-5"] == pytest.approx(0.0005, rel=0.1)
    # Each panel, and those of costs with time alone, without it, and with scaled timers.
    trials = [tried(series, number) for number in (0, 1, 2, 3, 7)]
    assert [levels.keys() for levels in trials[0].alone] == [{"light", "p50", "p90", "throughput"}] * 3
    assert all(figure.keys() == set(trials[0].plan.names) for figure in trials[0].alone[2].values())
    assert len(trials[2].alone) == 3
    assert not trials[3].alone
    assert [trial.plan.scale_timers for trial in trials] == [False] * 4 + [True]
    return accuracy([figures_of(trial) for trial in trials])


@pytest.mark.parametrize("name", ["apart-10", "weight-10", *INSIDE])
@pytest.mark.parametrize("figure", ["light", "saturation", "throughput"])
def test_a_known_cost_is_found_in_every_figure(found: Accuracy, name: str, figure: str) -> None:
    rows = [one for one in found.known if (one.setup, one.figure) == (name, figure)]
    if (name, figure) == ("apart-10", "throughput"):
        assert not rows
        return
    (known,) = rows
    share = shares()[name]
    effect = 1 / (1 + share) - 1 if figure == "throughput" else share
    assert known.true == pytest.approx(effect, rel=0.03)
    assert known.found == pytest.approx(effect, abs=0.01)
    assert known.bias.low is not None
    assert known.bias.low <= known.bias.value


def test_what_it_costs_to_be_able_to_burn_is_in_no_known_cost(found: Accuracy) -> None:
    (known,) = [one for one in found.known if (one.setup, one.figure) == ("inside-all", "light")]
    # Against the baseline it would be 6 %.
    assert known.found == pytest.approx(0.05, abs=0.008)


def test_identical_setups_are_compared_in_every_figure(found: Accuracy) -> None:
    by_figure = {same.figure: same for same in found.same}
    assert {figure for figure, same in by_figure.items() if same.trials} >= {
        "light",
        "saturation",
        "throughput",
        "p50",
    }
    assert abs(by_figure["light"].difference.value) < 0.005


def test_nothing_is_burnt_apart_while_an_instance_is_alone(found: Accuracy) -> None:
    light = [weighing for weighing in found.weighings if weighing.figure == "light"]
    assert {weighing.trial for weighing in light if weighing.setup in APART} == {0, 2, 3}
    assert all(weighing.alone is None for weighing in light if weighing.setup in APART)
    assert any(weighing.alone is not None for weighing in light if weighing.setup == "weight-10")


def test_slices_and_time_alone_agree_on_an_unknown_cost(found: Accuracy) -> None:
    rows = [row for row in found.agreements if (row.setup, row.figure) == ("batch", "light")]
    assert {row.scaled for row in rows} == {False, True}
    for row in rows:
        assert row.in_slices == pytest.approx(0.6, abs=0.03)
        assert row.alone == pytest.approx(row.in_slices, abs=0.03)


@pytest.mark.parametrize("name", DELAYS)
def test_a_delay_is_the_same_in_slices_and_alone(found: Accuracy, name: str) -> None:
    rows = [row for row in found.agreements if (row.setup, row.figure) == (name, "p50")]
    assert {row.scaled for row in rows} == {False, True}
    for row in rows:
        # Against what burns nothing in the same places: 14.1 ms and 10.1 ms.
        assert row.in_slices == pytest.approx(0.396, abs=0.03)
        assert row.alone == pytest.approx(row.in_slices, abs=0.03)


def test_a_report_has_every_section(found: Accuracy) -> None:
    text = markdown.render(document.report(found))
    for words in (
        "Scorecard",
        "Injected costs, recovered",
        "Identical setups",
        "Against one after the other",
        "inside-two",
    ):
        assert words in text
    # Simulated instances answer the same number of requests alone: one after the other has no error there.
    assert [row.figure for row in found.better] == ["light", "p50"]
    assert len(targets(found)) == 11
    assert "1 of two minutes (3 setups, 3 replicates, " in text
    assert document.where("apart-2") == "apart"
    assert [document.where(name) for name in INSIDE] == [
        "before the calls, 1 process",
        "after the calls, 2 processes",
        "before the calls, all processes",
    ]


@pytest.mark.parametrize(
    ("false", "of", "word"),
    [(2, 74, "yes"), (0, 10, "not shown"), (1, 15, "not shown"), (4, 74, "not shown"), (12, 74, "NO")],
)
def test_false_verdicts_are_few_or_many_only_where_the_interval_says_so(
    found: Accuracy, false: int, of: int, word: str
) -> None:
    assert targets(replace(found, false_verdicts=rate(false, of)))[0].shown == word


def test_a_run_that_is_invalid_counts_and_says_why(series: measure.Series) -> None:
    lossy = accuracy([figures_of(measure.trial(series, 1, replace(bench(), lose={"batch": 0.1}), Quiet()))])
    assert lossy.spoiled == 1
    assert lossy.coverage.of
    assert (
        "1 of them failed a validity check (its span accounting is incomplete: 1); they are counted here "
        "like the others." in document.extent(lossy)
    )


def test_a_cost_of_two_percent_is_sought_in_runs_of_two_minutes_alone(found: Accuracy) -> None:
    assert found.sought.of == 1
    # Runs of two minutes have an A/A setup, and no weight of nothing.
    assert found.false_verdicts.of == 4 * 2 + 1


def test_costs_injected_in_services_leave_utilisation_as_in_the_baseline(series: measure.Series) -> None:
    plan = measure.trial_plan(series, 0)
    run = carry_out(plan, bench(), Log(), Quiet())
    for name, share in shares().items():
        if name in plan.names:
            expected = 1.0 if name in APART else 1 / (1 + share)
            assert run.learned.rates[name] == pytest.approx(plan.rate_per_s * expected, rel=1e-3)
            assert not is_overloaded(run.plan, run.learned, name)


def test_a_series_goes_on_as_it_began(series: measure.Series) -> None:
    first = figures_of(tried(series, 0))
    assert measure.series_of(first, make.APP, SERIES.cpus) == series
    own = replace(series, replicates=None)
    assert {measure.trial_plan(own, number).replicates for number in range(3)} == {4, 8}
    first = replace(first, plan=measure.trial_plan(own, 0))
    assert measure.series_of(first, make.APP, SERIES.cpus) == own


def test_alone_no_user_waits_for_an_instance_that_is_stopped(series: measure.Series) -> None:
    plan = measure.trial_plan(series, 0)
    windows = windows_of(plan, measure.saturation_alone(plan, 0, 1000, 3, 10**9))
    assert [number for number, own in enumerate(windows) if own] == [3]
    assert not windows_of(plan, step_of(plan, NOTHING_LEARNED, 0, 0, Kind.SATURATION, 1))


def test_spans_of_time_alone_are_in_no_account_of_the_next_replicate(
    series: measure.Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated, kinds = bench(), []
    perform = simulated.perform

    def noted(
        plan: Plan, learned: Learned, step: Step, tell: Callable[[int], None]
    ) -> tuple[StepReading, tuple[RequestRow, ...]]:
        kinds.append((step.replicate, step.number >= measure.SEQUENTIAL_STEP, step.kind))
        return perform(plan, learned, step, tell)

    monkeypatch.setattr(simulated, "perform", noted)
    measure.trial(series, 1, simulated, Quiet())
    for replicate in range(3):
        alone = [kind for where, is_alone, kind in kinds if where == replicate and is_alone]
        assert alone[-1] is Kind.SETTLE
        assert alone.count(Kind.LIGHT) == alone.count(Kind.SATURATION) == len(setups(PANELS[1]))


def test_every_setup_is_compared_with_one_that_differs_in_the_burning_alone() -> None:
    for setup in (setup for panel in PANELS for setup in setups(panel)):
        assert (setup.tracing == "none") == (setup.name not in TRACED)
        assert (setup.against == PATCHED) == (setup.name in INSIDE or setup.name in DELAYS)
        assert (setup.against == SAME) == (setup.name.startswith("weight-") and setup.name != SAME)


def test_older_trials_are_compared_with_the_same_setups(series: measure.Series) -> None:
    trial = tried(series, 0)
    bare = tuple(structs.replace(setup, against="") for setup in trial.plan.setups)
    older = replace(trial, plan=replace(trial.plan, setups=bare))
    assert accuracy([figures_of(older)]) == accuracy([figures_of(trial)])


# ---------------------------------------------------------------- intervals


@given(st.integers(1, 200), st.data())
def test_independent_cases_have_the_exact_interval(of: int, data: st.DataObject) -> None:
    from scipy.stats import binomtest

    count = data.draw(st.integers(0, of))
    exact = binomtest(count, of).proportion_ci(0.95, method="exact")
    found = rate(count, of)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=8), min_size=2, max_size=30))
def test_an_interval_of_groups_holds_the_share_and_is_never_narrower_than_that_of_as_many_cases(
    groups: list[list[bool]],
) -> None:
    found = clustered(groups)
    alone = rate(found.count, found.of)
    assert 0 <= found.low <= found.share <= found.high <= 1
    assert found.low <= alone.low + 1e-9
    assert found.high >= alone.high - 1e-9


def test_groups_that_fail_as_a_whole_say_less_than_as_many_single_cases() -> None:
    together = clustered([[True] * 10] * 16 + [[False] * 10] * 4)
    apart = clustered([[True] * 8 + [False] * 2] * 20)
    assert together.share == apart.share
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_intervals_of_groups_cover_what_they_say() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        # Misses come together: a trial has a share of its own around 95 %.
        own = rng.beta(9.5, 0.5, 40)
        groups = [list(rng.random(12) < share) for share in own]
        found = clustered(groups)
        covered += found.low <= 0.95 <= found.high
    assert covered / 400 > 0.92


@pytest.mark.parametrize(
    ("ends", "bounds", "expected"),
    [
        ((0.91, 0.97), (0.90, 0.98), "yes"),
        ((0.88, 0.97), (0.90, 0.98), "not shown"),
        ((0.80, 0.89), (0.90, 0.98), "NO"),
        ((11.0, 14.0), (10.0, math.inf), "yes"),
        ((9.0, 14.0), (10.0, math.inf), "not shown"),
    ],
)
def test_only_an_interval_shows_anything(
    ends: tuple[float, float], bounds: tuple[float, float], expected: str
) -> None:
    assert shown(*ends, *bounds) == expected


def test_runs_of_different_length_are_not_averaged(series: measure.Series) -> None:
    found = accuracy([figures_of(tried(series, number)) for number in (0, 1, 2, 8)])
    assert [(row.figure, row.trials) for row in found.better] == [("light", 2), ("p50", 2)] * 2
    assert len({row.active_s for row in found.better}) == 2


def test_few_trials_do_not_show_how_much_better_slices_are(found: Accuracy) -> None:
    assert {row.trials for row in found.better} == {3}
    for target in targets(found)[-len(found.better) :]:
        assert target.shown == "not shown"
        assert "[not known]" in target.value


def test_one_trial_shows_nothing() -> None:
    assert mean_of([1.0]).high is None
    assert rate(0, 0).high == 1.0
    assert targets(accuracy([]))[0].shown == "not shown"
