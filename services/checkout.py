"""The messages that the four services exchange, and the limits that they keep.

A message is validated where it enters a service, by its type alone.
Money is an integer in the currency's minor unit (cents), never a float.
"""

from typing import Annotated

from msgspec import Meta, Struct

MAX_BODY_BYTES = 64 * 1024

Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Quantity = Annotated[int, Meta(ge=1, le=1_000)]
Amount = Annotated[int, Meta(ge=1, le=100_000_000)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Token = Annotated[str, Meta(min_length=1, max_length=128)]
Identifier = Annotated[str, Meta(min_length=1, max_length=64)]

TOKEN_DECLINED = "tok_declined"
TOKEN_TIMEOUT = "tok_timeout"
TOKEN_BROKEN = "tok_broken"
"""Payment tokens with a fixed outcome, as payment providers offer for tests:
declined (402), an answer that comes too late (504), a provider that fails (502).
Every other token is accepted."""


class Item(Struct, forbid_unknown_fields=True):
    """One line of a cart: what, and how many."""

    sku: Sku
    quantity: Quantity


class Checkout(Struct, forbid_unknown_fields=True):
    """What a client sends: the cart, the amount in minor units, and a payment token."""

    items: Annotated[list[Item], Meta(min_length=1, max_length=100)]
    amount: Amount
    currency: Currency
    payment_token: Token


class Charge(Struct, forbid_unknown_fields=True):
    """What order-service asks of payment-service: charge this order, once."""

    order_id: Identifier
    amount: Amount
    currency: Currency
    payment_token: Token


class Reservation(Struct, forbid_unknown_fields=True):
    """What order-service asks of inventory-service: set these items aside."""

    order_id: Identifier
    items: Annotated[list[Item], Meta(min_length=1, max_length=100)]


class Charged(Struct):
    """payment-service's answer to a charge that went through."""

    transaction_id: str


class Reserved(Struct):
    """inventory-service's answer to a reservation that went through."""

    inventory_status: str


class Confirmation(Struct):
    """What the client gets with 201: the order, its payment, its stock, and when (RFC 3339, UTC)."""

    order_id: str
    transaction_id: str
    inventory_status: str
    timestamp: str
