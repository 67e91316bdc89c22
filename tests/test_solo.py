"""The solo phase: order of things, cut slices, and what follows from its raw records."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.blocks import latencies_s
from bench.experiment import Outcome, carry_out
from bench.findings import LevelSummary, Severity, SoloSetup, SoloSummary, Summary
from bench.model import Plan, Purpose, Request, Solo
from bench.overhead import summarise
from bench.plan import block_order, level_order, slice_arrivals, slice_length_s
from bench.report import load, markdown, run
from tests import make
from tests.fakes import FakeProgress, FakeRecord, FakeRig

NAMES = ("none", "none-again", "control", "batch")
TIMES = {"none": 0.010, "none-again": 0.010, "batch": 0.020}
SOLO = Solo(
    setups=("none", "none-again", "batch"),
    levels_s=(2.0, 1.0, 1.0),
    closed_s=0.5,
    probes=4,
    probe_s=1.0,
)


def plan(epochs: int = 4, solo: Solo = SOLO) -> Plan:
    return replace(make.plan(NAMES, epochs=epochs), solo=solo)


def carried_out(plan_: Plan, rig: FakeRig | None = None) -> tuple[Outcome, FakeRig, FakeRecord]:
    rig, record = rig or FakeRig(plan_), FakeRecord()
    if rig.service_s == 0.01:
        rig.service_s = TIMES
    return carry_out(plan_, rig, record, FakeProgress()), rig, record


def found(plan_: Plan, rig: FakeRig | None = None) -> Summary:
    return summarise(carried_out(plan_, rig)[0].raw)


def solo_of(summary: Summary) -> SoloSummary:
    assert summary.solo is not None
    return summary.solo


def of(summary: Summary, name: str) -> SoloSetup:
    return next(each for each in solo_of(summary).setups if each.name == name)


def at(summary: Summary, name: str, level: float) -> LevelSummary:
    return next(each for each in of(summary, name).levels if each.level == level)


# ---------------------------------------------------------------- the order of things


def test_one_fleet_runs_at_a_time_and_all_others_are_stopped() -> None:
    _, rig, _ = carried_out(plan(epochs=2))
    awake: set[str] = set()
    rested = False
    for line in rig.log:
        word, _, rest = line.partition(" ")
        if line == "rest":
            rested, awake = True, set()
        elif word == "start":
            rested = False
        elif word == "wake":
            awake.add(rest)
        elif word == "halt":
            awake.remove(rest)
        elif word in {"pre-roll", "level", "probe", "flush"} and rested:
            assert awake == {rest.split()[0]}


def test_a_visit_is_pre_roll_closed_loop_levels_probes_flush() -> None:
    outcome, _, record = carried_out(plan(epochs=2))
    mine = [piece for piece in outcome.slices if piece.epoch == 0 and piece.setup == "batch"]
    assert [piece.purpose for piece in mine] == [
        Purpose.PRE_ROLL,
        Purpose.CLOSED,
        *[Purpose.LEVEL] * 3,
        Purpose.FLUSH,
        *[Purpose.PROBE] * 4,
        Purpose.FLUSH,
    ]
    assert record.slices == outcome.slices
    assert record.solo_requests == outcome.solo_requests


def test_capacity_is_measured_before_the_plan_is_stored() -> None:
    outcome, _, record = carried_out(plan(epochs=2))
    before, after = record.plans
    assert before.solo is not None
    assert before.solo.capacity_per_s == 0
    assert after == outcome.plan
    assert outcome.plan.solo is not None
    assert outcome.plan.solo.capacity_per_s == pytest.approx(100.0)
    assert [piece.epoch for piece in outcome.slices[:2]] == [-1, -1]


def test_every_second_block_is_the_mirror_image_of_the_one_before() -> None:
    plan_ = plan()
    for epoch in (0, 2):
        assert block_order(plan_, SOLO, epoch + 1) == block_order(plan_, SOLO, epoch)[::-1]
        assert level_order(plan_, SOLO, epoch + 1) == level_order(plan_, SOLO, epoch)[::-1]
    orders = {block_order(replace(plan_, seed=seed), SOLO, 0) for seed in range(30)}
    assert len(orders) == 6


def test_a_slice_above_capacity_is_cut_so_that_its_backlog_is_soon_gone() -> None:
    assert slice_length_s(2.0, 90.0, 100.0) == 2.0
    length = slice_length_s(2.0, 100.0, 20.0)
    assert (100.0 / 20.0 - 1) * length == pytest.approx(0.5)
    assert slice_length_s(2.0, 100.0, 0.0) == 0.0


def test_a_slices_arrivals_follow_from_the_seed_and_come_at_its_rate() -> None:
    sent = slice_arrivals(plan(), 1, 7, "batch", rate_per_s=50.0, length_s=2.0)
    assert sent == slice_arrivals(plan(), 1, 7, "batch", rate_per_s=50.0, length_s=2.0)
    assert sent != slice_arrivals(plan(), 1, 8, "batch", rate_per_s=50.0, length_s=2.0)
    assert len(sent) == 100
    assert [arrival.offset_ns * 50 // 10**9 for arrival in sent] == list(range(100))


def test_a_run_of_the_solo_phase_alone_has_its_figures_and_is_valid() -> None:
    summary = found(replace(plan(), windows=0, spare=0))
    assert summary.valid, summary.caveats
    assert solo_of(summary).blocks == 4
    assert "## CPU per checkout" not in markdown.render(run.report(summary))
    assert "4 of 4 blocks of the solo phase" in markdown.render(run.report(summary))


# ---------------------------------------------------------------- what follows


def test_capacity_and_its_change_are_found() -> None:
    summary = found(plan())
    assert of(summary, "none").capacity.per_s == pytest.approx(100.0)
    assert of(summary, "none").capacity.change is None
    batch = of(summary, "batch").capacity
    assert batch.per_s == pytest.approx(50.0)
    assert batch.change is not None
    assert batch.change.ratio == pytest.approx(-0.5)


def test_the_highest_rate_under_the_limit_is_found() -> None:
    summary = found(plan())
    # A queue with one server and regular arrivals holds nearly all that it can do.
    assert of(summary, "none").under_limit.per_s == pytest.approx(100.0, rel=0.08)
    assert of(summary, "batch").under_limit.per_s == pytest.approx(50.0, rel=0.08)


def test_a_saturated_setup_is_called_so_and_has_no_percentiles() -> None:
    summary = found(plan())
    assert not at(summary, "batch", 0.3).saturated
    for level in (0.6, 0.9):
        assert at(summary, "batch", level).saturated
        assert at(summary, "batch", level).percentiles == ()
    assert at(summary, "batch", 0.9).achieved_per_s == pytest.approx(50.0, rel=0.1)
    assert not at(summary, "none", 0.9).saturated
    rows = load.level_table(solo_of(summary), 2).rows
    batch = next(row for row in rows if row[0] == "batch")
    assert batch[3] == "saturated"
    assert set(batch[3:]) == {"saturated", "-"}


def test_percentiles_are_shown_only_where_there_are_samples() -> None:
    summary = found(plan())
    level = at(summary, "batch", 0.3)
    assert level.arrivals == 240
    assert [each.value_s is not None for each in level.percentiles] == [True, True, False, False]
    assert "p99 needs 2,000" in load.too_few(solo_of(summary), 0)


def test_latency_and_its_change_against_both_fleets_of_the_baseline() -> None:
    median = at(found(plan()), "batch", 0.3).percentiles[0]
    assert median.value_s == pytest.approx(0.020, rel=0.02)
    assert median.base_s == pytest.approx(0.010, rel=0.02)
    assert median.change is not None
    assert median.change.ratio == pytest.approx(1.0, rel=0.05)
    assert median.change.low <= median.change.ratio <= median.change.high


def test_nothing_is_set_against_a_baseline_that_is_saturated() -> None:
    plan_ = plan()
    rig = FakeRig(plan_)
    rig.service_s = {"none": 0.010, "none-again": 0.013, "batch": 0.010}
    summary = found(plan_, rig)
    assert at(summary, "none-again", 0.9).saturated
    batch = at(summary, "batch", 0.9)
    assert not batch.saturated
    assert batch.percentiles[0].value_s is not None
    assert batch.percentiles[0].change is None
    assert at(summary, "batch", 0.3).percentiles[0].change is not None


def test_the_twin_is_against_the_baseline_alone() -> None:
    twin = at(found(plan()), "none-again", 0.3).percentiles[0]
    assert twin.change is not None
    assert abs(twin.change.ratio) < 0.02


def test_a_slice_whose_load_worker_died_does_not_count() -> None:
    rig = FakeRig(plan())
    rig.lost_workers = 1
    summary = found(plan(), rig)
    assert solo_of(summary).blocks == 0
    assert "solo-blocks" in {caveat.code for caveat in summary.caveats}
    assert "solo-worker" in {caveat.code for caveat in summary.caveats}


def test_a_ledger_that_does_not_balance_forbids_the_figures_of_the_solo_phase_alone() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    emptied = tuple(
        replace(piece, reading=replace(piece.reading, account=make.whole(make.setup("batch"), 1)))
        if piece.purpose is Purpose.FLUSH and piece.setup == "batch"
        else piece
        for piece in raw.slices
    )
    summary = summarise(replace(raw, slices=emptied))
    assert not summary.valid
    assert of(summary, "batch").invalid == "solo-ledger"
    assert of(summary, "none-again").invalid is None
    assert next(each for each in summary.setups if each.name == "batch").verdict.startswith("overhead")
    assert {caveat.code for caveat in summary.caveats if caveat.severity is Severity.INVALID} == {
        "solo-ledger"
    }


def test_what_was_not_sent_counts_as_the_whole_timeout() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    dropped = tuple(
        replace(row, status=-1, done_ns=row.planned_ns) if row.setup == "none" else row
        for row in raw.solo_requests
    )
    summary = summarise(replace(raw, solo_requests=dropped))
    assert at(summary, "none", 0.3).dropped == 240
    assert at(summary, "none", 0.3).saturated


@pytest.mark.parametrize("status", [500, 0, -1, -2])
def test_what_failed_has_waited_for_the_whole_timeout_at_least(status: int) -> None:
    fast = make.row(0, 5_000_000, status)
    slow = make.row(0, 12_000_000_000, status)
    assert list(latencies_s([fast, slow], 10.0)) == [10.0, 12.0]
    assert list(latencies_s([make.row(0, 5_000_000)], 10.0)) == [0.005]


def test_a_visit_in_which_a_load_worker_died_has_no_account() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    broken = tuple(
        replace(
            piece,
            lost_workers=int(piece.purpose is Purpose.LEVEL and piece.level == 0.3),
            reading=replace(piece.reading, account=make.whole(make.setup("batch"), 1))
            if piece.purpose is Purpose.FLUSH
            else piece.reading,
        )
        if piece.setup == "batch" and piece.epoch == 1
        else piece
        for piece in raw.slices
    )
    summary = summarise(replace(raw, slices=broken))
    assert of(summary, "batch").ledger.balanced
    assert solo_of(summary).blocks == 3


def test_dappers_table_is_there_for_its_setups_only() -> None:
    assert load.dapper_table(solo_of(found(plan()))) is None
    names = ("none", "none-again", "control", "dapper-1", "dapper-16")
    solo = replace(SOLO, setups=("none", "none-again", "dapper-1", "dapper-16"))
    plan_ = replace(make.plan(names, epochs=4), solo=solo)
    rig = FakeRig(plan_)
    rig.service_s = {"none": 0.01, "none-again": 0.01, "dapper-1": 0.02, "dapper-16": 0.012}
    table = load.dapper_table(solo_of(found(plan_, rig)))
    assert table is not None
    assert [row[0] for row in table.rows] == ["1/1", "1/16"]
    assert table.rows[0][3].startswith("−50.0")


def test_block_bootstrap_intervals_cover() -> None:
    from bench.stats import quantile_contrast, t_quantile

    rng = np.random.default_rng(5)
    for q, least in ((0.5, 0.92), (0.9, 0.86)):
        hits, runs = 0, 80
        for _ in range(runs):
            drift = rng.normal(0, 0.1, 5)
            mine = [np.exp(rng.normal(d + rng.normal(0, 0.05) + 0.3, 0.2, 100)) for d in drift]
            base = [np.exp(rng.normal(d + rng.normal(0, 0.05), 0.2, 200)) for d in drift]
            contrast = quantile_contrast(mine, base, q, 1)
            assert contrast is not None
            center, error, df = contrast
            hits += abs(center - 0.3) <= t_quantile(0.975, df) * error
        assert least <= hits / runs <= 0.995, q


def test_a_bootstrap_needs_two_blocks_and_a_tail() -> None:
    from bench.stats import quantile_contrast

    block = np.arange(1.0, 101.0)
    assert quantile_contrast([block], [block], 0.5, 1) is None
    assert quantile_contrast([block, block], [block, block], 0.99, 1) is None
    same = quantile_contrast([block, block], [block, block], 0.5, 1)
    assert same == (0.0, 0.0, 1.0)


def raw_with(change: Callable[[Request], Request]) -> Summary:
    outcome, _, _ = carried_out(plan())
    return summarise(replace(outcome.raw, solo_requests=tuple(map(change, outcome.raw.solo_requests))))


def test_a_fleet_that_fails_is_invalid_and_does_not_pass_for_saturated() -> None:
    summary = raw_with(lambda row: replace(row, status=500) if row.setup == "batch" else row)
    assert of(summary, "batch").invalid == "solo-errors"
    assert of(summary, "none-again").invalid is None


def test_rows_that_are_missing_take_their_blocks_with_them() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    summary = summarise(replace(raw, solo_requests=raw.solo_requests[: len(raw.solo_requests) // 2]))
    assert solo_of(summary).blocks < 3
    assert "solo-blocks" in {caveat.code for caveat in summary.caveats}


def test_a_twin_that_differs_is_told() -> None:
    rig = FakeRig(plan())
    rig.service_s = {"none": 0.010, "none-again": 0.0115, "batch": 0.02}
    summary = found(plan(), rig)
    told = next(caveat for caveat in summary.caveats if caveat.code == "solo-twin")
    assert "throughput at saturation" in told.message


def test_a_single_spoiled_visit_is_told_although_the_mean_is_fine() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    slices = tuple(
        replace(piece, machine=make.machine(steal_s=0.1 * piece.duration_s))
        if piece.setup == "batch" and piece.epoch == 2
        else piece
        for piece in raw.slices
    )
    told = next(c for c in summarise(replace(raw, slices=slices)).caveats if c.code == "solo-steal-visit")
    assert "batch in block 3 (10.0%)" in told.message


def test_a_baseline_that_has_become_faster_is_told() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    assert raw.plan.solo is not None
    faster = replace(raw.plan, solo=replace(raw.plan.solo, capacity_per_s=80.0))
    assert "solo-capacity" in {caveat.code for caveat in summarise(replace(raw, plan=faster)).caveats}


def test_a_visit_that_was_cut_short_has_no_account_and_loses_nothing() -> None:
    outcome, _, _ = carried_out(plan())
    raw = outcome.raw
    summary = summarise(replace(raw, slices=raw.slices[:-1]))
    assert "solo-ledger" not in {caveat.code for caveat in summary.caveats}
    assert solo_of(summary).blocks == 3
