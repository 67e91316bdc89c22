"""The run: a loop over the plan's steps, each on disk before the next one begins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench.analysis.blocks import closed_loop_rates, is_spoiled
from bench.analysis.rate_search import RateSearch, searches
from bench.errors import BenchError, MeasurementError, ResultsError, ServiceError
from bench.plan.readings import Ending, Raw, Reading, Row
from bench.plan.records import Kind, Plan, Step
from bench.plan.schedule import light_rates, schedule, step_of
from bench.receiver.messages import TraceSpan
from bench.testbed.preflight import learned


class Bench(Protocol):
    """What a plan is carried out with; `bench.testbed` is the real one."""

    def connect(self, plan: Plan) -> None:
        """Use instances that run elsewhere."""

    def perform(self, plan: Plan, step: Step, tell: Callable[[int], None]) -> tuple[Reading, tuple[Row, ...]]:
        """Do one step."""

    def slowest(self) -> Mapping[str, tuple[TraceSpan, ...]]:
        """The slowest trace of every setup in the last account."""

    def stop_instances(self) -> None:
        """Stop all instances."""


class Log:
    """Where raw records go; this one keeps nothing, because a run is in memory, too."""

    def write_plan(self, plan: Plan) -> None:
        """The plan, as far as it is known."""

    def append(self, reading: Reading, rows: Sequence[Row]) -> None:
        """A step as it went."""

    def append_slowest(self, replicate: int, traces: Mapping[str, tuple[TraceSpan, ...]]) -> None:
        """A replicate's slowest traces."""


class Progress(Protocol):
    """Who is told what is going on."""

    def say(self, what: str, detail: str = "", /) -> None:
        """Tell what begins now; a detail is worth redrawing a line, and not worth a new one."""


@dataclass(slots=True)
class Run:
    """A run as it goes.

    Attributes:
        plan: as it is carried out: rates and shapes are added when they are known.
        readings: of all steps.
        rows: requests by replicate and step.
        complete: whether the plan came to its end.
        error: what ended it early, unless a person did.
    """

    plan: Plan
    readings: list[Reading] = field(default_factory=list)
    rows: dict[tuple[int, int], tuple[Row, ...]] = field(default_factory=dict)
    complete: bool = False
    error: BenchError | None = None

    @property
    def raw(self) -> Raw:
        """What it left, as it is stored."""
        return Raw(
            plan=self.plan,
            readings=tuple(self.readings),
            rows=dict(self.rows),
            ending=Ending(complete=self.complete, failure=str(self.error) if self.error else None),
        )


def carry_out(plan: Plan, bench: Bench, log: Log, progress: Progress) -> Run:
    """Carry out a plan; never raises for what a run can meet.

    A process that dies, a full disk or Ctrl-C ends the run early and is told in its record.
    """
    run = Run(plan)
    try:
        log.write_plan(plan)
        if plan.targets:
            bench.connect(plan)
        spare = dict.fromkeys((Kind.LIGHT, Kind.SATURATION), plan.spare)
        for replicate in range(plan.replicates):
            _Replicate(run, replicate, bench, log, progress, spare).carry_out()
        run.complete = True
    except KeyboardInterrupt:
        progress.say("interrupted: stopping the application, keeping what was measured")
    except (ServiceError, MeasurementError, ResultsError) as error:
        run.error = error
    return run


class _Replicate:
    """One replicate: fresh processes, warmed up, measured, accounted for."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a replicate needs
        self,
        run: Run,
        replicate: int,
        bench: Bench,
        log: Log,
        progress: Progress,
        spare: dict[Kind, int],
    ) -> None:
        self._run = run
        self._replicate = replicate
        self._bench = bench
        self._log = log
        self._progress = progress
        self._spare = spare
        self._number = 0
        self._searches: tuple[RateSearch, ...] = ()

    def carry_out(self) -> None:
        plan = self._run.plan
        for kind, blocks in schedule(plan, self._replicate):
            reading = self._perform(kind, blocks)
            if kind is Kind.LEARN:
                self._replan(learned(plan, reading.instances))
            elif kind is Kind.CAPACITY:
                capacities = self._capacities(reading)
                rates = light_rates(self._run.plan, capacities)
                self._replan(replace(self._run.plan, rates=rates, capacities=capacities))
            elif kind in {Kind.LIGHT, Kind.SATURATION}:
                self._repeat_spoiled(kind, reading)
        self._log.append_slowest(self._replicate, self._bench.slowest())
        if not plan.targets:
            self._bench.stop_instances()

    def _capacities(self, reading: Reading) -> dict[str, float]:
        """Requests per second of active time in a closed loop, by setup."""
        rates = closed_loop_rates(reading, self._run.rows[self._replicate, reading.number], self._run.plan)
        for name, rate in rates.items():
            if not rate:
                raise MeasurementError(
                    f"no request of {name} was completed",
                    "`tracing-overhead trace` shows what becomes of one request",
                )
        return rates

    def _replan(self, plan: Plan) -> None:
        """Carry on with what was measured first."""
        self._run.plan = plan
        self._log.write_plan(self._run.plan)

    def _repeat_spoiled(self, kind: Kind, reading: Reading) -> None:
        """One more block for every one in which the host took CPU away, as far as there are spare ones."""
        spoiled = min(sum(map(is_spoiled, reading.blocks)), self._spare[kind])
        if spoiled:
            self._spare[kind] -= spoiled
            self._progress.say(
                f"replicate {self._replicate + 1}: the host took CPU away; {spoiled} blocks again"
            )
            self._perform(kind, spoiled)

    def _perform(self, kind: Kind, blocks: int) -> Reading:
        plan = self._run.plan
        rates: tuple[float, ...] = ()
        if kind is Kind.PROBE:
            self._searches = self._searches or searches(plan, self._replicate, self._run.raw)
            rates = tuple(search.rate_per_s for search in self._searches)
        step = step_of(plan, self._replicate, self._number, kind, blocks, rates=rates)
        label = f"replicate {self._replicate + 1} of {plan.replicates}: {_WORDS[kind]}"
        self._progress.say(label)
        reading, rows = self._bench.perform(
            plan, step, lambda block: self._progress.say(label, f"block {block + 1} of {blocks}")
        )
        reading = replace(reading, rates=rates)
        self._log.append(reading, rows)
        self._run.readings.append(reading)
        self._run.rows[self._replicate, self._number] = rows
        self._number += 1
        for search, rate in zip(self._searches, rates, strict=False):
            search.tell(rate, reading, rows)
        return reading


_WORDS = {
    Kind.START: "fresh processes",
    Kind.LEARN: "a first look",
    Kind.WARM_UP: "warming up",
    Kind.CAPACITY: "capacity",
    Kind.REST: "at rest",
    Kind.LIGHT: "light load",
    Kind.SATURATION: "full load",
    Kind.PROBE: "the highest rate",
    Kind.FLUSH: "exporting",
    Kind.EMPTY_FLUSH: "exporting",
    Kind.SETTLE: "waiting for the last spans",
}
