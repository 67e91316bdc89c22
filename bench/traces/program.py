"""Starts a tool, on loopback, and waits until it answers."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import ServiceError
from bench.testbed.ports import answer_of
from bench.testbed.process import Child, leashed, plain_environ, undone_on_failure
from bench.traces.catalogue import TOOLS

HOST = "127.0.0.1"
START_LIMIT_S = 60.0
LOOK_S = 0.05
STOP_LIMIT_S = 10.0


def start(  # noqa: PLR0913 - a process is what it is started with
    name: str,
    arguments: Sequence[str],
    logs: Path,
    ports: Sequence[int],
    environ: Mapping[str, str] | None = None,
    *,
    launcher: Sequence[str] = (),
) -> Child:
    """The tool's process, which listens on its ports.

    Args:
        name: of the tool.
        arguments: of its program.
        logs: where what it says is kept.
        ports: that it has to listen on.
        environ: variables added to the plain environment.
        launcher: what runs the program, where that is not a program itself.

    Raises:
        UsageError: the tool is not here.
        ServiceError: it ended, or does not listen.
    """
    path = TOOLS[name].require()
    child = Child(
        name,
        leashed(*launcher, str(path.resolve()), *arguments),
        environ={**plain_environ(), **(environ or {})},
        log=logs / f"{name}.log",
    )
    with undone_on_failure(lambda: child.stop(STOP_LIMIT_S)):
        _wait(child, ports)
    return child


def _wait(child: Child, ports: Sequence[int]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    for port in ports:
        while not answer_of(port, "tcp"):
            child.check()
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{child.name} does not listen on port {port} after {START_LIMIT_S:.0f} s",
                    "close other programs and try again",
                )
            time.sleep(LOOK_S)
