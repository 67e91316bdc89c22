"""payment-service: charges a card, once per order, and voids a charge.

The outcome is decided by the payment token alone, so that a test or a person
can ask for any of them.
An order that was voided while its charge was under way is not charged.
"""

import asyncio
import logging
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
from services.tracing import Tracing
from services.web import Failure, answer, application, read

SERVICE = "payment-service"
REMEMBERED_ORDERS = 10_000
"""A long run must not grow: the oldest orders are forgotten."""
TOO_LATE_S = 5.0
"""How long a charge with the time-out token takes: longer than order-service waits by default."""

_LOG = logging.getLogger(__name__)
_CHARGE = msgspec.json.Decoder(Charge)
_CHARGED, _VOIDED = "charged", "voided"


def build(tracing: Tracing, *, delay_s: float = 0.0) -> ASGIApp:
    """The service; `delay_s` is how long the card network takes for a charge."""
    payments = _Payments(tracing, delay_s)
    routes = [
        Route("/payments", payments.charge, methods=["POST"]),
        Route("/payments/{order_id}", payments.state),
        Route("/payments/{order_id}/void", payments.void, methods=["POST"]),
    ]
    return application(SERVICE, tracing, routes, payments.lifespan)


class _Payments:
    """The charges of the last orders."""

    def __init__(self, tracing: Tracing, delay_s: float) -> None:
        self._tracing = tracing
        self._delay_s = delay_s
        self._states: OrderedDict[str, str] = OrderedDict()

    def _remember(self, order_id: str, state: str) -> None:
        self._states[order_id] = state
        if len(self._states) > REMEMBERED_ORDERS:
            self._states.popitem(last=False)

    async def charge(self, request: Request) -> Response:
        """A card charged, unless its token says otherwise."""
        with self._tracing.serve("charge-card", request.headers) as span:
            message = await read(request, _CHARGE)
            await self._ask_card_network(message.payment_token)
            if message.payment_token == TOKEN_DECLINED:
                span.event("card.declined", order_id=message.order_id)
                raise Failure(402, "payment_declined", "The card was declined.")
            if self._states.get(message.order_id) == _VOIDED:
                raise Failure(409, "payment_voided", "The order was voided meanwhile.")
            self._remember(message.order_id, _CHARGED)
            span.event("card.charged", amount=message.amount, currency=message.currency)
            span.succeed()
            _LOG.info("order %s charged", message.order_id)
            return answer(201, Charged(transaction_id=str(uuid.uuid4())))

    async def _ask_card_network(self, token: str) -> None:
        if token == TOKEN_BROKEN:
            raise Failure(500, "provider_failed", "The card network failed.")
        wait_s = TOO_LATE_S if token == TOKEN_TIMEOUT else self._delay_s
        if wait_s:
            await asyncio.sleep(wait_s)

    async def void(self, request: Request) -> Response:
        """An order's charge undone, or prevented if it has not ended yet."""
        with self._tracing.serve("void-charge", request.headers) as span:
            order_id = request.path_params["order_id"]
            before = self._states.get(order_id)
            self._remember(order_id, _VOIDED)
            span.succeed()
            return answer(200, {"order_id": order_id, "was": before, "now": _VOIDED})

    async def state(self, request: Request) -> Response:
        """What became of an order's payment."""
        order_id = request.path_params["order_id"]
        if order_id not in self._states:
            raise Failure(404, "unknown_order", f"No payment for order {order_id}.")
        return answer(200, {"order_id": order_id, "state": self._states[order_id]})

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Lets go of the spans at the end."""
        yield
        self._tracing.shutdown()
