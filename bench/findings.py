"""What a run found, as frozen records: figures, verdicts, ledgers and caveats.

Rule 1: all of it is derived from raw records and can be made again from them.
Rule 2: what is not known is None, never 0.
"""

from dataclasses import dataclass
from enum import StrEnum

from bench.layers import Layers
from bench.line import Fit
from bench.model import Plan


class Severity(StrEnum):
    """How much a caveat weighs."""

    CAVEAT = "caveat"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caveat:
    """A measured reason to doubt a figure, stored beside it.

    Attributes:
        code: one word for programs; the gate's name.
        message: one sentence with the value.
        advice: what to do about it.
        severity: whether the figure still counts.
        setup: whose figure; absent: the whole run's.
        solo: whether it is about the solo phase's figures alone.
    """

    code: str
    message: str
    advice: str
    severity: Severity = Severity.CAVEAT
    setup: str | None = None
    solo: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """A set-up against the baseline, paired inside windows.

    Attributes:
        ratio: extra CPU per checkout over the baseline's (0.33 is +33 %).
        low: lower end of the shown interval.
        high: upper end of the shown interval.
        claim_low: lower end of the simultaneous interval that the verdict rests on.
        claim_high: upper end of it.
        mde: smallest overhead that this run would have claimed with 80 % power.
        negligible: whether its 90 % interval lies inside the bounds of no overhead.
        cpu_s: extra CPU seconds per checkout.
        cpu_low_s: lower end of its interval.
        cpu_high_s: upper end of its interval.
        cpu_per_span_s: extra CPU seconds per span; absent unless every checkout is sampled.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of that.
    """

    ratio: float
    low: float
    high: float
    claim_low: float
    claim_high: float
    mde: float
    negligible: bool
    cpu_s: float
    cpu_low_s: float
    cpu_high_s: float
    cpu_per_span_s: float | None = None
    standard_error: float
    df: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencySummary:
    """Latency at light load over all windows; absent where samples are too few."""

    p50: float | None
    samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemorySummary:
    """Memory of the four services together, mean over epochs; absent where an epoch was cut short."""

    pss: int | None
    uss: int | None
    peak_rss: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """The account of a set-up's spans over all windows.

    Attributes:
        checkouts: completed checkouts.
        spans_expected: what they must have made; for a ratio, what the sampled traces must hold.
        spans_received: at the sink, duplicates included.
        lost: expected and not received.
        duplicated: received more than once.
        orphaned: received without their parent.
        traces_whole: traces that are one complete tree.
        traces_broken: all others.
        traces_low: fewest traces that the sampler can have kept (99.9 %).
        traces_high: most of them.
        bytes: over the wire.
        exports: export requests.
        services: spans expected and received by service.
        balanced: whether nothing is unexplained.
        problems: what does not balance, a sentence each.
    """

    checkouts: int
    spans_expected: int
    spans_received: int
    lost: int
    duplicated: int
    orphaned: int
    traces_whole: int
    traces_broken: int
    traces_low: int
    traces_high: int
    bytes: int
    exports: int
    services: dict[str, tuple[int, int]]
    balanced: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupSummary:
    """Everything that the run says about one set-up.

    Attributes:
        name: of the set-up.
        description: its sentence.
        verdict: in the words of the method, and no others.
        invalid: whether a gate failed.
        cpu_per_checkout_s: mean over windows; absent without a complete window.
        overhead: against the baseline; absent for the baseline itself.
        latency_s: at light load.
        memory_bytes: after the work.
        ledger: where its spans went.
    """

    name: str
    description: str
    verdict: str
    invalid: bool
    cpu_per_checkout_s: float | None
    overhead: Overhead | None
    latency_s: LatencySummary
    memory_bytes: MemorySummary
    ledger: Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two set-ups against each other, paired inside windows like everything else.

    Attributes:
        setup: the dearer one.
        against: the next cheaper one.
        ratio: extra CPU per checkout of the first over the second.
        low: lower end of its interval.
        high: upper end of its interval.
        cpu_s: extra CPU seconds per checkout.
    """

    setup: str
    against: str
    ratio: float
    low: float
    high: float
    cpu_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLag:
    """How late one load worker sent.

    Attributes:
        worker: its number.
        arrivals: its share.
        lag_p50_s: median of actual minus planned send.
        lag_p99_s: the 99th percentile; absent with too few samples.
    """

    worker: int
    arrivals: int
    lag_p50_s: float | None
    lag_p99_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadSummary:
    """How the load went.

    Attributes:
        rate_per_s: planned arrivals per second over all fleets.
        requests: arrivals planned in the windows.
        dropped: of those, not sent.
        failed: of those, not answered 201.
        lag_p50_s: median of actual minus planned send.
        lag_p99_s: its 99th percentile.
        utilisation: busy share of the services' CPUs.
        load_utilisation: the generator's share of its CPU.
        steal: share of a core that the host took.
        foreign: share of a core that other programs took.
        set_aside: windows that were repeated because the host took the CPU away or a load worker
            died; the shares above are those of the windows that count.
        lost_workers: load workers that died.
        workers: how late each load worker sent; empty for a single process.
    """

    rate_per_s: float
    requests: int
    dropped: int
    failed: int
    lag_p50_s: float | None
    lag_p99_s: float | None
    utilisation: float
    load_utilisation: float
    steal: float
    foreign: float
    set_aside: int
    lost_workers: int = 0
    workers: tuple[WorkerLag, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A figure of the solo phase against the baseline.

    Attributes:
        ratio: relative change (0.33 is a third more).
        low: lower end of its interval.
        high: upper end of its interval.
    """

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Percentile:
    """One percentile of latency, from the planned send.

    Attributes:
        q: which one, 0-1.
        value_s: the latency; absent where samples are too few.
        base_s: the baseline's, from its two fleets together; absent for the baseline itself.
        change: against that; absent for the baseline and without two blocks.
        service_s: the same percentile counted from the actual send, for comparison.
    """

    q: float
    value_s: float | None
    base_s: float | None = None
    change: Change | None = None
    service_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelSummary:
    """A set-up at one arrival rate of the solo phase.

    Attributes:
        level: the rate as a share of the baseline's capacity.
        offered_per_s: planned arrivals per second.
        achieved_per_s: completed checkouts per second.
        utilisation: busy share of the services' CPUs.
        saturated: whether it could not keep up; its latency then depends on how long one looks.
        arrivals: planned.
        failed: of those, not answered 201.
        dropped: of those, not sent.
        percentiles: of latency; empty where saturated.
    """

    level: float
    offered_per_s: float
    achieved_per_s: float
    utilisation: float
    saturated: bool
    arrivals: int
    failed: int
    dropped: int
    percentiles: tuple[Percentile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Checkouts per second, mean over blocks.

    Attributes:
        per_s: the rate; absent where there was none.
        change: against the baseline; absent for the baseline and where there is no interval.
    """

    per_s: float | None
    change: Change | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SoloSetup:
    """What the solo phase found of one set-up.

    Attributes:
        name: of the set-up.
        invalid: code of the gate that forbids its figures; absent if none does.
        levels: a summary for each rate.
        capacity: throughput of a closed loop.
        under_limit: highest arrival rate at which the 99th percentile stays under the limit.
        ledger: where its spans went.
    """

    name: str
    invalid: str | None
    levels: tuple[LevelSummary, ...]
    capacity: Throughput
    under_limit: Throughput
    ledger: Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class SoloSummary:
    """What the solo phase found.

    Attributes:
        blocks: complete ones.
        setups: a summary each, in the plan's order.
        lag_p50_s: median of actual minus planned send where nothing was saturated.
        lag_p99_s: its 99th percentile.
        steal: share of a core that the host took.
        foreign: share of a core that other programs took.
    """

    blocks: int
    setups: tuple[SoloSetup, ...]
    lag_p50_s: float | None
    lag_p99_s: float | None
    steal: float
    foreign: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectorSummary:
    """What a collector between services and sink needed itself, over the rotation's windows.

    Attributes:
        name: of the tool, or its address.
        spans: that came through it.
        cpu_per_span_s: its CPU seconds per span, what it burns at rest taken off, mean over epochs;
            absent where it was started by somebody else, as is everything below.
        cpu_per_span_low_s: lower end of its interval; absent with a single epoch.
        cpu_per_span_high_s: upper end of it.
        cpu_share: of a core, what it burns at rest included.
        pss_bytes: its memory, mean over epochs.
        peak_rss_bytes: most of it.
    """

    name: str
    spans: int
    cpu_per_span_s: float | None
    cpu_per_span_low_s: float | None
    cpu_per_span_high_s: float | None
    cpu_share: float | None
    pss_bytes: int | None
    peak_rss_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a run found; `summary.json`.

    Attributes:
        schema: format of the folder.
        baseline: the set-up that the others are compared with.
        valid: whether every figure counts.
        complete: whether the plan was carried out to its end.
        plan: as it was carried out.
        epochs: complete epochs that the figures rest on.
        setups: a summary each, in the plan's order.
        pairs: each tracing set-up against the next cheaper one.
        load: how the load went.
        noise_floor: largest difference that identical set-ups still show: the twin's interval
            away from 0; absent without a twin.
        caveats: everything measured that speaks against a figure.
        solo: latency and throughput of one fleet at a time; absent without that phase.
        layers: where the tax goes; absent unless the run has the whole ladder.
        fit: what a checkout costs by its spans; absent where too few set-ups differ in them.
        collector: what a collector between services and sink needed itself; absent without one.
    """

    schema: int
    baseline: str
    valid: bool
    complete: bool
    plan: Plan
    epochs: int
    setups: tuple[SetupSummary, ...]
    pairs: tuple[Pair, ...]
    load: LoadSummary
    noise_floor: float | None
    caveats: tuple[Caveat, ...]
    solo: SoloSummary | None = None
    layers: Layers | None = None
    fit: Fit | None = None
    collector: CollectorSummary | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """What one generator needs.

    Attributes:
        name: how it is called.
        cpu_s: CPU seconds per request, median over rounds.
        per_s: requests per second while that was read, median over rounds.
        ratio: CPU per request over FastHttpUser's, paired in rounds; absent for that itself.
        low: lower end of its 95 % interval.
        high: upper end of it.
        memory_bytes: PSS; peak RSS for a program that ends with its turn.
        held_per_s: highest rate tried at which the 99th percentile of lag stays under a
            millisecond; absent for a closed loop.
    """

    name: str
    cpu_s: float
    per_s: float
    ratio: float | None
    low: float | None
    high: float | None
    memory_bytes: int
    held_per_s: float | None
