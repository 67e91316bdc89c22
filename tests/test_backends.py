"""Collectors and trace backends: how they are got, configured, read, and what they need themselves."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import collector_cost
from bench.analysis.accounting import Traffic, traffic_of
from bench.analysis.summary import summarise
from bench.cli import main as cli
from bench.compare.differences import RunSide, differences
from bench.errors import ServiceError, UsageError
from bench.plan.machine import Machine
from bench.plan.readings import Memory, Raw
from bench.plan.records import Kind
from bench.receiver import otlp_json as otlp
from bench.receiver.messages import KINDS, STATUSES, KeptTrace, SpanEvent, TraceSpan
from bench.report import markdown
from bench.report.run import report
from bench.results.store import Store
from bench.testbed.meter import MachineClocks, between
from bench.testbed.process import leashed
from bench.traces import catalogue, collectors, install, readback
from bench.traces.catalogue import BACKENDS, COLLECTORS, TOOLS, Tool
from bench.traces.journey import tree
from tests import make
from tests.make import SimulatedPerformer

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "compose.yaml"

# ---------------------------------------------------------------- what there is


def test_the_containers_are_those_of_the_catalogue_and_the_file_is_valid() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    text = COMPOSE.read_text("utf-8")
    images = {line.split()[-1] for line in text.splitlines() if line.strip().startswith("image:")}
    assert images == {tool.image for tool in TOOLS.values() if tool.image}
    assert TOOLS["otelcol"].image.endswith(f":{TOOLS['otelcol'].version}")
    assert "was not run" in text
    for tool in TOOLS.values():
        assert not tool.image or f"\n  {tool.name}:\n" in text, f"docker compose up {tool.name}"
    for port in collectors.RECEIVER_PORTS:
        assert str(port) in text


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for tools."""
    for module in (catalogue, install):
        monkeypatch.setattr(module, "FOLDER", tmp_path / "tools")
    return tmp_path / "tools"


def tool(name: str = "zipkin", *, build: tuple[str, ...] = (), run: tuple[str, ...] = ()) -> Tool:
    return replace(TOOLS[name], build=build, run=run)


def test_a_tool_that_is_not_here_is_named_with_what_to_do(elsewhere: Path) -> None:
    assert not elsewhere.exists()
    with pytest.raises(UsageError, match=r"zipkin 3.6.1 is not in tools/") as caught:
        tool().require()
    assert "tracing-overhead backends zipkin" in caught.value.hint
    with pytest.raises(UsageError, match="runs with no-such-program") as caught:
        tool(run=("no-such-program",)).require()
    assert "docker compose up zipkin" in caught.value.hint


def test_a_tool_of_another_version_is_not_here(elsewhere: Path) -> None:
    (elsewhere / "zipkin").mkdir(parents=True)
    (elsewhere / "zipkin" / "zipkin.jar").touch()
    (elsewhere / "zipkin" / "version").write_text("3.6.0\n", "utf-8")
    assert not tool().is_here()
    (elsewhere / "zipkin" / "version").write_text("3.6.1\n", "utf-8")
    assert tool().is_here()


def script(folder: Path, name: str, body: str) -> None:
    """A program on the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    (folder / name).chmod(0o755)


def test_where_a_program_is_missing_a_container_is_named(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(elsewhere))
    with pytest.raises(UsageError, match="installing jaeger needs no-such-program") as caught:
        install.get(tool("jaeger", build=("no-such-program",)), print)
    assert "docker compose up jaeger" in caught.value.hint
    assert not elsewhere.exists()


def test_what_could_not_be_got_leaves_its_last_output_and_nothing_else(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bin", "mvn", "echo half > $PWD/zipkin-server-half.jar; echo no route >&2; exit 7")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(ServiceError, match=r"mvn ended with code 7: no route") as caught:
        install.get(tool(), print)
    assert "tools/zipkin.log" in caught.value.hint
    assert sorted(path.name for path in elsewhere.iterdir()) == ["zipkin.lock", "zipkin.log"]


def test_a_program_whose_harness_has_ended_does_not_begin(tmp_path: Path) -> None:
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    command = leashed("touch", str(tmp_path / "begun"))
    command[2] = str(nobody.pid)
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the harness ended before the program began\n")
    assert not (tmp_path / "begun").exists()


def test_a_build_ends_with_the_harness_that_started_it(tmp_path: Path) -> None:
    script(tmp_path / "bin", "mvn", "echo $$ > $PWD/pid; exec sleep 60")
    code = (
        "from pathlib import Path; from bench.traces import catalogue, install; "
        f"catalogue.FOLDER = install.FOLDER = Path({str(tmp_path / 'tools')!r}); "
        "install.get(catalogue.TOOLS['zipkin'], print)"
    )
    environ = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    script(tmp_path / "bin", "java", "true")
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environ) as harness:
        file = tmp_path / "tools" / "zipkin.part" / "pid"
        while not (file.exists() and file.read_text("utf-8").strip()):
            assert harness.poll() is None
        build = psutil.Process(int(file.read_text("utf-8")))
        harness.kill()
        harness.wait()
    _, alive = psutil.wait_procs([build], timeout=5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


def test_two_who_get_the_same_tool_do_not_meet(elsewhere: Path) -> None:
    elsewhere.mkdir()
    with (elsewhere / "zipkin.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="is installing"):
            install.get(tool(), print)


def test_what_was_got_stands_in_its_folder_with_its_version(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    script(tmp_path / "bin", "mvn", "echo jar > $PWD/zipkin-server-3.6.1-exec.jar")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    install.get(tool(), said.append)
    assert tool().require().read_text("utf-8") == "jar\n"
    assert said == ["zipkin 3.6.1: its jar"]
    assert sorted(path.name for path in elsewhere.iterdir()) == ["zipkin", "zipkin.lock", "zipkin.log"]


def test_one_tool_that_cannot_be_had_takes_nothing_from_the_others(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script(tmp_path / "bin", "mvn", "echo jar > $PWD/zipkin-server-3.6.1-exec.jar")
    script(tmp_path / "bin", "java", "true")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setitem(TOOLS, "jaeger", tool("jaeger", build=("no-such-program",)))
    monkeypatch.setitem(TOOLS, "rotel", tool("rotel", build=("nor-this-one",)))
    assert cli.main(["backends", "jaeger", "zipkin", "rotel"]) == 2
    printed = capsys.readouterr()
    assert "error: installing rotel needs nor-this-one" in printed.err
    assert f"zipkin 3.6.1: installed in {elsewhere / 'zipkin'}" in printed.out
    assert "error: installing jaeger needs no-such-program" in printed.err
    assert cli.main(["backends", "zipkin"]) == 0
    assert "already installed" in capsys.readouterr().out


# ---------------------------------------------------------------- a collector


@pytest.mark.parametrize("text", [*COLLECTORS, "http://10.0.0.5:4318", "http://a:4318,http://a:4317"])
def test_a_collector_is_a_tool_or_addresses(text: str) -> None:
    assert collectors.parse(text) == text
    assert collectors.is_elsewhere(text) == (text not in COLLECTORS)


def test_an_address_may_have_the_path_of_traces() -> None:
    assert collectors.parse("http://a:4318/v1/traces") == "http://a:4318"


@pytest.mark.parametrize(
    "text",
    [
        "http://a:1,http://a:2,http://a:3",
        "http://a:1?x=1",
        "otelcoll",
        "10.0.0.5:4318",
        "http://a",
        "http://u:secret@a:4318",
        "",
    ],
)
def test_what_is_no_collector_is_refused_and_no_password_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|leave user and password|more than") as caught:
        collectors.parse(text)
    assert "secret" not in str(caught.value)


def test_a_collector_without_an_address_for_grpc_takes_no_setup_that_needs_one() -> None:
    protocols = {"batch": "http/protobuf", "batch-grpc": "grpc"}
    collectors.check_protocols("otelcol", protocols)
    collectors.check_protocols("http://a:4318,http://a:4317", protocols)
    with pytest.raises(UsageError, match="batch-grpc exports over grpc"):
        collectors.check_protocols("http://a:4318", protocols)


def test_the_collector_limits_memory_before_it_batches_and_sends_metrics_only_over_otlp() -> None:
    made = collectors.configuration((1, 2), {"otlp_http/receiver": {}, "zipkin": {}})
    pipelines = json.loads(json.dumps(made))["service"]["pipelines"]
    for pipeline in pipelines.values():
        assert pipeline["processors"] == ["memory_limiter", "batch"]
    assert pipelines["traces"]["exporters"] == ["otlp_http/receiver", "zipkin"]
    assert pipelines["metrics"]["exporters"] == ["otlp_http/receiver"]


def test_the_collector_samples_at_the_end_of_traces_where_a_setup_asks_for_it() -> None:
    made = json.loads(
        json.dumps(collectors.configuration((1, 2), {"otlp_http/receiver": {}}, {"batch": 1, "tail": 0.1}))
    )
    assert made["service"]["pipelines"]["traces"]["processors"] == [
        "memory_limiter",
        "tail_sampling",
        "batch",
    ]
    assert made["service"]["pipelines"]["logs"]["processors"] == ["memory_limiter", "batch"]
    everything, share = made["processors"]["tail_sampling"]["policies"]
    # The marker that shows that everything has come through is kept, too.
    assert everything["string_attribute"]["values"] == ["bench.marker", "batch"]
    of, sampled = share["and"]["and_sub_policy"]
    assert of["string_attribute"]["values"] == ["tail"]
    assert sampled["probabilistic"]["sampling_percentage"] == 10


def test_another_build_of_the_collector_is_got_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    tool = catalogue.TOOLS["otelcol"]
    tool.folder.mkdir()
    tool.path.touch()
    (tool.folder / "version").write_text(f"{tool.version}\n")
    assert not tool.is_here()
    (tool.folder / "version").write_text(tool.stamp)
    assert tool.is_here()


def test_a_program_on_the_leash_ends_with_the_harness() -> None:
    # A harness that starts a program, says its id, and is killed.
    code = (
        "import subprocess, sys, time; "
        "from bench.testbed.process import leashed; "
        "child = subprocess.Popen([sys.executable, *leashed('sleep', '60')]); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as harness:
        assert harness.stdout is not None
        child = psutil.Process(int(harness.stdout.readline()))
        while child.name() != "sleep":
            assert child.is_running()
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


# ---------------------------------------------------------------- what it needs itself


def through(idle: float) -> Raw:
    """A run whose collector needs 20 us a span, and so much at rest."""
    found = make.raw(make.plan(collector="otelcol"), SimulatedPerformer(noise=0.002))
    readings = []
    for reading in found.readings:
        spans = sum(sum(each.account.spans.values()) for each in reading.instances if each.account)
        used = 0.0 if reading.kind is Kind.LEARN else spans * 20e-6
        blocks = tuple(
            replace(block, collector_s=idle * block.duration_s + used / len(reading.blocks))
            for block in reading.blocks
        )
        memory = Memory(pss_bytes=40, uss_bytes=30) if reading.kind is Kind.REST else None
        readings.append(replace(reading, blocks=blocks, collector_memory=memory))
    return replace(found, readings=tuple(readings))


def traffic(raw: Raw) -> dict[str, tuple[Traffic, ...]]:
    return {name: traffic_of(raw, name) for name in raw.plan.names}


@pytest.mark.parametrize("idle", [0.0, 0.01])
def test_its_cost_per_span_is_found_without_what_it_burns_at_rest(idle: float) -> None:
    raw = through(idle)
    found = collector_cost.summarise(raw, traffic(raw))
    assert found is not None
    assert found.cpu_per_span_s == pytest.approx(20e-6)
    assert found.cpu_per_span_low_s == pytest.approx(20e-6)
    assert found.pss_bytes == 40
    assert found.spans == sum(part.spans for parts in traffic(raw).values() for part in parts)


def test_what_it_needed_is_in_the_report_and_how_to_repeat_the_run() -> None:
    shown = markdown.render(report(summarise(through(0.01)), Machine(collector="otelcol 0.161.0")))
    assert "otelcol 0.161.0" in shown
    assert "## The collector between application and receiver" in shown
    assert "20.0" in shown
    assert "--collector otelcol" in shown


def test_runs_with_and_without_one_differ_and_may_be_compared() -> None:
    sides = [
        RunSide(name="x", summary=summarise(make.raw(plan)))
        for plan in (make.plan(), make.plan(collector="rotel"))
    ]
    (found,) = differences(*sides)
    assert (found.what, found.after) == ("collector between application and receiver", "rotel")
    assert not found.decisive


def test_a_collector_elsewhere_has_no_cost_instead_of_a_zero() -> None:
    raw = make.raw(make.plan(collector="http://a:4318"))
    found = collector_cost.summarise(raw, traffic(raw))
    assert found is not None
    assert found.spans > 0
    assert (found.cpu_per_span_s, found.pss_bytes) == (None, None)
    assert collector_cost.summarise(make.raw(), traffic(make.raw())) is None


def test_its_cpu_is_not_that_of_other_programs() -> None:
    zero = MachineClocks(at_s=0, steal_s=0, busy_s=0, load_s=0, receiver_s=0, harness_s=0, collector_s=0)
    later = replace(zero, at_s=1.0, busy_s=5.0, load_s=1.0, collector_s=3.0)
    reading = between(zero, later, 1.0)
    assert (reading.collector_s, reading.foreign_s) == (3.0, 0.0)


def test_an_replicate_that_it_did_not_pass_on_makes_the_run_invalid() -> None:
    good = through(0.0)
    readings = [replace(reading, drained=reading.kind is not Kind.SETTLE) for reading in good.readings]
    bad = summarise(replace(good, readings=tuple(readings)))
    assert "collector" not in {caveat.code for caveat in summarise(good).caveats}
    assert "collector" in {caveat.code for caveat in bad.caveats}
    assert not bad.valid


# ---------------------------------------------------------------- what a backend says

values = st.one_of(st.text(max_size=5), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(-1e9, 1e9))
events = st.builds(SpanEvent, name=st.text(max_size=3), at_ns=st.integers(0, 2**63))
spans = st.builds(
    TraceSpan,
    service=st.sampled_from(["web", "stock"]),
    trace_id=st.just("a" * 32),
    span_id=st.uuids().map(lambda each: each.hex[:16]),
    parent_id=st.sampled_from(["", "b" * 16]),
    name=st.text(max_size=5),
    kind=st.sampled_from(KINDS),
    start_ns=st.integers(0, 2**63),
    end_ns=st.integers(0, 2**63),
    status=st.sampled_from(STATUSES),
    message=st.text(max_size=5),
    attributes=st.dictionaries(st.text(max_size=3), values, max_size=2),
    events=st.lists(
        st.builds(SpanEvent, name=st.text(max_size=3), at_ns=st.integers(0, 2**63)), max_size=2
    ).map(tuple),
    scope=st.text(max_size=3),
)


@given(st.lists(spans, max_size=4))
def test_otlp_json_says_what_was_written(told: list[TraceSpan]) -> None:
    body = json.dumps({"result": otlp.encode(told), "data": otlp.encode(told)}).encode()
    for read in (readback.jaeger, readback.aspire):
        assert sorted(read(body), key=repr) == sorted(told, key=repr)


ZIPKIN = b"""[
 {"traceId": "a1", "parentId": "01", "id": "02", "name": "post", "timestamp": 1700000000000002,
  "duration": 5, "localEndpoint": {"serviceName": "order-service"}, "tags": {"error": "late"},
  "annotations": [{"timestamp": 1700000000000003, "value": "exception"}]},
 {"traceId": "a1", "id": "01", "kind": "SERVER", "name": "post /orders",
  "timestamp": 1700000000000000, "duration": 9, "localEndpoint": {"serviceName": "order-service"}}]"""


def test_zipkin_knows_no_internal_spans_and_small_letters_only() -> None:
    inner, root = readback.zipkin(ZIPKIN)
    assert (inner.kind, root.kind, root.parent_id) == ("internal", "server", "")
    assert (inner.status, inner.events[0].name) == ("error", "exception")
    assert root.duration_s == pytest.approx(9e-6)
    loud = replace(root, name="POST /orders", start_ns=0, attributes={"x": 1})
    assert tree([inner, root]) == tree([loud, inner])
    assert tree([root]) != tree([replace(root, parent_id="03")])
    assert tree([root]) != tree([root, root])


# ---------------------------------------------------------------- traces that a run has kept


def test_the_slowest_trace_is_shown_unless_another_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(tmp_path).write_plan(make.plan())
    for replicate, trace, length_ms in ((0, "aa11", 10), (1, "bb22", 90)):
        spans = (make.span(trace=trace, length_ms=length_ms), make.span("child", parent="root", trace=trace))
        Store(tmp_path).append_traces(replicate, [KeptTrace(setup="batch", spans=spans)])
    assert cli.main(["trace", "--from", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("bb22") < printed.index("aa11")
    assert "Damaged traces" not in printed
    assert "in replicate 1" in printed
    page = tmp_path / "page.html"
    assert cli.main(["trace", "--from", str(tmp_path), "aa", "--html", str(page)]) == 0
    assert "in replicate 0" in capsys.readouterr().out
    assert "aa11" in page.read_text("utf-8")
    assert "CPU beside" not in page.read_text("utf-8")
    assert cli.main(["trace", "--from", str(tmp_path), "aa11", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["name"] for span in found] == ["root", "child"]
    mixed = KeptTrace(setup="batch", spans=(make.span(trace="cc33", length_ms=5),), damage="mixed")
    Store(tmp_path).append_traces(1, [mixed])
    assert cli.main(["trace", "--from", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("bb22") < printed.index("Damaged traces") < printed.index("cc33")
    assert cli.main(["trace", "--from", str(tmp_path), "cc33"]) == 0
    assert "in replicate 1, mixed." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "nowhere"], 5, "there is no folder nowhere"),
        (["--from", "{empty}"], 5, "has kept no traces"),
        (["--from", "{kept}", "--scenario", "ok"], 2, "shows a trace that was kept"),
        (["--html", "nowhere/x.html"], 5, "there is no folder nowhere"),
        (["--from", "{kept}", "cc"], 5, "has no trace cc"),
        (["--from", "{kept}", "aa", "bb"], 2, "takes a folder and one trace"),
        (["--from", "{kept}", "--ui"], 2, "shows a trace that was kept"),
        (["--header", "a=b"], 2, "--header goes with --endpoint"),
    ],
)
def test_what_trace_is_asked_wrongly_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    Store(tmp_path).append_traces(0, [KeptTrace(setup="batch", spans=(make.span(trace="aa11"),))])
    (tmp_path / "empty").mkdir()
    places = {"{kept}": str(tmp_path), "{empty}": str(tmp_path / "empty")}
    assert cli.main(["trace", *(places.get(each, each) for each in arguments)]) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert "hint: " in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["--endpoint", "http://user:hunter2@127.0.0.1:1"],
        ["--endpoint", "http://hunter2:99999"],
        ["--endpoint", "http://[hunter2"],
        ["--endpoint", "http://127.0.0.1:1", "--header", "Authorization: Basic aHVudGVyMg=="],
        ["--endpoint", "http://127.0.0.1:1", "--header", "hunter2"],
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", *arguments]) == 2
    printed = capsys.readouterr().err
    assert "hunter2" not in printed
    assert "aHVudGVyMg" not in printed


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_that_was_not_got_is_said_before_anything_starts(
    name: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", "--backend", name]) == 2
    assert f"hint: get it once with `tracing-overhead backends {name}`" in capsys.readouterr().err
    assert cli.main(["run", "--dry-run", "--setups", "batch", "--collector", "otelcol"]) == 2
    assert not elsewhere.exists()
