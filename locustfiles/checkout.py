"""A person's load in Locust's own web UI: customers who look, think and pay.

    locust -f locustfiles/checkout.py --host http://127.0.0.1:8000

against services that run anywhere (`nox -s services` runs them here). Most customers buy;
some have a card that is declined, some ask for what is sold out. Both are correct answers
and count as successes: the service did what it should.

This load is for looking and trying. It is a closed loop with think times; `nox -s bench`
is for measuring.
"""

from typing import Any

from locust import FastHttpUser, between, task

ITEMS = [{"sku": "keyboard", "quantity": 1}, {"sku": "mouse", "quantity": 2}]
SOLD_OUT = [{"sku": "typewriter", "quantity": 1}]


class Shopper(FastHttpUser):
    """Somebody at the checkout."""

    abstract = True
    wait_time = between(0.5, 2.0)

    def checkout(self, name: str, expected: int, **changes: Any) -> None:  # noqa: ANN401
        """One checkout; anything but the expected answer is a failure."""
        body = {
            "items": ITEMS,
            "amount": 12_997,
            "currency": "EUR",
            "payment_token": "tok_visa",
            **changes,
        }
        with self.client.post("/checkout", json=body, name=name, catch_response=True) as response:
            if response.status_code == expected:
                response.success()
            else:
                response.failure(f"answered {response.status_code} instead of {expected}")


class Customer(Shopper):
    """Most buy; some have a card that is declined, some ask for what is sold out."""

    @task(8)
    def buy(self) -> None:
        """A checkout that goes through."""
        self.checkout("checkout", 201)

    @task(1)
    def pay_with_a_declined_card(self) -> None:
        """A checkout whose payment is declined."""
        self.checkout("checkout, card declined", 402, payment_token="tok_declined")

    @task(1)
    def ask_for_what_is_sold_out(self) -> None:
        """A checkout whose stock has run out."""
        self.checkout("checkout, sold out", 409, items=SOLD_OUT)
