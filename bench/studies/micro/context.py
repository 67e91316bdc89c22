"""Operations on contexts: attached, carried through headers, sampled; ids; and the reference."""

import itertools

from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.propagators.b3 import B3SingleFormat
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bench.studies.micro.timed import Subject, repeated, require, timed

TRACE_ID, SPAN_ID = 0x5B8EFFF798038103D269B633813FC60C, 0xEEE19B7EC3C1B174
BAGGAGE = {f"key{number}": f"value{number}" for number in range(5)}
OTHER_HEADERS = {
    "host": "127.0.0.1:8001", "accept": "*/*", "accept-encoding": "gzip, deflate",
    "connection": "keep-alive", "user-agent": "python-httpx/0.28.1", "content-type": "application/json",
    "content-length": "112",
}  # fmt: skip


def reference() -> Subject:
    """A dictionary built and read: interpreter work of the kind that tracing consists of."""
    keys = tuple(f"attribute.{number}" for number in range(12))

    def run(loops: int) -> None:
        for _ in itertools.repeat(None, loops):
            built = {}
            for key in keys:
                built[key] = key.upper()
            sum(map(len, built.values()))

    return Subject(time=timed(run), check=lambda _done: None)


def span_context(*, sampled: bool) -> SpanContext:
    """A parent in another process."""
    return SpanContext(TRACE_ID, SPAN_ID, is_remote=True, trace_flags=TraceFlags(int(sampled)))


def parent_context(*, sampled: bool) -> Context:
    """A context with such a parent and five baggage items."""
    made = trace.set_span_in_context(NonRecordingSpan(span_context(sampled=sampled)), Context())
    for key, value in BAGGAGE.items():
        made = baggage.set_baggage(key, value, made)
    return made


def attach_and_detach() -> Subject:
    """A context made current, and the one before again."""
    made = parent_context(sampled=True)

    def check() -> None:
        token = context.attach(made)
        inside = trace.get_current_span().get_span_context().trace_id
        context.detach(token)
        outside = trace.get_current_span().get_span_context().trace_id
        require(
            true=(inside, outside) == (TRACE_ID, 0), otherwise="the context was not attached and detached"
        )

    return repeated(lambda: context.detach(context.attach(made)), check)


def _propagator(name: str) -> TextMapPropagator:
    propagators: dict[str, TextMapPropagator] = {
        "tracecontext": TraceContextTextMapPropagator(),
        "baggage": W3CBaggagePropagator(),
        "b3": B3SingleFormat(),
    }
    return propagators[name]


def _headers(propagator: str, count: int) -> dict[str, str]:
    """`count` headers as httpx sends them, including those of the propagator."""
    carrier: dict[str, str] = {}
    _propagator(propagator).inject(carrier, parent_context(sampled=True))
    fill = OTHER_HEADERS | {f"x-header-{number}": f"value {number}" for number in range(count)}
    for name, value in fill.items():
        if len(carrier) < count:
            carrier[name] = value
    return carrier


def inject(propagator: str, headers: int) -> Subject:
    """A context written into headers."""
    chosen, made = _propagator(propagator), parent_context(sampled=True)
    carrier = _headers(propagator, headers)
    own = set(carrier) - set(_headers("tracecontext", headers))

    def check() -> None:
        fresh: dict[str, str] = {}
        chosen.inject(fresh, made)
        require(true=set(fresh) >= own and len(fresh) == 1, otherwise="it wrote no header")
        require(true=len(carrier) == headers, otherwise=f"there are {len(carrier)} headers")

    return repeated(lambda: chosen.inject(carrier, made), check)


def extract(propagator: str, headers: int) -> Subject:
    """A context read from the headers of an ASGI request, as the instrumentation does."""
    chosen = _propagator(propagator)
    pairs = [(name.encode(), value.encode()) for name, value in _headers(propagator, headers).items()]
    scope = {"type": "http", "headers": pairs}
    empty = Context()

    def check() -> None:
        context = chosen.extract(scope, empty, asgi_getter)
        if propagator == "baggage":
            right = dict(baggage.get_all(context)) == BAGGAGE
        else:
            right = trace.get_current_span(context).get_span_context().span_id == SPAN_ID
        require(true=right and len(pairs) == headers, otherwise="it read another context")

    return repeated(lambda: chosen.extract(scope, empty, asgi_getter), check)


RATIO = 0.1


def sampler(kind: str) -> Subject:
    """should_sample of a built-in sampler, under the parent that it is made for."""
    samplers: dict[str, tuple[Sampler, bool | None, Decision | None]] = {
        "always_on": (ALWAYS_ON, None, Decision.RECORD_AND_SAMPLE),
        "always_off": (ALWAYS_OFF, None, Decision.DROP),
        "traceidratio": (TraceIdRatioBased(RATIO), None, None),
        "always_record": (AlwaysRecordSampler(ALWAYS_OFF), None, Decision.RECORD_ONLY),
        "parentbased_always_on": (DEFAULT_ON, True, Decision.RECORD_AND_SAMPLE),
        "parentbased_always_off": (DEFAULT_OFF, False, Decision.DROP),
        "parentbased_traceidratio": (ParentBasedTraceIdRatio(RATIO), None, None),
    }
    sampler, parent, decision = samplers[kind]
    made = None if parent is None else parent_context(sampled=parent)

    def check() -> None:
        if decision is not None:
            decided = sampler.should_sample(made, TRACE_ID, "request").decision
            require(true=decided is decision, otherwise=f"it decided {decided}")
            return
        ids = RandomIdGenerator()
        sampled = sum(
            sampler.should_sample(made, ids.generate_trace_id(), "request").decision
            is Decision.RECORD_AND_SAMPLE
            for _ in range(2000)
        )
        # 2,000 x 0.1 = 200 with a standard deviation of 13: wrong by chance once in 10^9.
        require(true=120 < sampled < 280, otherwise=f"it sampled {sampled} of 2000")

    return repeated(lambda: sampler.should_sample(made, TRACE_ID, "request"), check)


def trace_id() -> Subject:
    """A trace id."""
    generate = RandomIdGenerator().generate_trace_id
    return repeated(generate, lambda: require(true=generate() != generate(), otherwise="an id came twice"))


def span_id() -> Subject:
    """A span id."""
    generate = RandomIdGenerator().generate_span_id
    return repeated(generate, lambda: require(true=generate() != generate(), otherwise="an id came twice"))
