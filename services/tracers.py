"""Other tracers beside OpenTelemetry's, each configured as its own documentation says.

None of them is a dependency of the project: a setup names the packages, and `BENCH_SPANS` the tracer. Where
spans go, which setup they belong to and how many are sampled, all of them are told by the same `OTEL_*`
variables, which are handed on here in each one's own words. What asks its makers for news, or tells them that
it is used, is switched off; so is what has nothing to do with tracing, such as profiles.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.tracing import NoTracing, Tracing

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

SETUP, REPLICATE = "bench.setup", "bench.replicate"
PROJECT = 1
"""Sentry's, which has to be a number."""
KEY = "0" * 32
"""Sentry's public key; the local intake takes any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What every tracer is told.

    Attributes:
        service: name of the process.
        url: of the local intake.
        labels: that everything sent carries.
        ratio: share of the requests to be sampled, decided in the first service.
    """

    service: str
    url: str
    labels: Mapping[str, str]
    ratio: float


def told(service: str, environ: Mapping[str, str]) -> Told:
    """What the environment tells every tracer."""
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    sampler = environ.get("OTEL_TRACES_SAMPLER", "")
    ratio = float(environ.get("OTEL_TRACES_SAMPLER_ARG", "1")) if sampler.endswith("ratio") else 1.0
    return Told(
        service=service,
        url=environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        labels={name: value for name, _, value in pairs if name in {SETUP, REPLICATE}},
        ratio=ratio,
    )


class _Other(NoTracing):
    """A tracer that instruments what it finds; only the intake counts what it samples."""

    sampled_roots = None

    def __init__(self, flush: Callable[[], object], shutdown: Callable[[], object]) -> None:
        self._flush = flush
        self._shutdown = shutdown

    def flush(self) -> None:
        self._flush()

    def shutdown(self) -> None:
        self._shutdown()


def _datadog(to: Told) -> Tracing:
    # It reads OpenTelemetry's variables as well, and would export over OTLP: not what people use it for.
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[variable]
    os.environ |= {
        "DD_SERVICE": to.service,
        "DD_TRACE_AGENT_URL": to.url,
        "DD_TAGS": ",".join(f"{name}:{value}" for name, value in to.labels.items()),
        "DD_TRACE_SAMPLING_RULES": json.dumps([{"sample_rate": to.ratio}]),
        # Without a limit, as the others: the default is 100 traces a second.
        "DD_TRACE_RATE_LIMIT": "-1",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    }
    import ddtrace
    from ddtrace.trace import tracer

    ddtrace.patch(httpx=True, sqlite3=True, starlette=True)
    return _Other(tracer.flush, tracer.shutdown)


def _sentry(to: Told) -> Tracing:
    import sentry_sdk

    scheme, _, address = to.url.partition("://")
    sentry_sdk.init(
        dsn=f"{scheme}://{KEY}@{address}/{PROJECT}", traces_sample_rate=to.ratio, server_name=to.service
    )
    for name, value in to.labels.items():
        sentry_sdk.get_global_scope().set_tag(name, value)
    return _Other(sentry_sdk.flush, sentry_sdk.get_client().close)


class _Logfire(_Other):
    """Logfire, which names the application to be instrumented."""

    def instrument(self, app: "Starlette") -> "ASGIApp":
        import logfire

        logfire.instrument_starlette(app)
        return app


def _logfire(to: Told) -> Tracing:
    import logfire

    # It exports to OTEL_EXPORTER_OTLP_ENDPOINT by itself.
    logfire.configure(
        send_to_logfire=False,
        console=False,
        # The services are one system: or each of them warns, once, in a span of its own.
        distributed_tracing=True,
        service_name=to.service,
        sampling=logfire.SamplingOptions(head=to.ratio),
    )
    logfire.instrument_httpx()
    logfire.instrument_sqlite3()
    return _Logfire(logfire.force_flush, logfire.shutdown)


class _Elastic(_Other):
    """Elastic's agent, which is a middleware of the application."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - no dependency of the project
        super().__init__(client._transport.flush, client.close)  # noqa: SLF001 - there is no other flush
        self._client = client

    def instrument(self, app: "Starlette") -> "ASGIApp":
        from elasticapm.contrib.starlette import ElasticAPM

        app.add_middleware(ElasticAPM, client=self._client)
        return app


def _elastic(to: Told) -> Tracing:
    from elasticapm.contrib.starlette import make_apm_client

    client = make_apm_client(
        {
            "SERVICE_NAME": to.service,
            "SERVER_URL": to.url,
            "GLOBAL_LABELS": dict(to.labels),
            "TRANSACTION_SAMPLE_RATE": to.ratio,
            "CENTRAL_CONFIG": False,
            # Like spans become one if each is short, by a clock that goes on while an instance is stopped.
            "SPAN_COMPRESSION_ENABLED": False,
            # Or it asks three clouds whose machine it runs on.
            "CLOUD_PROVIDER": "none",
        }
    )
    return _Elastic(client)


TRACERS: dict[str, Callable[[Told], Tracing]] = {
    "ddtrace": _datadog,
    "elastic-apm": _elastic,
    "logfire": _logfire,
    "sentry-sdk": _sentry,
}
"""By the word in `BENCH_SPANS`."""
