"""What an application needs before it can start: made once, cached by its content."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.app.records import App, Environment, Setup
from bench.errors import UsageError
from bench.testbed.environ import Place
from bench.testbed.process import path_of_the_caller, undone_on_failure

_PROJECT = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9._/-]*")
CACHE_VARIABLE = "TRACING_OVERHEAD_CACHE"
INSTALL_LIMIT_S = 900
DONE = "installed"


def environment(wanted: Environment, folder: Path, whose: str = "[environment]") -> Place:
    """Where an application with this environment is started from; installs it the first time.

    Args:
        wanted: from its app file.
        folder: of the app file.
        whose: it is, for messages.

    Raises:
        UsageError: something cannot be installed.
    """
    key = hashlib.sha256(msgspec.json.encode(wanted) + sys.version.encode()).hexdigest()[:16]
    root = cache() / key
    if not (root / DONE).exists():
        _make(wanted, root, whose)
    path, environ, python, modules = [], {}, sys.executable, ""
    if wanted.pip or wanted.python:
        path.append(str(root / "python" / "bin"))
        python = str(root / "python" / "bin" / "python")
    if wanted.npm:
        path.append(str(root / "node" / "node_modules" / ".bin"))
        modules = str(root / "node" / "node_modules")
        environ["NODE_PATH"] = modules
    return Place(folder=folder, path=tuple(path), environ=environ, python=python, npm=modules)


def places(app: App, setups: Sequence[Setup], folder: Path) -> dict[str, Place]:
    """Where set-ups with packages of their own are started from; equal ones share an environment.

    Args:
        app: with what they have in common.
        setups: all of a run.
        folder: of the app file.

    Raises:
        UsageError: something cannot be installed; it names the requirement.
    """
    return {
        setup.name: environment(
            _merged(app.environment or Environment(), setup), folder, f"set-up {setup.name}"
        )
        for setup in setups
        if setup.has_packages
    }


def _merged(common: Environment, setup: Setup) -> Environment:
    """The application's packages, with the set-up's own in the place of those of the same name."""
    return Environment(
        python=setup.python or common.python,
        pip=_replaced(common.pip, setup.pip),
        npm=_replaced(common.npm, setup.npm),
    )


def _replaced(common: Sequence[str], own: Sequence[str]) -> list[str]:
    names = set(map(_name, own))
    return [*(requirement for requirement in common if _name(requirement) not in names), *own]


def _name(requirement: str) -> str:
    """The project that a requirement names, of pip (PEP 508) or npm (`@scope/name@version`)."""
    match = _PROJECT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else requirement


def cache() -> Path:
    """Where environments are kept."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracing-overhead"
    return Path(os.environ.get(CACHE_VARIABLE) or default)


def packages(place: Place, app: App) -> dict[str, str]:
    """Versions of what is installed in an application's own Python; empty for the harness's."""
    python = place.python
    if python == sys.executable:
        python = _beside(app) or python
    if python == sys.executable:
        return {}
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=False)
    if done.returncode:
        return {}
    return dict(sorted(msgspec.json.decode(done.stdout, type=dict[str, str]).items()))


def _beside(app: App) -> str | None:
    """The Python of the environment that an application's program belongs to; None where there is none."""
    command = app.process[0].command
    words = shlex.split(command) if isinstance(command, str) else command
    program = shutil.which(words[0], path=path_of_the_caller()) if words else None
    python = Path(program).parent / "python" if program else None
    return str(python) if python and python.is_file() else None


def _make(wanted: Environment, root: Path, whose: str) -> None:
    """Install into a folder beside, and move it into place when it is whole."""
    root.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    # Scripts of a virtual environment name its folder, so it is made where it stays.
    with undone_on_failure(lambda: shutil.rmtree(root, ignore_errors=True)):
        if wanted.pip or wanted.python:
            _python(wanted, root / "python", whose)
        if wanted.npm:
            _node(wanted, root / "node", whose)
        root.mkdir(exist_ok=True)
        (root / DONE).touch()


def _python(wanted: Environment, folder: Path, whose: str) -> None:
    uv = shutil.which("uv")
    version = wanted.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    if uv:
        _run([uv, "venv", "--quiet", "--python", version, str(folder)], "python", whose)
        if wanted.pip:
            python = str(folder / "bin" / "python")
            _run(
                [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted.pip],
                "pip",
                whose,
            )
        return
    interpreter = shutil.which(f"python{version}") or sys.executable
    _run([interpreter, "-m", "venv", str(folder)], "python", whose)
    if wanted.pip:
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted.pip], "pip", whose)


def _node(wanted: Environment, folder: Path, whose: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError("the application needs Node.js, and there is no npm here", "install Node.js")
    folder.mkdir(parents=True)
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"]
    _run([npm, "install", "--prefix", str(folder), *options, *wanted.npm], "npm", whose)


def _run(command: Sequence[str], key: str, whose: str) -> None:
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=INSTALL_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(
                f"cannot install what `{key}` of {whose} names: {error}", "try it by hand"
            ) from None
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if done.returncode:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        raise UsageError(
            f"cannot install what `{key}` of {whose} names: {' '.join(lines[:4])[:600]}",
            "correct the requirement, or see whether the registry has it",
        )
