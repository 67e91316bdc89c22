"""How this program was called, and so how a hint has to spell its commands."""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from shutil import which
from urllib.parse import unquote, urlsplit

import msgspec

from bench.testbed.machine import DISTRIBUTION
from bench.testbed.process import is_of_uvx

PROGRAM = "tracing-overhead"
_COMMAND = re.compile(rf"`{PROGRAM} ([a-z0-9]+|--help) ?([^`]*)`")


def spelled_here(text: str) -> str:
    """A text whose `tracing-overhead ...` commands work where it is read."""
    return _COMMAND.sub(lambda match: f"`{_command(match[1], match[2])}`", text)


def _command(name: str, arguments: str) -> str:
    if "NOX_CURRENT_SESSION" in os.environ and name.isalnum():
        return f"uvx nox -s {name}" + (f" -- {arguments}" if arguments else "")
    return f"{_program()} {name} {arguments}".rstrip()


def _program() -> str:
    if is_of_uvx():
        return f"uvx --from {source() or DISTRIBUTION} {PROGRAM}"
    called = sys.argv[0]
    return called if Path(called).name == PROGRAM and not which(PROGRAM) else PROGRAM


class _Origin(msgspec.Struct):
    """What an installer notes of a folder or file that it installed from (PEP 610)."""

    url: str


def source() -> str | None:
    """The folder or wheel that this program was installed from; None where that is not known."""
    try:
        origin = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    if origin is None:
        return None
    return unquote(urlsplit(msgspec.json.decode(origin, type=_Origin).url).path)
