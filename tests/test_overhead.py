"""From windows to figures, verdicts and caveats."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from bench.cells import cpu_cells, is_spoiled
from bench.findings import Caveat, SetupSummary, Severity, Summary
from bench.model import Account, Ending, Kind, MachineReading, Plan, Request, Window
from bench.overhead import summarise
from tests import make

COSTS = {"none": 0.010, "none-again": 0.010, "control": 0.0106, "batch": 0.015}


def windows(
    plan: Plan, costs: Mapping[str, float] = COSTS, *, noise: float = 0.004, seed: int = 3
) -> list[Window]:
    """A whole run with a little noise between windows."""
    rng = np.random.default_rng(seed)
    return [
        make.work(
            plan, {name: cost * math.exp(rng.normal(0, noise)) for name, cost in costs.items()}, epoch, window
        )
        for epoch in range(plan.epochs)
        for window in range(plan.windows)
    ]


def requests(plan: Plan, count: int = 60) -> list[Request]:
    return [make.request(setup.name) for setup in plan.setups for _ in range(count)]


def run(plan: Plan, read: list[Window], rows: list[Request] | None = None) -> Summary:
    return summarise(make.raw(plan, read, requests(plan) if rows is None else rows))


def of(summary: Summary, name: str) -> SetupSummary:
    return next(setup for setup in summary.setups if setup.name == name)


def codes(summary: Summary, severity: Severity | None = None) -> set[str]:
    return {caveat.code for caveat in summary.caveats if severity in {None, caveat.severity}}


def caveat(summary: Summary, code: str) -> Caveat:
    return next(each for each in summary.caveats if each.code == code)


def test_an_exact_overhead_is_found_exactly() -> None:
    plan = make.plan()
    summary = run(plan, windows(plan, noise=0.0))
    overhead = of(summary, "batch").overhead
    assert overhead is not None
    assert overhead.ratio == pytest.approx(0.5)
    assert overhead.cpu_s == pytest.approx(0.005)
    assert overhead.cpu_per_span_s == pytest.approx(0.005 / 22)
    assert of(summary, "none").cpu_per_checkout_s == pytest.approx(0.010)


def test_setups_are_compared_with_the_next_cheaper_one_window_by_window() -> None:
    plan = make.plan(("none", "none-again", "batch-lean", "batch"), epochs=4)
    costs = {"none": 0.010, "none-again": 0.010, "batch-lean": 0.012, "batch": 0.015}
    found = run(plan, windows(plan, costs, noise=0.0)).pairs
    assert [(pair.setup, pair.against) for pair in found] == [("batch", "batch-lean")]
    assert found[0].ratio == pytest.approx(0.25)
    assert found[0].cpu_s == pytest.approx(0.003)
    assert found[0].low == pytest.approx(0.25)


def test_a_healthy_run_is_valid_and_its_words_are_the_methods() -> None:
    plan = make.plan(epochs=6)
    summary = run(plan, windows(plan))
    assert summary.valid
    assert of(summary, "none").verdict == "baseline"
    assert of(summary, "none-again").verdict == "no overhead beyond 2 %"
    assert of(summary, "batch").verdict.startswith("overhead +")
    assert summary.noise_floor is not None
    assert 0 < summary.noise_floor < 0.02


def test_a_noisy_run_is_inconclusive_and_says_what_it_would_have_found() -> None:
    plan = make.plan(("none", "none-again", "control"), epochs=3)
    summary = run(
        plan, windows(plan, {name: COSTS[name] for name in ("none", "none-again", "control")}, noise=0.05)
    )
    assert of(summary, "none-again").verdict.startswith("inconclusive (MDE ")


def test_idle_burn_and_empty_flushes_are_taken_off() -> None:
    plan = make.plan()
    read = [
        # 0.002 s of CPU in 1 s of quiet: 2 ms/s; an empty flush costs 4 ms.
        make.quiet(plan, Kind.IDLE, 0, cpu_s=0.002),
        make.quiet(plan, Kind.FLUSH, 0, cpu_s=0.003),
        make.quiet(plan, Kind.FLUSH, 0, cpu_s=0.005),
        make.work(plan, COSTS, 0, 0),
    ]
    cell = cpu_cells(read, read[-1:])[0][0]
    # 10 checkouts in 4 s: (0.100 - 4 * 0.002 - 0.004) / 10.
    assert cell["none"] == pytest.approx(0.0088)


def test_warm_up_counts_for_nothing() -> None:
    plan = make.plan()
    warm = replace(make.work(plan, dict.fromkeys(COSTS, 9.0), 0, -1), kind=Kind.WARM_UP)
    assert run(plan, [warm]).epochs == 0


def test_a_known_cost_that_was_not_found_invalidates_everything() -> None:
    plan = make.plan(epochs=6)
    summary = run(plan, windows(plan, {**COSTS, "control": 0.0112}))
    assert not summary.valid
    assert caveat(summary, "control").severity is Severity.INVALID
    assert of(summary, "batch").verdict == "invalid (control)"


def test_twins_that_differ_widen_the_claims_or_invalidate_the_run() -> None:
    plan = make.plan(epochs=6)
    slightly = run(plan, windows(plan, {**COSTS, "none-again": 0.0101}))
    assert caveat(slightly, "twin").severity is Severity.CAVEAT
    healthy = of(run(plan, windows(plan)), "batch").overhead
    widened = of(slightly, "batch").overhead
    assert healthy is not None
    assert widened is not None
    assert widened.claim_high - widened.claim_low > healthy.claim_high - healthy.claim_low
    badly = run(plan, windows(plan, {**COSTS, "none-again": 0.0105}))
    assert caveat(badly, "twin").severity is Severity.INVALID


def lose(read: list[Window], name: str, account: Account) -> list[Window]:
    """The same windows, but in the first one a set-up's account is another."""
    first = read[0]
    fleets = tuple(
        replace(fleet, account=account) if fleet.setup == name else fleet for fleet in first.fleets
    )
    return [replace(first, fleets=fleets), *read[1:]]


def test_a_lossy_setup_is_invalid_and_not_cheap() -> None:
    plan = make.plan(epochs=6)
    read = lose(windows(plan), "batch", make.whole(plan.setups[3], 9))
    summary = run(plan, read)
    batch = of(summary, "batch")
    assert batch.verdict == "invalid (ledger)"
    assert batch.ledger.lost == 22
    assert batch.overhead is not None
    assert batch.overhead.cpu_per_span_s is None
    assert not summary.valid
    assert of(summary, "control").verdict.startswith("overhead")


def test_a_window_that_does_not_balance_is_found_even_if_another_makes_up_for_it() -> None:
    plan = make.plan(epochs=6)
    read = lose(windows(plan), "batch", make.whole(plan.setups[3], 9))
    last = lose(list(reversed(read)), "batch", make.whole(plan.setups[3], 11))
    summary = run(plan, list(reversed(last)))
    assert of(summary, "batch").ledger.balanced
    assert "in window 0 of epoch 0" in caveat(summary, "ledger").message


def test_a_baseline_that_exports_is_invalid() -> None:
    plan = make.plan(epochs=6)
    summary = run(plan, lose(windows(plan), "none", Account(spans={"frontend-app": 1}, broken=1)))
    assert of(summary, "none").verdict == "invalid (ledger)"
    assert of(summary, "batch").verdict == "invalid (ledger)"


def test_a_twin_that_exports_invalidates_what_rests_on_it() -> None:
    plan = make.plan(epochs=6)
    summary = run(plan, lose(windows(plan), "none-again", Account(spans={"frontend-app": 1}, broken=1)))
    assert of(summary, "batch").verdict == "invalid (ledger)"


def test_a_run_that_could_not_see_the_control_says_so() -> None:
    plan = make.plan(epochs=3)
    assert "control-weak" in codes(run(plan, windows(plan, noise=0.05)))


def test_a_ratio_that_may_sample_nothing_says_that_a_loss_would_not_be_seen() -> None:
    plan = make.plan(("none", "none-again", "control", "ratio-1"), epochs=6)
    costs = {"none": 0.010, "none-again": 0.010, "control": 0.0106, "ratio-1": 0.012}
    assert caveat(run(plan, windows(plan, costs)), "ledger-blind").setup == "ratio-1"


def test_one_epoch_is_not_enough_for_a_verdict() -> None:
    plan = make.plan(epochs=1, windows=6)
    assert caveat(run(plan, windows(plan)), "one-epoch").severity is Severity.INVALID


def test_strays_at_the_sink_invalidate_the_run() -> None:
    plan = make.plan(epochs=6)
    first, *rest = windows(plan)
    assert "stray" in codes(run(plan, [replace(first, stray=Account(exports=1)), *rest]), Severity.INVALID)


@pytest.mark.parametrize(
    ("rows", "code", "severity"),
    [
        ([make.request(lag_s=0.0003)] * 3000, None, None),
        ([make.request(lag_s=0.0003)] * 2900 + [make.request(lag_s=0.003)] * 100, "lag", Severity.CAVEAT),
        ([make.request(lag_s=0.0025)] * 3000, "lag", Severity.INVALID),
        ([make.request()] * 3000 + [make.request(status=-1)], "dropped", Severity.CAVEAT),
        ([make.request()] * 3000 + [make.request(status=-1)] * 10, "dropped", Severity.INVALID),
    ],
)
def test_the_generators_health_is_judged(
    rows: list[Request], code: str | None, severity: Severity | None
) -> None:
    plan = make.plan(epochs=6)
    summary = run(plan, windows(plan), rows)
    if code is None:
        assert summary.valid
    else:
        assert caveat(summary, code).severity is severity


@pytest.mark.parametrize(
    ("machine", "code", "severity"),
    [
        (make.machine(steal_s=0.2), "steal", Severity.CAVEAT),
        (make.machine(steal_s=0.5), "steal", Severity.INVALID),
        (make.machine(foreign_s=0.4), "foreign", Severity.CAVEAT),
        (make.machine(foreign_s=1.2), "foreign", Severity.INVALID),
        (make.machine(load_s=3.5), "generator-busy", Severity.INVALID),
    ],
)
def test_the_machine_is_judged(machine: MachineReading, code: str, severity: Severity) -> None:
    plan = make.plan(epochs=6)
    read = [replace(window, machine=machine) for window in windows(plan)]
    assert caveat(run(plan, read), code).severity is severity


def test_failed_checkouts_are_a_caveat_and_too_many_invalid() -> None:
    plan = make.plan(epochs=6)

    def with_failures(failed: int, completed: int) -> Summary:
        first, *rest = [
            make.work(plan, COSTS, epoch, window, completed=completed)
            for epoch in range(6)
            for window in range(2)
        ]
        fleets = tuple(
            replace(fleet, failed=failed) if fleet.setup == "batch" else fleet for fleet in first.fleets
        )
        return run(plan, [replace(first, fleets=fleets), *rest])

    assert caveat(with_failures(1, 200), "errors").severity is Severity.CAVEAT
    assert caveat(with_failures(1, 20), "errors").severity is Severity.INVALID


def test_a_drift_inside_epochs_is_found() -> None:
    plan = make.plan(epochs=5, windows=4)
    rng = np.random.default_rng(5)
    read = [
        make.work(
            plan,
            {**COSTS, "batch": 0.015 * (1 + 0.03 * window) * math.exp(rng.normal(0, 0.002))},
            epoch,
            window,
        )
        for epoch in range(5)
        for window in range(4)
    ]
    found = caveat(run(plan, read), "trend")
    assert found.setup == "batch"
    assert found.severity is Severity.INVALID


def test_an_interrupted_run_says_so_and_keeps_its_figures() -> None:
    plan = make.plan(epochs=6)
    summary = summarise(make.raw(plan, windows(plan)[:7], requests(plan), Ending(complete=False)))
    assert not summary.complete
    assert "interrupted" in codes(summary)
    assert of(summary, "batch").verdict.startswith("overhead")


def test_a_failure_invalidates_the_run() -> None:
    plan = make.plan(epochs=6)
    ending = Ending(complete=False, failure="a service died")
    summary = summarise(make.raw(plan, windows(plan)[:7], requests(plan), ending))
    assert not summary.valid
    assert "a service died" in caveat(summary, "failure").message


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_without_windows_has_no_figures_and_is_invalid(count: int) -> None:
    plan = make.plan()
    summary = summarise(make.raw(plan, windows(plan)[:count], [], Ending(complete=False)))
    assert not summary.valid
    assert "too-short" in codes(summary, Severity.INVALID)
    assert of(summary, "batch").overhead is None


def test_memory_is_the_sum_of_the_services() -> None:
    plan = make.plan()
    assert of(run(plan, windows(plan)), "none").memory_bytes.pss == 4 * 10**7


def test_without_twin_and_control_the_report_says_what_is_not_known() -> None:
    plan = make.plan(("none", "batch"), epochs=6)
    summary = run(plan, windows(plan, {name: COSTS[name] for name in ("none", "batch")}))
    assert {"no-twin", "no-control"} <= codes(summary)
    assert summary.noise_floor is None


def stolen(window: Window, steal_s: float) -> Window:
    return replace(window, machine=make.machine(steal_s=steal_s))


def test_windows_that_the_host_disturbed_are_set_aside_whatever_they_say() -> None:
    plan = make.plan(epochs=4)
    read = [
        window
        for epoch in range(4)
        for window in (
            make.work(plan, COSTS, epoch, 0),
            stolen(make.work(plan, {**COSTS, "batch": 0.090}, epoch, 1), 2.0),
            make.work(plan, COSTS, epoch, 2),
        )
    ]
    assert [is_spoiled(window) for window in read[:3]] == [False, True, False]
    summary = run(plan, read)
    assert summary.load.set_aside == 4
    assert summary.load.steal == 0.0
    overhead = of(summary, "batch").overhead
    assert overhead is not None
    assert overhead.ratio == pytest.approx(0.5)
    assert of(summary, "batch").ledger.checkouts == 120


def test_disturbed_windows_count_where_there_are_no_better_ones() -> None:
    plan = make.plan(epochs=4)
    read = [stolen(window, 1.0) for window in windows(plan)]
    summary = run(plan, read)
    assert summary.load.set_aside == 0
    assert caveat(summary, "steal").severity is Severity.INVALID


def test_a_window_without_a_figure_is_not_left_out_in_silence() -> None:
    plan = make.plan(epochs=4)
    read = windows(plan)
    still = replace(read[2], fleets=tuple(replace(each, cpu_ns={}) for each in read[2].fleets))
    for spoiled in ([*read[:2], still, *read[3:]], read[:-2]):
        summary = run(plan, spoiled)
        assert "windows" in codes(summary, Severity.INVALID)
        assert not summary.valid
    assert (
        "1 of 8 windows have no figure" in caveat(run(plan, [*read[:2], still, *read[3:]]), "windows").message
    )
