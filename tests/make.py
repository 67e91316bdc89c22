"""Records for tests, each with a plain value for whatever a test does not care about."""

from collections.abc import Mapping, Sequence

from bench.findings import Caveat, Severity
from bench.journey import Exemplar, Told
from bench.ledger import Span
from bench.model import (
    SERVICES,
    Account,
    Ending,
    FleetReading,
    Kind,
    MachineReading,
    Memory,
    Plan,
    Raw,
    Request,
    Setup,
    Window,
)
from bench.setups import BY_NAME, shape

COMPLETE = Ending(complete=True)


def plan(
    names: Sequence[str] = ("none", "none-again", "control", "batch"),
    *,
    epochs: int = 2,
    windows: int = 2,
    rate_per_s: float = 40.0,
    own: Sequence[Setup] = (),
) -> Plan:
    """A plan of two epochs of two windows."""
    return Plan(
        name="test",
        budget="smoke",
        seed=1,
        setups=(*(BY_NAME[name] for name in names), *own),
        epochs=epochs,
        windows=windows,
        window_s=4.0,
        warm_up_s=1.0,
        idle_s=1.0,
        utilisation=0.5,
        rate_per_s=rate_per_s,
    )


def raw(
    plan_: Plan, windows: Sequence[Window], requests: Sequence[Request], ending: Ending = COMPLETE
) -> Raw:
    """What a run of the rotation phase left."""
    return Raw(plan=plan_, windows=tuple(windows), requests=tuple(requests), ending=ending)


def machine(*, steal_s: float = 0.0, foreign_s: float = 0.0, load_s: float = 0.1) -> MachineReading:
    """A quiet machine."""
    return MachineReading(steal_s=steal_s, foreign_s=foreign_s, load_s=load_s, sink_s=0.0, harness_s=0.0)


def whole(setup: Setup, traces: int) -> Account:
    """An account of complete traces."""
    spans = {service: count * traces for service, count in shape(setup).items()}
    return Account(spans=spans if traces else {}, whole=traces, exports=traces, bytes=1000 * traces)


def fleet(name: str, cpu_s: float, *, completed: int = 10, account: Account | None = None) -> FleetReading:
    """A fleet that used so much CPU in all, a quarter in each service."""
    each = round(cpu_s * 1e9 / len(SERVICES))
    return FleetReading(
        setup=name,
        cpu_ns=dict.fromkeys(SERVICES, each),
        completed=completed,
        account=account or Account(),
    )


def memory(name: str) -> tuple[Memory, ...]:
    """10 MB in every service."""
    return tuple(
        Memory(setup=name, service=service, pss_bytes=10**7, uss_bytes=9 * 10**6, peak_rss_bytes=2 * 10**7)
        for service in SERVICES
    )


def work(plan_: Plan, costs: Mapping[str, float], epoch: int, window: int, *, completed: int = 10) -> Window:
    """A window in which each set-up's checkouts cost so many CPU seconds, ledgers balanced."""
    fleets = []
    for setup in plan_.setups:
        sampled = setup.env.get("OTEL_TRACES_SAMPLER") == "parentbased_always_on"
        fleets.append(
            fleet(
                setup.name,
                costs.get(setup.name, 0.012) * completed,
                completed=completed,
                account=whole(setup, completed if sampled else 0),
            )
        )
    last = window == plan_.windows - 1
    return Window(
        epoch=epoch,
        window=window,
        kind=Kind.WORK,
        duration_s=plan_.window_s,
        fleets=tuple(fleets),
        machine=machine(),
        memory=tuple(reading for setup in plan_.setups for reading in memory(setup.name)) if last else (),
    )


def quiet(plan_: Plan, kind: Kind, epoch: int, cpu_s: float = 0.0, duration_s: float = 1.0) -> Window:
    """A stretch without load in which every fleet used so much CPU."""
    return Window(
        epoch=epoch,
        window=-1,
        kind=kind,
        duration_s=duration_s,
        fleets=tuple(fleet(setup.name, cpu_s, completed=0) for setup in plan_.setups),
        machine=machine(),
    )


def request(
    setup: str = "none", *, latency_s: float = 0.01, lag_s: float = 0.0002, status: int = 201
) -> Request:
    """One row."""
    return Request(
        epoch=0,
        window=0,
        setup=setup,
        planned_ns=10**9,
        sent_ns=10**9 + round(lag_s * 1e9),
        done_ns=10**9 + round(latency_s * 1e9),
        status=status,
    )


def row(planned_ns: int, done_ns: int, status: int = 201) -> Request:
    """One row that was sent when it was planned."""
    return Request(
        epoch=0,
        window=0,
        setup="none",
        planned_ns=planned_ns,
        sent_ns=planned_ns,
        done_ns=done_ns,
        status=status,
    )


def setup(name: str) -> Setup:
    """A set-up of the table."""
    return BY_NAME[name]


def invalid(code: str = "ledger", setup: str | None = None) -> Caveat:
    """A failed gate."""
    return Caveat(code=code, message="it failed", advice="mend it", severity=Severity.INVALID, setup=setup)


def told(name: str = "root", *, parent: str = "", trace: str = "a1", length_ms: int = 10) -> Told:
    """A span."""
    return Told(
        service="frontend-app",
        trace_id=trace,
        span_id=name,
        parent_id=parent,
        name=name,
        kind="server",
        start_ns=0,
        end_ns=length_ms * 10**6,
    )


def exemplar(
    setup: str = "batch", *, epoch: int = 0, window: int = 0, trace: str = "a1", length_ms: int = 10
) -> Exemplar:
    """A trace of two spans."""
    spans = (told(trace=trace, length_ms=length_ms), told("child", parent="root", trace=trace, length_ms=1))
    return Exemplar(setup=setup, epoch=epoch, window=window, spans=spans)


CHECKOUT = {"frontend-app": 2, "order-service": 3, "payment-service": 1, "inventory-service": 1}
SPANS_PER_CHECKOUT = 7


def trace_of(number: int) -> list[Span]:
    """A complete checkout: each service's spans hang in a chain below the one before."""
    services = [service for service, count in CHECKOUT.items() for _ in range(count)]
    ids = [(number * 100 + at + 1).to_bytes(8) for at in range(SPANS_PER_CHECKOUT)]
    return [
        Span(service, number.to_bytes(16), ids[at], ids[at - 1] if at else b"")
        for at, service in enumerate(services)
    ]
