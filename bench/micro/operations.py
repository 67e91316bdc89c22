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


def _span(name: str, sentence: str, **options: str | int | bool) -> Operation:
    return Operation(
        name=f"span/{name}", sentence=sentence, room="spans", build="start_and_end", options=options
    )


def _current(name: str, sentence: str, sampler: str) -> Operation:
    return Operation(
        name=f"current-span/{name}",
        sentence=sentence,
        room="spans",
        build="start_as_current",
        options={"sampler": sampler},
    )


def _on_span(name: str, sentence: str, build: str, **options: str | int | bool) -> Operation:
    return Operation(name=name, sentence=sentence, room="spans", build=build, options=options)


def _propagation(build: str, propagator: str, headers: int) -> Operation:
    verb = "written to" if build == "inject" else "read from"
    what = {"tracecontext": "traceparent", "baggage": "five baggage items", "b3": "a b3 header"}[propagator]
    return Operation(
        name=f"{build}/{propagator}-{headers}",
        sentence=f"{what} {verb} {headers} headers",
        room="context",
        build=build,
        options={"propagator": propagator, "headers": headers},
    )


def _sampler(name: str, sentence: str) -> Operation:
    return Operation(
        name=f"sampler/{name}", sentence=sentence, room="context", build="sampler", options={"kind": name}
    )


def _batch(build: str, spans: int, what: str) -> Operation:
    return Operation(
        name=f"{build}/{spans}",
        sentence=f"{spans} span{'s' if spans > 1 else ''} {what}",
        room="otlp",
        build=build,
        options={"spans": spans},
    )


def _export(protocol: str, spans: int) -> Operation:
    return Operation(
        name=f"export/{protocol}-{spans}",
        sentence=f"{spans} span{'s' if spans > 1 else ''} exported to the sink over {protocol}",
        room="otlp",
        build="export",
        options={"protocol": protocol, "spans": spans},
        network=True,
    )


def _server(variant: str, sentence: str) -> Operation:
    return Operation(
        name=f"server/{variant}", sentence=sentence, room="web", build="server", options={"variant": variant}
    )


def _call(kind: str, variant: str, sentence: str) -> Operation:
    return Operation(
        name=f"httpx-{kind}/{variant}",
        sentence=f"{sentence}, {'asyncio' if kind == 'async' else 'blocking'}",
        room="web",
        build="call",
        options={"variant": variant, "asynchronous": kind == "async"},
        network=True,
    )


def _statement(variant: str, sentence: str) -> Operation:
    return Operation(
        name=f"sqlite/{variant}",
        sentence=sentence,
        room="web",
        build="statement",
        options={"variant": variant},
    )


TABLE = (
    Operation(name=REFERENCE, sentence="a dictionary built and read, without tracing", room="context",
              build="reference"),
    _span("noop", "start and end, no provider", sampler="none"),
    _span("dropped", "start and end, not sampled", sampler="off"),
    _span("root", "start and end of a sampled root", sampler="on"),
    _span("child", "start and end of a sampled child", sampler="on", child=True),
    _span("attributes-12", "start and end of a sampled child with 12 attributes", sampler="on", child=True,
          attributes=12),
    _span("simple", "start and end with the simple processor, exporter discards", sampler="on",
          processor="simple"),
    _span("batch", "start and end with the batch processor, into its queue", sampler="on", processor="batch"),
    _span("queue-full", "start and end with the batch processor, queue full", sampler="on", processor="full"),
    _current("noop", "start_as_current_span, no provider", "none"),
    _current("dropped", "start_as_current_span, not sampled", "off"),
    _current("sampled", "start_as_current_span, sampled", "on"),
    _on_span("attribute/one", "set_attribute", "attribute"),
    _on_span("attribute/five", "set_attributes of five", "attributes"),
    _on_span("event/three-attributes", "add_event with three attributes", "event"),
    _on_span("status/ok", "set_status", "status"),
    _on_span("exception/2-frames", "record_exception with a traceback of 2 frames", "exception", frames=2),
    _on_span("exception/20-frames", "record_exception with a traceback of 20 frames", "exception", frames=20),
    Operation(name="context/attach-detach", sentence="attach and detach of a context", room="context",
              build="attach_and_detach"),
    *(
        _propagation(build, propagator, headers)
        for build in ("inject", "extract")
        for propagator in ("tracecontext", "baggage", "b3")
        for headers in (8, 33)
    ),
    _sampler("always_on", "should_sample: always on"),
    _sampler("always_off", "should_sample: always off"),
    _sampler("traceidratio", "should_sample: one in ten by trace id"),
    _sampler("always_record", "should_sample: recorded whatever another one decides"),
    _sampler("parentbased_always_on", "should_sample: as the remote parent, sampled"),
    _sampler("parentbased_always_off", "should_sample: as the remote parent, not sampled"),
    _sampler("parentbased_traceidratio", "should_sample: one in ten for a root"),
    Operation(name="id/trace", sentence="a trace id", room="context", build="trace_id"),
    Operation(name="id/span", sentence="a span id", room="context", build="span_id"),
    *(_batch("encode", spans, "turned into OTLP messages") for spans in (1, 64, 512)),
    *(_batch("serialise", spans, "of OTLP messages turned into bytes") for spans in (1, 64, 512)),
    *(_batch("gzip", spans, "of OTLP bytes compressed") for spans in (1, 64, 512)),
    *(_export(protocol, spans) for protocol in ("http", "grpc") for spans in (1, 512)),
    _server("bare", "a POST to Starlette, without OpenTelemetry"),
    _server("no-provider", "the same instrumented, no provider"),
    _server("unsampled", "the same, unsampled parent"),
    _server("sampled", "the same, sampled, with receive and send spans"),
    _server("lean", "the same, sampled, without receive and send spans"),
    _server("native", "the same, sampled, Starlette's own middleware"),
    _server("metrics", "the same, sampled, with receive and send spans and metrics"),
    *(
        _call(kind, variant, sentence)
        for kind in ("sync", "async")
        for variant, sentence in (
            ("bare", "a POST with httpx"),
            ("no-provider", "the same instrumented, no provider"),
            ("unsampled", "the same, unsampled"),
            ("sampled", "the same, sampled"),
            ("metrics", "the same, sampled, with metrics"),
        )
    ),
    _statement("bare", "an UPDATE in SQLite"),
    _statement("no-provider", "the same instrumented, no provider"),
    _statement("unsampled", "the same, unsampled"),
    _statement("sampled", "the same, sampled"),
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
