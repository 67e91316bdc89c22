"""An instance that runs elsewhere and was started by somebody else: asked over HTTP, never touched.

CPU and memory come from each process's own usage path. It cannot be started afresh, pinned or
stopped; what that means for the figures is a caveat.
"""

import contextlib
import socket
import time
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from bench.app.records import App, Setup
from bench.errors import ServiceError, UsageError
from bench.plan.readings import Memory
from bench.testbed.instance import ASK_LIMIT_S, Usage, flush_all

CONNECTIONS = 5
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class RemoteInstance:
    """The processes behind an address elsewhere.

    Attributes:
        setup: how it is said to be traced.
        url: address of its first process.
        burns_s: always 0: nothing can be started beside it.
    """

    burns_s = 0.0

    def __init__(self, app: App, setup: Setup, url: str) -> None:
        """Find all its processes.

        Raises:
            UsageError: the application has no usage path.
            ServiceError: a process does not answer, or one is missing.
        """
        if not app.tracing.usage:
            raise UsageError(
                f"{app.name} has no usage path, so its CPU time elsewhere cannot be read",
                "name one with `usage` in the app file's [tracing] table, or start it here",
            )
        self.setup = setup
        self.url = url.rstrip("/")
        self._app = app
        self._client = httpx.Client(timeout=ASK_LIMIT_S, trust_env=False)
        self._urls: dict[str, str] = {}
        wanted = [process.name for process in app.process if process.traced]
        self._find(self.url, wanted[0])
        missing = [process for process in wanted if process not in self._urls]
        if missing:
            raise ServiceError(
                f"the instance of {setup.name} at {url} has no {', '.join(missing)}",
                f"name the address of its {wanted[0]} with --target",
            )

    def _find(self, url: str, name: str) -> None:
        """Record the addresses of a process and of its upstreams, as they are reached from here."""
        if name in self._urls:
            return
        self._urls[name] = url
        for upstream, address in self._ask(url, name).upstreams.items():
            self._find(_as_seen_from_here(address, url), upstream)

    def _ask(self, url: str, name: str) -> Usage:
        try:
            answer = self._client.get(url + self._app.tracing.usage).raise_for_status()
            return msgspec.json.decode(answer.content, type=Usage)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
            raise ServiceError(
                f"{name} of {self.setup.name} does not answer its usage path at {url}: {error}",
                "start it, and make it reachable from here",
            ) from None

    def usage(self) -> dict[str, Usage]:
        return {name: self._ask(url, name) for name, url in self._urls.items()}

    def cpu_ns(self) -> int:
        return sum(usage.cpu_ns or 0 for usage in self.usage().values())

    def failures(self) -> dict[str, int]:
        """Nothing: its logs are elsewhere."""
        return {}

    def memory(self) -> Memory:
        sizes = [usage.memory_bytes for usage in self.usage().values()]
        return Memory(
            pss_bytes=sum(size.get("pss", 0) for size in sizes),
            uss_bytes=sum(size.get("uss", 0) for size in sizes),
        )

    def flush(self) -> tuple[str, ...]:
        if self.setup.tracing == "none":
            return ()
        return flush_all(self._client, self._app.tracing.flush, self._urls, self.check)

    def pause(self) -> None:
        """Nothing: it runs elsewhere."""

    def resume(self) -> None:
        """Nothing: it was never stopped."""

    def burn(self, cpu_ns: int) -> None:
        """Nothing: no process can be started beside it."""

    def check(self) -> None:
        """Nothing: a process that has ended does not answer, which is seen when it is asked."""

    def stop(self) -> None:
        """Let go of the connections; it goes on."""
        self._client.close()


def round_trip_s(url: str) -> float:
    """How long the network takes to an address and back: the shortest of a few connections; 0 without any."""
    parts = urlsplit(url)
    times = []
    for _ in range(CONNECTIONS):
        began = time.monotonic()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(
                (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), ASK_LIMIT_S
            ),
        ):
            times.append(time.monotonic() - began)
    return min(times, default=0.0)


def _as_seen_from_here(address: str, neighbour: str) -> str:
    """An address that a process elsewhere knows: its own loopback is its host's address here."""
    parts, host = urlsplit(address), urlsplit(neighbour).hostname or ""
    if parts.hostname not in LOOPBACK:
        return address
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{host}{port}", "", "", ""))
