"""order-service: charges the client, reserves the stock, and undoes the one if the other fails.

Payment first; a failed payment reserves no stock.
A failed reservation voids the payment, and so does a payment that timed out:
it may have gone through.
"""

import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.checkout import Charge, Charged, Checkout, Confirmation, Reservation, Reserved
from services.tracing import Tracing
from services.web import CONNECTIONS, Failure, Upstream, answer, application, read

import httpx  # isort: skip - after services.web, which keeps httpx's import small

SERVICE = "order-service"

_LOG = logging.getLogger(__name__)
_CHECKOUT = msgspec.json.Decoder(Checkout)
_CHARGED = msgspec.json.Decoder(Charged)
_RESERVED = msgspec.json.Decoder(Reserved)


def build(  # noqa: PLR0913 - each is a fact of the deployment
    tracing: Tracing,
    *,
    payment_url: str,
    inventory_url: str,
    upstream_timeout_s: float = 2.0,
    connections: int = CONNECTIONS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> ASGIApp:
    """The service; `transport` replaces the network in tests that stay in process."""
    orders = _Orders(
        tracing,
        payments=Upstream("payment-service", payment_url, upstream_timeout_s, connections, transport),
        inventory=Upstream("inventory-service", inventory_url, upstream_timeout_s, connections, transport),
    )
    routes = [Route("/orders", orders.order, methods=["POST"])]
    return application(SERVICE, tracing, routes, orders.lifespan, orders.upstreams)


class _Orders:
    """The steps of an order."""

    def __init__(self, tracing: Tracing, *, payments: Upstream, inventory: Upstream) -> None:
        self._tracing = tracing
        self._payments = payments
        self._inventory = inventory

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Whom it asks."""
        return self._payments, self._inventory

    async def order(self, request: Request) -> Response:
        """The whole order: charged, reserved, confirmed."""
        with self._tracing.serve("create-order", request.headers) as span:
            message = await read(request, _CHECKOUT)
            order_id = str(uuid.uuid4())
            charged = await self._charge(order_id, message)
            reserved = await self._reserve(order_id, message)
            span.succeed()
            _LOG.info("order %s confirmed", order_id)
            confirmation = Confirmation(
                order_id=order_id,
                transaction_id=charged.transaction_id,
                inventory_status=reserved.inventory_status,
                timestamp=datetime.now(UTC).isoformat(),
            )
            return answer(201, confirmation)

    async def _charge(self, order_id: str, message: Checkout) -> Charged:
        asked = Charge(order_id, message.amount, message.currency, message.payment_token)
        try:
            with self._tracing.step("process-payment") as span:
                response = await self._payments.post("/payments", asked, span.headers)
                _expect(response, "payment-service", 201)
                span.event("payment.charged", amount=message.amount, currency=message.currency)
                span.succeed()
        except Failure as failure:
            if failure.status == 504:
                await self._void(order_id)
            raise
        return _CHARGED.decode(response.content)

    async def _reserve(self, order_id: str, message: Checkout) -> Reserved:
        asked = Reservation(order_id, message.items)
        try:
            with self._tracing.step("update-inventory") as span:
                response = await self._inventory.post("/reservations", asked, span.headers)
                _expect(response, "inventory-service", 201)
                span.event("stock.reserved", items=len(message.items))
                span.succeed()
        except Failure:
            await self._void(order_id)
            raise
        return _RESERVED.decode(response.content)

    async def _void(self, order_id: str) -> None:
        """The order's payment undone, as far as payment-service can be reached."""
        try:
            with self._tracing.step("void-payment") as span:
                await self._payments.post(f"/payments/{order_id}/void", None, span.headers)
                span.succeed()
        except Failure:
            return  # the client's answer is the first failure; this one is in the trace

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Lets go of connections and spans at the end."""
        yield
        await self._payments.aclose()
        await self._inventory.aclose()
        self._tracing.shutdown()


def _expect(response: httpx.Response, upstream: str, status: int) -> None:
    """Nothing, where the upstream did as asked.

    Raises:
        Failure: the upstream's own refusal, passed on (4xx as it is, anything else as 502).
    """
    if response.status_code == status:
        return
    try:
        body = msgspec.json.decode(response.content, type=dict[str, object])
    except msgspec.DecodeError:
        body = {}
    error = str(body.get("error", "refused"))
    message = str(body.get("message", f"{upstream} answered {response.status_code}."))
    passed_on = response.status_code if 400 <= response.status_code < 500 else 502
    raise Failure(passed_on, error, message, upstream=upstream)
