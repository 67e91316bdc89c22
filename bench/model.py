"""The vocabulary of a run as frozen records: what is planned, and what was read.

Rule 1: seconds, bytes and ratios 0-1 everywhere, the unit being the name's suffix;
`_ns` marks an integer reading of the monotonic clock or of a CPU clock.
Rule 2: these records are raw: stored as they are and never edited. What follows from
them is in `findings`.
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
        sent_ns: when it was sent; equal to `done_ns` where it was not.
        done_ns: when the last byte had arrived.
        status: HTTP status; 0 for no answer, -1 for dropped (it waited too long for its turn),
            -2 for lost (its load worker died; whether it was sent is not known).
        worker: which load worker sent it.
    """

    epoch: int
    window: int
    setup: str
    planned_ns: int
    sent_ns: int
    done_ns: int
    status: int
    worker: int = 0


DROPPED = -1
LOST = -2
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended; `ending.json`, absent where the harness itself was killed.

    Attributes:
        complete: whether the plan was carried out to its end.
        failure: what ended it early, in a sentence; absent if nothing or a person did.
    """

    complete: bool
    failure: str | None = None
