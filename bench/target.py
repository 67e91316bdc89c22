"""A fleet that runs elsewhere and was started by somebody else: asked over HTTP, never touched.

Rule 1: it answers like a `Fleet`; CPU and memory come from each service's own usage path,
whose cost is in every set-up alike and is taken off with that of an empty flush.
Rule 2: it cannot be started afresh, pinned or stopped; what that means for the figures is a caveat.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from bench.errors import ServiceError
from bench.fleet import FLUSH_LIMIT_S
from bench.model import SERVICES, Memory, Setup

ASK_LIMIT_S = 10.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Usage(msgspec.Struct):
    """What a service says of itself.

    Attributes:
        service: its name.
        cpu_ns: CPU time so far.
        memory_bytes: pss, uss, rss and peak_rss.
        opentelemetry_modules: how many modules of OpenTelemetry are loaded.
        upstreams: whom it asks, by name.
        discarded_spans: spans that its exporter has thrown away.
    """

    service: str
    cpu_ns: int
    memory_bytes: dict[str, int]
    opentelemetry_modules: int
    upstreams: dict[str, str] = {}
    discarded_spans: int = 0


class Target:
    """The services behind a frontend-app that runs elsewhere.

    Attributes:
        setup: what they are said to run.
        url: where a checkout is posted.

    Args:
        setup: what they are said to run.
        url: the address of their frontend-app.

    Raises:
        ServiceError: a service does not answer, or one of the four is missing.
    """

    def __init__(self, setup: Setup, url: str) -> None:
        self.setup = setup
        self.url = url.rstrip("/") + "/checkout"
        self._client = httpx.Client(timeout=ASK_LIMIT_S, trust_env=False)
        self._urls: dict[str, str] = {}
        self._find(url.rstrip("/"), SERVICES[0])
        missing = [service for service in SERVICES if service not in self._urls]
        if missing:
            raise ServiceError(
                f"the fleet of {setup.name} at {url} has no {', '.join(missing)}",
                "name the address of its frontend-app with --target",
            )

    def _find(self, url: str, expected: str) -> None:
        """Notes a service's address and those of whom it asks, as they are reached from here."""
        usage = self._usage(url, expected)
        self._urls[usage.service] = url
        for name, upstream in usage.upstreams.items():
            self._find(_as_seen_from_here(upstream, url), name)

    def _usage(self, url: str, service: str) -> Usage:
        return self._decode(self._ask("GET", f"{url}/admin/usage", service), url, service)

    def _decode(self, response: httpx.Response, url: str, service: str) -> Usage:
        try:
            return msgspec.json.decode(response.content, type=Usage)
        except msgspec.DecodeError as error:
            raise ServiceError(
                f"{service} of {self.setup.name} at {url} is none of these services: {error}",
                "start them there with `python -m services all`, in this version",
            ) from None

    def _ask(self, method: str, url: str, service: str, timeout_s: float = ASK_LIMIT_S) -> httpx.Response:
        try:
            response = self._client.request(method, url, timeout=timeout_s)
            response.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(
                f"{service} of {self.setup.name} does not answer at {url}: "
                f"{str(error) or type(error).__name__}",
                "does it run there, and listen on an address that is reached from here (--host)?",
            ) from None
        return response

    def wait_until_ready(self) -> None:
        """Nothing: it was asked when it was found."""

    def pin(self, cpus: Iterable[int]) -> None:
        """Nothing: its machine is not ours."""

    def usage(self) -> dict[str, dict[str, object]]:
        """What each service says of itself, by service."""
        return {
            service: msgspec.to_builtins(self._usage(url, service)) for service, url in self._urls.items()
        }

    def flush(self) -> tuple[str, ...]:
        """Everything recorded leaves the services; returns those that did not answer in time."""
        failed = []
        for service in SERVICES:
            try:
                self._ask("POST", f"{self._urls[service]}/admin/flush", service, FLUSH_LIMIT_S)
            except ServiceError:
                self._usage(self._urls[service], service)
                failed.append(service)
        return tuple(failed)

    def cpu_ns(self) -> dict[str, int]:
        """CPU time so far by service.

        Raises:
            ServiceError: a service does not answer.
        """
        return {service: self._usage(self._urls[service], service).cpu_ns for service in SERVICES}

    def memory(self) -> tuple[Memory, ...]:
        """Memory by service."""
        readings = []
        for service in SERVICES:
            sizes = self._usage(self._urls[service], service).memory_bytes
            readings.append(
                Memory(
                    setup=self.setup.name,
                    service=service,
                    pss_bytes=sizes["pss"],
                    uss_bytes=sizes["uss"],
                    peak_rss_bytes=sizes["peak_rss"],
                )
            )
        return tuple(readings)

    def check(self) -> None:
        """Nothing, while all services answer.

        Raises:
            ServiceError: one does not.
        """
        for service in SERVICES:
            self._ask("GET", f"{self._urls[service]}/admin/health", service)

    def pause(self) -> None:
        """Nothing: at rest it burns nothing but its exporters' timers."""

    def resume(self) -> None:
        """Nothing."""

    def ask_to_stop(self) -> None:
        """Nothing: who started it stops it."""

    def stop(self, deadline: float) -> None:
        """Lets go of the connections."""
        del deadline
        self._client.close()


def _as_seen_from_here(upstream: str, asked: str) -> str:
    """An upstream's address: a service that calls it on its own loopback has it on its own machine."""
    there, here = urlsplit(upstream), urlsplit(asked)
    if there.hostname not in LOOPBACK or here.hostname is None:
        return upstream
    host = f"[{here.hostname}]" if ":" in here.hostname else here.hostname
    return urlunsplit(there._replace(netloc=f"{host}:{there.port}"))
