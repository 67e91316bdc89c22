"""Emits spans as the specification asks: `... SCENARIO PROCESSOR PROTOCOL ENDPOINT SETUP RATE LENGTH`.

It prints a line when it is ready, begins when it reads one, flushes, prints a line with its counts,
and waits for another line or the end of its input, so that its memory can be read meanwhile.
"""

import json
import secrets
import sys
import time
import uuid
from collections.abc import Callable

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from bench.studies.spec import SERVICE

TICK_S = 0.01
"""Between two bursts of a paced emitter: a hundred wake-ups a second cost less than two spans each."""
CHUNK = 1024
"""Spans between two flushes of an unpaced batch processor: half of its queue, so that none is lost."""


def provider(processor: str, protocol: str, endpoint: str, setup: str) -> TracerProvider:
    """The SDK as the specification asks, its processor with default settings."""
    resource = Resource.create(
        {
            "service.name": SERVICE,
            "service.version": secrets.token_hex(5),
            "service.instance.id": str(uuid.uuid4()),
            "bench.setup": setup,
        }
    )
    made = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    exporter = _exporter(protocol, endpoint)
    made.add_span_processor(
        SimpleSpanProcessor(exporter) if processor == "simple" else BatchSpanProcessor(exporter)
    )
    return made


def _exporter(protocol: str, endpoint: str) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint + "/v1/traces")


def main() -> None:
    """Emits."""
    scenario, processor, protocol, endpoint, setup, rate, length = sys.argv[1:]
    tracing = provider(processor, protocol, endpoint, setup)
    tracer = tracing.get_tracer("bench")
    ten = {f"attribute-name-{number:05}": f"attribute-value-{number:04}" for number in range(10)}

    def emit_ten() -> None:
        tracer.start_span("request", attributes=ten).end()

    def emit() -> None:
        span = tracer.start_span("request")
        span.set_attribute("amount", 12997)
        span.add_event("charged")
        span.end()

    # What is imported or built by the first export is not what an iteration is about.
    emit()
    tracing.force_flush()
    _say({"ready": True})
    sys.stdin.readline()
    started = time.monotonic()
    if scenario == "throughput":
        flush = tracing.force_flush if processor == "batch" else None
        created = _flat_out(emit_ten, flush, float(length))
    else:
        created = _paced(emit, float(rate), float(length))
    creating_s = time.monotonic() - started
    tracing.force_flush()
    _say({"created": created, "creating_s": creating_s, "wall_s": time.monotonic() - started})
    sys.stdin.readline()
    tracing.shutdown()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _flat_out(emit: Callable[[], None], flush: Callable[[], object] | None, length_s: float) -> int:
    """As many as possible, none of them lost; returns how many."""
    created, until = 0, time.monotonic() + length_s
    while time.monotonic() < until:
        count = CHUNK if flush else 1
        for _ in range(count):
            emit()
        created += count
        if flush:
            flush()
    return created


def _paced(emit: Callable[[], None], rate_per_s: float, length_s: float) -> int:
    """Emit at a rate until the time is over, catching up when late; returns how many."""
    created, started = 0, time.monotonic()
    total = round(rate_per_s * length_s)
    while created < total:
        now = time.monotonic() - started
        if now >= length_s:
            break
        expected = min(round(rate_per_s * (now + TICK_S)), total)
        while created < expected and time.monotonic() - started < length_s:
            emit()
            created += 1
        ahead = (created / rate_per_s) - (time.monotonic() - started)
        if ahead > 0:
            time.sleep(ahead)
    return created


if __name__ == "__main__":
    main()
