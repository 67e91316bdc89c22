"""`backends`: gets the collectors and trace backends that a trace can go through."""

import sys

from bench.cli.display import complain
from bench.cli.shared import relative
from bench.errors import BenchError, UsageError
from bench.traces.catalogue import TOOLS
from bench.traces.install import get


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def backends(*names: str) -> int:
    """Get real collectors and trace backends, once.

    Args:
        names: Which: jaeger, zipkin, aspire, otelcol or rotel; without a name, all.
    """
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise UsageError(f"there is no backend named {unknown[0]!r}", f"there are {', '.join(TOOLS)}")
    code = 0
    for name in names or TOOLS:
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
