"""The harness's data sheet, from trials whose truth is known twice over."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.calibration import (
    SHARES,
    Calibration,
    Trial,
    _smallest,
    calibration,
    name_of,
    rate,
    setups,
    targets,
)
from bench.model import BASELINE, TWIN, Kind, Plan, Window
from bench.report import calibration as sheet
from bench.report import html, markdown
from tests import make

BASE_S = 0.008


def plan() -> Plan:
    return replace(make.plan(epochs=4, windows=2), setups=setups(BASE_S))


def trial(
    rng: np.random.Generator, *, noise: float = 0.008, drift: float = 0.05, blind: bool = False
) -> Trial:
    """A trial of a machine that gets slower and faster; `blind` to every weight."""
    made = plan()
    added = {
        setup.name: 0.0 if blind else float(setup.env.get("BENCH_CONTROL_CPU_US", "0")) * 1e-6
        for setup in made.setups
    }

    # Processes differ, too: a little from epoch to epoch.
    process = {(epoch, name): noise * float(rng.standard_normal()) for epoch in range(4) for name in added}

    def window(epoch: int, number: int, names: list[str]) -> Window:
        """The machine's speed is in what a checkout costs, and not in CPU that is burnt by the clock."""
        speed = math.exp(drift * float(rng.standard_normal()))
        costs = {
            name: BASE_S * speed * math.exp(noise * float(rng.standard_normal()) + process[epoch, name])
            + added[name]
            for name in names
        }
        return make.work(made, dict.fromkeys(added, BASE_S) | costs, epoch, number, completed=100)

    alone = []
    for number, name in enumerate(added):
        whole = window(3, 1000 + number, [name])
        fleets = tuple(
            fleet if fleet.setup == name else make.fleet(fleet.setup, 0.0, completed=0)
            for fleet in whole.fleets
        )
        alone.append(
            Window(
                epoch=3,
                window=1000 + number,
                kind=Kind.WARM_UP,
                duration_s=8.0,
                fleets=fleets,
                machine=make.machine(),
            )
        )
    rotation = [window(epoch, number, list(added)) for epoch in range(4) for number in range(2)]
    return Trial(plan=made, windows=tuple(rotation), sequential=tuple(alone))


def found(count: int = 40, **options: object) -> Calibration:
    rng = np.random.default_rng(5)
    return calibration([trial(rng, **options) for _ in range(count)])  # type: ignore[arg-type]


GOOD = found()


def test_a_good_scale_reaches_what_is_asked() -> None:
    assert [target.what for target in targets(GOOD) if not target.reached] == []
    assert GOOD.false_verdicts.trials == 80
    assert GOOD.trials == 40


def test_weights_are_recovered_without_bias() -> None:
    for weight, share in zip(GOOD.weights, SHARES, strict=True):
        assert weight.added_s == pytest.approx(share * BASE_S, abs=1e-6)
        # Over forty trials of eight windows with noise of 1 %; one per cent of itself besides, because
        # a mean of ratios is no ratio of means where the machine's speed changes.
        tolerance = 4 * 0.01 * BASE_S * math.sqrt(1.5 / (40 * 4)) + 0.01 * weight.added_s
        assert weight.found_s == pytest.approx(weight.added_s, abs=tolerance)
    assert GOOD.weights[0].detected.count == sum(
        weighing.claimed for weighing in GOOD.weighings if weighing.share == 0.0
    )


def test_what_is_claimed_is_outside_of_the_wider_interval_that_claims_rest_on() -> None:
    noisy = found(noise=0.025).weighings
    assert all(not each.low <= 0.0 <= each.high for each in noisy if each.claimed)
    assert any(not each.low <= 0.0 <= each.high for each in noisy if not each.claimed)


def test_one_after_the_other_has_the_same_baseline_of_two_fleets() -> None:
    one = trial(np.random.default_rng(2))
    alone = {
        fleet.setup: sum(fleet.cpu_ns.values()) / fleet.completed
        for window in one.sequential
        for fleet in window.fleets
        if fleet.completed
    }
    for weighing in calibration([one]).weighings:
        base = math.sqrt(alone[BASELINE] * alone[TWIN])
        assert weighing.sequential == pytest.approx(math.log(alone[name_of(weighing.share)] / base))


def test_a_few_comparisons_reach_nothing() -> None:
    assert not targets(found(10))[0].reached


def test_the_smallest_cost_is_where_eight_of_ten_are_found() -> None:
    weights = [
        replace(weight, detected=rate(often, 10))
        for weight, often in zip(GOOD.weights, (0, 2, 4, 8, 10), strict=True)
    ]
    assert _smallest(weights) == pytest.approx(0.05)


def test_the_same_drift_ruins_one_after_the_other_and_not_the_rotation() -> None:
    assert GOOD.times is not None
    assert GOOD.sequential_error is not None
    assert GOOD.sequential_error == pytest.approx(0.05 * math.sqrt(1.5), rel=0.3)
    assert GOOD.times[1] < GOOD.times[0] < GOOD.times[2]
    assert GOOD.times[0] > 5


def test_a_blind_scale_is_found_out() -> None:
    blind = found(blind=True)
    reached = {target.what: target.reached for target in targets(blind)}
    assert not reached["95 % intervals cover the truth in 90 to 99 %"]
    assert not any(reached[what] for what in reached if what.startswith("a cost of 5 %"))
    assert blind.smallest is None


def test_the_smallest_cost_lies_between_weights_that_are_and_are_not_found() -> None:
    noisy = found(noise=0.025)
    detected = {weight.share: weight.detected.share for weight in noisy.weights}
    assert noisy.smallest is not None
    above = [share for share, often in detected.items() if often >= 0.8]
    assert max(share for share in SHARES if share < min(above)) <= noisy.smallest <= min(above)
    assert noisy.mde == pytest.approx(noisy.smallest, rel=0.6), "what runs say of themselves is true"


@given(st.integers(0, 100), st.integers(1, 100))
def test_a_rate_lies_in_its_interval(count: int, more: int) -> None:
    one = rate(min(count, count + more), count + more)
    assert 0.0 <= one.low <= one.share <= one.high <= 1.0


def test_nothing_weighed_is_nothing_claimed() -> None:
    empty = calibration([])
    assert empty.false_verdicts.trials == 0
    assert not any(target.reached for target in targets(empty))


def test_the_sheet_shows_every_weight_and_every_target() -> None:
    text = markdown.render(sheet.report(GOOD))
    assert text.count("| yes") == 4
    assert len(sheet.weight_table(GOOD).rows) == len(SHARES)
    assert "one after the other" in " ".join(sheet.lines(GOOD))


def test_the_chart_has_a_point_for_every_weighing_and_becomes_svg() -> None:
    drawn = html.picture(sheet.chart(GOOD))
    assert drawn.startswith("<svg")
    assert "http://" not in drawn.replace("http://www.w3.org", "")


def test_weights_follow_from_the_baseline() -> None:
    made = setups(0.01)
    assert [setup.name for setup in made[:2]] == [BASELINE, TWIN]
    assert {setup.name: setup.env["BENCH_CONTROL_CPU_US"] for setup in made[2:]} == {
        name_of(share): str(round(share * 10_000)) for share in SHARES
    }
