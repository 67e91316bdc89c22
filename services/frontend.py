"""frontend-app: takes a client's checkout, asks order-service, answers the client.

It validates what the client sent; nothing invalid goes further.
It decides nothing about an order: order-service's answer is passed on as it is.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.checkout import Checkout
from services.tracing import Tracing
from services.web import CONNECTIONS, Upstream, application, read

import httpx  # isort: skip - after services.web, which keeps httpx's import small

SERVICE = "frontend-app"
ORDER_TIMEOUT_S = 10.0
"""More than order-service may wait for its own upstreams, so that its diagnosis arrives."""

_LOG = logging.getLogger(__name__)
_CHECKOUT = msgspec.json.Decoder(Checkout)


def build(
    tracing: Tracing,
    *,
    order_url: str,
    order_timeout_s: float = ORDER_TIMEOUT_S,
    connections: int = CONNECTIONS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ASGIApp:
    """The service; `transport` replaces the network in tests that stay in process."""
    orders = Upstream("order-service", order_url, order_timeout_s, connections, transport)

    async def checkout(request: Request) -> Response:
        with tracing.serve("checkout-process", request.headers) as span:
            message = await read(request, _CHECKOUT)
            span.event("checkout.received", items=len(message.items))
            with tracing.detached("submit-order") as call:
                response = await orders.post("/orders", message, call.headers)
                if response.is_success:
                    call.succeed()
                    span.succeed()
                    _LOG.info("checkout of %d items confirmed", len(message.items))
                else:
                    call.fail(f"order-service answered {response.status_code}")
                    span.fail("checkout failed")
            return Response(response.content, response.status_code, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await orders.aclose()
        tracing.shutdown()

    routes = [Route("/checkout", checkout, methods=["POST"])]
    return application(SERVICE, tracing, routes, lifespan, [orders])
