"""Plans: what a run will do.

Units are suffixes: seconds, bytes and ratios from 0 to 1; `_ns` marks integer nanoseconds of the
monotonic clock or of a CPU clock. Times inside a step count from the step's start.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from bench.app.records import INJECTED, App, Setup
from bench.app.setups import INJECTED_CPU_US

SCHEMA = 3
"""The format of a results folder; raised when old readers would misread it."""
METHOD = 4
"""Version of the method; raised when old and new figures must not be compared."""

# Bounds of what a record can hold, checked when it is read, so that no computation checks again.
Count: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
Few: TypeAlias = Annotated[int, Meta(ge=0, le=10_000)]
Nanoseconds: TypeAlias = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e7)]
Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1e6)]
Share: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]

Shape: TypeAlias = dict[str, Count]
"""Spans of one trace: how many by process (`web`), or by process, kind and name (`web\\tserver\\tGET /`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """What one sampled request leaves at the receiver, counted before anything was measured.

    Attributes:
        traces: number of traces; None if it differs from request to request.
        spans: number of spans; None if the shapes of its traces determine it.
        logs: log records by logger, of loggers that write as many for every request.
    """

    traces: Count | None = None
    spans: Count | None = None
    logs: dict[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Burn:
    """Where and when a setup burns its injected cost, which may be 0.

    Attributes:
        processes: that share it evenly; empty: the one of the app file.
        when: in a request, or `apart`: in another process of the instance, for which no request waits; with
            `waited` the application sleeps for that time, as with `before`, and uses no CPU.
    """

    processes: tuple[str, ...] = ()
    when: Literal["apart", "answered", "before", "after", "waited"] = "apart"


class Kind(StrEnum):
    """What a step is for."""

    START = "start"
    LEARN = "learn"
    WARM_UP = "warm-up"
    CAPACITY = "capacity"
    REST = "rest"
    LIGHT = "light"
    SATURATION = "saturation"
    PROBE = "probe"
    FLUSH = "flush"
    EMPTY_FLUSH = "empty-flush"
    SETTLE = "settle"


# ---------------------------------------------------------------- what is planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A phase of time slices in every replicate.

    Attributes:
        slice_s: length of one time slice.
        rounds: in a block; a round gives every instance one time slice.
        blocks: that count, in a replicate; 0 without this load.
    """

    slice_s: Seconds
    rounds: Few
    blocks: Few

    @property
    def active_s(self) -> float:
        """Active time of an instance in a replicate."""
        return self.slice_s * self.rounds * self.blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that is decided before the first time slice.

    Attributes:
        schema: format of the folder.
        method: version of how figures come about.
        name: part of the folder's name.
        preset: that the setups come from; empty: from none.
        budget: row of the budget table that it came from.
        seed: source of all randomness.
        app: what is measured.
        app_file: its file as it was typed, without an absolute folder; empty for the built-in example; None
            where an earlier version measured.
        setups: what is compared, the baseline first.
        replicates: how often all processes are started afresh.
        warm_up: closed loop at the beginning of a replicate; not measured.
        light: open loop at a stated rate.
        saturation: closed loop.
        probes: steps per replicate of the search for the highest rate; 0 without it.
        spare: blocks of each load that may be repeated because the host took CPU away.
        rest_s: length of the rest in a replicate.
        users: of a closed loop, each instance.
        share: light rate as a share of the baseline's capacity.
        rate_per_s: light rate where the user chose one; 0: from the capacity.
        rate_shares: light rate of a setup as a share of the baseline's, where the plan chooses another one.
        latency_limit_s: limit for the 99th percentile in the search for the highest rate.
        cpus: CPUs that the run may use.
        services_cpus: those of the application; empty: not pinned.
        other_cpus: those of load, receiver and harness; empty: not pinned.
        in_flight: requests under way at most, for each instance.
        timeout_s: after which a request has failed.
        delta: what counts as no overhead (two one-sided tests).
        confidence: of the intervals shown and of the claims.
        workers: load processes under a master; 0: one process without a master.
        targets: addresses of instances that run elsewhere, by setup.
        round_trips_s: how long the network takes to each of them and back.
        collector: what stands between application and receiver; empty: nothing.
        burns_s: CPU seconds per request that a setup is known to burn beyond the application's own.
        burns: where and when, by setup; absent: apart.
        scale_timers: whether the batch processor's delay is multiplied by the number of instances.
    """

    schema: int = SCHEMA
    method: int = METHOD
    name: str
    preset: str = ""
    budget: str
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    app: App
    app_file: str | None = None
    setups: tuple[Setup, ...]
    replicates: Annotated[int, Meta(ge=1, le=1000)]
    warm_up: Phase
    light: Phase
    saturation: Phase
    probes: Few = 0
    spare: Few = 0
    rest_s: Seconds = 1.0
    users: Few = 4
    share: Share = 0.3
    rate_per_s: Rate = 0.0
    rate_shares: dict[str, Share] = field(default_factory=dict)
    latency_limit_s: Seconds = 0.1
    cpus: Annotated[int, Meta(ge=1, le=10_000)] = 1
    services_cpus: tuple[Few, ...] = ()
    other_cpus: tuple[Few, ...] = ()
    in_flight: Few = 256
    timeout_s: Seconds = 10.0
    delta: Share = 0.02
    confidence: Share = 0.95
    workers: Few = 0
    targets: dict[str, str] = field(default_factory=dict)
    round_trips_s: dict[str, Seconds] = field(default_factory=dict)
    collector: str = ""
    burns_s: dict[str, Seconds] = field(default_factory=lambda: {INJECTED: INJECTED_CPU_US * 1e-6})
    burns: dict[str, Burn] = field(default_factory=dict)
    scale_timers: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the setups; an instance's number is its place here."""
        return tuple(setup.name for setup in self.setups)

    @property
    def load_cpus(self) -> int:
        """How many CPUs the load generator can use: one for each of its processes."""
        return min(max(self.workers, 1), len(self.other_cpus) or self.cpus)

    @property
    def service_cpus(self) -> int:
        """How many CPUs an instance can use at once."""
        return len(self.services_cpus) or self.cpus


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What the first replicate measures for all others to use; `learned.json`.

    Attributes:
        rates: light rate by setup, arrivals per second; empty until capacities are known.
        capacities: requests per second of active time in a closed loop, by setup; empty until known.
        shapes: shapes of a sampled request's traces, by setup; empty until seen.
        start_shapes: shapes of the traces that a start leaves, such as an ORM's first queries.
        varies: setups whose traces differ from request to request.
        footprints: what a request leaves, of setups that sample every request.
    """

    rates: dict[str, Rate] = field(default_factory=dict)
    capacities: dict[str, Rate] = field(default_factory=dict)
    shapes: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    start_shapes: tuple[Shape, ...] = ()
    varies: tuple[str, ...] = ()
    footprints: dict[str, Footprint] = field(default_factory=dict)


NOTHING_LEARNED = Learned()


class Slice(Struct, frozen=True, array_like=True):
    """A planned time slice of an instance; times from the step's start.

    Attributes:
        instance: its number.
        block: number of the block; -1 before the first one of a closed loop, and after the last one, while
            requests under way are finished.
        start_ns: planned.
        stop_ns: planned.
    """

    instance: int
    block: int
    start_ns: Nanoseconds
    stop_ns: Nanoseconds


class Arrival(Struct, frozen=True, array_like=True):
    """One planned request: when, from the step's start, to which instance, and of which kind."""

    offset_ns: int
    instance: int
    request: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Requests sent at planned times, whatever became of the earlier ones."""

    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """A number of users for each instance, each sending its next request as soon as it is answered."""

    users: Few


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """No load."""

    seconds: float = 0.0


Load: TypeAlias = Open | Closed | Quiet


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that a run does.

    Attributes:
        replicate: from 0.
        number: of the step in its replicate.
        kind: what it is for.
        slices: when which instance runs; empty: all of them run.
        load: what they are asked.
    """

    replicate: int
    number: int
    kind: Kind
    slices: tuple[Slice, ...] = ()
    load: Load = Quiet()
