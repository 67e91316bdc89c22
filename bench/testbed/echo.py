"""The echo service: what load generators and microbenchmarks are measured against."""

from collections.abc import Iterable
from pathlib import Path

from bench.testbed.pids import pin
from bench.testbed.ports import answer_of, free_ports
from bench.testbed.process import Child, plain_environ


def start_echo(logs: Path, cpus: Iterable[int]) -> tuple[Child, str]:
    """The echo service's process, on these CPUs, and its address.

    Raises:
        ServiceError: it does not start.
    """
    port = free_ports(1)[0]
    child = Child(
        "the echo service",
        ["-m", "services.echo", "--port", str(port)],
        environ=plain_environ(),
        log=logs / "echo.log",
    )
    while not answer_of(port, "tcp"):
        child.check()
    pin([child.pid], tuple(cpus))
    return child, f"http://127.0.0.1:{port}"
