"""Traces one request: starts the application, sends the request, and collects its spans.

A request that is not shown goes first: opening connections is no part of the scenario. CPU is read
from the request until the spans that had ended by the answer were exported.

The scenarios of the built-in application are its own: what is bought, how it is paid, who is slow.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import msgspec

from bench.app.records import App, Mode, Request, Setup
from bench.errors import ServiceError, UsageError
from bench.plan.budget import without_load
from bench.plan.records import Plan
from bench.receiver.messages import CloseAccounts, TraceSpan
from bench.testbed.instance import LocalInstance
from bench.testbed.ports import free_ports
from bench.testbed.testbed import Testbed

PATIENCE_S = 8.0
"""For spans that end after the answer: a payment that comes too late takes five seconds."""
LOOK_S = 0.2
TIMEOUT_S = 30.0
SETUP = "trace"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A request of the built-in application to be told.

    Attributes:
        name: of the scenario.
        sentence: what happens.
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


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="ok", sentence="A checkout that goes well."),
        Scenario(name="declined", sentence="The card is declined.", token="tok_declined"),  # noqa: S106
        Scenario(name="out-of-stock", sentence="What is asked for is sold out.", sku="typewriter"),
        Scenario(name="payment-timeout", sentence="The card network answers too late.", token="tok_timeout"),  # noqa: S106
        Scenario(name="slow-payment", sentence="The card network takes its time.", payment_delay="1500ms"),
    )
}
DELAYS = {"payment-service": "payment", "inventory-service": "inventory"}
"""Which delay the command of a process understands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """What became of a request.

    Attributes:
        status: that the client saw.
        wall_s: how long the client waited.
        cpu_s: CPU seconds of every process until the first export after the answer.
        spans: all of them.
    """

    status: int
    wall_s: float
    cpu_s: dict[str, float]
    spans: tuple[TraceSpan, ...]


def staged(app: App, scenario: Scenario) -> App:
    """The built-in application as a scenario has it.

    Raises:
        UsageError: it is another application.
    """
    if not set(DELAYS) <= {process.name for process in app.process} or not isinstance(
        app.request[0].json, dict
    ):
        raise UsageError(
            f"{app.name} has no scenario {scenario.name!r}",
            "leave out --scenario: `tracing-overhead trace FILE` sends the first request of the file",
        )
    delays = {"payment": scenario.payment_delay, "inventory": scenario.inventory_delay}
    processes = [
        msgspec.structs.replace(
            process,
            command=f"{process.command} --{DELAYS[process.name]}-delay {delays[DELAYS[process.name]]}",
        )
        if process.name in DELAYS
        else msgspec.structs.replace(
            process, command=str(process.command).replace("--upstream-timeout 60", "")
        )
        for process in app.process
    ]
    body = dict(app.request[0].json) | {
        "items": [{"sku": scenario.sku, "quantity": 1}],
        "amount": 4999,
        "payment_token": scenario.token,
    }
    return msgspec.structs.replace(
        app, process=processes, request=[msgspec.structs.replace(app.request[0], json=body)]
    )


def everything_sampled(spans: str, *, propagated: bool, processor: Mode = "batch") -> Setup:
    """The setup of a scenario; without propagation only baggage is passed on, and there is none."""
    env = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}
    if not propagated:
        env["OTEL_PROPAGATORS"] = "baggage"
    return Setup(name=SETUP, description="Everything sampled.", tracing=processor, spans=spans, env=env)


def single_request_plan(app: App, setup: Setup) -> Plan:
    """A plan as far as one request needs it."""
    return without_load(SETUP, app, [setup])


def tell(testbed: Testbed, plan: Plan, first: Request) -> Journey:
    """Send a request, and collect its spans.

    Args:
        testbed: with its receiver.
        plan: of `single_request_plan`.
        first: the request that goes before.

    Raises:
        ServiceError: a process failed, or spans are missing.
    """
    ports = free_ports(len(plan.app.process))
    instance = testbed.start_instance(testbed.launch(plan, plan.setups[0], 0, ports))
    testbed.instances.append(instance)
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        _send(client, instance, first)
        testbed.settle(plan)
        testbed.receiver.close_accounts(CloseAccounts(replicate=0))
        before, started, began_ns = _cpu_ns(instance), time.monotonic(), time.time_ns()
        status = _send(client, instance, plan.app.request[0])
        wall_s = time.monotonic() - started
        instance.flush()
        after = _cpu_ns(instance)
        spans = _collected(testbed, plan, began_ns)
    if not spans:
        raise ServiceError(
            "no span of the request came",
            "`tracing-overhead check FILE` finds the reason",
        )
    return Journey(
        status=status,
        wall_s=wall_s,
        cpu_s={process: (after[process] - before[process]) / 1e9 for process in before},
        spans=spans,
    )


def _cpu_ns(instance: LocalInstance) -> dict[str, int]:
    """CPU time by process if processes report it; otherwise of the whole application."""
    clocks = {name: usage.cpu_ns for name, usage in instance.usage().items() if usage.cpu_ns is not None}
    return clocks or {"the application": instance.cpu_ns()}


def _send(client: httpx.Client, instance: LocalInstance, request: Request) -> int:
    try:
        return client.request(
            request.method,
            instance.url + request.path,
            content=request.content or None,
            headers=request.all_headers,
        ).status_code
    except httpx.HTTPError as error:
        instance.check()
        raise ServiceError(
            f"the request was not answered: {error}", "close other programs and try again"
        ) from None


def _collected(testbed: Testbed, plan: Plan, began_ns: int) -> tuple[TraceSpan, ...]:
    """Collect the spans since `began_ns` until every call has its server span, or time is up."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        testbed.settle(plan)
        spans = tuple(span for span in testbed.receiver.spans() if span.start_ns >= began_ns)
        if _is_whole(spans) or time.monotonic() > deadline:
            return spans
        time.sleep(LOOK_S)


def _is_whole(spans: Sequence[TraceSpan]) -> bool:
    """True if there is a span on the other side of every call between services.

    One server span more than calls: the client's call has no span. They are counted and not
    followed, because without propagation nothing leads from one to the other.
    """
    servers = sum(span.kind == "server" for span in spans)
    calls = sum(span.kind == "client" and not _is_query(span) for span in spans)
    return bool(spans) and servers > calls


def _is_query(span: TraceSpan) -> bool:
    return any(name.startswith("db.") for name in span.attributes)
