"""What a run found; `summary.json` holds a `Summary`.

Derived from raw records; what is not known is absent. `ratio` is a change: 0.33 is +33 %.
"""

from enum import StrEnum

from msgspec import Struct

from bench.plan.records import Plan


class _Record(Struct, frozen=True, kw_only=True):
    """A part of a summary; `None` is what nobody knows, and is not written."""


class Severity(StrEnum):
    """How much a caveat weighs."""

    CAVEAT = "caveat"
    INVALID = "invalid"


class Caveat(_Record, frozen=True, kw_only=True):
    """A measured reason to doubt a figure, stored beside it.

    Attributes:
        code: one word for programs.
        message: one sentence with the value.
        advice: what to do about it.
        severity: whether the figure still counts.
        setup: whose figure; absent: the whole run's.
        load: light or busy, where it is about the figures of that load alone.
        why: the verdict's words, of an invalid figure.
    """

    code: str
    message: str
    advice: str
    severity: Severity = Severity.CAVEAT
    setup: str | None = None
    load: str | None = None
    why: str | None = None


class Change(_Record, frozen=True, kw_only=True):
    """A figure against the baseline.

    Attributes:
        ratio: relative change.
        low: lower end of its interval.
        high: upper end.
        extra_s: the change in seconds, of figures that are seconds.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
    """

    ratio: float
    low: float
    high: float
    extra_s: float | None = None
    standard_error: float | None = None
    df: float | None = None


class Cost(_Record, frozen=True, kw_only=True):
    """CPU time per completed request under one load.

    Attributes:
        rate_per_s: planned arrivals per second; of light load alone.
        cpu_per_request_s: geometric mean over epochs.
        extra_s: beyond the baseline.
        extra_low_s: lower end of its interval; the baseline's own uncertainty included.
        extra_high_s: upper end.
        ratio: beyond the baseline, relative.
        low: lower end of its interval.
        high: upper end.
        mde: smallest overhead that such a run claims in 80 % of cases.
        claim_low: lower end of the interval that holds for all set-ups at once.
        claim_high: upper end.
        negligible: whether the 90 % interval lies inside the bounds of no overhead.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
        shares_variance: whether the variance is the set-ups' common one.
    """

    rate_per_s: float | None = None
    cpu_per_request_s: float | None = None
    extra_s: float | None = None
    extra_low_s: float | None = None
    extra_high_s: float | None = None
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


class Throughput(_Record, frozen=True, kw_only=True):
    """Requests per second of own time.

    Attributes:
        per_s: geometric mean over epochs.
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


class Latency(_Record, frozen=True, kw_only=True):
    """Latency in own time at the light rate, from the planned send.

    Attributes:
        rate_per_s: planned arrivals per second.
        saturated: whether the set-up cannot hold the baseline's light rate; it has no percentiles.
        requests: that they rest on.
        p50_s: median.
        p90_s: 90th percentile; absent with too few requests.
        p99_s: 99th percentile.
        changes: against the baseline, by `p50`, `p90` and `p99`.
    """

    rate_per_s: float | None = None
    saturated: bool = False
    requests: int = 0
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    changes: dict[str, Change] = {}


class Rest(_Record, frozen=True, kw_only=True):
    """An instance without load: CPU seconds per second, and memory."""

    cpu_per_s: float | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None


class Start(_Record, frozen=True, kw_only=True):
    """The start of an instance: seconds and CPU seconds until all processes answer."""

    ready_s: float | None = None
    cpu_s: float | None = None


class Ledger(_Record, frozen=True, kw_only=True):
    """The account of a set-up's spans.

    Attributes:
        requests: completed ones, of all loads.
        spans_expected: that must have been made; absent where nobody can know.
        spans_received: at the sink, duplicates included.
        lost: expected and not received.
        duplicated: received more than once.
        orphaned: received without their parent.
        traces: whole ones.
        broken: all others.
        sampled: traces that the application counted where they were made.
        low: fewest traces that must have come.
        high: most of them.
        exports: export requests.
        bytes: over the wire.
        processes: spans received by process.
        scopes: spans received by instrumentation scope.
        balanced: whether nothing is unexplained; absent where traces vary by themselves.
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
    processes: dict[str, int] = {}
    scopes: dict[str, int] = {}
    balanced: bool | None = None
    problems: tuple[str, ...] = ()


class SetupSummary(_Record, frozen=True, kw_only=True):
    """Everything that a run says about one set-up; the verdict is that of the light CPU figure."""

    name: str
    description: str
    verdict: str
    invalid: bool
    light: Cost | None = None
    busy: Cost | None = None
    throughput: Throughput | None = None
    highest_rate: Throughput | None = None
    latency: Latency | None = None
    rest: Rest | None = None
    start: Start | None = None
    ledger: Ledger
    caveats: tuple[Caveat, ...] = ()


class Twin(_Record, frozen=True, kw_only=True):
    """What two identical set-ups differ by, figure by figure."""

    light: Change | None = None
    busy: Change | None = None
    throughput: Change | None = None
    p50: Change | None = None


class ControlCheck(_Record, frozen=True, kw_only=True):
    """The known cost of the control, and what was found of it."""

    known_s: float
    found_s: float
    low_s: float
    high_s: float


class Checks(_Record, frozen=True, kw_only=True):
    """How the measurement checks itself.

    Attributes:
        twin: identical set-ups.
        control: a known cost.
        noise_floor: largest overhead that identical set-ups still show at light load.
    """

    twin: Twin | None = None
    control: ControlCheck | None = None
    noise_floor: float | None = None


class Floor(_Record, frozen=True, kw_only=True):
    """How much of the cost of tracing everything stays: with nothing sampled, and switched off."""

    off: float | None = None
    disabled: float | None = None


class AppName(_Record, frozen=True, kw_only=True):
    """What was measured, and what one request is called."""

    name: str
    request: str


class Pair(_Record, frozen=True, kw_only=True):
    """A set-up against the next cheaper one, paired inside epochs like everything else."""

    setup: str
    against: str
    ratio: float
    low: float
    high: float


class WorkerLag(_Record, frozen=True, kw_only=True):
    """How late one load worker sent."""

    worker: int
    arrivals: int
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None


class LoadSummary(_Record, frozen=True, kw_only=True):
    """How the load went, and what else the machine did, in blocks that count.

    Attributes:
        requests: planned arrivals of light load, and requests of busy load.
        unsent: arrivals that were not sent.
        failed: requests not answered as expected.
        lag_p50_s: median of actual less planned send.
        lag_p99_s: its 99th percentile.
        outside: share of arrivals that were sent after their turn.
        load_busy: share of its CPU that the load used.
        steal: share of a core that the host took.
        foreign: share of a core that other programs used.
        turns: relative difference of turns' length from what was planned.
        leaked: CPU that stopped instances used, as a share of all.
        blocks: that count.
        repeated: blocks that the host spoiled and that were repeated.
        lost_workers: load workers that died.
        workers: lag of each of them.
    """

    requests: int = 0
    unsent: int = 0
    failed: int = 0
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None
    outside: float = 0.0
    load_busy: float = 0.0
    steal: float = 0.0
    foreign: float = 0.0
    turns: float = 0.0
    leaked: float = 0.0
    blocks: int = 0
    repeated: int = 0
    lost_workers: int = 0
    workers: tuple[WorkerLag, ...] = ()


class CollectorSummary(_Record, frozen=True, kw_only=True):
    """What a collector between application and sink needed itself.

    Attributes:
        name: of the tool, or its address.
        spans: that came through it.
        cpu_per_span_s: CPU seconds per span, what it burns at rest taken off; absent where it was
            started by somebody else.
        cpu_per_span_low_s: lower end of its interval over epochs.
        cpu_per_span_high_s: upper end.
        pss_bytes: its memory, mean over epochs.
    """

    name: str
    spans: int
    cpu_per_span_s: float | None = None
    cpu_per_span_low_s: float | None = None
    cpu_per_span_high_s: float | None = None
    pss_bytes: int | None = None


class CostModel(_Record, frozen=True, kw_only=True):
    """Extra CPU per request = fixed + per span x spans, at light load.

    Attributes:
        fixed_s: CPU seconds of a request of which nothing is sampled.
        per_span_s: CPU seconds that every exported span adds.
        residual_s: standard deviation around the line.
        points: set-up, spans per request, extra CPU seconds, of those that it was fitted to.
        bytes_per_span: on the wire: over all of them, and the least and the most of one.
    """

    fixed_s: float
    per_span_s: float
    residual_s: float
    points: tuple[tuple[str, float, float], ...]
    bytes_per_span: tuple[float, float, float]


class Layer(_Record, frozen=True, kw_only=True):
    """What one layer of tracing adds to a request, a set-up against the one below it.

    Attributes:
        setup: with the layer.
        against: without it.
        layer: what it is.
        cpu_s: CPU seconds that it adds at light load.
        low_s: lower end of its interval.
        high_s: upper end.
        predicted_s: what microbenchmarks predict; absent without them.
        predicted_low_s: lower end of that.
        predicted_high_s: upper end.
    """

    setup: str
    against: str
    layer: str
    cpu_s: float
    low_s: float
    high_s: float
    predicted_s: float | None = None
    predicted_low_s: float | None = None
    predicted_high_s: float | None = None


class Summary(_Record, frozen=True, kw_only=True):
    """What a run found.

    Attributes:
        schema: format of the folder.
        valid: whether every figure counts.
        complete: whether the plan came to its end.
        app: what was measured.
        baseline: the set-up that the others are compared with.
        plan: as it was carried out.
        epochs: that the figures rest on.
        checks: how the measurement checks itself.
        floor: what sampling cannot save.
        setups: one each, in the plan's order.
        pairs: each set-up under test against the next cheaper one.
        load: how the load went.
        caveats: everything measured that speaks against a figure.
        cost_model: absent where too few set-ups differ in spans.
        layers: of a ladder; empty without one.
        collector: absent without one.
    """

    schema: int
    valid: bool
    complete: bool
    app: AppName
    baseline: str
    plan: Plan
    epochs: int
    checks: Checks
    floor: Floor
    setups: tuple[SetupSummary, ...]
    pairs: tuple[Pair, ...] = ()
    load: LoadSummary
    caveats: tuple[Caveat, ...] = ()
    cost_model: CostModel | None = None
    layers: tuple[Layer, ...] = ()
    collector: CollectorSummary | None = None

    def setup(self, name: str) -> SetupSummary | None:
        """The set-up of a name; None where the run has none."""
        return next((setup for setup in self.setups if setup.name == name), None)
