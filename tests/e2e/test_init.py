"""A person with a service of their own: its file is written, tried, and what is wrong with it is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.runs import COMMAND, ROOT

APP = """
from flask import Flask
app = Flask(__name__)
@app.get("/items")
def items():
    return {"items": list(range(20))}
"""
PACKAGES = (
    "flask==3.1.3", "gunicorn==23.0.0", "opentelemetry-distro==0.66b1", "opentelemetry-exporter-otlp==1.45.1",
    "opentelemetry-instrumentation-flask==0.66b1",
)  # fmt: skip
OURS = ROOT / "services"
LAUNCHER = 'launcher = "opentelemetry-instrument"'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Flask project with an environment of its own, as people have it."""
    folder = tmp_path_factory.mktemp("my-shop")
    (folder / "shop.py").write_text(APP, "utf-8")
    (folder / "requirements.txt").write_text("flask\ngunicorn\n", "utf-8")
    (folder / "Procfile").write_text("web: gunicorn --workers 2 --bind 0.0.0.0:$PORT shop:app\n", "utf-8")
    python = folder / ".venv" / "bin" / "python"
    uv = shutil.which("uv")
    assert uv, "uv is what starts these tests"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(python.parent.parent)], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *PACKAGES], check=True)
    return folder


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a project, whose environment is active."""
    environ = {
        **os.environ,
        "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_a_file_is_written_tried_and_can_be_measured(project: Path) -> None:
    done = bench(project, "init", "--path", "/items", "-o", "shop.toml")
    assert done.returncode == 0, said(done)
    text = said(done)
    assert "Written: shop.toml (python, flask; command from Procfile)" in text
    assert (
        "It starts the application with `gunicorn --workers 2 --bind 127.0.0.1:{port} shop:app`; "
        "{port} stands for a free port."
    ) in text
    assert "It is traced: spans of a request: 1 of web" in text
    assert "Measure it: `tracing-overhead run shop.toml --budget quick`" in text
    again = bench(project, "init", "-o", "shop.toml")
    assert again.returncode == 2
    assert "shop.toml exists" in said(again)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (('path = "/items"', 'path = "/nothing"'), 4, "was answered 404, not 200"),
        (('ready = "/"', 'ready = "/"\nready_timeout_s = 2\nstop = "SIGINT"'), 0, "It is traced"),
        (
            ('{port} shop:app"', '18099 shop:app"\nready_timeout_s = 3\nenv = { PORT = "{port}" }'),
            3, "listens on port 18099",
        ),
        (("shop:app", "nothing:app"), 3, "No module named 'nothing'"),
        (("{port}", "{prot}"), 2, "write {port}"),
        ((LAUNCHER, "[injected]\nenv = {}"), 4, "nothing traced it"),
        (
            (LAUNCHER, f'{LAUNCHER}\nenv = {{ OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:9" }}'),
            4, "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (
            ('command = "gunicorn', 'command = "opentelemetry-instrument gunicorn'), 4,
            "the application traces itself",
        ),
        (
            ("[[request]]", '[[request]]\nheaders = { traceparent = "00-1-1-01" }'), 2,
            "would decide what is sampled",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_measured(
    project: Path, change: tuple[str, str], code: int, words: str
) -> None:
    if not (project / "shop.toml").exists():
        assert bench(project, "init", "--path", "/items", "-o", "shop.toml").returncode == 0
    text = (project / "shop.toml").read_text("utf-8")
    assert change[0] in text
    (project / "changed.toml").write_text(text.replace(*change), "utf-8")
    done = bench(project, "check", "changed.toml")
    assert done.returncode == code, said(done)
    assert words in said(done)
    assert "Traceback" not in done.stderr


def test_without_anything_to_go_by_it_says_what_to_name(tmp_path: Path) -> None:
    done = bench(tmp_path, "init")
    assert done.returncode == 2
    assert "nothing here says how the application is started" in said(done)


def test_an_application_without_an_instrumentation_is_reported(tmp_path: Path) -> None:
    done = bench(tmp_path, "check", str(OURS / "datasette.toml"))
    assert done.returncode == 4, said(done)
    assert "nothing traced it" in said(done)
