"""Real collectors on the way to the receiver, and the same checkout in real trace backends."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from ruamel.yaml import YAML

from bench.testbed.ports import free_ports
from bench.traces.catalogue import TOOLS
from bench.traces.collectors import RECEIVER_PORTS, otelcol
from tests.e2e.runs import ROOT, Run, invalid

Span = dict[str, Any]
SPANS_PER_CHECKOUT = 22


def needs(*names: str) -> pytest.MarkDecorator:
    lacking = [name for name in names if not TOOLS[name].is_here()]
    return pytest.mark.skipif(bool(lacking), reason=f"not here: `nox -s backends -- {' '.join(lacking)}`")


# ---------------------------------------------------------------- a backend


@contextmanager
def shown(*arguments: str) -> Iterator[tuple[list[Span], str]]:
    """The spans that the receiver got, and where the backend has them, while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "trace", "--format", "json", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": "true"},
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    children: list[psutil.Process] = []
    try:
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        children = psutil.Process(process.pid).children(recursive=True)
        document = json.loads(process.stdout.readline())
        url = re.search(r"has the same tree of \d+ spans: (\S+)", said)
        assert url, said
        yield flat(document), url[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        process.stdout.close()
        process.stderr.close()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []


def flat(document: dict[str, Any]) -> list[Span]:
    """The spans of an OTLP message, each with its service."""
    return [
        {**span, "service": attribute["value"]["stringValue"]}
        for resource in document["resourceSpans"]
        for attribute in resource["resource"]["attributes"]
        if attribute["key"] == "service.name"
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def tree(spans: list[Span]) -> set[tuple[str, str, str]]:
    return {(span["service"], span["spanId"], span.get("parentSpanId", "")) for span in spans}


@needs("otelcol", "jaeger")
@pytest.mark.parametrize("scenario", ["ok", "payment-timeout"])
def test_jaeger_has_the_same_tree(scenario: str) -> None:
    with shown("--backend", "jaeger", "--scenario", scenario) as (spans, url):
        assert len(spans) > 10
        found = flat(httpx.get(url).json()["result"])
        assert tree(found) == tree(spans)
        assert {span["name"] for span in found} == {span["name"] for span in spans}


@needs("otelcol", "zipkin")
@pytest.mark.parametrize("scenario", ["ok", "declined"])
def test_zipkin_has_the_same_tree_and_shows_it(browser: Any, scenario: str) -> None:
    with shown("--backend", "zipkin", "--scenario", scenario) as (spans, url):
        answer = httpx.get(url.replace("/zipkin/traces/", "/zipkin/api/v2/trace/")).json()
        found = {
            (span["localEndpoint"]["serviceName"], span["id"], span.get("parentId", "")) for span in answer
        }
        assert found == tree(spans)
        look(browser, url, "frontend-app", "order-service", "payment-service", "POST /CHECKOUT".lower())


@needs("aspire")
@pytest.mark.parametrize("how", [("--ui",), ("--backend", "aspire")])
def test_aspire_has_the_same_tree_and_shows_it(browser: Any, how: tuple[str, ...]) -> None:
    with shown(*how, "--scenario", "payment-timeout") as (spans, url):
        answer = httpx.get(url.replace("/traces/detail/", "/api/telemetry/traces/")).json()
        assert tree(flat(answer["data"])) == tree(spans)
        look(browser, url, "frontend-app", "order-service", "payment-service", "POST /checkout")


def look(browser: Any, url: str, *texts: str) -> None:
    """A page in a real browser has these texts, once it has been drawn."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(url)
    for text in texts:
        page.get_by_text(text).first.wait_for(timeout=30_000)
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{httpx.URL(url).path.split('/')[1]}.png"))
    page.close()


@contextmanager
def vendor(key: str) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A backend elsewhere that wants a key, and what it got."""
    got: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = b""
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("location", "/please-log-in")
            elif self.headers.get("x-key") != key:
                # Long enough that a key at its end would be cut in half.
                answer = f"invalid key: {'.' * 183}{self.headers.get('x-key')}".encode()
                self.send_response(401)
            else:
                got.append((self.path, body))
                self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_any_backend_gets_the_spans_with_its_key() -> None:
    command = [sys.executable, "-m", "bench.cli", "trace", "--format", "json"]
    with vendor("secret") as (url, got):
        done = subprocess.run(
            [*command, "--endpoint", url, "--header", "x-key=secret"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        ids = {span["spanId"] for span in flat(json.loads(done.stdout))}
        assert {path for path, _ in got} == {"/v1/traces"}
        assert all(any(bytes.fromhex(each) in body for _, body in got) for each in ids)
        assert "secret" not in done.stderr
        for more, said in (
            ([url, "--header", "x-key=wrong-one"], "401 invalid key: ..."),
            ([f"{url}/moved"], "did not take the spans: 302"),
        ):
            refused = subprocess.run(
                [*command, "--endpoint", *more], capture_output=True, text=True, timeout=120, check=False
            )
            assert refused.returncode == 3
            assert said in refused.stderr
            assert "wron" not in refused.stderr
            assert "hint: " in refused.stderr
            assert "Traceback" not in refused.stderr


@needs("otelcol")
@pytest.mark.parametrize("name", ["receiver", "front"])
def test_the_containers_have_a_configuration_that_the_collector_takes(name: str, tmp_path: Path) -> None:
    compose = YAML(typ="safe").load((ROOT / "compose.yaml").read_text("utf-8"))
    file = tmp_path / "otelcol.yaml"
    file.write_text(compose["configs"][name]["content"], "utf-8")
    command = [str(TOOLS["otelcol"].path), "validate", "--config", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr


# ---------------------------------------------------------------- a collector on the way

THROUGH = ["--budget", "smoke", "--setups", "batch,batch-grpc,ratio-50,simple"]


def complete(run: Run) -> dict[str, Any]:
    """The summary of a run in which nothing was lost, and everything was counted."""
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) & {"accounting", "stray", "errors", "flush", "failure", "collector"}, summary
    for setup in summary["setups"]:
        accounting = setup["accounting"]
        assert accounting["complete"] is True
        if setup["name"].startswith(("batch", "simple")):
            assert accounting["spans_received"] == accounting["requests"] * SPANS_PER_CHECKOUT > 0
            assert accounting["traces"]["received"] == accounting["requests"]
            assert accounting["bytes"] > 0
    assert run.survivors() == []
    return summary


@pytest.mark.parametrize(
    "name", [pytest.param("otelcol", marks=needs("otelcol")), pytest.param("rotel", marks=needs("rotel"))]
)
def test_the_accounting_is_complete_through_a_collector_over_http_and_grpc(
    start: Callable[..., Run], name: str
) -> None:
    run = start(*THROUGH, "--collector", name)
    run.wait_for_step("light")
    collector = next(child for child in run.children if TOOLS[name].path.name in Path(child.exe()).name)
    if len(os.sched_getaffinity(0)) > 1:
        processes = [child for child in run.children if "services" in child.cmdline()]
        services = {cpu for child in processes for cpu in child.cpu_affinity()}
        assert not services & set(collector.cpu_affinity())
    found = complete(run)["collector"]
    assert found["name"] == name
    assert found["cpu_per_span_s"] > 0
    assert found["pss_bytes"] > 2**20
    assert found["spans"] > 0
    assert "The collector between application and receiver" in (run.out / "report.md").read_text()
    assert TOOLS[name].version in json.loads((run.out / "machine.json").read_text())["collector"]


@needs("otelcol")
def test_a_collector_that_somebody_else_started_is_one_too(start: Callable[..., Run], tmp_path: Path) -> None:
    ports = free_ports(2)
    child = otelcol(
        ports, {"otlp_http/receiver": {"endpoint": f"http://127.0.0.1:{RECEIVER_PORTS[0]}"}}, tmp_path
    )
    try:
        http_url, grpc_url = (f"http://127.0.0.1:{port}" for port in ports)
        run = start(*THROUGH, "--collector", f"{http_url},{grpc_url}")
        run.wait_for_step("light")
        found = complete(run)["collector"]
        assert "cpu_per_span_s" not in found
        assert found["spans"] > 0
        assert child.is_running()
    finally:
        child.stop(10)


@needs("otelcol")
def test_a_collector_that_exports_to_somebody_else_is_found_out_at_once(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    ports = free_ports(2)
    child = otelcol(ports, {"debug": {}}, tmp_path)
    try:
        run = start("--budget", "smoke", "--setups", "batch", "--collector", f"http://127.0.0.1:{ports[0]}")
        assert run.end() == 3
        assert "does not come to the receiver" in run.text()
        assert f"export to http://127.0.0.1:{RECEIVER_PORTS[0]}" in run.text()
        assert "Traceback" not in run.text()
    finally:
        child.stop(10)


def test_a_collector_that_is_not_there_is_said_at_once(start: Callable[..., Run]) -> None:
    run = start("--budget", "smoke", "--setups", "batch", "--collector", "http://127.0.0.1:9")
    assert run.end() == 3
    assert "a span sent to the collector at http://127.0.0.1:9 does not come to the receiver" in run.text()
    assert "hint: start it" in run.text()


@needs("otelcol")
def test_a_killed_collector_ends_the_run_in_order(start: Callable[..., Run]) -> None:
    run = start(*THROUGH, "--collector", "otelcol")
    run.wait_for_step("light")
    next(child for child in run.children if Path(child.exe()).name == "otelcol").kill()
    assert run.end() == 3
    assert "otelcol was killed by SIGKILL" in run.text()
    assert "Traceback" not in run.text()
    assert not run.summary()["valid"]
    assert run.survivors() == []


@needs("otelcol")
def test_nothing_outlives_a_harness_that_was_killed(start: Callable[..., Run]) -> None:
    run = start(*THROUGH, "--collector", "otelcol")
    run.wait_for_step("light")
    run.process.kill()
    run.process.wait(10)
    assert run.survivors() == []


# ---------------------------------------------------------------- traces that a run has kept


def test_a_run_keeps_its_slowest_traces_and_trace_opens_them(start: Callable[..., Run]) -> None:
    run = start("--budget", "smoke", "--saturation", "0s", "--setups", "batch,ratio-50")
    assert run.end() in {0, 4}, run.text()
    command = [sys.executable, "-m", "bench.cli", "trace", "--from", str(run.out)]
    slowest = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "The slowest traces" in slowest
    assert "not which service was slow" in " ".join(slowest.split())
    assert " waited " not in slowest
    trace_id = re.search(r"[0-9a-f]{32}", slowest)
    assert trace_id
    one = subprocess.run(
        [*command, trace_id[0], "--format", "json"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert len(flat(json.loads(one))) == SPANS_PER_CHECKOUT
