"""Raw records of a run, stored as they are and never edited.

Times inside a step count from its start; units are suffixes, as in `records`.
"""

from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from bench.plan.records import (
    NOTHING_LEARNED,
    Bytes,
    Count,
    Few,
    Kind,
    Learned,
    Nanoseconds,
    Plan,
    Rate,
    Seconds,
    Shape,
)

Difference: TypeAlias = Annotated[float, Meta(ge=-1e7, le=1e7)]
"""Seconds between two readings of a clock that others move, too: it may be a little below 0."""


class Switch(Struct, frozen=True, array_like=True):
    """A time slice as it went.

    Attributes:
        instance: its number.
        block: number of the block; -1 before the first one and after the last one.
        start_ns: when it began to run, from the step's start.
        stop_ns: when it was stopped.
        cpu_ns: CPU time that it used in between.
        leaked_ns: CPU time that it used since its time slice before, while it was stopped.
    """

    instance: Few
    block: Annotated[int, Meta(ge=-1, le=10_000)]
    start_ns: Nanoseconds
    stop_ns: Nanoseconds
    cpu_ns: Nanoseconds
    leaked_ns: Nanoseconds


class RequestRow(Struct, frozen=True, array_like=True):
    """One request as it went; times from the step's start.

    Attributes:
        planned_ns: when it should be sent.
        sent_ns: when it was sent.
        done_ns: when the last byte had arrived.
        status: HTTP status; 0 for no answer, -1 for dropped (waited too long for its time slice), -2 for
            lost (its load worker died).
        instance: number of the instance that it went to.
        request: number of its kind.
        worker: number of the load worker that sent it.
    """

    planned_ns: Nanoseconds
    sent_ns: Nanoseconds
    done_ns: Nanoseconds
    status: int
    instance: int
    request: int
    worker: int = 0


DROPPED = -1
LOST = -2
UNSENT = frozenset({DROPPED, LOST})


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What the receiver received from one setup in one replicate.

    Attributes:
        spans: received spans by process, duplicates included.
        duplicated: spans whose id had come before.
        orphaned: spans whose parent never arrived.
        whole: traces of a known shape, in one tree.
        damaged: traces that are not those of their requests: orphaned, mixed, split, short or with excess.
        joined: traces that hold several requests, one after another, and nothing else is wrong.
        background: traces without any span of a request.
        background_spans: their spans.
        damages: damaged traces by what is wrong with them; one may count several times.
        examples: a trace of each damage, in hexadecimal.
        nested: spans with which a request begins, below a span of another request.
        requests: how many requests begin in all these traces; absent where an earlier version counted.
        missing: spans that the requests of damaged traces lack, and that arrived in no other trace.
        excess: spans that none of the requests of damaged traces should have.
        exports: export requests.
        bytes: body bytes as they came over the wire.
        undecodable: bodies that were not OTLP.
        scopes: received spans by instrumentation scope.
        metrics: export requests with metrics; their bytes are in `bytes`.
        logs: log records by instrumentation scope, which is a logger's name; their bytes are in `bytes`.
        sums: by metric, the counts of its histograms and the values of its sums in all exports added up:
            what was counted, where only changes are exported (delta temporality).
        refused: export requests beyond the receiver's limits; in the account of no setup alone.
        rejected: spans that came only in requests which the receiver had been told to refuse.
        late: spans of an earlier replicate's processes.
        at_start: spans of traces from a start; otherwise counted only in exports and bytes.
        shapes: the shapes of all traces, where they are being learned.
        start_shapes: likewise, of those that the start left.
    """

    spans: dict[str, Count] = field(default_factory=dict)
    duplicated: Count = 0
    orphaned: Count = 0
    whole: Count = 0
    damaged: Count = 0
    joined: Count = 0
    background: Count = 0
    background_spans: Count = 0
    damages: dict[str, Count] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    nested: Count = 0
    requests: Count | None = None
    missing: Count = 0
    excess: Count = 0
    exports: Count = 0
    bytes: Bytes = 0
    undecodable: Count = 0
    scopes: dict[str, Count] = field(default_factory=dict)
    metrics: Count = 0
    logs: dict[str, Count] = field(default_factory=dict)
    sums: dict[str, Nanoseconds] = field(default_factory=dict)
    refused: Count = 0
    rejected: Count = 0
    late: Count = 0
    at_start: Count = 0
    shapes: tuple[Shape, ...] = ()
    start_shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Memory of all processes of an instance together."""

    pss_bytes: Bytes
    uss_bytes: Bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceReading:
    """One instance over one step.

    Attributes:
        setup: its setup.
        cpu_ns: CPU time that it used.
        completed: requests answered as expected.
        discarded_requests: requests before those that shapes are learned from; of the first look alone.
        failed: requests answered otherwise, or not at all.
        unsent: arrivals that were not sent.
        ready_s: from the start of its processes until all answered; of a start alone.
        flush_failed: processes whose flush did not answer.
        memory: of a rest alone.
        account: what was received; of a step that closes accounts alone.
        sampled: requests whose trace was sampled, as the application counts them; absent where
            it does not.
        discarded: spans by process that an exporter to nowhere has counted.
        failures: what its exporters wrote about failed exports, and how often; where accounts are closed.
        not_loaded: what it wrote about instrumentations that did not load; of the first look alone.
        answer_bytes: size of an answer by kind of request, the median; of the first look alone.
    """

    setup: str
    cpu_ns: Nanoseconds = 0
    completed: Count = 0
    discarded_requests: Count = 0
    failed: Count = 0
    unsent: Count = 0
    ready_s: Seconds | None = None
    flush_failed: tuple[str, ...] = ()
    memory: Memory | None = None
    account: Account | None = None
    sampled: Count | None = None
    discarded: dict[str, Count] = field(default_factory=dict)
    failures: dict[str, Count] = field(default_factory=dict)
    not_loaded: tuple[str, ...] = ()
    answer_bytes: tuple[Count, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineReading:
    """The machine over a block or a step, in CPU seconds of the CPUs that the run may use.

    Attributes:
        duration_s: how long that was.
        steal_s: taken by the host.
        foreign_s: used by processes that are not part of the run.
        load_s: the load's.
        receiver_s: the receiver's.
        harness_s: the harness's own.
        collector_s: of a collector that the run started.
    """

    duration_s: Seconds
    steal_s: Difference = 0.0
    foreign_s: Difference = 0.0
    load_s: Difference = 0.0
    receiver_s: Difference = 0.0
    harness_s: Difference = 0.0
    collector_s: Difference = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReading:
    """A step as it went; one line of readings.jsonl.

    Attributes:
        replicate: of the step.
        number: of the step.
        kind: of the step.
        duration_s: how long it took.
        planned_blocks: how many blocks its time slices were planned in.
        switches: its time slices as they went.
        blocks: machine readings by block; a step without slices has one for the whole step.
        instances: a reading for each, in the order of the setups.
        stray: what was received and could not be assigned to a setup; of a step that closes accounts.
        lost_workers: load workers that died.
        drained: whether a collector had passed on everything.
        collector_memory: memory of a collector that the run started; of a rest alone.
        rates: of a probe: its rate for each instance.
    """

    replicate: Few
    number: Few
    kind: Kind
    duration_s: Seconds
    planned_blocks: Few = 0
    switches: tuple[Switch, ...] = ()
    blocks: tuple[MachineReading, ...] = ()
    instances: tuple[InstanceReading, ...] = ()
    stray: Account | None = None
    lost_workers: Few = 0
    drained: bool = True
    collector_memory: Memory | None = None
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended; absent where the harness itself was killed.

    Attributes:
        complete: whether the plan came to its end.
        failure: what ended it early, unless a person did.
    """

    complete: bool
    failure: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """Everything that a run left, and all that figures are derived from.

    Attributes:
        plan: as it was decided.
        learned: what the first replicate measured for the others.
        readings: in order.
        rows: requests by replicate and number of the step.
        ending: how it ended.
    """

    plan: Plan
    learned: Learned = NOTHING_LEARNED
    readings: tuple[StepReading, ...] = ()
    rows: dict[tuple[int, int], tuple[RequestRow, ...]] = field(default_factory=dict)
    ending: Ending
