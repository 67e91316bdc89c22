"""`init` writes an app file and tries it; `check` tries one."""

import re
import shutil
from pathlib import Path

from rich.text import Text

from bench.app import guess as guessing
from bench.app.file import parse_app
from bench.cli import display
from bench.cli.invocation import spelled_here
from bench.cli.options import Application
from bench.cli.planning import read_subject
from bench.cli.shared import relative, uninterrupted
from bench.errors import UsageError
from bench.runner import check as runner
from bench.testbed import machine
from bench.testbed.options import Options
from bench.testbed.process import path_of_the_caller
from bench.testbed.testbed import Testbed

CHECK_S = 30.0
"""About how long trying takes; for the display only."""
AGENT = (
    "in the application's environment: `pip install` (where there is none, `uv pip install`) "
    "opentelemetry-distro opentelemetry-exporter-otlp and the instrumentation of its framework{framework}; "
    "`opentelemetry-bootstrap -a requirements` prints all that fit"
)


def init(
    *,
    command: str = "",
    path: str = "",
    out: Path | None = None,
    name: str = "",
    force: bool = False,
) -> int:
    """Write the app file of your service, guess what can be guessed, and try it.

    Args:
        command: That starts it, such as "gunicorn mysite.wsgi -b 127.0.0.1:{port}"; without it, what a
            Procfile, railway.toml or render.yaml says.
        path: That is asked, with its query.
        out: The file; without it, NAME.toml.
        name: Of the application; without it, that of this folder.
        force: Overwrite the file.
    """
    names = [*guessing.READ, *guessing.modules_of(command or "")]
    files = {file: Path(file).read_text("utf-8", "replace") for file in names if Path(file).is_file()}
    start = guessing.Start(command=command) if command else guessing.start_of(files)
    if start is None:
        raise UsageError(
            "nothing here says how the application is started",
            'name it: --command "gunicorn mysite.wsgi -b 127.0.0.1:{port}"',
        )
    name = name or re.sub(r"[^a-z0-9._-]+", "-", Path.cwd().name.lower()).strip("-._")[:40] or "service"
    program = shutil.which(start.command.split()[0], path=path_of_the_caller())
    if program is None:
        raise UsageError(
            f"there is no program {start.command.split()[0]!r} here",
            "activate the application's environment first",
        )
    guess = guessing.guess(start.command, files, _first_line(Path(program)))
    file = out or Path(f"{name}.toml")
    text = guessing.written(name, guess, path=path or start.ready or "/", ready=start.ready)
    parse_app(text, file.name)
    _write(file, text, force=force)
    told = [word for word in (guess.language, guess.framework) if word] or ["of unknown language"]
    display.console().print(
        f"Written: {relative(file)} ({', '.join(told)}; {start.file or 'as you said'})", highlight=False
    )
    if guess.command != start.command:
        placeholder = "; {port} stands for a free port" if "{port}" in guess.command else ""
        display.console().print(
            f"It starts the application with `{guess.command}`{placeholder}.", highlight=False, markup=False
        )
    if guess.launcher and shutil.which(guess.launcher, path=path_of_the_caller()) is None:
        raise UsageError(
            f"there is no {guess.launcher} here",
            f"{AGENT.format(framework=_package(guess.framework))}; then `tracing-overhead check {file}`",
        )
    return check(file)


def _write(file: Path, text: str, *, force: bool) -> None:
    if file.exists() and not force:
        raise UsageError(
            f"{file} exists",
            f"`tracing-overhead check {file}` tries it; --force writes it again, --out names another",
        )
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror or error}", "name another with --out"
        ) from None


def _package(framework: str) -> str:
    return f" (`opentelemetry-instrumentation-{framework}`)" if framework else ""


def _first_line(program: Path) -> str:
    """The first line of a script; empty of anything else."""
    with program.open("rb") as content:
        line = content.readline(200)
    return line.decode("utf-8", "replace").strip() if line.startswith(b"#!") else ""


def check(file: Path, /) -> int:
    """Try an app file: start the application plainly and traced, and ask it.

    Args:
        file: The app file.
    """
    machine.require_linux()
    subject = read_subject(Application(app=file))
    plan = runner.plan_of(subject.app)
    console = display.console()
    with display.progress(CHECK_S) as progress:
        progress.say(f"trying {subject.app.name}")
        testbed = Testbed(plan, Options(place=subject.place, load=False))
        try:
            for finding in runner.findings(plan, testbed):
                mark = Text("doubt ", "yellow") if finding.advice else Text("ok    ", "green")
                console.print(mark + Text(finding.text + (f" - {finding.advice}." if finding.advice else "")))
        finally:
            with uninterrupted():
                testbed.close()
    console.print(
        spelled_here(f"\nMeasure it: `tracing-overhead run --app {relative(file)} --budget quick`"),
        highlight=False,
    )
    return 0
