"""Operations of a service: one request answered by Starlette, one call with httpx, one SQL statement."""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from bench.studies.micro.timed import Subject, Wait, require, timed

ECHO_VARIABLE = "BENCH_ECHO"
BODY = (
    b'{"items":[{"sku":"keyboard","quantity":1},{"sku":"mouse","quantity":2}],'
    b'"amount":12997,"currency":"EUR"}'
)
TRACEPARENT = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-"
SPANS = {"sampled": 4, "metrics": 4, "lean": 1, "native": 1}
"""Spans of one request: the server's, one receive and two sends; or the server's alone."""


def _providers(variant: str) -> tuple[Any, dict[str, Any], Callable[[], int]]:
    """A counter of ended spans, the providers for an instrumentation, and a count of metric points."""
    if variant in {"bare", "no-provider", "lean-no-provider"}:
        return None, {}, lambda: 0
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from bench.studies.micro.spans import Counting, provider

    counting, reader = Counting(), InMemoryMetricReader()
    sampler = "off" if variant.endswith("unsampled") else "on"
    given: dict[str, Any] = {"tracer_provider": provider(sampler, counting)}
    if variant == "metrics":
        given["meter_provider"] = MeterProvider([reader], shutdown_on_exit=False)
    return counting, given, lambda: _points(reader)


def _points(reader: Any) -> int:  # noqa: ANN401 - the SDK's reader
    """How many requests the histograms of a reader have seen at most."""
    data = reader.get_metrics_data()
    if data is None:
        return 0
    return max(
        getattr(point, "count", 0)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    )


def server(variant: str) -> Subject:
    """One POST, from the ASGI server's call to the last byte of the answer; no sockets."""

    async def pay(request: Request) -> Response:
        return Response(await request.body(), 200, media_type="application/json")

    counting, given, points = _providers(variant)
    app = _instrumented(Starlette(routes=[Route("/payments", pay, methods=["POST"])]), variant, given)
    flag = "00" if variant.endswith("unsampled") else "01"
    headers = [
        (b"host", b"127.0.0.1:8002"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"), (b"user-agent", b"python-httpx/0.28.1"),
        (b"content-length", str(len(BODY)).encode()), (b"content-type", b"application/json"),
        (b"traceparent", f"{TRACEPARENT}{flag}".encode()),
    ]  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def once() -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "POST", "path": "/payments", "raw_path": b"/payments", "query_string": b"",
            "root_path": "", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8002), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)
        await asyncio.sleep(0)

    async def run(loops: int) -> None:
        for _ in itertools.repeat(None, loops):
            sent.clear()
            await once()

    def check(done: int) -> None:
        require(true=[m.get("status", 200) for m in sent] == [200, 200], otherwise="it was not answered 200")
        spans, expected = counting.ended if counting else 0, SPANS.get(variant, 0) * done
        require(true=spans == expected, otherwise=f"{spans} of {expected} spans reached the processor")
        if variant == "metrics":
            require(true=points() == done, otherwise="its metrics have not counted every request")

    return _on_a_loop(run, check)


def _instrumented(app: Starlette, variant: str, given: dict[str, Any]) -> ASGIApp:
    if variant == "bare":
        return app
    if variant == "native":
        from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as Native

        app.add_middleware(Native, tracer_provider=given["tracer_provider"])
        return app
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.instrumentation.starlette import StarletteInstrumentor

    StarletteInstrumentor.instrument_app(app, **given)
    middleware = [added for added in app.user_middleware if added.cls is OpenTelemetryMiddleware]  # type: ignore[comparison-overlap]
    require(true=len(middleware) == 1, otherwise="the application is not instrumented")
    if variant.startswith("lean"):
        middleware[0].kwargs["exclude_spans"] = ["receive", "send"]
    return app


def call(variant: str, *, asynchronous: bool) -> Subject:
    """One POST to the echo service over a kept connection."""
    counting, given, points = _providers(variant)
    if variant != "bare":
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

        HTTPXClientInstrumentor().instrument(**given)
    url, statuses, wait = os.environ[ECHO_VARIABLE] + "/payments", set[int](), Wait()
    headers = {"content-type": "application/json"}

    def check(done: int) -> None:
        require(true=statuses == {200}, otherwise="it was not answered 200")
        instrumented = hasattr(httpx.HTTPTransport.handle_request, "__wrapped__")
        require(true=instrumented == (variant != "bare"), otherwise="httpx is not as instrumented")
        spans, expected = counting.ended if counting else 0, done if variant in {"sampled", "metrics"} else 0
        require(true=spans == expected, otherwise=f"{spans} of {expected} spans reached the processor")
        if variant == "metrics":
            require(true=points() == done, otherwise="its metrics have not counted every call")

    if asynchronous:
        client = httpx.AsyncClient(trust_env=False)

        async def run(loops: int) -> None:
            extensions = _extensions(wait, asynchronous=True)
            for _ in itertools.repeat(None, loops):
                answer = await client.post(url, content=BODY, headers=headers, extensions=extensions)
                statuses.add(answer.status_code)

        return _on_a_loop(run, check, wait, client.aclose)
    blocking = httpx.Client(trust_env=False)

    def run_blocking(loops: int) -> None:
        extensions = _extensions(wait)
        for _ in itertools.repeat(None, loops):
            answer = blocking.post(url, content=BODY, headers=headers, extensions=extensions)
            statuses.add(answer.status_code)

    return Subject(time=timed(run_blocking), check=check, wait=wait, close=blocking.close)


def _extensions(wait: Wait, *, asynchronous: bool = False) -> dict[str, Any] | None:
    """Extensions with which httpx calls `wait` before it waits for an answer; None without other work."""
    if wait.meanwhile is None:
        return None

    def trace(event: str, _details: object) -> None:
        if event == "http11.receive_response_headers.started":
            wait()

    async def awaited(event: str, details: object) -> None:
        trace(event, details)

    return {"trace": awaited if asynchronous else trace}


def statement(variant: str) -> Subject:
    """One UPDATE of a row in memory, as the inventory reserves an item."""
    counting, given, _ = _providers(variant)
    if variant != "bare":
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

        SQLite3Instrumentor().instrument(**given)
    # Asked for by its name in the module: that is what the instrumentation replaces.
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, quantity INTEGER)")
    connection.execute("INSERT INTO stock VALUES ('keyboard', 0)")
    before = counting.ended if counting else 0

    def run(loops: int) -> None:
        cursor = connection.cursor()
        for _ in itertools.repeat(None, loops):
            cursor.execute("UPDATE stock SET quantity = quantity + ? WHERE sku = ?", (1, "keyboard"))

    def check(done: int) -> None:
        spans, expected = counting.ended - before if counting else 0, done if variant == "sampled" else 0
        require(true=spans == expected, otherwise=f"{spans} of {expected} spans reached the processor")
        row = connection.execute("SELECT quantity FROM stock").fetchone()
        require(true=row == (done,), otherwise="the rows were not updated")

    return Subject(time=timed(run), check=check, close=connection.close)


def _on_a_loop(
    run: Callable[[int], Awaitable[None]],
    check: Callable[[int], None],
    wait: Wait | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Subject:
    """A subject that runs on an event loop of its own, the one that the services have."""
    loop = uvloop.new_event_loop()

    async def awaited(what: Awaitable[None]) -> None:
        await what

    def finish() -> None:
        if close is not None:
            loop.run_until_complete(awaited(close()))
        loop.close()

    return Subject(
        time=timed(lambda loops: loop.run_until_complete(awaited(run(loops)))),
        check=check,
        wait=wait or Wait(),
        close=finish,
    )
