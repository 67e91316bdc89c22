"""What an application needs before it can start: made once, cached by its content."""

import functools
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
_LOADED = """
import importlib.metadata, json
from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
points = importlib.metadata.entry_points(group="opentelemetry_instrumentor")
print(json.dumps(sorted({point.name for point in points if not get_dist_dependency_conflicts(point.dist)})))
"""
"""As `opentelemetry-instrument` chooses among the instrumentations that are installed."""


def environment(wanted: Environment, folder: Path, whose: str = "[environment]") -> Place:
    """Where an application with this environment is started from; installs it the first time.

    Args:
        wanted: from its app file.
        folder: of the app file.
        whose: its owner, for messages.

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
    """Where setups with packages of their own are started from; equal ones share an environment.

    Args:
        app: with what they have in common.
        setups: all of a run.
        folder: of the app file.

    Raises:
        UsageError: something cannot be installed; it names the requirement.
    """
    return {
        setup.name: environment(
            _merged(app.environment or Environment(), setup), folder, f"setup {setup.name}"
        )
        for setup in setups
        if setup.has_packages
    }


def _merged(common: Environment, setup: Setup) -> Environment:
    """The application's packages, with the setup's own in the place of those of the same name."""
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


class Installed(msgspec.Struct, frozen=True):
    """An application's own Python.

    Attributes:
        python: its implementation and version, such as `CPython 3.12.1`; empty where it has none of its own.
        packages: what is installed in it, with versions.
    """

    python: str = ""
    packages: dict[str, str] = {}


def installed(place: Place, app: App) -> Installed:
    """An application's own Python; nothing where it uses the harness's, or none at all."""
    python = place.python
    if python == sys.executable:
        python = _beside(app) or python
    if python == sys.executable:
        return Installed()
    code = (
        "import importlib.metadata as m, json, platform as p;"
        "packages = {d.metadata['Name'].lower(): d.version for d in m.distributions()};"
        "python = p.python_implementation() + ' ' + p.python_version();"
        "print(json.dumps({'python': python, 'packages': dict(sorted(packages.items()))}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=False)
    if done.returncode:
        return Installed()
    return msgspec.json.decode(done.stdout, type=Installed)


def _beside(app: App) -> str | None:
    """The Python of the environment that an application's program belongs to; None where there is none."""
    command = app.process[0].command
    words = shlex.split(command) if isinstance(command, str) else command
    return _python_of(words[0], path_of_the_caller()) if words else None


def _python_of(program: str, path: str) -> str | None:
    """The Python that lies beside a program; None without either."""
    file = shutil.which(program, path=path)
    python = Path(file).parent / "python" if file else None
    return str(python) if python and python.is_file() else None


def instrumentors(place: Place, app: App) -> tuple[str, ...]:
    """Names of the instrumentations that an application's launcher loads.

    These are the installed ones whose libraries are there, in a version that they know.

    Raises:
        UsageError: there is no environment to ask.
    """
    words = shlex.split(app.tracing.launcher)
    path = os.pathsep.join([*place.path, path_of_the_caller()])
    python = _python_of(words[0], path) if words else None
    if python is None:
        raise UsageError(
            f"the instrumentations that {app.name} loads are unknown",
            "name them in its app file: [tracing] instrumentors = [...], as "
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS has them",
        )
    done = subprocess.run([python, "-c", _LOADED], capture_output=True, timeout=60, check=False)
    names = msgspec.json.decode(done.stdout, type=tuple[str, ...]) if not done.returncode else ()
    if not names:
        raise UsageError(
            f"the environment of {app.name} has no instrumentation that fits what is installed there",
            "`opentelemetry-bootstrap -a requirements` in it says which would fit",
        )
    return names


def _make(wanted: Environment, root: Path, whose: str) -> None:
    """Install into the final folder, because scripts name it; remove the folder if that fails."""
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


@functools.cache
def interpreter(version: str) -> str | None:
    """A Python of this version that is on the machine: on PATH, or among pyenv's; None without one.

    A name on PATH alone says little: it may be a shim of pyenv's that ends with an error.
    """
    name = f"python{'.'.join(version.split('.')[:2])}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [Path(folder) for folder in path_of_the_caller().split(os.pathsep) if folder]
    folders += sorted((folder / "bin" for folder in pyenv.glob(f"{version}*")), reverse=True)
    for program in (Path(sys.executable), *(folder / name for folder in folders)):
        if program.is_file():
            code = "import platform; print(platform.python_version())"
            done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=False)
            if not done.returncode and f"{done.stdout.strip()}.".startswith(f"{version}."):
                return str(program)
    return None


def _python(wanted: Environment, folder: Path, whose: str) -> None:
    uv = shutil.which("uv")
    version = wanted.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    here = interpreter(version)
    if uv:
        _run([uv, "venv", "--quiet", "--python", here or version, str(folder)], "python", whose)
        if wanted.pip:
            python = str(folder / "bin" / "python")
            _run(
                [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted.pip],
                "pip",
                whose,
            )
        return
    if here is None:
        raise UsageError(
            f"`python` of {whose} names {version}, which is not on this machine", "install it, or install uv"
        )
    _run([here, "-m", "venv", str(folder)], "python", whose)
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
