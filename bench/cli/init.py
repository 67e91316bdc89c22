"""`init` writes an app file and tries it; `check` tries one."""

import contextlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from bench.cli import display
from bench.cli.display import relative
from bench.cli.invocation import spelled_here
from bench.errors import UsageError
from bench.runner import check as runner
from bench.runner.learning import LearningTestbed
from bench.testbed import guessing, machine
from bench.testbed.app_files import load
from bench.testbed.options import Options

CHECK_S = 30.0
"""About how long trying takes; for the display only."""


def init(
    *,
    command: str = "",
    path: str = "",
    out: Annotated[Path | None, Parameter(name=("--out", "-o"))] = None,
    name: str = "",
    force: bool = False,
) -> int:
    """Write the app file of your service, guess what can be guessed, and try it.

    Args:
        command: Command that starts it, such as "gunicorn mysite.wsgi -b 127.0.0.1:{port}"; by default what a
            Procfile, railway.toml or render.yaml says.
        path: The path to request, with its query.
        out: The file; NAME.toml by default.
        name: Name of the application; that of this folder by default.
        force: Overwrite the file.
    """
    draft = guessing.draft(command, path, name)
    file = out or Path(f"{draft.name}.toml")
    _write(file, draft.text, force=force)
    guess, start = draft.guess, draft.start
    about = [word for word in (guess.language, guess.framework) if word] or ["unknown language"]
    display.console().print(
        f"Written: {relative(file)} ({', '.join(about)}; command from {start.file or '--command'})",
        highlight=False,
    )
    if guess.command != start.command:
        placeholder = "; {port} stands for a free port" if "{port}" in guess.command else ""
        display.console().print(
            f"It starts the application with `{guess.command}`{placeholder}.", highlight=False, markup=False
        )
    guessing.require_agent(draft, f"then `tracing-overhead check {file}`")
    return check(file)


def _write(file: Path, text: str, *, force: bool) -> None:
    if file.exists() and not force:
        raise UsageError(
            f"{file} exists",
            f"`tracing-overhead check {file}` tries it; --force overwrites it, -o names another",
        )
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror or error}", "name another file with --out"
        ) from None


def check(file: Path, /) -> int:
    """Try an app file: start the application plainly and traced, and send requests to it.

    Args:
        file: The app file.
    """
    machine.require_linux()
    loaded = load(file)
    plan = runner.check_plan(loaded.app)
    console = display.console()
    with (
        display.progress(CHECK_S) as progress,
        contextlib.closing(LearningTestbed(plan, Options(place=loaded.place, load=False))) as testbed,
    ):
        progress.say(f"trying {loaded.app.name}")
        for finding in runner.findings(plan, testbed):
            mark = Text("look  ", "yellow") if finding.advice else Text("ok    ", "green")
            console.print(mark + Text(finding.text + (f" - {finding.advice}." if finding.advice else "")))
    console.print(
        spelled_here(f"\nMeasure it: `tracing-overhead run {relative(file)} --budget quick`"),
        highlight=False,
    )
    return 0
