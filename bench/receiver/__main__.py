"""The receiver's process: `python -m bench.receiver [HOST HTTP GRPC]` prints its ports, then receives.

It ends with its standard input.
"""

import asyncio
import socket
import sys
from typing import Any

import httpx
import msgspec
import uvicorn

from bench.receiver.bodies import Bodies
from bench.receiver.decoding import PROTOBUF, marker, rejected_spans
from bench.receiver.messages import (
    DRAIN_LIMIT_S,
    QUIET_S,
    Answering,
    CloseAccounts,
    Forwarded,
    Forwarding,
    Ports,
)
from bench.receiver.server import BoundedProtocol, Question, Receiver, control_app, grpc_server, otlp_app

FORWARD_LIMIT_S = 10.0
RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP tries again: a collector at the limit of its memory has lost nothing."""
RETRY_S = 0.2
LOOPBACK = "127.0.0.1"


def questions(receiver: Receiver) -> dict[str, Question]:
    """What the harness asks, by path."""
    bodies = receiver.bodies

    def answer_so(body: bytes) -> bool:
        receiver.answering = msgspec.json.decode(body, type=Answering)
        return True

    return {
        "/account": lambda body: bodies.close(msgspec.json.decode(body, type=CloseAccounts)),
        "/answer": answer_so,
        "/count": lambda _: bodies.count,
        "/drain": lambda body: _drain(bodies, body.decode()),
        "/forward": lambda body: _forward(bodies, msgspec.json.decode(body, type=Forwarding)),
        "/peek": lambda _: bodies.peek(),
        "/kept": lambda _: bodies.kept(),
        "/spans": lambda _: bodies.spans(),
    }


async def _drain(bodies: Bodies, url: str) -> bool:
    """True if a marker sent through the collector arrives, and so everything sent before it."""
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
        # Keys are removed before truncation: even half a key is a secret.
        text = _without_keys(answer.text.strip(), to)[:200] if answer.text.isprintable() else ""
        return f"{answer.status_code} {text}".strip()
    content_type = answer.headers.get("content-type", "")
    if content_type.startswith("text/"):
        return f"it answers with {content_type}, and not as OTLP does"
    rejected = rejected_spans(answer.content, content_type)
    return f"it took the export and rejected {rejected} spans" if rejected else ""


def _http_server(app: Any) -> uvicorn.Server:  # noqa: ANN401 - an ASGI callable
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=600,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _listener(host: str, port: int) -> socket.socket:
    # With the protocol named: asyncio turns Nagle's algorithm off for such sockets only.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


async def main(host: str = LOOPBACK, http_port: str = "0", grpc_port: str = "0") -> None:
    """Receive until standard input ends."""
    receiver = Receiver(Bodies())
    try:
        listener, control = _listener(host, int(http_port)), _listener(LOOPBACK, 0)
        by_grpc, port_of_grpc = grpc_server(receiver, f"{host}:{grpc_port}")
    except OSError as error:
        fixed = "" if http_port == "0" else "; another run that waits for spans from elsewhere may have them"
        sys.stderr.write(
            f"cannot listen on {host}, ports {http_port} and {grpc_port}: {error.strerror}{fixed}\n"
        )
        return
    await by_grpc.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    servers = {
        _http_server(otlp_app(receiver)): listener,
        _http_server(control_app(questions(receiver))): control,
    }
    serving = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers.items()]
    ports = Ports(http=listener.getsockname()[1], grpc=port_of_grpc, control=control.getsockname()[1])
    sys.stdout.buffer.write(msgspec.json.encode(ports) + b"\n")
    sys.stdout.flush()
    await asyncio.wait([*serving, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)
    await by_grpc.stop(None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
