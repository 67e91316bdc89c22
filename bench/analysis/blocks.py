"""From readings to one value per replicate and setup: CPU per request, throughput, latency quantiles.

Which blocks count is decided by what the host did, never by what was measured.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.analysis.active_time import ActiveClock, Requests, requests_of
from bench.plan.readings import MachineReading, Raw, RequestRow, StepReading
from bench.plan.records import Kind, Plan

SPOILED_STEAL = 0.01
"""A block in which the host took more than this share of a core is repeated while there are spare
ones. A single preemption of 40 ms is 8 % of what an instance uses in a block, and the CPU clocks of
a virtual machine count much of it as the process's own."""
MIN_COMPLETED = 15
"""Fewest completed requests per instance for a block to be evaluated by itself."""


def is_spoiled(block: MachineReading) -> bool:
    """True if the host took so much CPU that another block should count instead."""
    return block.steal_s > SPOILED_STEAL * block.duration_s


@dataclass(frozen=True, slots=True)
class InstanceBlock:
    """One instance in one block.

    Attributes:
        cpu_s: that it used.
        active_s: time during which it ran.
        completed: requests answered as expected.
        planned: requests that the plan has.
    """

    cpu_s: float
    active_s: float
    completed: int
    planned: int


@dataclass(frozen=True, kw_only=True)
class MeasuredPhase:
    """All blocks of one load in one replicate, as far as they count.

    Attributes:
        plan: of the run.
        replicate: number.
        readings: the steps of this load.
        requests: of every reading, by instance.
        counting: blocks that count, by number of the reading.
        flush_s: CPU seconds of the flush after it, less an empty one, by instance; empty without
            both flushes.
        rest: CPU seconds per second at rest, by instance; of instances elsewhere alone.
    """

    plan: Plan
    replicate: int
    readings: tuple[StepReading, ...]
    requests: tuple[tuple[Requests, ...], ...]
    counting: tuple[frozenset[int], ...]
    flush_s: tuple[float, ...] = ()
    rest: tuple[float, ...] = field(default=())

    @cached_property
    def cells(self) -> tuple[tuple[InstanceBlock, ...], ...]:
        """Cells of the blocks that count: by block, then by instance."""
        return tuple(
            tuple(self._cell(at, block, instance) for instance in range(len(self.plan.setups)))
            for at, blocks in enumerate(self.counting)
            for block in sorted(blocks)
        )

    @property
    def blocks(self) -> list[MachineReading]:
        """The machine in the blocks that count."""
        return [
            reading.blocks[block]
            for reading, blocks in zip(self.readings, self.counting, strict=True)
            for block in blocks
        ]

    def _cell(self, at: int, block: int, instance: int) -> InstanceBlock:
        switches = [
            switch
            for switch in self.readings[at].switches
            if switch.instance == instance and switch.block == block
        ]
        requests = self.requests[at][instance]
        cpu_s = sum(switch.cpu_ns + switch.leaked_ns for switch in switches) / 1e9
        active_s = sum(switch.stop_ns - switch.start_ns for switch in switches) / 1e9
        if self.rest:
            # It was not paused: its CPU at rest in the time slices of others belongs to no request.
            cpu_s -= self.rest[instance] * max(self.readings[at].blocks[block].duration_s - active_s, 0.0)
        return InstanceBlock(
            cpu_s,
            active_s,
            int(np.count_nonzero(requests.done_block == block)),
            int(np.count_nonzero(requests.planned_block == block)),
        )

    def completed(self, instance: int) -> int:
        """Requests that an instance completed in blocks that count."""
        return sum(cells[instance].completed for cells in self.cells)

    def active_s(self, instance: int) -> float:
        """An instance's active time in blocks that count."""
        return sum(cells[instance].active_s for cells in self.cells)

    def utilization(self, instance: int) -> float:
        """Share of its CPUs that an instance used in blocks that count."""
        active_s = self.active_s(instance) * self.plan.service_cpus
        return sum(cells[instance].cpu_s for cells in self.cells) / active_s if active_s else 0.0

    def outside(self, instance: int) -> float:
        """Share of a closed loop's users that were not waiting for the instance, mean over its active time.

        Where it is large, the load was the limit; where an idle instance has all users waiting, it
        waits for something else itself.
        """
        active_s = sum(ActiveClock(reading.switches, instance).total_s for reading in self.readings)
        waiting_s = sum(
            float(np.sum(part[instance].service_s[part[instance].completed])) for part in self.requests
        )
        return max(1.0 - waiting_s / (active_s * self.plan.users), 0.0) if active_s else 0.0

    def cpu_per_request_s(self, instance: int) -> float | None:
        """CPU seconds per completed request, exports included; None where none was completed.

        Totals over blocks: what is under way at a block's edge cancels out. The flush after the
        phase belongs to all of its requests, those of other blocks included.
        """
        completed = self.completed(instance)
        every = sum(int(np.count_nonzero(part[instance].completed)) for part in self.requests)
        if not completed:
            return None
        flush_s = self.flush_s[instance] / every if self.flush_s and every else 0.0
        value = sum(cells[instance].cpu_s for cells in self.cells) / completed + flush_s
        return value if value > 0 else None

    def per_s(self, instance: int) -> float | None:
        """Completed requests per second of active time; None where none was completed."""
        active_s = self.active_s(instance)
        return self.completed(instance) / active_s if active_s and self.completed(instance) else None

    def latencies_s(self, instance: int) -> np.ndarray:
        """Latencies of the requests planned in blocks that count; infinite where they failed."""
        return np.concatenate(
            [
                part[instance].latency_s[np.isin(part[instance].planned_block, sorted(blocks))]
                for part, blocks in zip(self.requests, self.counting, strict=True)
            ]
        )

    def log_costs(self) -> list[list[float]] | None:
        """ln(CPU per request) by block and instance; None where a block has too few requests."""
        if any(cell.completed < MIN_COMPLETED or cell.cpu_s <= 0 for cells in self.cells for cell in cells):
            return None
        return [[math.log(cell.cpu_s / cell.completed) for cell in cells] for cells in self.cells]


def measured_phases(raw: Raw, kind: Kind) -> tuple[MeasuredPhase, ...]:
    """The phases of a load, one for each replicate that completed it, also in an interrupted run."""
    return tuple(_measured_phases(raw, kind))


def _measured_phases(raw: Raw, kind: Kind) -> Iterator[MeasuredPhase]:
    plan = raw.plan
    expected = plan.app.statuses
    planned = (plan.light if kind is Kind.LIGHT else plan.saturation).blocks
    by_replicate: defaultdict[int, list[StepReading]] = defaultdict(list)
    for reading in raw.readings:
        by_replicate[reading.replicate].append(reading)
    for replicate, readings in sorted(by_replicate.items()):
        loaded = tuple(reading for reading in readings if reading.kind is kind)
        if not loaded or (replicate, loaded[0].number) not in raw.rows:
            continue
        yield MeasuredPhase(
            plan=plan,
            replicate=replicate,
            readings=loaded,
            requests=tuple(
                tuple(
                    requests_of(reading, raw.rows.get((replicate, reading.number), ()), instance, expected)
                    for instance in range(len(plan.setups))
                )
                for reading in loaded
            ),
            counting=_counting(loaded, planned),
            flush_s=_flush_s(readings, loaded[-1].number),
            rest=_rest(readings) if plan.targets else (),
        )


def _counting(readings: Sequence[StepReading], planned: int) -> tuple[frozenset[int], ...]:
    """The blocks that count: those with the least steal, as many as were planned.

    The same number in every replicate, so that repeating a block favours no setup. A step in which a
    load worker died does not count.
    """
    blocks = [
        (block.steal_s / max(block.duration_s, 1e-9), at, number)
        for at, reading in enumerate(readings)
        if not reading.lost_workers
        for number, block in enumerate(reading.blocks)
    ]
    chosen = sorted(blocks)[:planned]
    return tuple(
        frozenset(number for _, where, number in chosen if where == at) for at in range(len(readings))
    )


def _flush_s(readings: Sequence[StepReading], after: int) -> tuple[float, ...]:
    """CPU seconds of the flush that follows a step, less an empty one, by instance."""
    following = [reading for reading in readings if reading.number > after]
    flush = next((reading for reading in following if reading.kind is Kind.FLUSH), None)
    empty = next((reading for reading in following if reading.kind is Kind.EMPTY_FLUSH), None)
    if flush is None or empty is None:
        return ()
    return tuple(
        (full.cpu_ns - nothing.cpu_ns) / 1e9
        for full, nothing in zip(flush.instances, empty.instances, strict=True)
    )


def _rest(readings: Sequence[StepReading]) -> tuple[float, ...]:
    """CPU seconds per second at rest, by instance."""
    quiet = next((reading for reading in readings if reading.kind is Kind.REST), None)
    if quiet is None:
        return ()
    return tuple(instance.cpu_ns / 1e9 / quiet.duration_s for instance in quiet.instances)


def closed_loop_rates(reading: StepReading, rows: Sequence[RequestRow], plan: Plan) -> dict[str, float]:
    """Requests per second of active time in a closed loop, by setup; 0 where none was completed."""
    expected = plan.app.statuses
    rates = {}
    for instance, setup in enumerate(plan.setups):
        requests = requests_of(reading, rows, instance, expected)
        active_s = ActiveClock(reading.switches, instance).active_s
        rates[setup.name] = int(np.count_nonzero(requests.done_block >= 0)) / active_s if active_s else 0.0
    return rates


def logs(values: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    """Ln of one value per replicate, of the replicates in which every setup has one."""
    names = list(values)
    replicates = range(min((len(values[name]) for name in names), default=0))
    whole = [
        replicate for replicate in replicates if all(_is_usable(values[name][replicate]) for name in names)
    ]
    return {name: [math.log(values[name][replicate] or 1.0) for replicate in whole] for name in names}


def _is_usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0
