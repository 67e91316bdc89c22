"""The four services of one set-up: started, waited for, pinned, flushed, read, stopped.

Rule 1: nothing differs between fleets but the declared factor. The same arguments but
for numbers of the same length, the same working directory, the same hash seed, and
environments padded to the same size: where a program's stack begins depends on how
large its environment is, and its speed on that (Mytkowicz and others, 2009).
Rule 2: a listening socket is made here and handed down; no port can be taken by another
program between choosing and using it, and all services start at once.
Rule 3: services start on all CPUs and are pinned once they answer.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import httpx

from bench.errors import ServiceError
from bench.meter import cpu_ns, memory_bytes, pin
from bench.model import SERVICES, Memory, Setup
from bench.process import Child, plain_environ
from bench.setups import protocol

START_LIMIT_S = 60.0
FLUSH_LIMIT_S = 5.0
"""An exporter whose sink is gone retries for many seconds; its window is invalid anyway."""
FIRST_FD = 100
"""Inherited sockets get numbers from here, so that all have three digits."""
PADDED_BYTES = 4096
"""How much larger than the caller's environment every fleet's is."""


def environ_of(
    setup: Setup,
    *,
    hash_seed: int,
    endpoints: Mapping[str, str],
    caller: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The whole environment of a set-up's services.

    Args:
        setup: whose variables are added last.
        hash_seed: PYTHONHASHSEED, the same for all fleets of an epoch.
        endpoints: the sink's address by OTLP protocol.
        caller: the shell's environment, of which all OTEL_* and BENCH_* are removed.

    Returns:
        Variables whose total size is the same for every set-up.
    """
    environ = plain_environ(caller)
    size = _size(environ) + PADDED_BYTES
    environ["PYTHONHASHSEED"] = str(hash_seed).zfill(10)
    environ["BENCH_TRACING"] = "none"
    environ.update(setup.env)
    environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", endpoints.get(protocol(setup), ""))
    given = environ.get("OTEL_RESOURCE_ATTRIBUTES")
    label = f"bench.setup={setup.name}"
    environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{given},{label}" if given else label
    padding = size - _size(environ) - len("BENCH_PADDING=\0")
    if padding < 0:
        raise ServiceError(
            f"the environment of {setup.name} is {-padding} bytes too large", "shorten the values in its env"
        )
    environ["BENCH_PADDING"] = "x" * padding
    return environ


def _size(environ: Mapping[str, str]) -> int:
    """Bytes that an environment takes on a new process's stack."""
    return sum(len(os.fsencode(name)) + len(os.fsencode(value)) + 2 for name, value in environ.items())


class Fleet:
    """The running services of one set-up.

    Attributes:
        setup: what they run.
        url: where a checkout is posted.
        children: the processes by service.

    Args:
        setup: what they run.
        environ: their whole environment.
        logs: where what they say is kept.
        options: further options of `python -m services`, the same for all four.
    """

    def __init__(
        self, setup: Setup, environ: Mapping[str, str], logs: Path, options: Sequence[str] = ()
    ) -> None:
        self.setup = setup
        self._options = tuple(options)
        listeners = {service: listener() for service in SERVICES}
        self._urls = {
            service: f"http://127.0.0.1:{socket_.getsockname()[1]}" for service, socket_ in listeners.items()
        }
        self.url = self._urls[SERVICES[0]] + "/checkout"
        self._client = httpx.Client(timeout=START_LIMIT_S, trust_env=False)
        self.children: dict[str, Child] = {}
        try:
            for service, socket_ in listeners.items():
                self.children[service] = self._spawn(service, socket_.fileno(), environ, logs)
                # The harness may be pinned; a service is not, until it answers.
                os.sched_setaffinity(self.children[service].pid, range(os.cpu_count() or 1))
        except BaseException:
            self.stop(time.monotonic())
            raise
        finally:
            for socket_ in listeners.values():
                socket_.close()

    def _spawn(self, service: str, fd: int, environ: Mapping[str, str], logs: Path) -> Child:
        arguments = ["-m", "services", service, "--fd", str(fd), "--stop-on-eof"]
        for upstream in SERVICES[1:]:
            arguments += [f"--{upstream}-url", self._urls[upstream]]
        arguments += self._options
        return Child(
            f"{service} of {self.setup.name}",
            arguments,
            environ=environ,
            log=logs / f"{self.setup.name}-{service}.log",
            pass_fds=(fd,),
        )

    def wait_until_ready(self) -> None:
        """Returns when all four services answer.

        Raises:
            ServiceError: one of them ended or does not answer.
        """
        for service in SERVICES:
            self._ask("GET", service, "health", START_LIMIT_S)

    def pin(self, cpus: Iterable[int]) -> None:
        """All threads of all services on these CPUs."""
        cpus = tuple(cpus)
        for child in self.children.values():
            child.check()
            pin(child.pid, cpus)

    def usage(self) -> dict[str, dict[str, object]]:
        """What each service says of itself, by service."""
        return {service: self._ask("GET", service, "usage", START_LIMIT_S).json() for service in SERVICES}

    def flush(self) -> tuple[str, ...]:
        """Everything recorded leaves the services; returns those that did not answer in time.

        Raises:
            ServiceError: a service has ended.
        """
        failed = []
        for service in SERVICES:
            try:
                self._ask("POST", service, "flush", FLUSH_LIMIT_S)
            except ServiceError:
                self.children[service].check()
                failed.append(service)
        return tuple(failed)

    def _ask(self, method: str, service: str, what: str, timeout_s: float) -> httpx.Response:
        try:
            response = self._client.request(method, f"{self._urls[service]}/admin/{what}", timeout=timeout_s)
            response.raise_for_status()
        except httpx.HTTPError:
            raise self.children[service].death() from None
        return response

    def cpu_ns(self) -> dict[str, int]:
        """CPU time so far by service.

        Raises:
            ServiceError: a service has ended.
        """
        return {service: self._read(child) for service, child in self.children.items()}

    @staticmethod
    def _read(child: Child) -> int:
        child.check()
        return cpu_ns(child.pid)

    def memory(self) -> tuple[Memory, ...]:
        """Memory by service."""
        readings = []
        for service, child in self.children.items():
            pss, uss, peak = memory_bytes(child.pid)
            readings.append(
                Memory(
                    setup=self.setup.name,
                    service=service,
                    pss_bytes=pss,
                    uss_bytes=uss,
                    peak_rss_bytes=peak,
                )
            )
        return tuple(readings)

    def check(self) -> None:
        """Nothing, while all services live.

        Raises:
            ServiceError: one has ended.
        """
        for child in self.children.values():
            child.check()

    def pause(self) -> None:
        """Stops all services from running: they burn nothing and export nothing."""
        for child in self.children.values():
            child.pause()

    def resume(self) -> None:
        """Lets all services run again."""
        for child in self.children.values():
            child.resume()

    def ask_to_stop(self) -> None:
        """Tells all services to stop, without waiting."""
        for child in self.children.values():
            child.ask_to_stop()

    def stop(self, deadline: float) -> None:
        """Stops all services, by force at `deadline` on the monotonic clock."""
        self.ask_to_stop()
        for child in self.children.values():
            child.stop(max(deadline - time.monotonic(), 0.1))
        self._client.close()


def listener() -> socket.socket:
    """A listening socket on a free port of 127.0.0.1, with a high file descriptor."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as first:
        fd = fcntl.fcntl(first.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    made = socket.socket(fileno=fd)
    made.bind(("127.0.0.1", 0))
    made.listen(1024)
    return made


def start_echo(logs: Path, cpus: Iterable[int]) -> tuple[Child, str]:
    """The echo service's process, on these CPUs, and its address."""
    with listener() as inherited:
        child = Child(
            "the echo service",
            ["-m", "services.echo", "--fd", str(inherited.fileno())],
            environ=plain_environ(),
            log=logs / "echo.log",
            pass_fds=(inherited.fileno(),),
        )
        cpus = tuple(cpus)
        if cpus:
            pin(child.pid, cpus)
        return child, f"http://127.0.0.1:{inherited.getsockname()[1]}"
