"""How a service is traced: the only module of the services that imports OpenTelemetry.

Configured by OpenTelemetry's own `OTEL_*` variables, and by two of ours where the SDK has none:

- `BENCH_TRACING`: none (OpenTelemetry is not even imported), api (instrumented, no SDK),
  simple or batch (the SDK with that span processor).
- `BENCH_SPANS`: auto (the contrib instrumentations of Starlette, httpx and sqlite3),
  lean (the same without ASGI receive/send spans), native (Starlette's own middleware
  for the servers), manual (the checkout scenario, written by hand); or the name of another tracer
  (services/tracers.py).

Imports of OpenTelemetry stand inside functions: the baseline never reaches them. One process is one
setup; a provider is made once and shut down in the lifespan, because uvicorn re-raises SIGTERM and
`atexit` never runs.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from services.counting import Discarding, RootCounter
from services.tracers import TRACERS, told
from services.tracing import NoTracing, Step, Tracing
from services.usage_file import SpanCounter, UsageFile

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer
    from starlette.applications import Starlette
    from starlette.types import ASGIApp


class Mode(StrEnum):
    """`BENCH_TRACING`: how much of OpenTelemetry there is."""

    NONE = "none"
    API = "api"
    SIMPLE = "simple"
    BATCH = "batch"


class Spans(StrEnum):
    """`BENCH_SPANS`: who writes the spans."""

    AUTO = "auto"
    LEAN = "lean"
    NATIVE = "native"
    MANUAL = "manual"


class ConfigurationError(Exception):
    """A tracing variable that has no such value; the message names it."""


class ProvidedTracing(NoTracing):
    """Tracing with the SDK's providers behind it, or with none (`api`)."""

    def __init__(self, providers: "Providers") -> None:
        self._providers = providers

    @property
    def discarded(self) -> int:  # type: ignore[override]
        exporter = self._providers.exporter
        return exporter.discarded if isinstance(exporter, Discarding) else 0

    @property
    def sampled_roots(self) -> int:  # type: ignore[override]
        return self._providers.roots.count if self._providers.roots else 0

    def flush(self) -> None:
        # The return value says True even when every span was dropped: the receiver counts.
        for provider in self._providers.all:
            provider.force_flush()

    def shutdown(self) -> None:
        for provider in self._providers.all:
            provider.shutdown()


class InstrumentedTracing(ProvidedTracing):
    """Spans made by instrumentation libraries; without a provider they are no-ops (`api`)."""

    def __init__(self, spans: Spans, providers: "Providers", disabled: frozenset[str]) -> None:
        super().__init__(providers)
        self._spans = spans
        self._disabled = disabled
        if "httpx" not in disabled:
            from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

            HTTPXClientInstrumentor().instrument()
        if "sqlite3" not in disabled:
            from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

            SQLite3Instrumentor().instrument()

    def instrument(self, app: "Starlette") -> "ASGIApp":
        if "starlette" in self._disabled:
            return app
        if self._spans is Spans.NATIVE:
            from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as Native

            app.add_middleware(Native)
            return app
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        StarletteInstrumentor.instrument_app(app)
        if self._spans is Spans.LEAN:
            # The instrumentor has no argument for this; its middleware has. Everything
            # else stays as the instrumentor chose it.
            for middleware in app.user_middleware:
                kind: object = middleware.cls
                if kind is OpenTelemetryMiddleware:
                    middleware.kwargs["exclude_spans"] = ["receive", "send"]
        return app


class ManualTracing(ProvidedTracing):
    """The checkout scenario written by hand: context extracted, spans made, context injected."""

    def __init__(self, providers: "Providers") -> None:
        # Kept, not imported again in every step: an import statement costs a microsecond.
        from opentelemetry import propagate, trace

        super().__init__(providers)
        self._propagate = propagate
        self._trace = trace
        self._tracer: Tracer = trace.get_tracer("services.checkout")

    @contextmanager
    def serve(self, name: str, headers: Mapping[str, str]) -> Iterator[Step]:
        parent = self._propagate.extract(headers)
        kind = self._trace.SpanKind.SERVER
        with self._tracer.start_as_current_span(name, context=parent, kind=kind) as span:
            yield _Written(self, span)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        # On an exception OpenTelemetry records it and sets the status to ERROR itself.
        with self._tracer.start_as_current_span(name, kind=self._trace.SpanKind.CLIENT) as span:
            yield _Written(self, span)

    @contextmanager
    def detached(self, name: str) -> Iterator[Step]:
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT)
        try:
            yield _Written(self, span)
        except Exception as error:
            # For a span that is not current, the SDK does not do this.
            span.record_exception(error)
            self.set_status(span, "ERROR", f"{type(error).__name__}: {error}")
            raise
        finally:
            span.end()

    def inject(self, span: "Span") -> dict[str, str]:
        """The headers that continue a span's trace, whichever span is current."""
        carrier: dict[str, str] = {}
        self._propagate.inject(carrier, context=self._trace.set_span_in_context(span))
        return carrier

    def set_status(self, span: "Span", code: str, description: str | None = None) -> None:
        """The span's status: OK (1) or ERROR (2)."""
        span.set_status(self._trace.Status(self._trace.StatusCode[code], description))


class _Written:
    """A hand-written span."""

    def __init__(self, tracing: ManualTracing, span: "Span") -> None:
        self._tracing = tracing
        self._span = span

    @property
    def headers(self) -> dict[str, str]:
        return self._tracing.inject(self._span)

    def event(self, name: str, /, **attributes: str | int) -> None:
        self._span.add_event(name, attributes)

    def succeed(self) -> None:
        self._tracing.set_status(self._span, "OK")

    def fail(self, reason: str, /) -> None:
        self._tracing.set_status(self._span, "ERROR", reason)


PROTOCOLS = ("http/protobuf", "grpc")
EXPORTERS = ("otlp", "console", "none", "discard", "encode")
"""The SDK's own, and two of ours that end a step earlier: `discard` throws spans away, `encode`
turns them into OTLP bytes first."""
OTHER_EXPORTERS = ("none", "otlp")
"""Of metrics and log records."""
INSTRUMENTATIONS = frozenset({"httpx", "sqlite3", "starlette"})
"""As OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names them."""
LOGGER = "services"
"""Whose records are exported, from INFO on; without an exporter nothing of INFO is written at all."""


def check(environ: Mapping[str, str]) -> tuple[Mode, str]:
    """What the environment asks for, mode and word, without importing anything for it.

    Raises:
        ConfigurationError: a variable has a value that does not exist.
    """
    mode = Mode(_choice("BENCH_TRACING", tuple(Mode), environ.get("BENCH_TRACING", Mode.NONE)))
    spans = _choice("BENCH_SPANS", (*Spans, *TRACERS), environ.get("BENCH_SPANS", Spans.AUTO))
    _choice("OTEL_TRACES_EXPORTER", EXPORTERS, environ.get("OTEL_TRACES_EXPORTER", "otlp"))
    for variable in ("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"):
        _choice(variable, OTHER_EXPORTERS, environ.get(variable, "none"))
    _choice("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOLS, _protocol(environ))
    return mode, spans


def configure(
    service: str, environ: Mapping[str, str] = os.environ, usage_file: UsageFile | None = None
) -> Tracing:
    """The tracing that the environment asks for; a usage_file is told of every span.

    Raises:
        ConfigurationError: a variable has a value that does not exist.
    """
    mode, spans = check(environ)
    if mode is Mode.NONE:
        return NoTracing()
    if spans in TRACERS:
        try:
            return TRACERS[spans](told(service, environ))
        except ImportError as error:
            raise ConfigurationError(
                f"BENCH_SPANS={spans!r}: its package is not installed ({error})"
            ) from None
    providers = Providers() if mode is Mode.API else _providers(service, mode, environ, usage_file)
    if spans == Spans.MANUAL:
        return ManualTracing(providers)
    return InstrumentedTracing(Spans(spans), providers, _disabled(environ))


def _disabled(environ: Mapping[str, str]) -> frozenset[str]:
    """Instrumentations that are switched off."""
    names = environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    disabled = frozenset(name.strip() for name in names)
    return INSTRUMENTATIONS if "*" in disabled else disabled


def _choice(variable: str, choices: Sequence[str], value: str) -> str:
    if value not in choices:
        raise ConfigurationError(f"{variable}={value!r} is not one of {', '.join(choices)}")
    return value


def _protocol(environ: Mapping[str, str]) -> str:
    common = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)


@dataclass(frozen=True, slots=True)
class Providers:
    """The SDK behind the API; nothing of it for `api`."""

    traces: "TracerProvider | None" = None
    metrics: "MeterProvider | None" = None
    logs: "LoggerProvider | None" = None
    exporter: "SpanExporter | Discarding | None" = None
    roots: "RootCounter | None" = None

    @property
    def all(self) -> "Iterator[TracerProvider | MeterProvider | LoggerProvider]":
        """Those that there are."""
        return filter(None, (self.traces, self.metrics, self.logs))


def _providers(
    service: str, mode: Mode, environ: Mapping[str, str], usage_file: UsageFile | None
) -> Providers:
    """The SDK's providers, made global, with one processor; sampler and limits come from `OTEL_*`."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    resource = Resource.create({"service.name": service})
    meter_provider = _meter_provider(resource, environ)
    if meter_provider is not None:
        metrics.set_meter_provider(meter_provider)
    exporter = _exporter(environ)
    # shutdown_on_exit would register an atexit hook that never runs under uvicorn's SIGTERM.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    roots = RootCounter()
    provider.add_span_processor(roots)  # type: ignore[arg-type]
    if usage_file is not None:
        provider.add_span_processor(SpanCounter(usage_file))  # type: ignore[arg-type]
    if exporter is not None:
        kind: Any = SimpleSpanProcessor if mode is Mode.SIMPLE else BatchSpanProcessor
        provider.add_span_processor(kind(exporter))
    trace.set_tracer_provider(provider)
    return Providers(provider, meter_provider, _logger_provider(resource, environ), exporter, roots)


def _meter_provider(resource: "Resource", environ: Mapping[str, str]) -> "MeterProvider | None":
    """The metrics of the instrumentations, exported over OTLP, where `OTEL_METRICS_EXPORTER` says so."""
    if environ.get("OTEL_METRICS_EXPORTER", "none") == "none":
        return None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

    exporter: MetricExporter
    if _protocol(environ) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        exporter = GrpcMetricExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        exporter = OTLPMetricExporter()
    return MeterProvider([PeriodicExportingMetricReader(exporter)], resource, shutdown_on_exit=False)


def _logger_provider(resource: "Resource", environ: Mapping[str, str]) -> "LoggerProvider | None":
    """The services' log records, exported over OTLP, where `OTEL_LOGS_EXPORTER` says so."""
    if environ.get("OTEL_LOGS_EXPORTER", "none") == "none":
        return None
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    exporter: Any
    if _protocol(environ) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter

        exporter = GrpcLogExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        exporter = OTLPLogExporter()
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = logging.getLogger(LOGGER)
    logger.addHandler(LoggingHandler(logger_provider=provider))
    logger.setLevel(logging.INFO)
    # To standard error it would be written, too.
    logger.propagate = False
    return provider


def _exporter(environ: Mapping[str, str]) -> "SpanExporter | Discarding | None":
    """The exporter of `OTEL_TRACES_EXPORTER` and the OTLP protocol variables."""
    name = environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if name == "none":
        return None
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name in {"discard", "encode"}:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.trace.export import SpanExportResult

        return Discarding(encode_spans if name == "encode" else None, SpanExportResult.SUCCESS)
    if _protocol(environ) == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
