"""Loads applications from their files, with the environment that they start in."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.app.file import parse_app, parse_setups
from bench.app.records import App, Setup
from bench.app.setups import TABLE
from bench.errors import UsageError
from bench.testbed import environments
from bench.testbed.environ import Place
from bench.testbed.process import ROOT

BUILT_IN = ROOT / "services" / "checkout.toml"
MOST_NAMES = 3
"""Files that a hint lists."""
NOT_APPS = ("pyproject.toml", "Cargo.toml", "netlify.toml", "railway.toml", "fly.toml")
"""TOML files of other tools, which a hint does not propose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedApp:
    """An application that was read from its file.

    Attributes:
        app: the application.
        place: where it is started from.
        own: setups of the user's setups files, beside its own.
    """

    app: App
    place: Place
    own: tuple[Setup, ...] = ()


def load(path: Path | None, setups_files: Sequence[Path] = (), *, installed: bool = True) -> LoadedApp:
    """An application and the setups of further files.

    Args:
        path: of its app file; None: the built-in example.
        setups_files: with further setups.
        installed: whether its environment has to be there.

    Raises:
        UsageError: a file cannot be read, or something in it is wrong.
    """
    path = path or BUILT_IN
    return loaded(text_of(path), path, setups_files, installed=installed)


def loaded(text: str, path: Path, setups_files: Sequence[Path] = (), *, installed: bool = True) -> LoadedApp:
    """The same from the text of an app file that may not exist; its folder does."""
    app = parse_app(text, path.name)
    taken = [setup.name for setup in (*TABLE, *app.setup)]
    own: list[Setup] = []
    for file in setups_files:
        names = [*taken, *(setup.name for setup in own)]
        own += parse_setups(text_of(file), file.name, names)
    folder = path.resolve().parent
    place = Place(folder=folder)
    if app.environment and app.environment.always and installed:
        place = environments.environment(app.environment, folder)
    return LoadedApp(app=app, place=place, own=tuple(own))


def text_of(path: Path) -> str:
    """The text of a file that a user names.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}", _proposal(path)) from None


def _proposal(path: Path) -> str:
    """Which file to name instead: an app file in the same folder, if there is one."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(
            file.name
            for file in path.parent.glob("*.toml")
            if file.name not in NOT_APPS and "[[process]]" in file.read_text("utf-8", "replace")
        )[:MOST_NAMES]
    if names:
        return f"name an app file, such as {' or '.join(names)}"
    return "name an app file; `tracing-overhead init` writes one"
