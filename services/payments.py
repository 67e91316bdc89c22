"""payment-service: charges a card, once per order, and voids a charge.

Rule 1: the outcome is decided by the payment token alone, so that a test or a person
can ask for any of them.
Rule 2: an order that was voided while its charge was under way is not charged.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.checkout import (
    TOKEN_BROKEN,
    TOKEN_DECLINED,
    TOKEN_TIMEOUT,
    Charge,
    Charged,
)
from services.telemetry import Tracing
from services.web import Failure, answer, application, read

SERVICE = "payment-service"
REMEMBERED_ORDERS = 10_000
"""A long run must not grow: the oldest orders are forgotten."""
TOO_LATE_S = 5.0
"""How long a charge with the time-out token takes: longer than order-service waits by default."""

_CHARGE = msgspec.json.Decoder(Charge)
_CHARGED, _VOIDED = "charged", "voided"


def build(tracing: Tracing, *, delay_s: float = 0.0) -> ASGIApp:
    """The service; `delay_s` is how long the card network takes for a charge."""
    orders: OrderedDict[str, str] = OrderedDict()

    def remember(order_id: str, state: str) -> None:
        orders[order_id] = state
        if len(orders) > REMEMBERED_ORDERS:
            orders.popitem(last=False)

    async def charge(request: Request) -> Response:
        with tracing.serve("charge-card", request.headers) as span:
            message = await read(request, _CHARGE)
            if message.payment_token == TOKEN_BROKEN:
                raise Failure(500, "provider_failed", "The card network failed.")
            wait_s = TOO_LATE_S if message.payment_token == TOKEN_TIMEOUT else delay_s
            if wait_s:
                await asyncio.sleep(wait_s)
            if message.payment_token == TOKEN_DECLINED:
                span.event("card.declined", order_id=message.order_id)
                raise Failure(402, "payment_declined", "The card was declined.")
            if orders.get(message.order_id) == _VOIDED:
                raise Failure(409, "payment_voided", "The order was voided meanwhile.")
            remember(message.order_id, _CHARGED)
            span.event("card.charged", amount=message.amount, currency=message.currency)
            span.succeed()
            return answer(201, Charged(transaction_id=str(uuid.uuid4())))

    async def void(request: Request) -> Response:
        with tracing.serve("void-charge", request.headers) as span:
            order_id = request.path_params["order_id"]
            before = orders.get(order_id)
            remember(order_id, _VOIDED)
            span.succeed()
            return answer(200, {"order_id": order_id, "was": before, "now": _VOIDED})

    async def payment(request: Request) -> Response:
        order_id = request.path_params["order_id"]
        if order_id not in orders:
            raise Failure(404, "unknown_order", f"No payment for order {order_id}.")
        return answer(200, {"order_id": order_id, "state": orders[order_id]})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        tracing.shutdown()

    routes = [
        Route("/payments", charge, methods=["POST"]),
        Route("/payments/{order_id}", payment),
        Route("/payments/{order_id}/void", void, methods=["POST"]),
    ]
    return application(SERVICE, tracing, routes, lifespan)
