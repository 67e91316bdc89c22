"""Applications that nobody here wrote, each one TOML file: exact span accounting and valid verdicts."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.runs import COMMAND, ROOT, Run, invalid, setup_of
from tests.e2e.test_runs import TIMING

pytestmark = pytest.mark.calm

NODE = pytest.mark.skipif(
    shutil.which("npm") is None, reason="Node.js is missing: json-server is not measured"
)
SPANS = {
    "glances": 3, "ihatemoney": 5, "wagtail": 9, "pygeoapi-flask": 1, "pygeoapi-starlette": 4,
    "pygeoapi-django": 1, "json-server": 18, "mockoon": 12, "checkout-node": 26,
}  # fmt: skip
"""Spans of one request."""
IN_NODE = {"json-server", "mockoon", "checkout-node"}
LONGER = {"json-server": ("--light", "2s", "--saturation", "1s")}
"""Without a flush path, spans are exported after the load: over a tenth of a very short load's CPU."""
APPLICATIONS = [pytest.param(name, marks=NODE if name in IN_NODE else ()) for name in SPANS]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_of_somebody_else_is_measured(start: Callable[..., Run], name: str) -> None:
    file = ROOT / "services" / f"{name}.toml"
    run = start(
        str(file),
        "--budget",
        "smoke",
        "--setups",
        "disabled,always-off,ratio-10,batch",
        *LONGER.get(name, ()),
    )
    assert run.end() in {0, 4}, run.text()
    summary = run.summary()
    assert not invalid(summary) - TIMING, run.text()
    assert summary["app"]["name"] == name
    for setup in summary["setups"]:
        assert setup["accounting"]["complete"] is True, setup["accounting"]
    batch = setup_of(summary, "batch")["accounting"]
    assert batch["spans_received"] == batch["spans_expected"] == SPANS[name] * batch["requests"]
    assert setup_of(summary, "always-off")["accounting"]["spans_received"] == 0
    assert setup_of(summary, "none")["accounting"]["spans_received"] == 0
    assert summary["checks"]["injected"]["light"]["expected_s"] == 0.0006


@pytest.mark.parametrize("name", APPLICATIONS)
def test_one_request_of_it_is_reported(name: str) -> None:
    done = subprocess.run(
        [*COMMAND, "trace", str(ROOT / "services" / f"{name}.toml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert re.search("the client saw 20[01]", done.stdout.replace("\n", " "))


def test_an_application_that_nothing_traces_stops_before_measuring(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    file = tmp_path / "files.toml"
    file.write_text(
        'name = "files"\n[[process]]\nname = "web"\n'
        'command = "{python} -m http.server {port} --bind 127.0.0.1"\n'
        '[[request]]\npath = "/"\n',
        "utf-8",
    )
    run = start(str(file), "--budget", "smoke")
    assert run.end() == 4, run.text()
    assert "batch should trace every request but sent no spans" in run.text()
