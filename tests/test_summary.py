"""From simulated runs to figures, verdicts and caveats, through the real runner and schedule."""

import re
from dataclasses import replace

import msgspec
import pytest

from bench.analysis import cost_model
from bench.analysis.claims import Severity, VerdictKind
from bench.analysis.figures import Figure
from bench.analysis.records import Summary, Throughput
from bench.analysis.summary import summarise
from bench.app.records import Setup
from bench.plan.machine import Machine
from bench.plan.readings import Account, Raw
from bench.plan.records import Kind, Step
from bench.report import markdown
from bench.report.contrasts import BATCHING, batching, batching_line, compared
from bench.report.run import report
from bench.runner.run import Run
from tests import make
from tests.make import COSTS, SimulatedPerformer

QUEUE = dict.fromkeys(BATCHING, "512")
ALL = ("none", "none-aa", "injected", "disabled", "always-off", "ratio-10", "batch", "simple")


def summary(bench: SimulatedPerformer | None = None, **changes: object) -> Summary:
    plan = make.plan(ALL, **changes)  # type: ignore[arg-type]
    return summarise(make.raw(plan, bench or SimulatedPerformer(noise=0.002)))


@pytest.fixture(scope="module")
def calm() -> Summary:
    return summary()


def test_a_calm_run_is_valid(calm: Summary) -> None:
    assert calm.valid, [caveat.message for caveat in calm.caveats]
    assert calm.complete
    assert calm.replicates == 3
    assert calm.app.request == "order"


@pytest.mark.parametrize("load", ["light", "saturation"])
@pytest.mark.parametrize("name", ["always-off", "batch", "simple"])
def test_costs_are_found(calm: Summary, name: str, load: str) -> None:
    setup = calm.setup(name)
    assert setup
    cost = getattr(setup, load)
    true = COSTS[name] / COSTS["none"] - 1
    assert cost.change
    assert cost.change.ratio == pytest.approx(true, rel=0.06)
    assert cost.change.low <= cost.change.ratio <= cost.change.high
    assert cost.added_low_s <= cost.added_s <= cost.added_high_s
    assert cost.added_s == pytest.approx(COSTS[name] - COSTS["none"], rel=0.06)


def test_throughput_is_what_cpu_allows(calm: Summary) -> None:
    batch = calm.setup("batch")
    assert batch
    assert batch.throughput
    assert batch.throughput.per_s == pytest.approx(1 / COSTS["batch"], rel=0.05)
    assert batch.throughput.change
    assert batch.throughput.change.ratio == pytest.approx(10 / 16 - 1, abs=0.03)
    assert not batch.throughput.derived


def test_latency_counts_in_active_time(calm: Summary) -> None:
    base, slow = calm.setup("none"), calm.setup("always-off")
    assert base
    assert slow
    assert base.latency
    assert slow.latency
    assert base.latency.p50_s == pytest.approx(COSTS["none"], rel=0.1)
    assert slow.latency.changes["p50"].ratio == pytest.approx(0.3, abs=0.08)
    assert base.latency.p99_s is None


def test_a_setup_that_cannot_hold_the_rate_has_no_percentiles(calm: Summary) -> None:
    simple = calm.setup("simple")
    assert simple
    assert simple.latency
    assert simple.latency.overloaded
    assert simple.latency.p50_s is None
    assert simple.light
    assert simple.light.rate_per_s == pytest.approx(0.5 / COSTS["simple"], rel=0.15)


def test_every_verdict_carries_the_numbers_of_its_kind(calm: Summary) -> None:
    verdicts = {setup.name: setup.verdict for setup in calm.setups}
    assert verdicts["none"].kind is VerdictKind.BASELINE
    different = verdicts["simple"]
    assert different.kind is VerdictKind.DIFFERENT
    assert different.low is not None
    assert different.high is not None
    assert different.low < (different.ratio or 0.0) < different.high
    equivalent = verdicts["none-aa"]
    assert (equivalent.kind, equivalent.bound) == (VerdictKind.EQUIVALENT, calm.plan.delta)


def test_the_checks_find_the_aa_setup_equal_and_the_injected_cost(calm: Summary) -> None:
    assert calm.checks.aa
    assert calm.checks.aa.light
    assert abs(calm.checks.aa.light.ratio) < 0.02
    assert calm.checks.injected
    assert calm.checks.injected.light
    assert calm.checks.injected.light.measured_s == pytest.approx(600e-6, abs=250e-6)
    assert calm.checks.noise_floor is not None


def test_checks_do_not_widen_the_family(calm: Summary) -> None:
    without = summary(SimulatedPerformer(noise=0.002))
    batch, again = calm.setup("batch"), without.setup("batch")
    assert batch
    assert again
    # Five setups under test; the A/A setup and the injected cost claim nothing.
    assert batch.light
    assert batch.light.claim_low == again.light.claim_low if again.light else False


def test_fixed_cost_remains_with_nothing_sampled(calm: Summary) -> None:
    assert calm.fixed_cost.off == pytest.approx(0.5, abs=0.05)
    assert calm.fixed_cost.disabled == pytest.approx(1 / 6, abs=0.05)


def test_levels_and_changes_belong_together(calm: Summary) -> None:
    base, batch, again = (calm.setup(name) for name in ("none", "batch", "none-aa"))
    assert base
    assert batch
    assert again
    assert base.light
    assert batch.light
    assert batch.light.change
    assert again.light
    mean = (base.light.cpu_per_request_s or 0) * (again.light.cpu_per_request_s or 0)
    assert batch.light.cpu_per_request_s / mean**0.5 - 1 == pytest.approx(batch.light.change.ratio)


def test_rest_and_start_are_summarised(calm: Summary) -> None:
    setup = calm.setup("batch")
    assert setup
    assert setup.rest
    assert setup.rest.pss_bytes == 10**8
    assert setup.start
    assert setup.start.ready_s == 1.0


def codes(found: Summary, severity: Severity = Severity.INVALID) -> set[str]:
    return {caveat.code for caveat in found.caveats if caveat.severity is severity}


def test_a_setup_that_loses_spans_is_never_cheap() -> None:
    found = summary(SimulatedPerformer(lose={"batch": 0.02}, noise=0.002))
    batch, always_off = found.setup("batch"), found.setup("always-off")
    assert batch
    assert always_off
    assert not found.valid
    assert batch.verdict.kind is VerdictKind.INVALID
    assert batch.verdict.reason == "its span accounting is incomplete"
    assert batch.accounting.lost > 0
    assert not always_off.invalid


def test_an_aa_setup_that_costs_more_makes_the_run_invalid() -> None:
    found = summary(SimulatedPerformer(costs={**COSTS, "none-aa": 0.0115}, noise=0.001))
    assert "aa" in codes(found)
    assert not found.valid


def test_an_injected_cost_that_is_not_recovered_makes_the_run_invalid() -> None:
    found = summary(SimulatedPerformer(costs={**COSTS, "injected": 0.0118}, noise=0.001))
    assert "injected" in codes(found)


def test_failed_requests_make_a_run_invalid() -> None:
    ok = make.raw(make.plan(ALL), SimulatedPerformer())
    failing = [
        replace(
            reading,
            instances=tuple(
                replace(instance, failed=5) if instance.setup == "batch" else instance
                for instance in reading.instances
            ),
        )
        if reading.kind is Kind.LIGHT
        else reading
        for reading in ok.readings
    ]
    assert "errors" in codes(summarise(replace(ok, readings=tuple(failing))))


def test_an_interrupted_run_keeps_what_is_whole() -> None:
    def interrupt(step: Step) -> None:
        if step.replicate == 2 and step.kind is Kind.LIGHT:
            raise KeyboardInterrupt

    found = summary(SimulatedPerformer(noise=0.002, fail=interrupt))
    assert found.replicates == 2
    assert not found.complete
    assert "interrupted" in codes(found, Severity.CAVEAT)
    assert found.setup("batch").light.change is not None  # type: ignore[union-attr]


def test_one_replicate_is_too_short() -> None:
    found = summary(replicates=1)
    assert not found.valid
    assert "too-short" in codes(found)


def test_a_load_of_one_kind_alone_is_a_run() -> None:
    plan = make.plan()
    no_saturation = summarise(
        make.raw(
            replace(plan, saturation=replace(plan.saturation, blocks=0)), SimulatedPerformer(noise=0.002)
        )
    )
    assert no_saturation.valid, codes(no_saturation)
    assert no_saturation.setup("batch").throughput is None  # type: ignore[union-attr]
    plan = make.plan(("none", "none-aa", "batch"))
    no_light = summarise(
        make.raw(replace(plan, light=replace(plan.light, blocks=0)), SimulatedPerformer(noise=0.002))
    )
    assert no_light.setup("batch").verdict.kind is VerdictKind.DIFFERENT  # type: ignore[union-attr]


def test_steal_is_a_caveat_and_much_of_it_makes_a_run_invalid() -> None:
    assert "steal" in codes(summary(SimulatedPerformer(steal_s=lambda _step: 0.1)), Severity.CAVEAT)
    assert "steal" in codes(summary(SimulatedPerformer(steal_s=lambda _step: 1.0)))


def test_a_sampled_setup_is_held_to_what_the_application_counted() -> None:
    found = summary(SimulatedPerformer(lose={"ratio-10": 0.5}))
    ratio = found.setup("ratio-10")
    assert ratio
    assert ratio.accounting.traces.sampled is not None
    assert ratio.accounting.complete is False


def test_foreign_spans_at_the_receiver_make_a_run_invalid() -> None:
    ok = make.raw(make.plan(ALL), SimulatedPerformer())
    foreign = tuple(
        replace(reading, stray=make.whole(1)) if reading.kind is Kind.SETTLE else reading
        for reading in ok.readings
    )
    assert "stray" in codes(summarise(replace(ok, readings=foreign)))


def test_fewer_spans_of_an_instrumentation_are_said() -> None:
    ok = make.raw(make.plan(ALL), SimulatedPerformer())

    def with_scopes(scopes: dict[str, dict[str, int]]) -> Raw:
        readings = tuple(
            replace(
                reading,
                instances=tuple(
                    replace(
                        instance,
                        completed=60,
                        account=Account(
                            scopes=scopes.get(instance.setup, {}),
                            spans={"web": 60} if instance.setup in scopes else {},
                        ),
                    )
                    for instance in reading.instances
                ),
            )
            if reading.kind is Kind.LEARN
            else reading
            for reading in ok.readings
        )
        return replace(ok, readings=readings)

    whole = {"flask": 60, "sqlalchemy": 120}
    assert "fewer-spans" not in codes(
        summarise(with_scopes({"simple": whole, "batch": whole})), Severity.CAVEAT
    )
    found = summarise(with_scopes({"simple": whole, "batch": {"flask": 60}}))
    (caveat,) = (caveat for caveat in found.caveats if caveat.code == "fewer-spans")
    assert caveat.setup == "batch"
    assert "fewer spans than one of simple: 0 instead of 2 of sqlalchemy" in caveat.message


def test_an_instrumentation_that_did_not_load_is_said_once() -> None:
    ok = make.raw(make.plan(ALL), SimulatedPerformer())
    readings = tuple(
        replace(
            reading,
            instances=tuple(
                replace(instance, not_loaded=("web: nothing can be instrumented",))
                if instance.setup == "batch"
                else instance
                for instance in reading.instances
            ),
        )
        if reading.kind is Kind.LEARN
        else reading
        for reading in ok.readings
    )
    found = summarise(replace(ok, readings=readings))
    (caveat,) = (caveat for caveat in found.caveats if caveat.code == "not-loaded")
    assert caveat.setup == "batch"
    assert "nothing can be instrumented" in caveat.message


def test_figures_by_kind_of_request_say_how_each_was_answered() -> None:
    ok = make.raw(make.plan(ALL), SimulatedPerformer())
    assert summarise(ok).requests == ()
    one = ok.plan.app.request[0]
    other = msgspec.structs.replace(one, path="/search")
    app = msgspec.structs.replace(ok.plan.app, request=[one, other])
    light = next((look.replicate, look.number) for look in ok.readings if look.kind is Kind.LIGHT)
    rows = {
        step: tuple(msgspec.structs.replace(row, request=at % 2) for at, row in enumerate(mine))
        for step, mine in ok.rows.items()
    }
    at = next(at for at, row in enumerate(rows[light]) if row.instance == 6 and row.request == 1)
    broken = msgspec.structs.replace(rows[light][at], status=500)
    rows[light] = (*rows[light][:at], broken, *rows[light][at + 1 :])
    found = summarise(replace(ok, plan=replace(ok.plan, app=app), rows=rows))
    rows_of = {(row.request, row.setup): row for row in found.requests}
    assert len(rows_of) == 2 * len(ALL)
    assert rows_of[other.label, "batch"].failed == {"500": 1}
    assert rows_of[one.label, "batch"].failed == {}
    assert rows_of[one.label, "batch"].p50_s
    assert rows_of[one.label, "batch"].requests > 10
    assert "By kind of request" in markdown.render(report(found, None))
    assert "By kind of request" not in markdown.render(report(summarise(ok), None))


def at_full_load(ok: Raw, *, idle: set[str], waiting: bool = True, **machine: float) -> Raw:
    """A run in which some setups use half of their CPU at full load, and users wait for them or not."""
    idling = {ok.plan.names.index(name) for name in idle}
    readings = tuple(
        replace(
            reading,
            blocks=tuple(replace(block, **machine) for block in reading.blocks),
            switches=tuple(
                type(switch)(
                    switch.instance, switch.block, switch.start_ns, switch.stop_ns,
                    switch.cpu_ns // 2 if switch.instance in idling else switch.cpu_ns, 0,
                )
                for switch in reading.switches
            ),
        )
        if reading.kind is Kind.SATURATION
        else reading
        for reading in ok.readings
    )  # fmt: skip
    saturation = {reading.number for reading in ok.readings if reading.kind is Kind.SATURATION}
    rows = {
        key: tuple(
            row
            if waiting or key[1] not in saturation or row.instance not in idling
            else msgspec.structs.replace(row, planned_ns=row.done_ns - 10, sent_ns=row.done_ns - 10)
            for row in mine
        )
        for key, mine in ok.rows.items()
    }
    return replace(ok, readings=readings, rows=rows)


def throughputs(found: Summary) -> dict[str, Throughput]:
    return {setup.name: setup.throughput for setup in found.setups if setup.throughput}


@pytest.mark.parametrize("cpus", [(), (0, 1)])
def test_where_the_load_was_the_limit_of_one_setup_all_throughput_is_derived(cpus: tuple[int, ...]) -> None:
    ok: Raw = make.raw(make.plan(ALL, services_cpus=cpus), SimulatedPerformer())
    found = summarise(at_full_load(ok, idle={"batch"}, waiting=False))
    assert "idle" in codes(found, Severity.CAVEAT)
    rates = throughputs(found)
    assert all(rate.derived for rate in rates.values())
    for setup in found.setups:
        # The application uses one CPU, however many there are.
        assert setup.saturation
        per_s = 1 / (setup.saturation.cpu_per_request_s or 1.0)
        assert rates[setup.name].per_s == pytest.approx(per_s, rel=0.01)
    # The load keeps up with the others, and with the A/A pair: no change comes from a mixture.
    aa = rates["none-aa"].change
    assert aa
    assert aa.low <= 0 <= aa.high


def test_a_setup_that_waits_for_something_else_keeps_its_measured_throughput() -> None:
    ok: Raw = make.raw(make.plan(ALL), SimulatedPerformer())
    before = throughputs(summarise(ok))
    found = summarise(at_full_load(ok, idle={"batch"}))
    assert "blocked" in codes(found, Severity.CAVEAT)
    assert "idle" not in codes(found, Severity.CAVEAT)
    assert throughputs(found)["batch"] == before["batch"]


def test_a_measured_rate_is_not_compared_with_derived_ones() -> None:
    ok: Raw = make.raw(make.plan(ALL), SimulatedPerformer())
    mixed = at_full_load(at_full_load(ok, idle={"batch"}), idle={"none", "none-aa"}, waiting=False)
    rates = throughputs(summarise(mixed))
    assert rates["none"].derived
    assert rates["ratio-10"].change
    assert not rates["batch"].derived
    assert rates["batch"].change is None
    # Without a baseline no change remains.
    blind = at_full_load(at_full_load(ok, idle={"none", "none-aa"}), idle={"batch"}, waiting=False)
    assert all(rate.change is None for rate in throughputs(summarise(blind)).values())


def test_a_generator_that_is_busy_keeps_answers_waiting_itself() -> None:
    """The users seem to wait for the service; their answers wait for the generator."""
    ok: Raw = make.raw(make.plan(ALL, workers=1), SimulatedPerformer())
    found = summarise(at_full_load(ok, idle={"batch"}, load_s=1.8))
    assert {"idle"} <= codes(found, Severity.CAVEAT)
    assert throughputs(found)["batch"].derived


def test_time_that_others_took_is_no_idling() -> None:
    ok: Raw = make.raw(make.plan(ALL), SimulatedPerformer())
    found = summarise(at_full_load(ok, idle={"batch"}, foreign_s=1.3))
    assert not {"idle", "blocked"} & codes(found, Severity.CAVEAT)


def test_a_cost_in_seconds_has_the_sign_of_its_ratio() -> None:
    # The machine is twice as fast in the second replicate: of the level two replicates say little, of the
    # ratio all.
    values = {"none": [0.010, 0.020], "none-aa": [0.01001, 0.01999], "batch": [0.020, 0.0401]}
    cpu = Figure(plan=make.plan(("none", "none-aa", "batch")), values=values)
    _, low, high = cpu.difference("batch")
    assert cpu.estimates["batch"].ratios(0.95)[0] > 0.9
    assert 0 < low < 0.014 < high


def test_other_versions_and_what_a_collector_samples_are_no_points_of_the_cost_model() -> None:
    everything = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}
    assert cost_model._is_point(Setup(name="x", env=everything))
    assert not cost_model._is_point(Setup(name="x", env=everything, pip=["opentelemetry-sdk==1.20.0"]))
    assert not cost_model._is_point(Setup(name="x", env=everything, collector_sampling=0.1))


def test_the_cost_model_is_a_line_through_what_differs_in_spans_alone(calm: Summary) -> None:
    model = calm.cost_model
    assert model
    assert {name for name, _, _ in model.points} == {"always-off", "ratio-10", "batch"}
    assert model.fixed_s == pytest.approx(0.003, rel=0.3)
    assert model.per_span_s == pytest.approx(0.001, rel=0.4)


def test_alternatives_are_compared_with_tracing_everything(calm: Summary) -> None:
    assert [(pair.setup, pair.against) for pair in calm.alternatives] == [
        ("disabled", "batch"), ("always-off", "batch"), ("ratio-10", "batch"), ("simple", "batch"),
    ]  # fmt: skip
    simple = calm.alternatives[-1].light
    assert simple
    assert 1 + simple.ratio == pytest.approx(COSTS["simple"] / COSTS["batch"], rel=0.05)
    assert simple.low < simple.ratio < simple.high


def test_a_search_finds_a_rate_below_capacity() -> None:
    found = summary(SimulatedPerformer(), probes=5, latency_limit_s=0.2)
    for name in ("none", "batch"):
        setup = found.setup(name)
        assert setup
        assert setup.highest_rate
        assert 0.4 / COSTS[name] < (setup.highest_rate.per_s or 0) <= 1.1 / COSTS[name]


def test_a_run_that_failed_says_so() -> None:
    run = Run(make.plan())
    assert not run.complete
    assert Machine().cpu == "unknown"


def test_the_injected_cost_is_recovered_under_both_loads(calm: Summary) -> None:
    assert calm.checks.injected
    for recovery in (calm.checks.injected.light, calm.checks.injected.saturation):
        assert recovery
        assert recovery.expected_s == pytest.approx(0.0006)
        assert recovery.low_s < 0.0006 < recovery.high_s
        assert recovery.measured_s == pytest.approx(0.0006, rel=0.3)


# ---------------------------------------------------------------- against another setup


MINE = (
    Setup(name="mine", against="batch"),
    Setup(name="lossy", against="batch", may_lose=True, env=QUEUE),
    Setup(name="kept", env=QUEUE | {"OTEL_BSP_MAX_QUEUE_SIZE": "64"}, may_lose=True),
    Setup(name="step", against="batch", layer="a layer"),
)


@pytest.fixture(scope="module")
def against_each_other() -> Summary:
    names = ("none", "none-aa", "injected", "batch", *(setup.name for setup in MINE))
    costs = COSTS | {"mine": 0.020, "lossy": 0.015, "kept": 0.016, "step": 0.017}
    bench = SimulatedPerformer(costs=costs, noise=0.002, lose={"lossy": 0.1})
    return summarise(make.raw(make.plan(names, own=MINE, replicates=4), bench))


def test_a_setup_is_compared_with_the_one_that_it_names(against_each_other: Summary) -> None:
    rows = {row.setup: row for row in against_each_other.contrasts}
    # A step of a ladder is a layer.
    assert set(rows) == {"mine", "lossy"}
    mine = rows["mine"]
    assert mine.against == "batch"
    for change in (mine.light, mine.saturation):
        assert change
        assert change.ratio == pytest.approx(0.25, abs=0.02)
        assert change.low <= change.ratio <= change.high
    assert mine.light_added_s == pytest.approx(0.004, rel=0.1)
    assert compared(against_each_other).startswith("CPU against batch: mine +2")
    assert mine.throughput
    assert mine.throughput.ratio == pytest.approx(-0.2, abs=0.03)


def test_a_setup_that_may_lose_spans_is_incomplete_nowhere(against_each_other: Summary) -> None:
    assert against_each_other.incomplete == ()
    lossy = against_each_other.setup("lossy")
    assert lossy
    assert lossy.accounting.complete is False
    text = markdown.render(report(against_each_other, None))
    assert "The span accounting is incomplete" not in text
    assert "lost some, as it may" in text


def test_spans_that_a_setup_may_lose_are_a_caveat(against_each_other: Summary) -> None:
    lossy = against_each_other.setup("lossy")
    assert lossy
    assert lossy.accounting.lost > 0
    assert lossy.accounting.complete is False
    assert not lossy.invalid
    assert against_each_other.valid, [caveat.message for caveat in against_each_other.caveats]
    assert [caveat.setup for caveat in against_each_other.caveats if caveat.code == "loss"] == ["lossy"]


def test_the_combinations_that_lost_spans_are_named(against_each_other: Summary) -> None:
    assert [setup.name for setup, _ in batching(against_each_other)] == ["lossy", "kept"]
    assert re.fullmatch(
        r"1 of 2 combinations lost spans at [\d.]+ orders/s and at full load: a queue of 512 with batches of "
        r"512 and a delay of [\d.]+ s \((9|10)\.\d\d %\)\.",
        batching_line(against_each_other),
    )
    kept = tuple(setup for setup in against_each_other.setups if setup.name != "lossy")
    line = batching_line(msgspec.structs.replace(against_each_other, setups=kept))
    assert line.startswith("None of the 1 combinations lost spans")
    text = markdown.render(report(against_each_other, None))
    assert "Queue, batch size and delay" in text
    assert "Compared with each other" in text
