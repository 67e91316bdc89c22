"""Operations on spans: started and ended, and what is done to them meanwhile."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, Span, Status, StatusCode, Tracer

from bench.studies.micro.context import span_context
from bench.studies.micro.timed import Subject, in_pieces, require, timed

# `Resource.create` asks its detectors in threads, and no two processes would need the same instructions.
RESOURCE = Resource(
    {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": metadata.version("opentelemetry-sdk"),
        "service.name": "service-xx",
    }
)
PIECE = 512
"""Spans between two emptyings of the queue: half of what makes the batch processor export."""
QUEUE = 4 * PIECE


class Counting(SpanProcessor):
    """A processor that counts what reaches it, the cheapest one that can prove something."""

    def __init__(self) -> None:
        self.ended = 0

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 - the interface's
        """One more."""
        self.ended += 1


class Discarding(SpanExporter):
    """An exporter that counts and throws away."""

    def __init__(self) -> None:
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """All of them are gone."""
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


class Blocking(SpanExporter):
    """An exporter whose backend does not answer until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the interface's
        """Waits."""
        self.entered.set()
        self.let_go.wait()
        return SpanExportResult.FAILURE


def provider(sampler: str, *processors: SpanProcessor) -> TracerProvider:
    """A provider of the SDK that samples everything (`on`) or nothing (`off`)."""
    made = TracerProvider(
        sampler=ALWAYS_ON if sampler == "on" else ALWAYS_OFF, resource=RESOURCE, shutdown_on_exit=False
    )
    for processor in processors:
        made.add_span_processor(processor)
    return made


def tracer(sampler: str, *processors: SpanProcessor) -> Tracer:
    """A tracer of such a provider; of none at all for `none`."""
    if sampler == "none":
        return trace.get_tracer("bench")
    return provider(sampler, *processors).get_tracer("bench")


def _processor(kind: str, counting: Counting, exporter: SpanExporter) -> SpanProcessor:
    """The one that counts, or one of the SDK's: simple, or batch that exports only when asked to."""
    if kind == "count":
        return counting
    if kind == "simple":
        return SimpleSpanProcessor(exporter)
    return BatchSpanProcessor(
        exporter,
        max_queue_size=QUEUE,
        schedule_delay_millis=3_600_000,
        max_export_batch_size=QUEUE // 2,
    )


def start_and_end(
    sampler: str, processor: str = "count", attributes: int = 0, *, child: bool = False
) -> Subject:
    """A span started and ended.

    Args:
        sampler: none (no provider), off, on.
        processor: count; or the SDK's simple or batch with an exporter that discards; or full: batch
            with a full queue.
        attributes: number of them, given at the start.
        child: of a remote parent.
    """
    counting, discarding, blocking, warnings = Counting(), Discarding(), Blocking(), _Warnings()
    chosen = _processor(processor, counting, blocking if processor == "full" else discarding)
    chosen_tracer = tracer(sampler, chosen)
    context = trace.set_span_in_context(NonRecordingSpan(span_context(sampled=True))) if child else None
    given = {f"attribute.{number}": f"value {number}" for number in range(attributes)} or None

    def run(loops: int) -> None:
        for _ in itertools.repeat(None, loops):
            chosen_tracer.start_span("request", context, attributes=given).end()

    def check(done: int) -> None:
        span = chosen_tracer.start_span("request", context, attributes=given)
        require(true=span.is_recording() == (sampler == "on"), otherwise="its spans are not as sampled")
        require(
            true=span.get_span_context().is_valid == (sampler != "none"), otherwise="no such span context"
        )
        made = span.attributes if isinstance(span, ReadableSpan) else None
        require(true=len(made or {}) == attributes, otherwise="its spans lack attributes")
        linked = isinstance(span, ReadableSpan) and span.parent is not None
        require(true=linked == child, otherwise="its spans are no children" if child else "they have parents")
        if processor == "full":
            require(true=warnings.seen > 0, otherwise="its queue never was full")
        elif sampler == "on":
            chosen.force_flush()
            arrived = counting.ended if processor == "count" else discarding.exported
            require(true=arrived == done, otherwise=f"{arrived} of {done} spans reached the processor")

    def close() -> None:
        blocking.let_go.set()
        chosen.shutdown()

    if processor == "full":
        run(QUEUE)
        blocking.entered.wait()
        run(2 * QUEUE)
    if processor != "batch":
        return Subject(time=timed(run), check=check, close=close)
    flush = timed(lambda _loops: chosen.force_flush())
    return Subject(
        time=in_pieces(run, PIECE, chosen.force_flush),
        check=check,
        put_off=lambda: timed(run)(1),
        drain=lambda: flush(1),
        close=close,
    )


class _Warnings(logging.Handler):
    """Counts what the SDK complains about, instead of printing it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        logger = logging.getLogger("opentelemetry.sdk")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - the interface's
        """One more."""
        self.seen += 1


def start_as_current(sampler: str) -> Subject:
    """`with tracer.start_as_current_span(...)`, nothing inside."""
    counting = Counting()
    chosen_tracer = tracer(sampler, counting)

    def run(loops: int) -> None:
        for _ in itertools.repeat(None, loops):
            with chosen_tracer.start_as_current_span("request"):
                pass

    def check(done: int) -> None:
        expected = done if sampler == "on" else 0
        require(true=counting.ended == expected, otherwise=f"{counting.ended} of {expected} spans ended")
        with chosen_tracer.start_as_current_span("request") as span:
            current = trace.get_current_span() is span
            require(true=current or sampler == "none", otherwise="its span is not the current one")
            require(true=span.is_recording() == (sampler == "on"), otherwise="its spans are not as sampled")
        counting.ended = expected

    return Subject(time=timed(run), check=check)


def _on_span(do: Callable[[Span], object], holds: Callable[[ReadableSpan], bool]) -> Subject:
    """Something that is done to a sampled span, on a new one every hundred times.

    A span keeps 128 events: on a single span, most events would only push older ones out.
    """
    chosen_tracer = tracer("on")
    spans: list[Span] = []

    def renew() -> None:
        spans[:] = [chosen_tracer.start_span("request")]

    def run(loops: int) -> None:
        span = spans[0]
        for _ in itertools.repeat(None, loops):
            do(span)

    def check(_done: int) -> None:
        span = chosen_tracer.start_span("request")
        do(span)
        require(
            true=isinstance(span, ReadableSpan) and holds(span),
            otherwise="the span does not hold what was set",
        )

    renew()
    return Subject(time=in_pieces(run, 100, renew), check=check)


def attribute() -> Subject:
    """One attribute set."""
    return _on_span(
        lambda span: span.set_attribute("http.route", "/request"),
        lambda span: dict(span.attributes or {}) == {"http.route": "/request"},
    )


def attributes() -> Subject:
    """Five attributes set at once."""
    given = {f"attribute.{number}": f"value {number}" for number in range(5)}
    return _on_span(
        lambda span: span.set_attributes(given), lambda span: dict(span.attributes or {}) == given
    )


def event() -> Subject:
    """An event with three attributes."""
    given: dict[str, str | int] = {"order.id": "o-1", "amount": 4999, "currency": "EUR"}
    return _on_span(
        lambda span: span.add_event("card.charged", given),
        lambda span: [dict(event.attributes or {}) for event in span.events] == [given],
    )


def status() -> Subject:
    """The status set to OK."""
    return _on_span(
        lambda span: span.set_status(Status(StatusCode.OK)),
        lambda span: span.status.status_code is StatusCode.OK,
    )


def exception(frames: int) -> Subject:
    """An exception is recorded whose traceback has `frames` frames."""
    caught = _raised(frames)

    def holds(span: ReadableSpan) -> bool:
        stack = str((span.events[0].attributes or {})["exception.stacktrace"])
        return stack.count('File "') == frames

    return _on_span(lambda span: span.record_exception(caught), holds)


def _raised(frames: int) -> ValueError:
    try:
        _raise(frames - 1)
    except ValueError as error:
        return error
    raise AssertionError


def _raise(frames: int) -> None:
    # Alternating between two lines: the traceback module folds lines that repeat.
    if frames <= 1:
        raise ValueError("the card network failed")
    if frames % 2:
        _raise(frames - 1)
    else:
        _raise(frames - 1)
    time.sleep(0)
