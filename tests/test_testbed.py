"""The real world in small: real processes, paused, metered, flushed and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest

from bench.app.records import App, Process, ReadyLine, Request, Setup, Tracing
from bench.app.setups import TABLE
from bench.errors import MeasurementError, ServiceError, UsageError
from bench.plan.records import NOTHING_LEARNED, Kind, Learned, Plan
from bench.plan.schedule import light_rates, step_of
from bench.runner.learning import LearningTestbed
from bench.testbed import keeper, log_lines, machine
from bench.testbed.environ import Place
from bench.testbed.options import Options
from bench.testbed.pausing import ControlGroup, Group, SignalGroup, control_group_root
from bench.testbed.pids import pin
from bench.testbed.ports import free_ports
from bench.testbed.process import RUN_VARIABLE, last_output, plain_environ
from bench.testbed.testbed import Testbed
from tests import make

BY_NAME = {setup.name: setup for setup in TABLE}
PATIENCE_S = 20.0
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"x" * 10 if self.path != "/wrong" else b"no such page"
        self.send_response(200 if self.path != "/wrong" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def app(command: str = "{python} {dir}/server.py {port}", path: str = "/", **changes: object) -> App:
    return App(
        name="small",
        process=[Process(name="web", command=command, **changes)],  # type: ignore[arg-type]
        request=[Request(path=path)],
        tracing=Tracing(),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER, "utf-8")
    return tmp_path


KINDS = ("control group", "signals")


@pytest.fixture(scope="module", params=KINDS)
def testbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A testbed; every test starts instances of its own."""
    made = begin(request.param, tmp_path_factory.mktemp("testbed"))
    yield made
    made.close()


def begin(kind: str, folder: Path) -> Testbed:
    if kind == "control group" and control_group_root() is None:
        pytest.skip("no control group can be made here")
    (folder / "server.py").write_text(SERVER, "utf-8")
    return Testbed(plan(app()), Options(place=Place(folder=folder), signals=kind == "signals"))


def plan(app_: App, names: tuple[str, ...] = ("none", "none-aa", "injected")) -> Plan:
    return make.plan(names, app=app_, replicates=1, services_cpus=(), other_cpus=())


def group_of(kind: str) -> Group:
    root = control_group_root()
    if kind == "signals":
        return SignalGroup()
    if root is None:
        pytest.skip("no control group can be made here")
    return ControlGroup(root / f"bench-test-{os.getpid()}")


@pytest.mark.parametrize("kind", ["signals", "control group"])
def test_a_paused_tree_burns_nothing_and_goes_on_afterwards(kind: str) -> None:
    group = group_of(kind)
    # The parent starts a child of its own, which burns CPU, too.
    code = "import os\nos.fork()\nwhile True: pass"
    child = subprocess.Popen([*group.prefix, sys.executable, "-c", code], start_new_session=True)
    try:
        group.add(child.pid)
        wait_until(lambda: len(group.pids()) == 2 and group.cpu_ns() > 50_000_000)
        group.pause()
        wait_until(lambda: _stands_still(group))
        before = group.cpu_ns()
        assert before > 50_000_000
        group.resume()
        wait_until(lambda: group.cpu_ns() > before + 20_000_000)
        group.pause()
    finally:
        # Stopped processes end, too.
        group.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    wait_until(lambda: not group.pids() if isinstance(group, SignalGroup) else True)


def _stands_still(group: Group) -> bool:
    before = group.cpu_ns()
    time.sleep(0.05)
    return group.cpu_ns() == before


def test_a_step_in_slices_reads_what_each_instance_used(testbed: Testbed) -> None:
    plan_ = plan(app())
    start = step_of(plan_, NOTHING_LEARNED, 0, 0, Kind.START, 0)
    reading, _ = testbed.perform(plan_, NOTHING_LEARNED, start)
    assert all((instance.ready_s or 0) > 0 for instance in reading.instances)
    warm = step_of(plan_, NOTHING_LEARNED, 0, 1, Kind.WARM_UP, 1)
    reading, rows = testbed.perform(plan_, NOTHING_LEARNED, warm)
    assert len(reading.switches) >= len(warm.slices)
    assert {instance.setup for instance in reading.instances if instance.completed} == set(plan_.names)
    used = [instance.cpu_ns for instance in reading.instances]
    assert all(ns > 0 for ns in used)
    leaked = sum(switch.leaked_ns for switch in reading.switches)
    assert leaked < 0.1 * sum(used)
    learned = Learned(rates=light_rates(plan_, dict.fromkeys(plan_.names, 200.0)))
    light = step_of(plan_, learned, 0, 2, Kind.LIGHT, 1)
    reading, rows = testbed.perform(plan_, learned, light)
    arrivals = light.load.arrivals  # type: ignore[union-attr]
    assert sorted((row.planned_ns, row.instance) for row in rows) == sorted(
        (arrival.offset_ns, arrival.instance) for arrival in arrivals
    )
    assert len(reading.blocks) == 1
    saturation = step_of(plan_, learned, 0, 3, Kind.SATURATION, 1)
    reading, _ = testbed.perform(plan_, learned, saturation)
    assert [switch.block for switch in reading.switches[: len(saturation.slices)]] == [
        time_slice.block for time_slice in saturation.slices
    ]
    assert len(reading.blocks) == 1


def test_a_cost_injected_into_any_application_is_burnt_beside_it(testbed: Testbed) -> None:
    plan_ = plan(app())
    testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 0, Kind.START, 0))
    # Blocks that the host spoils are repeated before the flush.
    first, _ = testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 1, Kind.WARM_UP, 1))
    reading, _ = testbed.perform(
        plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 2, Kind.WARM_UP, 1)
    )
    flush, _ = testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 3, Kind.FLUSH, 0))
    injected = reading.instances[2]
    burnt = flush.instances[2].cpu_ns
    assert burnt == pytest.approx((first.instances[2].completed + injected.completed) * 600_000, rel=0.1)
    assert flush.instances[0].cpu_ns < 0.1 * burnt


def test_a_burner_is_a_member_of_its_instance_only_while_it_burns(testbed: Testbed) -> None:
    plan_ = plan(app())
    for number, (kind, blocks) in enumerate(((Kind.START, 0), (Kind.WARM_UP, 1), (Kind.FLUSH, 0))):
        testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, number, kind, blocks))
    burners = [
        child
        for child in psutil.Process().children(recursive=True)
        if any(word.endswith("burner.py") for word in child.cmdline())
    ]
    assert len(burners) == 1
    if testbed.pausing == "control group":
        own, its = (Path(f"/proc/{pid}/cgroup").read_text("ascii") for pid in ("self", burners[0].pid))
        assert its == own
    testbed.stop_instances()
    assert not burners[0].is_running()


def test_memory_is_read_while_every_instance_is_paused(testbed: Testbed) -> None:
    plan_ = replace(plan(app()), rest_s=0.05)
    testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 0, Kind.START, 0))
    reading, _ = testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 1, Kind.REST, 0))
    memories = [instance.memory for instance in reading.instances]
    assert all(memory and memory.pss_bytes > 1_000_000 for memory in memories)


def start_and_learn(testbed: LearningTestbed, plan_: Plan) -> None:
    testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 0, Kind.START, 0))
    testbed.learn(plan_, step_of(plan_, NOTHING_LEARNED, 0, 1, Kind.LEARN, 0))


def expect_error(
    folder: Path, app_: App, error: type[Exception], words: str, setups: tuple[Setup, ...] | None = None
) -> str:
    plan_ = plan(app_)
    if setups:
        plan_ = replace(plan_, setups=setups)
    testbed = LearningTestbed(plan_, Options(place=Place(folder=folder), load=False))
    try:
        with pytest.raises(error, match=words) as caught:
            start_and_learn(testbed, plan_)
    finally:
        testbed.close()
    return getattr(caught.value, "hint", "")


def test_the_last_output_of_a_process_that_ended_is_shown(folder: Path) -> None:
    command = "{python} -c 'import sys; sys.exit(\"no database for {port}\")'"
    hint = expect_error(folder, app(command), ServiceError, r"web \(setup .*\) ended with code 1")
    assert "no database for" in hint


def test_a_program_that_does_not_exist_is_named(folder: Path) -> None:
    expect_error(folder, app("gunicornn {port}"), UsageError, "there is no program 'gunicornn'")


def test_a_process_that_never_answers_ends_the_run_at_its_timeout(folder: Path) -> None:
    command = "{python} -c 'import time; print({port}, flush=True); time.sleep(60)'"
    expect_error(folder, app(command, ready_timeout_s=0.5), ServiceError, "did not answer / within 0.5 s")


def beside(**changes: object) -> App:
    """The small service, and a worker beside it that listens nowhere."""
    worker = "{python} -c 'import time; print(\"connected {port}\", flush=True); time.sleep(600)'"
    service = app().process[0]
    more = Process(name="worker", command=worker, ready_timeout_s=0.5, **changes)  # type: ignore[arg-type]
    return msgspec.structs.replace(app(), process=[service, more])


def test_a_process_that_listens_nowhere_is_told_from_one_on_the_wrong_port(folder: Path) -> None:
    hint = expect_error(folder, beside(), ServiceError, r"worker \(setup none\) listens on no port")
    assert '`ready = "none"`' in hint
    wrong = "{python} {dir}/server.py 18099"
    only = app(wrong, ready_timeout_s=0.5)
    expect_error(folder, only, ServiceError, r"web \(setup none\) listens on port 18099 and not on the one")
    written = beside(ready=ReadyLine(log="ready"))
    expect_error(folder, written, ServiceError, r"worker \(setup none\) did not write 'ready' within 0.5 s")


@pytest.mark.parametrize("ready", ["none", ReadyLine(log="connected")])
def test_a_process_that_listens_nowhere_can_be_ready(folder: Path, ready: str | ReadyLine) -> None:
    plan_ = replace(plan(beside(ready=ready)), setups=(BY_NAME["none"],))
    testbed = LearningTestbed(plan_, Options(place=Place(folder=folder), load=False))
    try:
        start_and_learn(testbed, plan_)
        assert len(testbed.instances) == 1
    finally:
        testbed.close()


def test_a_failing_preparation_is_shown(folder: Path) -> None:
    prepare = "{python} -c 'import sys; sys.exit(\"no such table\")'"
    hint = expect_error(folder, app(prepare=prepare), ServiceError, "`prepare` of web ended with code 1")
    assert "no such table" in hint


def test_an_unexpected_answer_is_shown_with_its_first_line(folder: Path) -> None:
    expect_error(folder, app(path="/wrong"), MeasurementError, "was answered 404, not 200: no such page")


def test_a_setup_that_traces_nothing_stops_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.testbed.testbed.QUIET_MARGIN_S", 0.2)
    quick = Setup(name="batch", env={"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_TRACES_SAMPLER": "always_on"})
    hint = expect_error(
        folder,
        app(),
        MeasurementError,
        "batch should trace every request but sent no spans",
        (BY_NAME["none"], quick),
    )
    assert "nothing traced it" in hint


def test_a_keeper_ends_what_a_killed_harness_left(folder: Path) -> None:
    run = "feedface" * 2
    victim = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, "BENCH_RUN": run},
        start_new_session=True,
    )
    left = folder / "left"
    left.mkdir()
    os.kill(victim.pid, signal.SIGSTOP)
    wait_until(lambda: victim.pid in keeper.processes_of(run))
    command = [sys.executable, "-P", str(Path(keeper.__file__)), run, str(left)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as kept:
        # The harness is gone: its end of the pipe is closed.
        kept.communicate()
    assert victim.wait(PATIENCE_S) == -signal.SIGKILL
    assert not left.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_testbed_leaves_nothing(kind: str, tmp_path: Path) -> None:
    testbed, plan_ = begin(kind, tmp_path), plan(app())
    testbed.perform(plan_, NOTHING_LEARNED, step_of(plan_, NOTHING_LEARNED, 0, 0, Kind.START, 0))
    pids = [child.pid for child in psutil.Process().children(recursive=True) if _is_of(child, testbed)]
    assert len(pids) >= 4
    left = testbed.folder
    testbed.close()
    wait_until(lambda: not any(psutil.pid_exists(pid) and _lives(pid) for pid in pids))
    assert not left.exists()


def _is_of(child: psutil.Process, testbed: Testbed) -> bool:
    """Whether a process belongs to a testbed, and not to another one of this module."""
    return child.environ().get(RUN_VARIABLE) == testbed._run


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_pinning_survives_threads_that_end() -> None:
    code = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(0.0005,)).start()"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        cpu = min(os.sched_getaffinity(0))
        for _ in range(20):
            pin([child.pid], (cpu,))
        assert os.sched_getaffinity(child.pid) == {cpu}
    finally:
        child.kill()
        child.wait()
    pin([child.pid], (cpu,))


def test_ports_are_below_those_of_outgoing_connections_and_given_once() -> None:
    taken: set[int] = set()
    ports = free_ports(5, taken)
    assert len(set(ports)) == 5
    assert set(ports) == taken
    assert all(18000 <= port < 32000 for port in ports)
    assert not set(free_ports(5, taken)) & set(ports)


def test_the_machine_is_described_without_names() -> None:
    cpus = machine.split_cpus(pinned=True)
    found = machine.describe(cpus)
    assert found.packages["locust"]
    assert found.cpus_usable == len(os.sched_getaffinity(0))
    assert os.uname().nodename not in str(found)
    assert not set(cpus.services) & set(cpus.others)


def test_the_last_output_of_a_process_holds_its_last_exception(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("TypeError: no such thing\n" + "".join(f"    at line {n}\n" for n in range(20)), "utf-8")
    assert last_output(log).startswith("its last output: TypeError: no such thing | at line 16")
    log.write_text("one\ntwo\n", "utf-8")
    assert last_output(log) == "its last output: one | two"


def test_the_application_does_not_see_the_programs_of_the_harness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both uv and nox put their environment in front of the one that the user has activated."""
    own = str(Path(sys.prefix) / "bin")
    path = f"{own}:/home/me/shop/.venv/bin:/usr/bin"
    assert plain_environ({"PATH": path})["PATH"] == path
    nox = {"PATH": path, "NOX_CURRENT_SESSION": "bench"}
    assert plain_environ(nox)["PATH"] == "/home/me/shop/.venv/bin:/usr/bin"
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/x")
    of_uvx = "/home/me/.cache/uv/archive-v0/x/bin:/usr/bin"
    assert plain_environ({"PATH": of_uvx})["PATH"] == "/usr/bin"
    # A uvx that is pyenv's puts pyenv's Python before the environment that is active.
    of_pyenv = "/home/me/.cache/uv/archive-v0/x/bin:/home/me/.pyenv/bin:/home/me/shop/.venv/bin:/usr/bin"
    active = {"PATH": of_pyenv, "VIRTUAL_ENV": "/home/me/shop/.venv"}
    assert plain_environ(active)["PATH"] == "/home/me/shop/.venv/bin:/home/me/.pyenv/bin:/usr/bin"
    assert plain_environ(active | {"VIRTUAL_ENV": "/elsewhere"})["PATH"].startswith("/home/me/.pyenv/bin:")


@pytest.mark.parametrize(
    "line",
    [
        "2026-12-01 14:00:00,1 Failed to export span batch code: 413, reason: Payload Too Large",
        "Failed to export traces to localhost:4317, error code: StatusCode.RESOURCE_EXHAUSTED",
        "WARNING:opentelemetry.sdk._shared_internal:Queue full, dropping Span.",
        '{"stack":"OTLPExporterError: Not Found","code":"404"}',
        "[otel.javaagent 2026-12-01 14:00:00:000] ERROR HttpExporter - Failed to export spans. 503",
        "2026/12/01 14:00:00 traces export: context deadline exceeded",
    ],
)
def test_what_an_exporter_says_of_a_failure_is_found_in_its_log(tmp_path: Path, line: str) -> None:
    log = tmp_path / "web.log"
    log.write_text(f"GET /items 200\n{line}\nexporting every 5 s\n{line}\n", "utf-8")
    ((said, count),) = log_lines.failed_exports([("web", log)]).items()
    assert count == 2
    assert said.startswith("web: ")
    assert "2026" not in said


@pytest.mark.parametrize(
    "line",
    [
        'sqlalchemy only instruments "sqlalchemy < 2.1.0", so nothing can be instrumented.',
        'DependencyConflict: requested: "flask >= 1.0" but found: "Flask 0.12"',
        "Instrumenting of celery failed",
    ],
)
def test_an_instrumentation_that_did_not_load_is_found_in_the_log(tmp_path: Path, line: str) -> None:
    log = tmp_path / "web.log"
    log.write_text(f"Instrumented flask\n{line}\n", "utf-8")
    ((said, count),) = log_lines.failed_instrumentations([("web", log)]).items()
    assert said.startswith(f"web: {line[:40]}")
    assert count == 1


def test_only_the_end_of_a_long_log_is_read_and_no_more_than_three_lines_are_quoted(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    lines = [f"Failed to export batch: reason {chr(65 + number)}\n" for number in range(5)]
    log.write_text(
        "Failed to export: long ago\n" + "x" * log_lines.MAX_BYTES + "\n" + "".join(lines), "utf-8"
    )
    said = log_lines.failed_exports([("web", log), ("gone", tmp_path / "gone.log")])
    assert len(said) == log_lines.MAX_LINES
    assert not any("long ago" in line for line in said)
