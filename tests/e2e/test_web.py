"""Locust's web UI in a real browser: choose a setup, watch its figures, stop, choose another, compare."""

import csv
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
PATIENCE_MS = 60_000
SHOTS = os.environ.get("BENCH_SHOTS")
"""A folder for screenshots, to be looked at."""


class Web:
    """A running web UI."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.cli", "web", "--port", str(self.port)],
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(self.url)
            except httpx.HTTPError:
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            else:
                return

    def services(self) -> list[psutil.Process]:
        """The services that run now."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "services" in child.cmdline()]

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web UI that a test may end."""
    running = Web(tmp_path / "web.log")
    yield running
    if running.process.poll() is None:
        running.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web UI for tests that leave it stopped and running on."""
    running = Web(tmp_path_factory.mktemp("web") / "web.log")
    yield running
    assert running.process.poll() is None
    running.end()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page(viewport=WIDE)
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def choose(page: Any, setup: str) -> None:
    """Fills the start form and starts."""
    page.locator("select[name=setup]").select_option(setup)
    page.locator("input[name=userCount]").fill("8")
    page.locator("input[name=spawnRate]").fill("8")
    shoot(page, f"form-{setup}")
    page.get_by_role("button", name="Start").click()


def open_tab(page: Any) -> None:
    page.get_by_role("tab", name="Tracing overhead").click()


def cell(page: Any, setup: str, head: str) -> str:
    """What a setup's row says under a head."""
    row = page.locator("#tracing-overhead tbody tr", has_text=setup).first
    return str(row.locator(f"td[data-head='{head}']").inner_text())


def wait_for_checkouts(page: Any, setup: str, count: int) -> None:
    page.wait_for_function(
        """([setup, count]) => [...document.querySelectorAll('#tracing-overhead tbody tr')].some(
            row => row.cells[0].innerText.startsWith(setup) && parseInt(row.cells[1].innerText) >= count)""",
        arg=[setup, count],
    )


def stop(page: Any, setup: str) -> None:
    page.get_by_role("button", name="Stop").click()
    page.wait_for_function(
        """setup => [...document.querySelectorAll('#tracing-overhead tbody tr')].some(
            row => row.cells[0].innerText.startsWith(setup) && /^[0-9]+$/.test(row.cells[10].innerText))""",
        arg=setup,
    )


def test_the_setup_is_the_first_field_and_says_what_it_is(shared: Web, page: Any) -> None:
    page.goto(shared.url)
    select = page.locator("select[name=setup]")
    page.wait_for_function("document.querySelector('select[name=setup]')?.dataset.described")
    option = select.locator("option[value=batch]")
    assert option.inner_text().startswith("batch: Everything sampled")
    assert select.locator("optgroup[label='Without tracing'] option").count() == 3
    # Where the browser draws it, not where it stands in the document.
    heights = [page.locator(f"[name={name}]").bounding_box()["y"] for name in ("setup", "userCount")]
    assert heights == sorted(heights)


def test_two_setups_are_run_by_hand_and_compared(web: Web, page: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(web.url)
    choose(page, "none")
    open_tab(page)
    wait_for_checkouts(page, "none", 20)
    assert len(web.services()) == 4
    shoot(page, "running-none")
    stop(page, "none")
    wait_until(lambda: not web.services(), 20, "its services go on")
    assert cell(page, "none", "spans received") == "0"

    page.get_by_role("button", name="New").click()
    choose(page, "batch")
    open_tab(page)
    wait_for_checkouts(page, "batch", 30)
    assert cell(page, "batch", "spans lost") == "after the stop"
    shoot(page, "running-batch")
    stop(page, "batch")
    assert cell(page, "batch", "spans lost") == "0"
    checkouts = int(cell(page, "batch", "requests").replace(",", ""))
    assert int(cell(page, "batch", "spans received").replace(",", "")) == checkouts * 22
    assert cell(page, "batch", "added ms, roughly").startswith("~ +")
    assert page.locator("#tracing-overhead .bar").count() == 2
    assert "tracing-overhead run" in page.locator("#tracing-overhead .note").first.inner_text()
    shoot(page, "compared-wide")
    page.set_viewport_size(NARROW)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    shoot(page, "compared-narrow")
    page.set_viewport_size(WIDE)
    page.locator("header button").last.click()
    shoot(page, "compared-dark")

    rows = list(csv.DictReader(io.StringIO(httpx.get(f"{web.url}/overhead/csv").text)))
    assert [row["setup"] for row in rows] == ["none", "batch"]
    assert rows[1]["spans_lost"] == "0"
    assert errors == []
    assert web.end() in {0, 130, -signal.SIGINT}
    assert "Traceback" not in web.log.read_text()


def test_a_taken_port_is_said_with_a_hint() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "bench.cli", "web", "--port", str(port)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert f"cannot listen on port {port}" in ended.stderr
    assert "hint: " in ended.stderr


def form(setup: str) -> dict[str, str]:
    """What the start form sends."""
    return {
        "user_count": "2", "spawn_rate": "2", "host": "http://127.0.0.1:9", "setup": setup,
        "payment_service_delay": "0", "inventory_service_delay": "0",
    }  # fmt: skip


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.1)


@pytest.mark.parametrize("after_s", [0.0, 0.3, 1.0])
def test_a_stop_while_it_starts_stops_it(shared: Web, after_s: float) -> None:
    def is_stopped() -> bool:
        state = httpx.get(f"{shared.url}/stats/requests").json()["state"]
        return state == "stopped" and not shared.services()

    for _ in range(2):
        httpx.post(f"{shared.url}/swarm", data=form("batch"))
        # The moment is what is tried.
        time.sleep(after_s)
        httpx.post(f"{shared.url}/stop", timeout=30)
        wait_until(is_stopped, 20, "it goes on")
    assert httpx.get(f"{shared.url}/overhead/data").json()["error"] is None
    assert "Traceback" not in shared.log.read_text()


def test_every_new_run_is_shown_as_running(web: Web, page: Any) -> None:
    page.goto(web.url)
    for number in range(5):
        choose(page, "none" if number % 2 else "disabled")
        button = page.get_by_role("button", name="Stop")
        button.wait_for(timeout=20_000)
        wait_until(
            lambda: httpx.get(f"{web.url}/stats/requests").json()["state"] == "running", 20, "it does not run"
        )
        assert button.is_visible(), "and the page still says so"
        button.click()
        page.get_by_role("button", name="New").click()


def test_ctrl_c_while_it_starts_leaves_nothing(web: Web) -> None:
    children = psutil.Process(web.process.pid).children(recursive=True)
    httpx.post(f"{web.url}/swarm", data=form("batch"))
    wait_until(lambda: bool(web.services()), 20, "no service began")
    children += web.services()
    web.end()
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_other_origins_are_refused(shared: Web, headers: dict[str, str]) -> None:
    assert httpx.post(f"{shared.url}/swarm", data=form("none"), headers=headers).status_code == 403
    assert httpx.post(f"{shared.url}/stop", headers=headers).status_code == 403
    assert httpx.get(f"{shared.url}/stats/requests").json()["state"] in {"ready", "stopped"}


def test_it_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    starter = tmp_path / "nox"
    starter.write_text('#!/bin/sh\n"$@" &\nwait\n', "ascii")
    starter.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        nox = subprocess.Popen(
            [str(starter), sys.executable, "-m", "bench.cli", "web", "--port", str(port)],
            cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}").is_success
        except httpx.HTTPError:
            return False

    wait_until(answers, 60, (tmp_path / "log").read_text("utf-8"))
    children = psutil.Process(nox.pid).children(recursive=True)
    nox.kill()
    nox.wait()
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert not answers()
