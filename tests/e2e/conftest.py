"""What several end-to-end tests start."""

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.runs import PATIENCE_S, Run

BROWSER_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs, and stops what a failed test leaves behind."""
    runs: list[Run] = []

    def begin(*arguments: str, command: str = "run", prefix: Sequence[str] = ()) -> Run:
        runs.append(Run(tmp_path / f"run{len(runs)}", *arguments, command=command, prefix=prefix))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser, started once for all tests of a module; skips them where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: `uvx nox -s e2e`, or pip install playwright"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip("a browser is missing: apt-get install chromium (or your system's package)")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=BROWSER_ARGUMENTS)
        yield started
        started.close()
