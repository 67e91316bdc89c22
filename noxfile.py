"""Every command of the project; `nox -l` lists them. What follows `--` goes to the command."""

import os
import sys
from pathlib import Path

import nox

# The list of commands needs nothing but the standard library.
sys.path.insert(0, str(Path(__file__).parent))
from bench.cli.commands import COMMANDS

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

INTERRUPT_S = 5
"""A terminal's Ctrl-C reaches the program behind by itself; where nox alone got the signal, it passes
it on after so long."""
PATIENCE_S = 60
"""Until the program behind is killed: the harness stops dozens of processes and writes what it measured."""


def _install(session: nox.Session, *groups: str) -> None:
    """The project with pinned dependencies."""
    chosen = [part for group in groups for part in ("--group", group)]
    # Compiled once here, instead of by the first of dozens of processes while they start.
    session.env["UV_COMPILE_BYTECODE"] = "1"
    session.install("-c", "constraints.txt", "-e", ".", *chosen)


class _ExitCode(list[int]):
    """A program's exit code, kept: nox would report anything but 0 as a crash, and end with 1 itself."""

    def __contains__(self, code: object) -> bool:
        if isinstance(code, int):
            self.append(code)
        return True


def _run(session: nox.Session, command: str) -> None:
    _install(session)
    ended = _ExitCode()
    session.run(
        "tracing-overhead", command, *session.posargs,
        # Nothing but results is on stdout: `--format json` can be piped.
        stderr=sys.stderr,
        interrupt_timeout=INTERRUPT_S, terminate_timeout=PATIENCE_S,
        success_codes=ended,
    )  # fmt: skip
    if any(ended):
        sys.exit(ended[0])


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what tracing costs, and report (`-- --budget quick`, `-- FILE`): the same as `run`."""
    _run(session, "run")


def _session(name: str, summary: str) -> None:
    """A session that runs the command of its name."""

    def run(session: nox.Session) -> None:
        _run(session, name)

    run.__name__, run.__doc__ = name, summary
    nox.session(name=name)(run)


for _command in COMMANDS.values():
    _session(_command.name, _command.summary)


@nox.session
def tests(session: nox.Session) -> None:
    """All fast tests."""
    _install(session, "dev")
    # One worker more than CPUs: many tests wait for processes.
    session.run("pytest", "-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"], download_python="never")
def pythons(session: nox.Session) -> None:
    """All fast tests on each Python that is on this machine."""
    _install(session, "dev")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Whole runs with real processes, and the web UI in a browser: more than half an hour."""
    _install(session, "dev", "e2e")
    session.run("pytest", "-o", "addopts=", "tests/e2e", "-v", "-rs", *session.posargs)


@nox.session
def documents(session: nox.Session) -> None:
    """Write the tables of README and docs again from committed results."""
    _install(session, "dev")
    session.run("python", "-m", "tests.documents")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    _install(session, "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    _install(session, "dev")
    session.run("mypy")
