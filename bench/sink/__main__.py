"""The sink's process: `python -m bench.sink [HOST HTTP GRPC]` prints its ports, then receives.

It ends with its standard input.

Rule 1: during a window a body is only kept. What a set-up exports must not cost it a
slow answer, and decoding on the same machine would be CPU that the window pays for.
"""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import msgspec
import uvicorn

from bench.sink import DRAIN_LIMIT_S, QUIET_S, Forwarded, Forwarding, Ports
from bench.sink.bodies import Bodies, Body, marker

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS_SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
PROTOBUF = "application/x-protobuf"
FORWARD_LIMIT_S = 10.0


Question = Callable[[bytes], Awaitable[object]]


def _questions(bodies: Bodies) -> dict[str, Question]:
    """The harness's own paths: what is asked, and who answers."""

    async def account(body: bytes) -> object:
        return bodies.close(msgspec.json.decode(body, type=dict[str, dict[str, int]]))

    async def drain(body: bytes) -> object:
        return await _drain(bodies, body.decode())

    async def forward(body: bytes) -> object:
        return await _forward(bodies, msgspec.json.decode(body, type=Forwarding))

    async def exemplars(_body: bytes) -> object:
        return bodies.exemplars()

    async def peek(_body: bytes) -> object:
        return bodies.peek()

    async def spans(_body: bytes) -> object:
        return bodies.tell()

    asked = (account, drain, exemplars, forward, peek, spans)
    return {f"/{each.__name__}": each for each in asked}


def http_app(bodies: Bodies) -> Any:  # noqa: ANN401 - an ASGI callable
    """The receiver for OTLP over http, and the harness's own paths."""
    asked = _questions(bodies)
    keep = {"/v1/traces": bodies.keep, "/v1/metrics": bodies.keep_metrics}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        chunks, more = [], True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body, path = b"".join(chunks), scope["path"]
        answer, status, kind = b"", 200, PROTOBUF.encode()
        if path in keep:
            encoding = dict(scope["headers"]).get(b"content-encoding", b"")
            keep[path](Body(body, encoding.decode("latin-1")))
        elif path in asked:
            answer, kind = msgspec.json.encode(await asked[path](body)), b"application/json"
        else:
            status = 404
        # Without a length the answer would be chunked: two packets, and a client that waits
        # 40 ms for the second because the kernel delays the first one's acknowledgement.
        headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _drain(bodies: Bodies, url: str) -> bool:
    """Whether everything that a collector had got has come: a marker was sent after it, and is here."""
    content, trace = marker()
    try:
        async with httpx.AsyncClient(timeout=DRAIN_LIMIT_S, trust_env=False) as client:
            answer = await client.post(
                f"{url}/v1/traces", content=content, headers={"content-type": PROTOBUF}
            )
    except httpx.HTTPError:
        return False
    return answer.is_success and await bodies.came_through(trace, QUIET_S, DRAIN_LIMIT_S)


async def _forward(bodies: Bodies, to: Forwarding) -> Forwarded:
    """Sends what was kept to another receiver as it came, until it refuses."""
    sent = 0
    async with httpx.AsyncClient(timeout=FORWARD_LIMIT_S, follow_redirects=True) as client:
        for body in bodies.raw():
            headers = {"content-type": PROTOBUF, **to.headers}
            if body.encoding:
                headers["content-encoding"] = body.encoding
            try:
                answer = await client.post(to.url, content=body.content, headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                return Forwarded(exports=sent, refused=str(error) or type(error).__name__)
            if not answer.is_success:
                said = answer.text.strip()[:200] if answer.text.isprintable() else ""
                return Forwarded(exports=sent, refused=f"{answer.status_code} {said}".strip())
            sent += 1
    return Forwarded(exports=sent)


def grpc_server(bodies: Bodies, address: str) -> tuple[grpc.aio.Server, int]:
    """The receiver for OTLP over grpc and its port; messages stay bytes.

    Raises:
        OSError: the address is taken.
    """

    async def export(request: bytes, _context: object) -> bytes:
        bodies.keep(Body(request))
        return b""

    async def export_metrics(request: bytes, _context: object) -> bytes:
        bodies.keep_metrics(Body(request))
        return b""

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    for service, called in ((TRACE_SERVICE, export), (METRICS_SERVICE, export_metrics)):
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(called)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), address) from None


async def main(host: str = "127.0.0.1", http_port: str = "0", grpc_port: str = "0") -> None:
    """Receives until standard input ends."""
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
        sys.stderr.write(f"cannot listen on {host}, ports {http_port} and {grpc_port}: {error.strerror}\n")
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
