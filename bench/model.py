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

METHOD = 1
"""How figures come about; raised with every change after which old and new ones must not be compared."""

BASELINE = "none"
TWIN = "none-again"
CONTROL = "control"

SERVICES = ("frontend-app", "order-service", "payment-service", "inventory-service")
"""The services of a fleet, in the order of a checkout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a run was measured on; `machine.json`.

    Attributes:
        started: when, in ISO 8601, UTC.
        cpu: its model.
        cpus: of the machine; absent where that is not told.
        cpus_usable: by the run.
        services_cpus: those that the services are pinned to; empty: not pinned.
        other_cpus: those of everything else.
        memory_bytes: of the machine.
        hypervisor: whether it is a virtual one.
        governor: of the CPU's clock; absent where that is not told.
        system: the operating system.
        kernel: its release.
        architecture: of the CPU.
        libc: name and version.
        python: version.
        python_implementation: CPython, for example.
        packages: version of every installed package.
        setups: effective `OTEL_*` and `BENCH_*` of every set-up.
        collector: name and version of the one between services and sink; empty without one.
    """

    started: str = ""
    cpu: str = "unknown"
    cpus: int | None = None
    cpus_usable: int = 0
    services_cpus: tuple[int, ...] = ()
    other_cpus: tuple[int, ...] = ()
    memory_bytes: int = 0
    hypervisor: bool = False
    governor: str | None = None
    system: str = ""
    kernel: str = ""
    architecture: str = ""
    libc: str = ""
    python: str = ""
    python_implementation: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    setups: dict[str, dict[str, str]] = field(default_factory=dict)
    collector: str = ""


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
class Solo:
    """The solo phase of a plan: one fleet loaded at a time, in short slices.

    Attributes:
        setups: names of the set-ups that it visits, baseline first.
        levels: arrival rates as shares of the baseline's capacity.
        levels_s: length of a slice at each of them.
        closed_s: length of a closed loop.
        users: of the closed loop.
        probes: steps of the search for the highest rate under the latency limit.
        probe_s: length of one.
        pre_roll_s: load after a fleet was woken up, measured by nobody.
        latency_limit_s: what the 99th percentile has to stay under.
        capacity_per_s: the baseline's, from a closed loop before the first block; 0 until measured.
    """

    setups: tuple[str, ...]
    levels: tuple[float, ...] = (0.3, 0.6, 0.9)
    levels_s: tuple[float, ...]
    closed_s: float
    users: int = 4
    probes: int
    probe_s: float
    pre_roll_s: float = 0.3
    latency_limit_s: float = 0.1
    capacity_per_s: float = 0.0


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
        windows: windows of an epoch that count; 0 without the rotation phase.
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
        connections: that a service has to each upstream; further requests wait in the caller.
        delta: what counts as no overhead (two one-sided tests).
        confidence: of the intervals shown and of the claims.
        solo: the solo phase; absent without it.
        workers: load processes; 0 for one without a master.
        targets: URLs of fleets that run elsewhere, by set-up; empty: the run starts its own.
        method: version of how figures come about.
        collector: what stands between services and sink: a tool's name, or addresses; empty: nothing.
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
    connections: int = 2
    delta: float = 0.02
    confidence: float = 0.95
    solo: Solo | None = None
    workers: int = 0
    targets: dict[str, str] = field(default_factory=dict)
    method: int = METHOD
    collector: str = ""

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
UNSENT = frozenset({DROPPED, LOST})
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
        scopes: received spans by instrumentation scope, which tells requests, calls and statements apart.
        metrics: export requests with metrics; their bytes are in `bytes`, they are not in `exports`.
        discarded: spans by service that an exporter to nowhere has counted itself; no sink gets them.
        late: spans of traces that had begun before the account before was taken.
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
    scopes: dict[str, int] = field(default_factory=dict)
    metrics: int = 0
    discarded: dict[str, int] = field(default_factory=dict)
    late: int = 0


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
        collector_s: of a collector that the run started.
    """

    steal_s: float
    foreign_s: float
    load_s: float
    sink_s: float
    harness_s: float
    collector_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory of one service of one fleet at the end of an epoch, after a flush.

    The collector's is here, too: a service of no set-up ('').
    """

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
        lost_workers: load workers that died in it; such a window does not count.
        drained: whether a collector had passed on everything before the accounts were taken.
        drain_s: how long that took, after the CPU readings; the collector's own goes on until then.
    """

    epoch: int
    window: int
    kind: Kind
    duration_s: float
    fleets: tuple[FleetReading, ...]
    machine: MachineReading
    stray: Account = field(default_factory=Account)
    memory: tuple[Memory, ...] = ()
    lost_workers: int = 0
    drained: bool = True
    drain_s: float = 0.0


class Purpose(StrEnum):
    """What a slice is for: nothing, the most a fleet can do, a planned rate, a search, the end of a visit."""

    PRE_ROLL = "pre-roll"
    CLOSED = "closed"
    LEVEL = "level"
    PROBE = "probe"
    FLUSH = "flush"


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A stretch of the solo phase: one fleet under one load, all others stopped.

    Attributes:
        epoch: number of the epoch, which has one block; -1 for the first measure of capacity.
        number: number of the slice in its epoch.
        setup: the fleet that was loaded.
        purpose: what it was for.
        rate_per_s: planned arrivals per second; 0 in a closed loop.
        level: that rate as a share of the baseline's capacity; absent for other purposes.
        length_s: planned length; shorter where the rate is above what the fleet can do.
        duration_s: between the two CPU readings.
        flush_s: how long the flush after the load took, as spans that were still waiting left the
            services; of a pre-roll: how long one takes with nothing to flush; 0 where there was none.
        reading: of the fleet, flush included; the account comes with the visit's last slice.
        machine: what else went on.
        stray: what the sink got and could not assign to the set-up.
        lost_workers: load workers that died in it; such a slice does not count.
        drained: whether a collector had passed on everything before the account was taken.
    """

    epoch: int
    number: int
    setup: str
    purpose: Purpose
    rate_per_s: float = 0.0
    level: float | None = None
    length_s: float = 0.0
    duration_s: float
    flush_s: float = 0.0
    reading: FleetReading
    machine: MachineReading
    stray: Account = field(default_factory=Account)
    lost_workers: int = 0
    drained: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """Everything that a run left on disk, and all that figures are derived from.

    Attributes:
        plan: as it was carried out.
        windows: in order.
        requests: rows of the work windows.
        slices: of the solo phase, in order.
        solo_requests: their rows.
        ending: how it ended.
    """

    plan: Plan
    windows: tuple[Window, ...] = ()
    requests: tuple[Request, ...] = ()
    slices: tuple[Slice, ...] = ()
    solo_requests: tuple[Request, ...] = ()
    ending: "Ending"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended; `ending.json`, absent where the harness itself was killed.

    Attributes:
        complete: whether the plan was carried out to its end.
        failure: what ended it early, in a sentence; absent if nothing or a person did.
    """

    complete: bool
    failure: str | None = None
