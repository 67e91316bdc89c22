"""The vocabulary of a run as frozen records: what is planned, what was read, what follows.

Rule 1: seconds, bytes and ratios 0-1 everywhere, the unit being the name's suffix;
`_ns` marks an integer reading of the monotonic clock or of a CPU clock.
Rule 2: raw records (`Plan`, `Window`, `Request`) are stored as they are and never edited;
derived records (`Summary` and below) can be made again from them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA = 1
"""The format of a results folder; raised when old readers would misread it."""

BASELINE = "none"
TWIN = "none-again"
CONTROL = "control"

SERVICES = ("frontend-app", "order-service", "payment-service", "inventory-service")
"""The services of a fleet, in the order of a checkout."""


# ---------------------------------------------------------------- what is planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """One tracing configuration under test.

    Attributes:
        name: how it is called on the command line and in every table.
        description: one sentence.
        env: the environment variables that make it what it is, and nothing else.
        spans_per_checkout: spans of one sampled checkout by service, where the user
            says so; absent: as the span mode is known to make.
    """

    name: str
    description: str
    env: dict[str, str] = field(default_factory=dict)
    spans_per_checkout: dict[str, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that is decided before the first window, and stored with the result.

    Attributes:
        schema: format of the folder.
        name: the run's name, part of the folder's name.
        budget: which row of the budget table it came from.
        seed: source of all randomness.
        setups: what is compared, baseline first.
        epochs: how often all processes are started afresh.
        windows: windows of an epoch that count.
        spare: windows that the run may repeat because the host took the CPU away meanwhile.
        window_s: planned length of a window.
        warm_up_s: load before the first window of an epoch, measured by nobody.
        idle_s: quiet stretch of an epoch in which the idle burn is read.
        utilisation: busy share of the services' CPU that the arrival rate aims at.
        rate_per_s: planned arrivals per second over all fleets; 0 until calibrated.
        cpus: CPUs of the machine that the run may use.
        services_cpus: the CPUs that the services are pinned to; empty: not pinned.
        other_cpus: the CPUs of load, sink and harness; empty: not pinned.
        in_flight: requests under way at most; one more is counted as dropped.
        timeout_s: a request that takes longer has failed.
        delta: what counts as no overhead (two one-sided tests).
        confidence: of the intervals shown and of the claims.
    """

    schema: int = SCHEMA
    name: str
    budget: str
    seed: int
    setups: tuple[Setup, ...]
    epochs: int
    windows: int
    window_s: float
    warm_up_s: float
    idle_s: float
    utilisation: float
    spare: int = 0
    rate_per_s: float = 0.0
    cpus: int = 1
    services_cpus: tuple[int, ...] = ()
    other_cpus: tuple[int, ...] = ()
    in_flight: int = 256
    timeout_s: float = 10.0
    delta: float = 0.02
    confidence: float = 0.95

    @property
    def service_cpus(self) -> int:
        """How many CPUs the services have."""
        return len(self.services_cpus) or self.cpus


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One planned request: when, from the window's start, and to which fleet."""

    offset_ns: int
    setup: str


# ---------------------------------------------------------------- what was read


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One arrival as it went; times in ns from the window's start.

    Attributes:
        epoch: of the window.
        window: number of the window in its epoch.
        setup: the fleet that it went to.
        planned_ns: when it was to be sent.
        sent_ns: when it was sent; equal to `done_ns` where it was dropped.
        done_ns: when the last byte had arrived.
        status: HTTP status; 0 for no answer, -1 for dropped (too many in flight).
    """

    epoch: int
    window: int
    setup: str
    planned_ns: int
    sent_ns: int
    done_ns: int
    status: int


DROPPED = -1
CREATED = 201


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What the sink got from one set-up in one window.

    Attributes:
        spans: received spans by service, duplicates included.
        duplicated: spans whose id had come before.
        orphaned: spans whose parent never came.
        whole: traces with exactly the spans of a checkout, in one tree.
        broken: all other traces.
        missing: spans that the broken traces lack.
        exports: export requests.
        bytes: body bytes as they came over the wire.
        undecodable: bodies that were not OTLP.
    """

    spans: dict[str, int] = field(default_factory=dict)
    duplicated: int = 0
    orphaned: int = 0
    whole: int = 0
    broken: int = 0
    missing: int = 0
    exports: int = 0
    bytes: int = 0
    undecodable: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetReading:
    """One fleet over one window.

    Attributes:
        setup: whose fleet.
        cpu_ns: CPU time by service, from before the first arrival to after the flush.
        completed: checkouts answered 201.
        failed: checkouts answered otherwise or not at all.
        dropped: arrivals that were not sent.
        account: what the sink got.
        flush_failed: services whose flush did not answer.
    """

    setup: str
    cpu_ns: dict[str, int]
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    account: Account = field(default_factory=Account)
    flush_failed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineReading:
    """The machine over one window, in CPU seconds; divide by the window for a share of a core.

    Attributes:
        steal_s: taken by the host.
        foreign_s: used by processes that are not part of the run.
        load_s: the load generator's.
        sink_s: the sink's.
        harness_s: this process's own.
    """

    steal_s: float
    foreign_s: float
    load_s: float
    sink_s: float
    harness_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory of one service of one fleet at the end of an epoch, after a flush."""

    setup: str
    service: str
    pss_bytes: int
    uss_bytes: int
    peak_rss_bytes: int


class Kind(StrEnum):
    """What a stretch of time was for: load that nobody measures, quiet, a flush of nothing, load."""

    WARM_UP = "warm-up"
    IDLE = "idle"
    FLUSH = "flush"
    WORK = "work"


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A stretch of rotation with its own CPU readings, ended by drain and flush.

    Attributes:
        epoch: number of the epoch, from 0.
        window: number of the window in its epoch, from 0; -1 for everything but work.
        kind: what it was for.
        duration_s: between the two CPU readings.
        fleets: a reading per set-up.
        machine: what else went on.
        stray: what the sink got and could not assign to a set-up.
        memory: of every service, with the last window of an epoch.
    """

    epoch: int
    window: int
    kind: Kind
    duration_s: float
    fleets: tuple[FleetReading, ...]
    machine: MachineReading
    stray: Account = field(default_factory=Account)
    memory: tuple[Memory, ...] = ()


# ---------------------------------------------------------------- what follows


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
    """

    code: str
    message: str
    advice: str
    severity: Severity = Severity.CAVEAT
    setup: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """A set-up against the baseline, paired inside windows.

    Attributes:
        ratio: extra CPU per checkout over the baseline's (0.33 is +33 %).
        low: lower end of the shown interval.
        high: upper end of the shown interval.
        claim_low: lower end of the simultaneous interval that the verdict rests on.
        claim_high: upper end of it.
        mde: smallest overhead that this run would have found with 80 % power.
        cpu_s: extra CPU seconds per checkout.
        cpu_low_s: lower end of its interval.
        cpu_high_s: upper end of its interval.
        cpu_per_span_s: extra CPU seconds per span; absent unless every checkout is sampled.
    """

    ratio: float
    low: float
    high: float
    claim_low: float
    claim_high: float
    mde: float
    cpu_s: float
    cpu_low_s: float
    cpu_high_s: float
    cpu_per_span_s: float | None = None


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
        set_aside: windows that were repeated because the host took the CPU away; the shares
            above are those of the windows that count.
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
        pairs: each set-up that is neither twin nor control against the next cheaper one.
        load: how the load went.
        noise_floor: largest difference that identical set-ups still show: the twin's interval
            away from 0; absent without a twin.
        caveats: everything measured that speaks against a figure.
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
