"""Writes the app file of a service from its command and the files beside it."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.app import guess as guessing
from bench.app.file import parse_app
from bench.errors import UsageError
from bench.testbed.process import path_of_the_caller

AGENT = (
    "in the application's environment: `pip install` (without pip, `uv pip install`) "
    "opentelemetry-distro opentelemetry-exporter-otlp and the instrumentation of its framework{framework}; "
    "`opentelemetry-bootstrap -a requirements` prints all that fit"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """An app file that was guessed.

    Attributes:
        name: of the application.
        text: of the file.
        guess: what it rests on.
        start: how the application is started, and which file says so.
    """

    name: str
    text: str
    guess: guessing.Guess
    start: guessing.Start


def draft(command: str = "", path: str = "", name: str = "") -> Draft:
    """The app file of the service in the current folder.

    Args:
        command: that starts it; empty: what a Procfile, railway.toml or render.yaml says.
        path: that is requested, with its query; empty: the path that the platform asks, or `/`.
        name: of the application; empty: that of the folder.

    Raises:
        UsageError: nothing says how it is started, or its program is not there.
    """
    names = [*guessing.READ, *guessing.modules_of(command)]
    files = {file: Path(file).read_text("utf-8", "replace") for file in names if Path(file).is_file()}
    start = guessing.Start(command=command) if command else guessing.start_of(files)
    if start is None:
        raise UsageError(
            "nothing here says how the application is started",
            'name the command: --command "gunicorn mysite.wsgi -b 127.0.0.1:{port}"',
        )
    name = name or re.sub(r"[^a-z0-9._-]+", "-", Path.cwd().name.lower()).strip("-._")[:40] or "service"
    words = start.command.split()
    program = shutil.which(words[0], path=path_of_the_caller()) if words else None
    if program is None:
        raise UsageError(
            f"there is no program {words[0] if words else ''!r} here",
            "activate the application's environment first",
        )
    guess = guessing.guess(start.command, files, _first_line(Path(program)))
    text = guessing.written(name, guess, path=path or start.ready or "/", ready=start.ready)
    parse_app(text, f"{name}.toml")
    return Draft(name=name, text=text, guess=guess, start=start)


def require_agent(made: Draft, then: str) -> None:
    """Raise UsageError unless the program that enables tracing is there.

    Args:
        made: the draft.
        then: what to do once it is installed.
    """
    launcher = made.guess.launcher
    if launcher and shutil.which(launcher, path=path_of_the_caller()) is None:
        package = made.guess.framework
        framework = f" (`opentelemetry-instrumentation-{package}`)" if package else ""
        raise UsageError(f"there is no {launcher} here", f"{AGENT.format(framework=framework)}; {then}")


def _first_line(program: Path) -> str:
    """The first line of a script; empty of anything else."""
    with program.open("rb") as content:
        line = content.readline(200)
    return line.decode("utf-8", "replace").strip() if line.startswith(b"#!") else ""
