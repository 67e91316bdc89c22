"""What the four services share as HTTP services: bodies, failures, upstream calls, admin paths.

A failure is a JSON body with `error`, `message` and `service`; its status
says whose fault it is (4xx the caller's, 502 and 504 an upstream's, which is named).
The admin paths lie outside the traced application, in every setup alike,
so that asking a service how it is never makes a span.
"""

import os
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.burning import burning
from services.checkout import MAX_BODY_BYTES
from services.tracing import Tracing

# httpx imports its own command line (click, rich, pygments: 0.25 s of CPU in each of
# dozens of processes) whenever it can; a service never uses it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

import httpx  # noqa: E402 - has to follow the line above

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

T = TypeVar("T")
Lifespan = Callable[[Starlette], AbstractAsyncContextManager[object]]

ADMIN_PREFIX = "/admin/"
KEEP_ALIVE_S = 600
"""How long a service keeps an idle connection: longer than its clients do, and than any
pause of a run, so that a request never meets a connection that is just being closed."""
CONNECTIONS = 20
"""Connections that a service has to an upstream at most, all of them kept, unless told otherwise
(`--connections`). For every request httpcore looks at every pooled connection, once for each
other one: 1.5 ms of CPU per call with one or two of them, 2.2 with eight, 7.9 with 64 (seen with
httpcore 1.0.9). So a large pool is hidden state: an instance that met one burst while warming up
cost 20 % more than an identical one until it ended. A measured run has two, and requests beyond that
wait in the caller; to open and close connections in a burst costs a fifth of a checkout."""

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"field `(?P<field>[^`]+)`")


class Failure(Exception):  # noqa: N818 - an answer to a client, not a defect
    """An answer other than success.

    Attributes:
        status: HTTP status code.
        error: one word for programs.
        message: one sentence for people.
        extra: further members of the body, `field` or `upstream`.
    """

    def __init__(self, status: int, error: str, message: str, **extra: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.extra = extra


def answer(status: int, body: object) -> Response:
    """A JSON response; `body` is anything that msgspec encodes."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def read(request: Request, decoder: "msgspec.json.Decoder[T]") -> T:
    """The request's body as a message.

    Raises:
        Failure: 413 over 64 KiB, 422 with the field's name where the body does not fit.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    try:
        return decoder.decode(bytes(body))
    except msgspec.ValidationError as error:
        what, field = _explain(str(error))
        raise Failure(422, "invalid_body", what, field=field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(422, "invalid_body", f"The body is not JSON: {error}", field="body") from None


def _too_large() -> Failure:
    return Failure(413, "body_too_large", f"The body exceeds {MAX_BODY_BYTES} bytes.")


def _explain(text: str) -> tuple[str, str]:
    """A message of msgspec's split into the sentence and the field that it is about."""
    match = _WHERE.match(text)
    what, where = (match["what"], match["where"] or "") if match else (text, "")
    named = _NAMED.search(what)
    if named:
        where = f"{where}.{named['field']}" if where else named["field"]
    return what, where or "body"


class Upstream:
    """Another service, as seen from this one, with a connection pool of its own.

    Args:
        name: its service name, for messages.
        url: where it answers, without a trailing slash.
        timeout_s: how long to wait for a whole answer.
        connections: at most; further requests wait for a free one.
        transport: replaces the network in tests that stay in process.
    """

    def __init__(
        self,
        name: str,
        url: str,
        timeout_s: float,
        connections: int = CONNECTIONS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self._timeout_s = timeout_s
        limits = httpx.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_ALIVE_S / 2,
        )
        self._client = httpx.AsyncClient(limits=limits, transport=transport, trust_env=False)

    async def aclose(self) -> None:
        """Lets go of the connections."""
        await self._client.aclose()

    async def post(self, path: str, message: object, headers: Mapping[str, str]) -> httpx.Response:
        """The upstream's answer, whatever its status below 500.

        Raises:
            Failure: 504 where it does not answer in time, 502 where it fails or is not there.
        """
        try:
            response = await self._client.post(
                self.url + path,
                content=msgspec.json.encode(message),
                headers={"content-type": "application/json", **headers},
                timeout=self._timeout_s,
            )
        except httpx.TimeoutException:
            raise Failure(
                504,
                "upstream_timeout",
                f"{self.name} did not answer within {self._timeout_s:g} s.",
                upstream=self.name,
            ) from None
        except httpx.TransportError as error:
            raise Failure(
                502,
                "upstream_unreachable",
                f"{self.name} could not be reached: {str(error) or type(error).__name__}.",
                upstream=self.name,
            ) from None
        if response.status_code in {502, 504}:
            return response  # the upstream says which of *its* upstreams it was
        if response.status_code >= 500:
            raise Failure(
                502,
                "upstream_failed",
                f"{self.name} answered {response.status_code}.",
                upstream=self.name,
            )
        return response


def application(
    service: str,
    tracing: Tracing,
    routes: list[Route],
    lifespan: Lifespan,
    upstreams: Sequence[Upstream] = (),
) -> "ASGIApp":
    """One service as an ASGI application: its routes traced, its admin paths not."""

    async def fail(_request: Request, error: Exception) -> Response:
        if not isinstance(error, Failure):
            raise error
        body = {"error": error.error, "message": error.message, "service": service, **error.extra}
        return answer(error.status, body)

    traced = Starlette(routes=routes, lifespan=lifespan, exception_handlers={Failure: fail})  # type: ignore[arg-type]
    return _Admin(service, tracing, traced, upstreams)


class _Admin:
    """Answers the admin paths itself and hands everything else to the traced application."""

    def __init__(
        self, service: str, tracing: Tracing, traced: Starlette, upstreams: Sequence[Upstream]
    ) -> None:
        self._service = service
        self._upstreams = {upstream.name: upstream.url for upstream in upstreams}
        self._tracing = tracing
        self._traced = burning(tracing.instrument(traced))
        # No application of a framework's: a tracer may trace every one that it finds in the process.
        self._answers = {
            ("GET", "health"): self._health,
            ("POST", "flush"): self._flush,
            ("GET", "usage"): self._usage,
        }

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http" and scope["path"].startswith(ADMIN_PREFIX):
            asked = scope["method"], scope["path"].removeprefix(ADMIN_PREFIX)
            response = self._answers.get(asked, self._unknown)()
            await response(scope, receive, send)
        else:
            await self._traced(scope, receive, send)

    def _health(self) -> Response:
        return answer(200, {"service": self._service, "status": "ok"})

    def _flush(self) -> Response:
        # On the event loop on purpose: nothing else runs during a flush, and a thread
        # would add its own start-up to one setup's bill and not to another's.
        self._tracing.flush()
        return answer(200, {"service": self._service, "flushed": True})

    def _usage(self) -> Response:
        counts = {
            "upstreams": self._upstreams,
            "discarded_spans": self._tracing.discarded,
            "sampled_roots": self._tracing.sampled_roots,
        }
        return answer(200, usage(self._service) | counts)

    def _unknown(self) -> Response:
        return answer(404, {"service": self._service, "error": "unknown_path"})


def usage(service: str) -> dict[str, object]:
    """What this process has used: CPU in ns, memory in bytes, and whether OpenTelemetry is loaded."""
    return {
        "service": service,
        "pid": os.getpid(),
        "cpu_ns": time.process_time_ns(),
        "memory_bytes": _memory_bytes(),
        "opentelemetry_modules": sum(name.partition(".")[0] == "opentelemetry" for name in sys.modules),
    }


def _memory_bytes() -> dict[str, int]:
    """PSS, USS, RSS and the largest RSS so far of this process, from the kernel's own sums (Linux)."""
    kib = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
    for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
        key, _, rest = line.partition(":")
        if key in kib:
            kib[key] = int(rest.split()[0])
    return {
        "pss": kib["Pss"] * 1024,
        "uss": (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024,
        "rss": kib["Rss"] * 1024,
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
