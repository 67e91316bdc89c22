"""Results folders: what is on disk is what was measured, and what follows from it can be made again."""

import gzip
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis.claims import VerdictKind
from bench.analysis.stats import Estimate, welch
from bench.analysis.summary import summarise
from bench.compare.comparison import compare, pairing
from bench.compare.differences import RunSide, differences
from bench.compare.gate import Outcome, Quantity, Threshold, judge
from bench.compare.history import level_of, past
from bench.errors import ResultsError, UsageError
from bench.plan.readings import Raw
from bench.plan.records import NOTHING_LEARNED, SCHEMA, Kind, Step
from bench.plan.schedule import step_of
from bench.receiver.messages import KeptTrace as Trace
from bench.results import manifest
from bench.results.folder import read_run, run_result, sound_run
from bench.results.redact import REDACTED, redacted
from bench.results.store import Store, pretty, read_packed, read_raw
from bench.results.verify import RawRecords, verify
from bench.runner.run import carry_out
from bench.studies import RUN
from tests import make
from tests.make import COSTS, Quiet, SimulatedPerformer


def measure(folder: Path, bench: SimulatedPerformer | None = None, **changes: object) -> Path:
    """A simulated run, on disk as a real one is."""
    store = Store.create(folder)
    run = carry_out(make.plan(**changes), bench or SimulatedPerformer(noise=0.002), store, Quiet())  # type: ignore[arg-type]
    store.write("ending.json", pretty(run.raw.ending))
    # What a real run writes besides is pages and pictures, which take their time.
    store.write("summary.json", pretty(run_result(run.raw).summary))
    manifest.seal(folder, RUN.raw, ["summary.json"])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measure(tmp_path_factory.mktemp("results") / "run")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Raw:
    return read_raw(folder)


def fresh(parent: Path) -> Path:
    """A path that does not exist yet."""
    return parent / str(len(list(parent.iterdir())))


def copy(folder: Path, to: Path) -> Path:
    import shutil

    shutil.copytree(folder, to)
    return to


def test_what_is_read_back_is_what_was_measured(folder: Path) -> None:
    raw = read_raw(folder)
    again = make.raw(make.plan(), SimulatedPerformer(noise=0.002))
    assert raw.readings == again.readings
    assert raw.rows == {key: rows for key, rows in again.rows.items() if rows}
    assert summarise(raw) == read_run(folder).summary


def test_the_summary_holds_what_others_read(folder: Path) -> None:
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    assert summary["schema"] == SCHEMA
    assert summary["app"] == {"name": "shop", "request": "order"}
    assert set(summary["checks"]) == {"aa", "injected", "noise_floor"}
    assert set(summary["checks"]["injected"]) == {"light", "saturation"}
    assert set(summary["checks"]["injected"]["light"]) == {"expected_s", "measured_s", "low_s", "high_s"}
    batch = next(setup for setup in summary["setups"] if setup["name"] == "batch")
    assert {
        "rate_per_s",
        "cpu_per_request_s",
        "added_s",
        "added_low_s",
        "added_high_s",
        "change",
        "mde",
    } <= set(batch["light"])
    change = {"ratio", "low", "high", "standard_error", "df"}
    assert set(batch["light"]["change"]) == set(batch["throughput"]["change"]) == change
    assert set(batch["latency"]["changes"]["p50"]) == change
    assert "p50" in batch["latency"]["added_s"]
    assert batch["rest"].keys() == {"cpu_per_s", "pss_bytes", "uss_bytes"}
    assert batch["start"].keys() == {"ready_s", "cpu_s"}
    assert {"requests", "spans_expected", "spans_received", "complete", "exports", "bytes"} <= set(
        batch["accounting"]
    )
    baseline = summary["setups"][0]
    assert "change" not in baseline["light"]


def test_an_unchanged_folder_is_verified(folder: Path) -> None:
    found = verify(folder)
    assert found.discrepancies == ()
    assert found.sealed
    assert found.raw is RawRecords.ALL
    assert found.files == 7


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    name=st.sampled_from(["readings.jsonl", "requests.csv.gz", "plan.json", "summary.json"]),
    place=st.floats(0, 1),
)
def test_any_changed_digit_is_found(folder: Path, tmp_path: Path, name: str, place: float) -> None:
    changed = copy(folder, fresh(tmp_path))
    content = bytearray((changed / name).read_bytes())
    digits = [place for place, byte in enumerate(content) if 0x30 <= byte <= 0x38]
    content[digits[int(place * (len(digits) - 1))]] += 1
    (changed / name).write_bytes(bytes(content))
    assert verify(changed).discrepancies


def test_a_figure_that_does_not_follow_is_named(folder: Path, tmp_path: Path) -> None:
    changed = copy(folder, tmp_path / "changed")
    path = changed / "summary.json"
    summary = msgspec.json.decode(path.read_bytes())
    summary["setups"][4]["light"]["change"]["ratio"] = 0.01
    path.write_bytes(pretty(summary))
    manifest.seal(changed, RUN.raw, ["summary.json"])
    assert verify(changed).discrepancies[0].field == "setups[4].light.change.ratio"


def test_another_seed_is_not_the_timetable_that_was_carried_out(folder: Path, tmp_path: Path) -> None:
    changed = copy(folder, tmp_path / "changed")
    plan = read_raw(changed).plan
    (changed / "manifest.json").unlink()
    Store(changed).write_plan(replace(plan, seed=99))
    found = verify(changed).discrepancies
    assert any("time slices than the plan" in discrepancy.message for discrepancy in found)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(share=st.floats(0.0, 1.0), name=st.sampled_from(["readings.jsonl", "requests.csv.gz"]))
def test_a_file_cut_off_anywhere_reads_up_to_there(
    folder: Path, whole: Raw, tmp_path: Path, share: float, name: str
) -> None:
    changed = copy(folder, fresh(tmp_path))
    content = (changed / name).read_bytes()
    (changed / name).write_bytes(content[: int(share * len(content))])
    # So it is left where the harness itself is killed.
    (changed / "ending.json").unlink()
    cut = read_raw(changed)
    assert cut.readings == whole.readings[: len(cut.readings)]
    summarise(cut)


def test_a_complete_run_whose_requests_are_cut_short_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = copy(folder, tmp_path / "changed")
    content = (changed / "requests.csv.gz").read_bytes()
    (changed / "requests.csv.gz").write_bytes(content[:-20])
    with pytest.raises(ResultsError, match="is cut short, and its run came to its end"):
        read_raw(changed)


@pytest.mark.parametrize("kind", ["settle", "flush"])
def test_a_complete_run_without_some_steps_is_not_believed_without_a_manifest_either(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    changed = copy(folder, tmp_path / "changed")
    (changed / "manifest.json").unlink()
    assert read_run(changed).discrepancies == ()
    lines = (changed / "readings.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if f'"{kind}"'.encode() not in line]
    assert len(kept) < len(lines)
    (changed / "readings.jsonl").write_bytes(b"".join(kept))
    assert any("the plan says" in discrepancy.message for discrepancy in read_run(changed).discrepancies)
    with pytest.raises(UsageError, match="does not say what was measured"):
        sound_run(changed)


def test_an_empty_ending_reads_as_killed(folder: Path, tmp_path: Path) -> None:
    changed = copy(folder, tmp_path / "changed")
    (changed / "ending.json").write_bytes(b"")
    assert not read_raw(changed).ending.complete


@pytest.mark.parametrize("name", ["plan.json", "summary.json"])
def test_a_results_folder_of_another_schema_names_the_version_that_reads_it(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text('{"schema": 2}', "utf-8")
    with pytest.raises(ResultsError, match="has schema 2, and this version reads schema 3") as caught:
        read_run(tmp_path)
    assert "CHANGELOG.md" in caught.value.hint


def test_a_setup_that_names_another_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = copy(folder, tmp_path / "changed")
    text = (changed / "plan.json").read_text("utf-8").replace('"batch"', '"../../pwned"')
    (changed / "plan.json").write_text(text, "utf-8")
    with pytest.raises(ResultsError):
        read_raw(changed)


def test_the_slowest_traces_are_kept(folder: Path) -> None:
    kept = read_packed(folder / "traces.jsonl.gz", Trace)
    assert [trace.replicate for trace in kept] == [0, 1, 2]
    assert kept[0].duration_s == pytest.approx(0.01)


def test_secrets_are_not_stored() -> None:
    from bench.app.records import Setup

    secret = Setup(name="mine", env={"OTEL_EXPORTER_OTLP_HEADERS": "api-key=1", "URL": "http://me:pw@host/"})
    plan = redacted(make.plan(own=[secret]))
    env = plan.setups[-1].env if plan.setups[-1].name == "mine" else {}
    stored = pretty(redacted(replace(make.plan(), setups=(secret,)))).decode()
    assert REDACTED in stored
    assert "api-key=1" not in stored
    assert ":pw@" not in stored
    assert not env or env["URL"] == f"http://{REDACTED}@host/"


def test_a_folder_in_use_is_not_measured_into(folder: Path) -> None:
    with pytest.raises(ResultsError, match="is not empty"):
        Store.create(folder)


def test_requests_are_stored_in_members_of_their_own(folder: Path) -> None:
    text = gzip.decompress((folder / "requests.csv.gz").read_bytes()).decode()
    assert text.splitlines()[0] == "replicate,step,planned_ns,sent_ns,done_ns,status,instance,request,worker"


# ---------------------------------------------------------------- compare, gate, history


def side(folder: Path) -> RunSide:
    return RunSide(name=folder.name, summary=read_run(folder).summary)


def test_two_runs_of_the_same_show_no_change(folder: Path, tmp_path: Path) -> None:
    other = measure(tmp_path / "other", SimulatedPerformer(noise=0.002), seed=11)
    found = pairing(side(folder), side(other))
    assert found.valid
    assert not compare([side(folder), side(other)]).is_changed


def test_a_change_is_found_in_every_figure(folder: Path, tmp_path: Path) -> None:
    other = measure(
        tmp_path / "other", SimulatedPerformer(costs={**COSTS, "batch": 0.022}, noise=0.002), seed=11
    )
    found = pairing(side(folder), side(other))
    changed = {
        (change.setup, change.figure)
        for change in found.changes
        if change.verdict.kind is VerdictKind.DIFFERENT
    }
    assert {("batch", "light CPU"), ("batch", "full-load CPU"), ("batch", "throughput")} <= changed
    assert all(setup == "batch" for setup, _ in changed)


def test_every_figure_that_is_compared_is_a_chance_to_claim_a_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = []

    def spied(before: Estimate, after: Estimate, family: int = 1) -> Estimate:
        families.append(family)
        return welch(before, after, family)

    monkeypatch.setattr("bench.compare.comparison.welch", spied)
    found = pairing(side(folder), side(folder), results=2)
    assert set(families) == {2 * len(found.changes)}


def test_other_work_under_the_same_name_is_not_compared(whole: Raw) -> None:
    plan = whole.plan
    asked = msgspec.structs.replace(plan.app.request[0], headers={"accept": "text/html"})
    served = msgspec.structs.replace(plan.app.process[0], env={"WORKERS": "3"})
    for app in (
        msgspec.structs.replace(plan.app, request=[asked]),
        msgspec.structs.replace(plan.app, process=[served, *plan.app.process[1:]]),
    ):
        both = [
            RunSide(name=name, summary=summarise(replace(whole, plan=replace(plan, app=one))), machine=None)
            for name, one in (("a", plan.app), ("b", app))
        ]
        (difference,) = differences(*both)
        assert difference.decisive


def test_another_application_is_not_compared(folder: Path, tmp_path: Path) -> None:
    app = msgspec.structs.replace(make.APP, name="other")
    other = measure(tmp_path / "other", app=app)
    assert not pairing(side(folder), side(other)).valid
    found = compare([side(folder), side(other)])
    assert not found.pairings
    assert [app.name for app in found.apps] == ["shop", "other"]


def test_errors_are_stored_and_not_recovered_from_intervals(folder: Path) -> None:
    batch = read_run(folder).summary.setup("batch")
    assert batch
    assert batch.light
    assert batch.light.change
    found = batch.light.change.estimate
    assert found.standard_error == batch.light.change.standard_error
    assert found.ratio == pytest.approx(batch.light.change.ratio)


@pytest.mark.parametrize(
    ("ratio", "outcome"), [(0.9, Outcome.PASS), (0.3, Outcome.FAIL), (0.6, Outcome.INCONCLUSIVE)]
)
def test_a_gate_judges_by_the_whole_interval(folder: Path, ratio: float, outcome: Outcome) -> None:
    summary = read_run(folder).summary
    # As far as it is free of doubt that an overhead would be found at all.
    sure = msgspec.structs.replace(summary, caveats=())
    assert judge(sure, [Threshold(setup="batch", limit=ratio)]).outcome is outcome
    strict = judge(sure, [Threshold(setup="batch", limit=ratio)], strict=True).outcome
    assert strict is (Outcome.FAIL if outcome is not Outcome.PASS else Outcome.PASS)


def test_a_gate_never_passes_what_is_lossy_or_cut_short(tmp_path: Path) -> None:
    lossy = measure(tmp_path / "lossy", SimulatedPerformer(lose={"batch": 0.1}))
    threshold = [Threshold(setup="batch", limit=9.0)]
    assert judge(read_run(lossy).summary, threshold).outcome is Outcome.INVALID

    def interrupt(step: Step) -> None:
        if step.replicate == 2 and step.kind is Kind.SATURATION:
            raise KeyboardInterrupt

    cut = measure(tmp_path / "cut", SimulatedPerformer(fail=interrupt))
    assert judge(read_run(cut).summary, threshold).outcome is Outcome.INVALID
    sound = read_run(measure(tmp_path / "sound")).summary
    assert judge(sound, threshold, discrepancy="changed").outcome is Outcome.INVALID


def test_a_gate_fails_what_got_worse_than_an_earlier_result(folder: Path, tmp_path: Path) -> None:
    before = side(folder)
    slower = side(
        measure(
            tmp_path / "slower", SimulatedPerformer(costs={**COSTS, "batch": 0.022}, noise=0.002), seed=11
        )
    )
    worse = judge(slower.summary, [], against=pairing(before, slower))
    assert worse.outcome is Outcome.FAIL
    failed = {(each.setup, each.figure) for each in worse.judgements if each.outcome is Outcome.FAIL}
    assert {("batch", "light CPU"), ("batch", "throughput")} <= failed
    assert {setup for setup, _ in failed} == {"batch"}
    better = judge(before.summary, [], against=pairing(slower, before))
    assert better.outcome is not Outcome.FAIL
    # The A/A setup shows noise: no change of it is judged.
    assert "none-aa" not in {each.setup for each in worse.judgements}


@pytest.mark.parametrize(
    ("figure", "limit", "outcome"),
    [
        (Quantity.SPANS, 3, Outcome.PASS),
        (Quantity.SPANS, 2.9, Outcome.FAIL),
        (Quantity.BYTES, 1, Outcome.FAIL),
        (Quantity.INSTRUCTIONS, 200, Outcome.PASS),
        (Quantity.INSTRUCTIONS, 199, Outcome.FAIL),
    ],
)
def test_what_is_counted_passes_or_fails_on_a_noisy_machine(
    folder: Path, figure: Quantity, limit: float, outcome: Outcome
) -> None:
    noisy = msgspec.structs.replace(read_run(folder).summary, valid=False)
    threshold = Threshold(setup="batch", limit=limit, figure=figure)
    assert judge(noisy, [threshold], instructions={"batch": 200.0}).outcome is outcome
    assert judge(noisy, [Threshold(setup="batch", limit=9.0)]).outcome is Outcome.INVALID


def test_what_was_not_counted_never_passes(folder: Path) -> None:
    threshold = Threshold(setup="batch", limit=1e9, figure=Quantity.INSTRUCTIONS)
    assert judge(read_run(folder).summary, [threshold]).outcome is Outcome.INVALID


def test_the_level_of_some_results_covers_what_it_says() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        # Ten results of a few replicates each: some have small errors by chance.
        level = level_of(
            [
                Estimate(
                    log_ratio=0.01 * float(rng.normal()),
                    standard_error=0.01 * float(np.sqrt(rng.chisquare(4) / 4)),
                    df=4.0,
                )
                for _ in range(10)
            ]
        )
        low, high = level.interval(0.95)
        covered += low <= 0.0 <= high
    assert covered / 400 > 0.92


def test_history_marks_a_step_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    for number in range(3):
        measure(tmp_path / f"{number}", SimulatedPerformer(noise=0.002), seed=number)
    measure(tmp_path / "3", SimulatedPerformer(costs={**COSTS, "batch": 0.03}, noise=0.002), seed=3)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "plan.json").write_text("{}", "utf-8")
    found = past(tmp_path)
    assert found.groups[0].results == 4
    batch = next(trend for trend in found.groups[0].setups if trend.setup == "batch")
    assert [point.change is not None for point in batch.points] == [False, False, False, True]
    assert list(found.skipped) == ["broken"]


def test_what_is_discarded_leaves_no_folder(tmp_path: Path) -> None:
    plan = make.plan()
    store = Store.create(tmp_path / "run")
    store.write_plan(plan)
    reading, rows = SimulatedPerformer().perform(
        plan, NOTHING_LEARNED, step_of(plan, NOTHING_LEARNED, 0, 0, Kind.START, 0), lambda _block: None
    )
    store.append(reading, rows)
    store.discard()
    assert not store.folder.exists()


def test_a_measurement_that_goes_on_is_sealed_again_and_one_that_was_changed_does_not_go_on(
    tmp_path: Path,
) -> None:
    trials = tmp_path / "trials.jsonl.gz"
    trials.write_bytes(b"one")
    manifest.seal(tmp_path, [trials.name], [])
    manifest.unseal(tmp_path, [trials.name], "measure again")
    trials.write_bytes(b"one, two")
    manifest.seal(tmp_path, [trials.name], [])
    known = manifest.read(tmp_path)
    assert known
    assert not list(manifest.changed(tmp_path, known))
    trials.write_bytes(b"three, two")
    with pytest.raises(ResultsError, match="is not what was written"):
        manifest.unseal(tmp_path, [trials.name], "measure again")
