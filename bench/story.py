"""One checkout, told by its spans: the services are started, it is sent, and everything is collected.

Rule 1: a checkout of which nothing is told goes first: opening connections is no part of the story.
What is told are the spans that began later; between services and sink they may come late.
Rule 2: CPU is read from each service's clock from the request until the spans that had ended by the
answer were exported.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.errors import ServiceError
from bench.fleet import Fleet, environ_of
from bench.journey import Told
from bench.model import Setup
from bench.sink import Sink

PATIENCE_S = 8.0
"""For spans that end after the answer: a payment that comes too late takes five seconds."""
LOOK_S = 0.2
TIMEOUT_S = 30.0
STOP_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A checkout to be told.

    Attributes:
        name: of it.
        sentence: what goes on.
        token: of the card.
        sku: what is bought.
        payment_delay: of the card network.
        inventory_delay: of the warehouse.
    """

    name: str
    sentence: str
    token: str = "tok_visa"  # noqa: S105 - a test card
    sku: str = "keyboard"
    payment_delay: str = "150ms"
    inventory_delay: str = "50ms"


STORIES = {
    story.name: story
    for story in (
        Story(name="ok", sentence="A checkout that goes well."),
        Story(name="declined", sentence="The card is declined.", token="tok_declined"),  # noqa: S106
        Story(name="out-of-stock", sentence="What is asked for is sold out.", sku="typewriter"),
        Story(name="payment-timeout", sentence="The card network answers too late.", token="tok_timeout"),  # noqa: S106
        Story(name="slow-payment", sentence="The card network takes its time.", payment_delay="1500ms"),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """What came of it.

    Attributes:
        status: that the customer saw.
        wall_s: how long the customer waited.
        cpu_s: CPU seconds of every service until the first export after the answer.
        spans: all of them.
    """

    status: int
    wall_s: float
    cpu_s: dict[str, float]
    spans: tuple[Told, ...]


def tell(story: Story, setup: Setup, sink: Sink, endpoints: Mapping[str, str], logs: Path) -> Journey:
    """Sends the checkout, and collects its spans.

    Args:
        story: which one.
        setup: what the services run.
        sink: that gets the spans.
        endpoints: where the services send them: the sink's addresses, or those of what stands before it.
        logs: where what the services say is kept.

    Raises:
        ServiceError: a service or the sink failed.
    """
    with contextlib.ExitStack() as stack:
        environ = environ_of(setup, hash_seed=0, endpoints=endpoints)
        options = ["--payment-delay", story.payment_delay, "--inventory-delay", story.inventory_delay]
        fleet = Fleet(setup, environ, logs, options)
        stack.callback(lambda: fleet.stop(time.monotonic() + STOP_S))
        fleet.wait_until_ready()
        client = stack.enter_context(httpx.Client(timeout=TIMEOUT_S, trust_env=False))
        _check_out(client, fleet, Story(name="", sentence=""))
        fleet.flush()
        sink.account({})
        before, started, began_ns = fleet.cpu_ns(), time.monotonic(), time.time_ns()
        status = _check_out(client, fleet, story)
        wall_s = time.monotonic() - started
        fleet.flush()
        after = fleet.cpu_ns()
        spans = _collected(fleet, sink, began_ns)
    if not _whole(spans):
        raise ServiceError(
            f"of the checkout's spans {len(spans)} came, and calls between services have one side only",
            "something on the way loses spans; look again with `python -m bench trace` alone",
        )
    return Journey(
        status=status,
        wall_s=wall_s,
        cpu_s={service: (after[service] - before[service]) / 1e9 for service in before},
        spans=spans,
    )


def _check_out(client: httpx.Client, fleet: Fleet, story: Story) -> int:
    body = {
        "items": [{"sku": story.sku, "quantity": 1}],
        "amount": 4999,
        "currency": "EUR",
        "payment_token": story.token,
    }
    try:
        return client.post(fleet.url, json=body).status_code
    except httpx.HTTPError as error:
        raise ServiceError(f"the checkout was not answered: {error}", "is the machine overloaded?") from None


def _collected(fleet: Fleet, sink: Sink, began_ns: int) -> tuple[Told, ...]:
    """All spans since then: until every call has its other side, or nothing more is to be expected."""
    deadline = time.monotonic() + PATIENCE_S
    while (
        not _whole(spans := tuple(span for span in sink.spans() if span.start_ns >= began_ns))
        and time.monotonic() < deadline
    ):
        time.sleep(LOOK_S)
        fleet.flush()
    return spans


def _whole(spans: Sequence[Told]) -> bool:
    """Whether there is a span on the other side of every call between services."""
    servers = sum(span.kind == "server" for span in spans)
    calls = sum(span.kind == "client" and _calls_a_service(span) for span in spans)
    # One server span more than calls: the customer's call has no span. Counted, and not followed,
    # because without propagation nothing leads from one to the other.
    return servers > calls


def _calls_a_service(span: Told) -> bool:
    return not any(name.startswith("db.") for name in span.attributes)
