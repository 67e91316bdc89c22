"""`backends`: installs collectors and trace backends."""

import sys

from bench.cli.display import complain, relative
from bench.errors import BenchError, UsageError
from bench.traces.catalogue import TOOLS
from bench.traces.install import get


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def backends(*names: str) -> int:
    """Install collectors and trace backends.

    Args:
        names: Which: jaeger, zipkin, aspire, otelcol or rotel; all by default.
    """
    unknown = [name for name in names if name not in TOOLS]
    if unknown:
        raise UsageError(f"there is no backend named {unknown[0]!r}", f"choose from {', '.join(TOOLS)}")
    code = 0
    for name in names or TOOLS:
        tool = TOOLS[name]
        if tool.is_here():
            sys.stdout.write(f"{name} {tool.version}: already installed\n")
            continue
        try:
            get(tool, _say)
        except BenchError as error:
            # A failure of one does not stop the others.
            failed = complain(error)
            code = code or failed
        else:
            sys.stdout.write(f"{name} {tool.version}: installed in {relative(tool.folder)}\n")
    return code
