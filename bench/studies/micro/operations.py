"""The table of operations: pure data, so that it can be listed without importing OpenTelemetry."""

import fnmatch
from dataclasses import dataclass, field

REFERENCE = "reference"
"""An operation without tracing: what an interpreter of this speed needs for the same Python code."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation to be timed.

    Attributes:
        name: on the command line and in every table; before the slash the group.
        sentence: what it does.
        room: the module of this package that builds it.
        build: the function there.
        options: its arguments.
        network: whether it talks to another process, so that its instructions are not repeatable.
    """

    name: str
    sentence: str
    room: str
    build: str
    options: dict[str, str | int | bool] = field(default_factory=dict)
    network: bool = False

    @property
    def group(self) -> str:
        """What it belongs to."""
        return self.name.partition("/")[0]


def _of(
    where: str, name: str, sentence: str, *, network: bool = False, **options: str | int | bool
) -> Operation:
    """An operation that `where`, as module.function, builds."""
    room, _, build = where.partition(".")
    return Operation(name=name, sentence=sentence, room=room, build=build, options=options, network=network)


SPAN, CURRENT, SAMPLER = "spans.start_and_end", "spans.start_as_current", "context.sampler"
SERVER, CALL, STATEMENT = "web.server", "web.call", "web.statement"
CARRIED = {"tracecontext": "traceparent", "baggage": "five baggage items", "b3": "a b3 header"}


def _spans(count: int) -> str:
    return f"{count} span{'s' if count > 1 else ''}"


TABLE = (
    _of("context.reference", REFERENCE, "a dictionary built and read, without tracing"),
    _of(SPAN, "span/noop", "start and end, no provider", sampler="none"),
    _of(SPAN, "span/dropped", "start and end, not sampled", sampler="off"),
    _of(SPAN, "span/root", "start and end of a sampled root", sampler="on"),
    _of(SPAN, "span/child", "start and end of a sampled child", sampler="on", child=True),
    _of(SPAN, "span/attributes-12", "start and end of a sampled child with 12 attributes", sampler="on",
        child=True, attributes=12),
    _of(SPAN, "span/simple", "start and end with the simple processor, exporter discards", sampler="on",
        processor="simple"),
    _of(SPAN, "span/batch", "start and end with the batch processor, into its queue", sampler="on",
        processor="batch"),
    _of(SPAN, "span/queue-full", "start and end with the batch processor, queue full", sampler="on",
        processor="full"),
    _of(CURRENT, "current-span/noop", "start_as_current_span, no provider", sampler="none"),
    _of(CURRENT, "current-span/dropped", "start_as_current_span, not sampled", sampler="off"),
    _of(CURRENT, "current-span/sampled", "start_as_current_span, sampled", sampler="on"),
    _of("spans.attribute", "attribute/one", "set_attribute"),
    _of("spans.attributes", "attribute/five", "set_attributes of five"),
    _of("spans.event", "event/three-attributes", "add_event with three attributes"),
    _of("spans.status", "status/ok", "set_status"),
    *(
        _of("spans.exception", f"exception/{frames}-frames",
            f"record_exception with a traceback of {frames} frames", frames=frames)
        for frames in (2, 20)
    ),
    _of("context.attach_and_detach", "context/attach-detach", "attach and detach of a context"),
    *(
        _of(f"context.{build}", f"{build}/{propagator}-{headers}", f"{carried} {verb} {headers} headers",
            propagator=propagator, headers=headers)
        for build, verb in (("inject", "written to"), ("extract", "read from"))
        for propagator, carried in CARRIED.items()
        for headers in (8, 33)
    ),
    *(
        _of(SAMPLER, f"sampler/{kind}", f"should_sample: {sentence}", kind=kind)
        for kind, sentence in (
            ("always_on", "always on"),
            ("always_off", "always off"),
            ("traceidratio", "one in ten by trace id"),
            ("always_record", "recorded whatever another one decides"),
            ("parentbased_always_on", "as the remote parent, sampled"),
            ("parentbased_always_off", "as the remote parent, not sampled"),
            ("parentbased_traceidratio", "one in ten for a root"),
        )
    ),
    _of("context.trace_id", "id/trace", "a trace id"),
    _of("context.span_id", "id/span", "a span id"),
    *(
        _of(f"otlp.{build}", f"{build}/{spans}", f"{_spans(spans)} {what}", spans=spans)
        for build, what in (
            ("encode", "turned into OTLP messages"),
            ("serialise", "of OTLP messages turned into bytes"),
            ("gzip", "of OTLP bytes compressed"),
        )
        for spans in (1, 64, 512)
    ),
    *(
        _of("otlp.export", f"export/{protocol}-{spans}",
            f"{_spans(spans)} exported to the receiver over {protocol}",
            network=True, protocol=protocol, spans=spans)
        for protocol in ("http", "grpc")
        for spans in (1, 512)
    ),
    *(
        _of(SERVER, f"server/{variant}", sentence, variant=variant)
        for variant, sentence in (
            ("bare", "a POST to Starlette, without OpenTelemetry"),
            ("no-provider", "the same instrumented, no provider"),
            ("unsampled", "the same, unsampled parent"),
            ("sampled", "the same, sampled, with receive and send spans"),
            ("lean-no-provider", "the same instrumented without receive and send spans, no provider"),
            ("lean-unsampled", "the same without them, unsampled parent"),
            ("lean", "the same without them, sampled"),
            ("native", "the same, sampled, Starlette's own middleware"),
            ("metrics", "the same, sampled, with receive and send spans and metrics"),
        )
    ),
    *(
        _of(CALL, f"httpx-{kind}/{variant}", f"{sentence}, {how}", network=True, variant=variant,
            asynchronous=kind == "async")
        for kind, how in (("sync", "blocking"), ("async", "asyncio"))
        for variant, sentence in (
            ("bare", "a POST with httpx"),
            ("no-provider", "the same instrumented, no provider"),
            ("unsampled", "the same, unsampled"),
            ("sampled", "the same, sampled"),
            ("metrics", "the same, sampled, with metrics"),
        )
    ),
    *(
        _of(STATEMENT, f"sqlite/{variant}", sentence, variant=variant)
        for variant, sentence in (
            ("bare", "an UPDATE in SQLite"),
            ("no-provider", "the same instrumented, no provider"),
            ("unsampled", "the same, unsampled"),
            ("sampled", "the same, sampled"),
        )
    ),
)  # fmt: skip

BY_NAME = {operation.name: operation for operation in TABLE}


def choose(pattern: str | None) -> tuple[Operation, ...]:
    """The operations whose name matches a shell pattern or contains it, and the reference; empty for none."""
    if pattern is None:
        return TABLE
    chosen = {
        operation.name
        for operation in TABLE
        if fnmatch.fnmatchcase(operation.name, pattern) or pattern in operation.name
    }
    return tuple(operation for operation in TABLE if operation.name in chosen | {REFERENCE}) if chosen else ()
