"""The sink's process: `python -m bench.sink [HOST HTTP GRPC]` prints its ports, then receives.

It ends with its standard input. While a run measures, a body is only kept: what a set-up exports
must not cost it a slow answer, and decoding on the same machine would cost the run CPU.
"""

import asyncio
import errno
import inspect
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import msgspec
import uvicorn

from bench.sink.bodies import PROTOBUF, Bodies, Body, marker, rejected_spans
from bench.sink.messages import (
    DRAIN_LIMIT_S,
    QUIET_S,
    CloseAccounts,
    Forwarded,
    Forwarding,
    Ports,
)

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS_SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
FORWARD_LIMIT_S = 10.0
RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP tries again: a collector at the limit of its memory has lost nothing."""
RETRY_S = 0.2

Handler = Callable[[bytes], object]


def _handlers(bodies: Bodies) -> dict[str, Handler]:
    """The harness's own paths."""
    return {
        "/account": lambda body: bodies.close(msgspec.json.decode(body, type=CloseAccounts)),
        "/count": lambda _: bodies.count,
        "/drain": lambda body: _drain(bodies, body.decode()),
        "/forward": lambda body: _forward(bodies, msgspec.json.decode(body, type=Forwarding)),
        "/peek": lambda _: bodies.peek(),
        "/slowest": lambda _: bodies.slowest(),
        "/spans": lambda _: bodies.spans(),
    }


def http_app(bodies: Bodies) -> Any:  # noqa: ANN401 - an ASGI callable
    """The receiver for OTLP over http, with the harness's own paths."""
    handlers = _handlers(bodies)
    keep = {"/v1/traces": bodies.keep_traces, "/v1/metrics": bodies.keep_metrics}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        chunks, more = [], True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body, path = b"".join(chunks), scope["path"]
        answer, status, content_type = b"", 200, PROTOBUF.encode()
        if path in keep:
            encoding = dict(scope["headers"]).get(b"content-encoding", b"")
            keep[path](Body(body, encoding.decode("latin-1").lower()))
        elif path in handlers:
            result = handlers[path](body)
            result = await result if inspect.isawaitable(result) else result
            answer, content_type = msgspec.json.encode(result), b"application/json"
        else:
            status = 404
        # Without a length the answer would be chunked: two packets, and a client that waits
        # 40 ms for the second because the kernel delays the first one's acknowledgement.
        headers = [(b"content-type", content_type), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _drain(bodies: Bodies, url: str) -> bool:
    """True if everything that a collector had has arrived: a marker sent after it has."""
    content, trace = marker()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DRAIN_LIMIT_S
    async with httpx.AsyncClient(timeout=DRAIN_LIMIT_S, trust_env=False) as client:
        while True:
            try:
                answer = await client.post(
                    f"{url}/v1/traces", content=content, headers={"content-type": PROTOBUF}
                )
            except httpx.HTTPError:
                return False
            if answer.status_code not in RETRYABLE or loop.time() > deadline:
                break
            await asyncio.sleep(RETRY_S)
    return answer.is_success and await bodies.wait_for_marker(trace, QUIET_S, deadline - loop.time())


def _without_keys(text: str, to: Forwarding) -> str:
    """A receiver's words, without the keys that it was sent."""
    for value in filter(None, to.headers.values()):
        text = text.replace(value, "(redacted)")
    return text


async def _forward(bodies: Bodies, to: Forwarding) -> Forwarded:
    """Send what was kept to another receiver as it came, until it refuses."""
    sent = 0
    # No redirects: a page that asks for a password answers 200, and a key is for one host only.
    async with httpx.AsyncClient(timeout=FORWARD_LIMIT_S, trust_env=not to.direct) as client:
        for body in bodies.raw():
            headers = {"content-type": PROTOBUF, **to.headers}
            if body.encoding:
                headers["content-encoding"] = body.encoding
            try:
                answer = await client.post(to.url, content=body.content, headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return Forwarded(exports=sent, refused=_without_keys(str(error) or type(error).__name__, to))
            refused = _refusal(answer, to)
            if refused:
                return Forwarded(exports=sent, refused=refused)
            sent += 1
    return Forwarded(exports=sent)


def _refusal(answer: httpx.Response, to: Forwarding) -> str:
    """Why a receiver did not take an export request; empty if it did."""
    if not answer.is_success:
        # First the keys, then the length: half a key is one, too.
        text = _without_keys(answer.text.strip(), to)[:200] if answer.text.isprintable() else ""
        return f"{answer.status_code} {text}".strip()
    content_type = answer.headers.get("content-type", "")
    if content_type.startswith("text/"):
        return f"it answers with {content_type}, and not as OTLP does"
    rejected = rejected_spans(answer.content, content_type)
    return f"it took the export and rejected {rejected} spans" if rejected else ""


def grpc_server(bodies: Bodies, address: str) -> tuple[grpc.aio.Server, int]:
    """The receiver for OTLP over grpc and its port; messages stay bytes.

    Raises:
        OSError: the address is taken.
    """

    async def export_traces(request: bytes, _context: object) -> bytes:
        bodies.keep_traces(Body(request))
        return b""

    async def export_metrics(request: bytes, _context: object) -> bytes:
        bodies.keep_metrics(Body(request))
        return b""

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    for service, export in ((TRACE_SERVICE, export_traces), (METRICS_SERVICE, export_metrics)):
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), address) from None


async def main(host: str = "127.0.0.1", http_port: str = "0", grpc_port: str = "0") -> None:
    """Receive until standard input ends."""
    bodies = Bodies()
    config = uvicorn.Config(
        http_app(bodies),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
    )
    http = uvicorn.Server(config)
    # With the protocol named: asyncio turns Nagle's algorithm off for such sockets only.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(http_port)))
        server, grpc_at = grpc_server(bodies, f"{host}:{grpc_port}")
    except OSError as error:
        fixed = "" if http_port == "0" else "; another run that waits for spans from elsewhere may have them"
        sys.stderr.write(
            f"cannot listen on {host}, ports {http_port} and {grpc_port}: {error.strerror}{fixed}\n"
        )
        return
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    sys.stdout.buffer.write(msgspec.json.encode(Ports(http=listener.getsockname()[1], grpc=grpc_at)) + b"\n")
    sys.stdout.flush()
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await serving
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
