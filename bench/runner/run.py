"""The run: a loop over the plan's steps, each on disk before the next one begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench.analysis.blocks import closed_loop_rates, is_spoiled
from bench.analysis.rate_search import RateSearch, searches
from bench.errors import BenchError, MeasurementError, ResultsError, ServiceError
from bench.plan.readings import Ending, Raw, RequestRow, StepReading
from bench.plan.records import NOTHING_LEARNED, Kind, Learned, Plan, Step
from bench.plan.schedule import light_rates, schedule, step_of
from bench.receiver.messages import KeptTrace
from bench.runner.learning import learned_from


class Performer(Protocol):
    """What carries out steps; `bench.runner.learning.LearningTestbed` is the real one."""

    def connect(self, plan: Plan) -> None:
        """Use instances that run elsewhere."""

    def learn(self, plan: Plan, step: Step) -> StepReading:
        """Learn the application."""

    def perform(
        self, plan: Plan, learned: Learned, step: Step, tell: Callable[[int], None]
    ) -> tuple[StepReading, tuple[RequestRow, ...]]:
        """Perform any other step."""

    def kept(self) -> Sequence[KeptTrace]:
        """Of every setup in the last account, the slowest trace and one of each damage."""

    def stop_instances(self) -> None:
        """Stop all instances."""


class Log:
    """Where raw records go. This one keeps nothing: the run is in memory."""

    def write_plan(self, plan: Plan) -> None:
        """The plan."""

    def write_learned(self, learned: Learned) -> None:
        """What has been learned so far."""

    def append(self, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        """A step as it went."""

    def append_traces(self, replicate: int, traces: Sequence[KeptTrace]) -> None:
        """The traces that are kept of a replicate."""


class Progress(Protocol):
    """Displays what is going on."""

    def say(self, what: str, detail: str = "", /) -> None:
        """Say what begins now; a detail redraws the line and does not start a new one."""


@dataclass(slots=True)
class Run:
    """A run as it goes.

    Attributes:
        plan: as it was decided.
        learned: what the first replicate has measured for the others so far.
        readings: of all steps.
        rows: requests by replicate and step.
        complete: whether the plan came to its end.
        error: what ended it early, other than a person.
    """

    plan: Plan
    learned: Learned = NOTHING_LEARNED
    readings: list[StepReading] = field(default_factory=list)
    rows: dict[tuple[int, int], tuple[RequestRow, ...]] = field(default_factory=dict)
    complete: bool = False
    error: BenchError | None = None

    @property
    def raw(self) -> Raw:
        """What it left, as it is stored."""
        return Raw(
            plan=self.plan,
            learned=self.learned,
            readings=tuple(self.readings),
            rows=dict(self.rows),
            ending=Ending(complete=self.complete, failure=str(self.error) if self.error else None),
        )


def carry_out(
    plan: Plan,
    performer: Performer,
    log: Log,
    progress: Progress,
    on_replicate_end: Callable[[Run, int], None] = lambda _run, _replicate: None,
) -> Run:
    """Carry out a plan.

    A process that dies, a full disk or Ctrl-C ends the run early and is recorded, not raised.

    Args:
        plan: what to do.
        performer: carries out its steps.
        log: gets every record before the next step begins.
        progress: displays what is going on.
        on_replicate_end: called with the replicate's number while its instances still run.
    """
    run = Run(plan)
    try:
        log.write_plan(plan)
        if plan.targets:
            performer.connect(plan)
        spare = dict.fromkeys((Kind.LIGHT, Kind.SATURATION), plan.spare)
        for replicate in range(plan.replicates):
            _Replicate(run, replicate, performer, log, progress, spare).carry_out()
            on_replicate_end(run, replicate)
            if not plan.targets:
                performer.stop_instances()
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
        performer: Performer,
        log: Log,
        progress: Progress,
        spare: dict[Kind, int],
    ) -> None:
        self._run = run
        self._replicate = replicate
        self._performer = performer
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
                self._learn(learned_from(plan, reading.instances))
            elif kind is Kind.CAPACITY:
                capacities = self._capacities(reading)
                rates = light_rates(plan, capacities)
                self._learn(replace(self._run.learned, rates=rates, capacities=capacities))
            elif kind in {Kind.LIGHT, Kind.SATURATION}:
                self._repeat_spoiled(kind, reading)
        self._log.append_traces(self._replicate, self._performer.kept())

    def _capacities(self, reading: StepReading) -> dict[str, float]:
        """Requests per second of active time in a closed loop, by setup."""
        rates = closed_loop_rates(reading, self._run.rows[self._replicate, reading.number], self._run.plan)
        for name, rate in rates.items():
            if not rate:
                raise MeasurementError(
                    f"no request of {name} was completed",
                    "`tracing-overhead trace` shows what becomes of one request",
                )
        return rates

    def _learn(self, learned: Learned) -> None:
        self._run.learned = learned
        self._log.write_learned(learned)

    def _repeat_spoiled(self, kind: Kind, reading: StepReading) -> None:
        """One more block for every one in which the host took CPU away, while there are spare ones."""
        spoiled = min(sum(map(is_spoiled, reading.blocks)), self._spare[kind])
        if spoiled:
            self._spare[kind] -= spoiled
            self._progress.say(
                f"replicate {self._replicate + 1}: the host took CPU away; repeating {spoiled} blocks"
            )
            self._perform(kind, spoiled)

    def _perform(self, kind: Kind, blocks: int) -> StepReading:
        plan, learned = self._run.plan, self._run.learned
        rates: tuple[float, ...] = ()
        if kind is Kind.PROBE:
            self._searches = self._searches or searches(plan, self._replicate, self._run.raw)
            rates = tuple(search.rate_per_s for search in self._searches)
        step = step_of(plan, learned, self._replicate, self._number, kind, blocks, rates=rates)
        label = f"replicate {self._replicate + 1} of {plan.replicates}: {_WORDS[kind]}"
        self._progress.say(label)
        rows: tuple[RequestRow, ...] = ()
        if kind is Kind.LEARN:
            reading = self._performer.learn(plan, step)
        else:
            reading, rows = self._performer.perform(
                plan, learned, step, lambda block: self._progress.say(label, f"block {block + 1} of {blocks}")
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
    Kind.LEARN: "learning the application",
    Kind.WARM_UP: "warming up",
    Kind.CAPACITY: "measuring capacity",
    Kind.REST: "at rest",
    Kind.LIGHT: "light load",
    Kind.SATURATION: "saturation",
    Kind.PROBE: "searching the highest rate",
    Kind.FLUSH: "exporting",
    Kind.EMPTY_FLUSH: "exporting",
    Kind.SETTLE: "waiting for the last spans",
}
