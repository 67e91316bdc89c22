"""`web` and `services`: commands whose process becomes another program's."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.cli import display
from bench.errors import UsageError
from bench.studies.options import AppOptions
from bench.testbed import leftovers, machine
from bench.testbed.app_files import load
from bench.testbed.process import ROOT, plain_environ

WEB_LOCUSTFILE = ROOT / "locustfiles" / "explore.py"
APP_VARIABLE, SETUPS_VARIABLE = "BENCH_APP", "BENCH_SETUPS_FILES"


def web(file: Path | None = None, /, options: AppOptions | None = None, *, port: int = 8089) -> int:
    """Explore the setups by hand in Locust's web UI, until Ctrl-C.

    Args:
        file: The app file of your service; the built-in example by default.
        options: Further setups.
        port: On 127.0.0.1.
    """
    machine.require_linux()
    options = options or AppOptions()
    load(file, options.setups_file)
    for sentence in leftovers.remove():
        display.warn(sentence)
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the web UI cannot listen on port {port}: {reason}", "choose another with --port"
        ) from None
    cpus = machine.split_cpus(pinned=True)
    if cpus.others:
        os.sched_setaffinity(0, cpus.others)
    sys.stdout.write(f"Locust's web UI: http://127.0.0.1:{port} - Ctrl-C stops it and all services.\n")
    sys.stdout.flush()
    locust = ["-f", str(WEB_LOCUSTFILE), "--web-host", "127.0.0.1", "--web-port", str(port)]
    command = [sys.executable, "-m", "locust", *locust, "--loglevel", "WARNING", "--stop-timeout", "5"]
    environ = plain_environ() | {"PYTHONPATH": str(ROOT)}
    if file:
        environ[APP_VARIABLE] = str(file.resolve())
    if options.setups_file:
        environ[SETUPS_VARIABLE] = os.pathsep.join(str(file.resolve()) for file in options.setups_file)
    # This process becomes Locust's.
    os.execve(sys.executable, command, environ)  # noqa: S606 - nothing is left to do here


def services(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Run the built-in example's services until Ctrl-C; this process becomes theirs.

    Args:
        arguments: Of `python -m services all`.
    """
    os.chdir(ROOT)
    command = [sys.executable, "-m", "services", "all", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - nothing is left to do here
