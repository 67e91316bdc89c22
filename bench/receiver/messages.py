"""What the harness and the receiver's process say to each other."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta

from bench.plan.records import Shape

STRAY = ""
"""Name of the account for everything that names no setup of the run."""
SETUP_ATTRIBUTE = "bench.setup"
REPLICATE_ATTRIBUTE = "bench.replicate"
DRAIN_LIMIT_S = 10.0
QUIET_S = 0.25
"""A collector that sends nothing for this long is considered empty: it keeps a batch for 200 ms."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Size limit of an export request, packed and unpacked; a Collector takes 20 MiB (http) and 4 (grpc)."""
MAX_OTHER_BYTES = 4 * 1024 * 1024
"""Size limit of another tracer's unpacked request: an empty list is a byte there, 64 in memory."""
MAX_HEAD_BYTES = 64 * 1024
"""Size limit of a request's first line and headers."""
MAX_PARTS = 300_000
"""Resources, scopes and spans each in an export request: a span with ids and times takes 60 bytes."""
MAX_KEPT_BYTES = 1024**3
"""Size limit of all bodies kept between two accounts: ten times what a run of thirty setups keeps."""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")
STATUS_ATTRIBUTES = ("http.response.status_code", "http.status_code")
"""In OpenTelemetry's new and old semantic conventions."""

Value: TypeAlias = str | bool | int | float


class Signal(StrEnum):
    """What an export request holds."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Format(StrEnum):
    """How an export request writes its spans: OpenTelemetry's way, or another tracer's."""

    OTLP = "otlp"
    DATADOG_04 = "datadog 0.4"
    DATADOG_05 = "datadog 0.5"
    ELASTIC = "elastic"
    SENTRY = "sentry"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where the receiver listens: the first line that it prints.

    Attributes:
        http: OTLP over http.
        grpc: OTLP over grpc.
        control: the harness's own questions, on 127.0.0.1 alone.
    """

    http: int
    grpc: int
    control: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answering:
    """How the receiver answers export requests from now on; healthy by default.

    Attributes:
        status: of HTTP; over grpc the code that OTLP maps to it. From 400 on nothing is taken.
        retry_after_s: when the sender should try again; None: not said.
        delay_s: before every answer.
    """

    status: int = 200
    retry_after_s: int | None = None
    delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseAccounts:
    """A request to account for everything received since the last one.

    Attributes:
        replicate: whose processes are running; spans of others are late.
        shapes: shapes of a sampled request's trace, by setup.
        start_shapes: of the traces that a start leaves.
        learn: whether to return the shapes of all traces.
        since_ns: by setup, when learning began; traces that began before are left out.
    """

    replicate: int
    shapes: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    start_shapes: tuple[Shape, ...] = ()
    learn: bool = False
    since_ns: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What came from a setup since the last account.

    Attributes:
        spans: duplicates included.
        exports: requests.
        bytes: over the wire.
    """

    spans: int = 0
    exports: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarding:
    """Where to send kept export requests.

    Attributes:
        url: of the receiver's traces path.
        headers: sent along.
        direct: not through a proxy that the environment names.
    """

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    direct: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """What became of a forwarding.

    Attributes:
        exports: requests that were accepted.
        refused: why the next one was not; empty if all were.
    """

    exports: int
    refused: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanEvent:
    """An event of a span; `at_ns` by the wall clock; lists and the like in `attributes` as text."""

    name: str
    at_ns: int
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSpan:
    """A span with everything that it says.

    Attributes:
        service: `service.name` of its resource.
        trace_id: hexadecimal.
        span_id: hexadecimal.
        parent_id: hexadecimal; empty for a root.
        name: of the span.
        kind: internal, server, client, producer or consumer.
        start_ns: wall clock.
        end_ns: wall clock.
        status: unset, ok or error.
        message: of the status.
        attributes: lists and the like as text.
        events: in order.
        scope: instrumentation scope.
        setup: setup that its resource names.
    """

    service: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str = "unset"
    message: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    scope: str = ""
    setup: str = ""

    @property
    def duration_s(self) -> float:
        """From its start to its end."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def answered(self) -> int | None:
        """The HTTP status that it saw or gave; None where it says none."""
        status = next(
            (str(self.attributes[name]) for name in STATUS_ATTRIBUTES if name in self.attributes), ""
        )
        return int(status) if status.isdigit() else None

    @property
    def failed(self) -> bool:
        """True if it says that something went wrong."""
        return self.status == "error" or (self.answered or 0) >= 400


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTrace:
    """A trace of a setup that is kept: the slowest one of a replicate, or an example of what is wrong.

    Time before the first span of a request is in requests.csv.gz alone.

    Attributes:
        setup: whose.
        spans: all that arrived; at least one.
        damage: what is wrong with it, such as `mixed, split`; empty for the slowest.
        replicate: in which it came.
    """

    setup: str
    spans: Annotated[tuple[TraceSpan, ...], Meta(min_length=1)]
    damage: str = ""
    replicate: int = 0

    @property
    def trace_id(self) -> str:
        """Hexadecimal."""
        return self.spans[0].trace_id

    @property
    def duration_s(self) -> float:
        """Duration of its root span, or of its longest span if the root is lost."""
        roots = [span for span in self.spans if not span.parent_id]
        return max(span.duration_s for span in roots or self.spans)
