"""`backends`: gets the collectors and trace backends that a trace can go through."""

import argparse
import sys

from bench.cli.shared import Commands, complain, relative
from bench.errors import BenchError, UsageError
from bench.traces.catalogue import TOOLS
from bench.traces.install import get


def add(commands: Commands) -> None:
    """`backends`."""
    backends = commands.add_parser("backends", help="get real collectors and trace backends, once")
    backends.set_defaults(call=_backends)
    backends.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"which (default: all): {'; '.join(f'{tool.name}: {tool.what}' for tool in TOOLS.values())}",
    )


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def _backends(args: argparse.Namespace) -> int:
    unknown = [name for name in args.names if name not in TOOLS]
    if unknown:
        raise UsageError(f"there is no backend named {unknown[0]!r}", f"there are {', '.join(TOOLS)}")
    code = 0
    for name in args.names or TOOLS:
        tool = TOOLS[name]
        if tool.is_here():
            sys.stdout.write(f"{name} {tool.version}: is here already\n")
            continue
        try:
            get(tool, _say)
        except BenchError as error:
            # One that cannot be had takes nothing from the others.
            failed = complain(error)
            code = code or failed
        else:
            sys.stdout.write(f"{name} {tool.version}: is in {relative(tool.folder)}\n")
    return code
