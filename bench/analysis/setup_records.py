"""What a run says about one setup.

What is not known is absent. `ratio` is a change: 0.33 is +33 %.
"""

from enum import StrEnum

from msgspec import Struct


class Record(Struct, frozen=True, kw_only=True):
    """A part of a summary; `None` is what nobody knows, and is not written."""


class Severity(StrEnum):
    """How much a caveat weighs."""

    CAVEAT = "caveat"
    INVALID = "invalid"


class Caveat(Record, frozen=True, kw_only=True):
    """A measured reason to doubt a figure, stored beside it.

    Attributes:
        code: one word for programs.
        message: one sentence with the value.
        advice: what to do about it.
        severity: whether the figure still counts.
        setup: whose figure; absent: the whole run's.
        load: light or saturation, where it is about the figures of that load alone.
        why: the verdict's words, of an invalid figure.
    """

    code: str
    message: str
    advice: str
    severity: Severity = Severity.CAVEAT
    setup: str | None = None
    load: str | None = None
    why: str | None = None


class Change(Record, frozen=True, kw_only=True):
    """A figure against the baseline.

    Attributes:
        ratio: relative change.
        low: lower end of its interval.
        high: upper end.
        added_s: the change in seconds, of figures that are seconds.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
    """

    ratio: float
    low: float
    high: float
    added_s: float | None = None
    standard_error: float | None = None
    df: float | None = None


class Cost(Record, frozen=True, kw_only=True):
    """CPU time per completed request under one load.

    Attributes:
        rate_per_s: planned arrivals per second; of light load alone.
        cpu_per_request_s: geometric mean over replicates.
        added_s: beyond the baseline.
        added_low_s: lower end of its interval; the baseline's own uncertainty included.
        added_high_s: upper end.
        ratio: beyond the baseline, relative.
        low: lower end of its interval.
        high: upper end.
        mde: smallest overhead that such a run claims in 80 % of cases.
        claim_low: lower end of the interval that holds for all setups at once.
        claim_high: upper end.
        negligible: whether the 90 % interval lies inside the bounds of no overhead.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
        shares_variance: whether the variance is the setups' common one.
    """

    rate_per_s: float | None = None
    cpu_per_request_s: float | None = None
    added_s: float | None = None
    added_low_s: float | None = None
    added_high_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    mde: float | None = None
    claim_low: float | None = None
    claim_high: float | None = None
    negligible: bool | None = None
    standard_error: float | None = None
    df: float | None = None
    shares_variance: bool | None = None


class Throughput(Record, frozen=True, kw_only=True):
    """Requests per second of active time.

    Attributes:
        per_s: geometric mean over replicates.
        ratio: change against the baseline.
        low: lower end of its interval.
        high: upper end.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
        derived: whether it follows from CPU per request, because the load was the limit.
    """

    per_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    df: float | None = None
    derived: bool = False


class Latency(Record, frozen=True, kw_only=True):
    """Latency in active time at the light rate, from the planned send.

    Attributes:
        rate_per_s: planned arrivals per second.
        overloaded: whether the setup cannot hold the baseline's light rate; it has no percentiles.
        requests: that they rest on.
        p50_s: median.
        p90_s: 90th percentile; absent with too few requests.
        p99_s: 99th percentile.
        changes: against the baseline, by `p50`, `p90` and `p99`.
    """

    rate_per_s: float | None = None
    overloaded: bool = False
    requests: int = 0
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    changes: dict[str, Change] = {}


class Rest(Record, frozen=True, kw_only=True):
    """An instance without load: CPU seconds per second, and memory."""

    cpu_per_s: float | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None


class Start(Record, frozen=True, kw_only=True):
    """The start of an instance: seconds and CPU seconds until all processes answer."""

    ready_s: float | None = None
    cpu_s: float | None = None


class Accounting(Record, frozen=True, kw_only=True):
    """The account of a setup's spans.

    Attributes:
        requests: completed ones, of all loads.
        spans_expected: that must have been made; absent where nobody can know.
        spans_received: at the receiver, duplicates included.
        lost: expected and not received.
        duplicated: received more than once.
        orphaned: received without their parent.
        traces: whole ones.
        broken: all others.
        sampled: traces that the application counted where they were made.
        low: fewest traces that must have come.
        high: most of them.
        exports: export requests.
        bytes: over the wire, of all signals.
        metrics: export requests with metrics.
        logs: log records received.
        processes: spans received by process.
        scopes: spans received by instrumentation scope.
        complete: whether nothing is unexplained; absent where traces vary by themselves.
        problems: what does not balance, a sentence each.
    """

    requests: int = 0
    spans_expected: int | None = None
    spans_received: int = 0
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0
    traces: int = 0
    broken: int = 0
    sampled: int | None = None
    low: int = 0
    high: int = 0
    exports: int = 0
    bytes: int = 0
    metrics: int = 0
    logs: int = 0
    processes: dict[str, int] = {}
    scopes: dict[str, int] = {}
    complete: bool | None = None
    problems: tuple[str, ...] = ()


class SetupSummary(Record, frozen=True, kw_only=True):
    """Everything that a run says about one setup; the verdict is that of the light CPU figure."""

    name: str
    description: str
    verdict: str
    invalid: bool
    light: Cost | None = None
    saturation: Cost | None = None
    throughput: Throughput | None = None
    highest_rate: Throughput | None = None
    latency: Latency | None = None
    rest: Rest | None = None
    start: Start | None = None
    accounting: Accounting
    caveats: tuple[Caveat, ...] = ()

    @property
    def cost(self) -> Cost | None:
        """The figure that the verdict rests on."""
        return self.light or self.saturation

    @property
    def overhead(self) -> Cost | None:
        """The same, where it is a change against a baseline."""
        return self.cost if self.cost and self.cost.ratio is not None else None
