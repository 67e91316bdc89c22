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
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import msgspec
import uvicorn

from bench.sink import DRAIN_LIMIT_S, QUIET_S, Forwarded, Forwarding, Ports
from bench.sink.bodies import PROTOBUF, Bodies, Body, marker, rejected_spans

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS_SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
FORWARD_LIMIT_S = 10.0
RETRYABLE = frozenset({429, 502, 503, 504})
"""What OTLP calls so: a collector at the limit of its memory has not lost anything."""
RETRY_S = 0.2


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
            keep[path](Body(body, encoding.decode("latin-1").lower()))
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
    deadline = time.monotonic() + DRAIN_LIMIT_S
    async with httpx.AsyncClient(timeout=DRAIN_LIMIT_S, trust_env=False) as client:
        while True:
            try:
                answer = await client.post(
                    f"{url}/v1/traces", content=content, headers={"content-type": PROTOBUF}
                )
            except httpx.HTTPError:
                return False
            if answer.status_code not in RETRYABLE or time.monotonic() > deadline:
                break
            await asyncio.sleep(RETRY_S)
    return answer.is_success and await bodies.came_through(trace, QUIET_S, deadline - time.monotonic())


def _plain(said: str, to: Forwarding) -> str:
    """What a receiver said, without the keys that it was sent."""
    for value in filter(None, to.headers.values()):
        said = said.replace(value, "(redacted)")
    return said


async def _forward(bodies: Bodies, to: Forwarding) -> Forwarded:
    """Sends what was kept to another receiver as it came, until it refuses."""
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
                return Forwarded(exports=sent, refused=_plain(str(error) or type(error).__name__, to))
            if not answer.is_success:
                # First the keys, then the length: half a key is one, too.
                said = _plain(answer.text.strip(), to)[:200] if answer.text.isprintable() else ""
                return Forwarded(exports=sent, refused=f"{answer.status_code} {said}".strip())
            kind = answer.headers.get("content-type", "")
            if kind.startswith("text/"):
                return Forwarded(exports=sent, refused=f"it answers with {kind}, and not as OTLP does")
            refused = rejected_spans(answer.content, kind)
            if refused:
                return Forwarded(exports=sent, refused=f"it took the export and rejected {refused} spans")
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
        fixed = "" if http_port == "0" else "; another run that waits for spans from elsewhere may have them"
        said = f"cannot listen on {host}, ports {http_port} and {grpc_port}: {error.strerror}{fixed}"
        sys.stderr.write(f"{said}\n")
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
