"""All four services in one process, and a number of checkouts, one after the other.

    python -m services.together --requests N

For counting CPU instructions, where a process is what is counted and time does not
matter. The services are those of a measured run, and they talk over real sockets.
"""

import argparse
import asyncio
import contextlib
import gc
import random
import socket
import sys

import uvloop

from services import frontend, inventory, orders, payments
from services.server import bind, running
from services.telemetry import configure

PATIENCE_S = 120.0
"""Under valgrind everything takes fifty times as long, and what is counted is no time."""
BODY = (
    b'{"items":[{"sku":"keyboard","quantity":1},{"sku":"mouse","quantity":2}],'
    b'"amount":12997,"currency":"EUR","payment_token":"tok_visa"}'
)
REQUEST = (
    b"POST /checkout HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n"
    b"content-length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


async def check_out(count: int) -> int:
    """How many of `count` checkouts were answered 201."""
    listeners = {name: bind(0) for name in ("frontend", "orders", "payments", "inventory")}
    urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    # One process has one provider, whatever the services call themselves.
    tracing = configure("checkout")
    apps = {
        "payments": payments.build(tracing),
        "inventory": inventory.build(tracing),
        "orders": orders.build(
            tracing,
            payment_url=urls["payments"],
            inventory_url=urls["inventory"],
            upstream_timeout_s=PATIENCE_S,
            connections=2,
        ),
        "frontend": frontend.build(
            tracing, order_url=urls["orders"], order_timeout_s=PATIENCE_S, connections=2
        ),
    }
    async with contextlib.AsyncExitStack() as stack:
        for name, app in apps.items():
            await stack.enter_async_context(running(app, listeners[name]))
        answered = await _ask(listeners["frontend"], count)
        tracing.flush()
    return answered


async def _ask(listener: socket.socket, count: int) -> int:
    """Without httpx: it is instrumented, and a parent from here would decide the sampling."""
    host, port = listener.getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    created = 0
    for _ in range(count):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        created += head.startswith(b"HTTP/1.1 201")
    writer.close()
    await writer.wait_closed()
    return created


def main() -> int:
    """The exit code: 0 if every checkout was answered 201."""
    parser = argparse.ArgumentParser(prog="python -m services.together", description=__doc__)
    parser.add_argument("--requests", type=int, required=True, help="how many")
    wanted = parser.parse_args().requests
    # When a collection falls depends on every allocation since the start: a step in the count.
    gc.disable()
    random.seed(0)
    answered = uvloop.run(check_out(wanted))
    if answered < wanted:
        sys.stderr.write(f"{wanted - answered} of {wanted} checkouts failed\n")
    return int(answered < wanted)


if __name__ == "__main__":
    sys.exit(main())
