"""The real world of a run: the sink, the load process and an epoch's fleets, put together.

Rule 1: the harness, the load and the sink keep to their CPUs, the services to theirs.
Rule 2: a window is read, loaded, drained, flushed and read again, in this order, so that
it owns the exports that its requests caused.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.backends.collector import begin
from bench.errors import MeasurementError
from bench.fleet import Fleet, environ_of
from bench.journey import Exemplar
from bench.ledger import total
from bench.load import Crew, Load
from bench.meter import MachineMeter, pin
from bench.model import (
    CREATED,
    SERVICES,
    UNSENT,
    Account,
    Arrival,
    FleetReading,
    Kind,
    Memory,
    Plan,
    Purpose,
    Request,
    Slice,
    Window,
)
from bench.plan import hash_seed, start_order
from bench.setups import discards, shape
from bench.sink import Sink
from bench.solo import Wanted
from bench.target import Target

STOP_LIMIT_S = 3.0
"""How long the services may take to stop in order: their spans were flushed, nothing is left to do."""

Reading = dict[str, dict[str, int]]


class Rig:
    """The processes of a run.

    Args:
        plan: what they are for.
        crew: who sends the load.
        sink_ports: where the sink listens, http and grpc; any free ports unless told.
        sink_host: the address that it listens on.
    """

    def __init__(
        self,
        plan: Plan,
        crew: Crew | None = None,
        sink_ports: tuple[int, int] = (0, 0),
        sink_host: str = "127.0.0.1",
    ) -> None:
        self._plan = plan
        self._shapes = {setup.name: shape(setup) for setup in plan.setups}
        self._fleets: dict[str, Fleet | Target] = {}
        self._counted: dict[str, dict[str, int]] = {}
        with contextlib.ExitStack() as stack:
            self._logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            if plan.other_cpus:
                pin(os.getpid(), plan.other_cpus)
            self.sink = Sink(self._logs, sink_ports, sink_host)
            stack.callback(self.sink.stop)
            self.collector = (
                begin(plan.collector, self.sink, self._logs, plan.other_cpus) if plan.collector else None
            )
            if self.collector:
                stack.callback(self.collector.stop)
            self.load = Load(self._logs, crew)
            stack.callback(self.load.stop)
            stack.callback(self.stop_epoch)
            self._parts = stack.pop_all()
        child = self.collector.child if self.collector else None
        self._machine = MachineMeter(self.load.pids, self.sink.child.pid, child.pid if child else None)

    def replan(self, plan: Plan) -> None:
        """What the next epochs are for; set-ups and seed may differ, the CPUs may not."""
        self._plan = plan
        self._shapes = {setup.name: shape(setup) for setup in plan.setups}

    @property
    def fleets(self) -> dict[str, Fleet | Target]:
        """The running fleets by set-up."""
        return self._fleets

    @property
    def endpoints(self) -> dict[str, str]:
        """Where services send their spans, by OTLP protocol: the collector's addresses, or the sink's."""
        return self.collector.endpoints if self.collector else self.sink.endpoints

    def start_epoch(self, epoch: int) -> None:
        """Fresh processes for all fleets, answering and pinned; fleets that run elsewhere stay.

        Raises:
            ServiceError: one does not start.
        """
        setups = {setup.name: setup for setup in self._plan.setups}
        if self._plan.targets:
            if not self._fleets:
                self._fleets = {name: Target(setups[name], url) for name, url in self._plan.targets.items()}
            return
        self.stop_epoch()
        options = ("--connections", str(self._plan.connections))
        seed = hash_seed(self._plan, epoch)
        for name in start_order(self._plan, epoch):
            environ = environ_of(setups[name], hash_seed=seed, endpoints=self.endpoints)
            self._fleets[name] = Fleet(setups[name], environ, self._logs, options)
        for fleet in list(self._fleets.values()):
            fleet.wait_until_ready()
            if self._plan.services_cpus:
                fleet.pin(self._plan.services_cpus)

    def check_baseline(self) -> None:
        """Nothing, if set-ups without tracing run without OpenTelemetry.

        Raises:
            MeasurementError: one of their processes has imported it.
        """
        for fleet in self._fleets.values():
            if fleet.setup.env.get("BENCH_TRACING", "none") != "none":
                continue
            for service, usage in fleet.usage().items():
                if usage["opentelemetry_modules"]:
                    raise MeasurementError(
                        f"{service} of {fleet.setup.name} has imported OpenTelemetry, so it is no baseline",
                        "is an agent (opentelemetry-instrument, a .pth file) active in this environment?",
                    )

    def check(self) -> None:
        """Nothing, while all processes of the run live.

        Raises:
            ServiceError: one has ended.
        """
        self.sink.child.check()
        if self.collector:
            self.collector.check()
        self.load.child.check()
        for fleet in self._fleets.values():
            fleet.check()

    def stop_epoch(self) -> None:
        """No fleet runs any more."""
        fleets, self._fleets = self._fleets, {}
        self._counted = {}
        for fleet in fleets.values():
            fleet.ask_to_stop()
        deadline = time.monotonic() + STOP_LIMIT_S
        for fleet in fleets.values():
            fleet.stop(deadline)

    def measure(
        self, kind: Kind, epoch: int, window: int, arrivals: Sequence[Arrival], idle_s: float = 0.0
    ) -> tuple[Window, tuple[Request, ...]]:
        """One stretch of time, read before and after.

        Args:
            kind: what it is for; an idle stretch ends without a flush.
            epoch: for the record.
            window: for the record.
            arrivals: what is sent; nothing in a quiet stretch.
            idle_s: length of a quiet stretch.

        Raises:
            ServiceError: a process of the run has ended.
        """
        machine_before, before, started = self._machine.now(), self._clocks(), time.monotonic()
        requests: tuple[Request, ...] = ()
        if arrivals:
            requests = self._run(arrivals, epoch, window)
        elif idle_s:
            time.sleep(idle_s)
        flush_failed = {} if kind is Kind.IDLE else self._flush()
        after, ended = self._clocks(), time.monotonic()
        machine_after = self._machine.now()
        drained = not arrivals or self._drain()
        drained_at, collector_s = time.monotonic(), self._machine.collector_s(machine_before)
        used = {
            name: {service: after[name][service] - ns for service, ns in clocks.items()}
            for name, clocks in before.items()
        }
        accounts = self._accounts(self._fleets) if kind in {Kind.WORK, Kind.WARM_UP} else {}
        services_ns = sum(sum(clocks.values()) for clocks in used.values())
        return Window(
            epoch=epoch,
            window=window,
            kind=kind,
            duration_s=ended - started,
            fleets=tuple(
                _reading(name, used[name], requests, accounts, flush_failed.get(name, ())) for name in used
            ),
            machine=replace(
                self._machine.between(machine_before, machine_after, services_ns), collector_s=collector_s
            ),
            stray=total(account for name, account in accounts.items() if name not in used),
            lost_workers=self.load.lost if arrivals else 0,
            drained=drained,
            drain_s=drained_at - ended,
        ), requests

    def rest(self) -> None:
        """All fleets are stopped; those that run elsewhere are just left alone."""
        for fleet in self._fleets.values():
            fleet.pause()

    def wake(self, setup: str) -> None:
        """One fleet runs again."""
        self._fleets[setup].resume()

    def halt(self, setup: str) -> None:
        """One fleet is stopped."""
        self._fleets[setup].pause()

    def measure_slice(self, wanted: Wanted, arrivals: Sequence[Arrival]) -> tuple[Slice, tuple[Request, ...]]:
        """One slice of the solo phase: one fleet, read before and after.

        Args:
            wanted: what it is for; a visit's last slice flushes and takes the account.
            arrivals: what is sent, unless the slice is a closed loop.

        Raises:
            ServiceError: a process of the run has ended.
        """
        fleet = self._fleets[wanted.setup]
        machine_before, before, started = self._machine.now(), fleet.cpu_ns(), time.monotonic()
        requests: tuple[Request, ...] = ()
        accounts: dict[str, Account] = {}
        flush_failed: tuple[str, ...] = ()
        if arrivals or wanted.users:
            requests = self._run(
                arrivals, wanted.epoch, wanted.number, wanted.setup, wanted.users, wanted.length_s
            )
        flush_s = 0.0
        if wanted.purpose is not Purpose.LEVEL:
            flush_failed, flush_s = self._timed_flush(fleet)
        if wanted.purpose is Purpose.PRE_ROLL:
            _, flush_s = self._timed_flush(fleet)
        after, ended = fleet.cpu_ns(), time.monotonic()
        machine_after = self._machine.now()
        drained = wanted.purpose is not Purpose.FLUSH or self._drain()
        if wanted.purpose is Purpose.FLUSH:
            accounts = self._accounts([wanted.setup])
        used = {service: after[service] - ns for service, ns in before.items()}
        return wanted.measured(
            duration_s=ended - started,
            flush_s=flush_s,
            reading=_reading(wanted.setup, used, requests, accounts, flush_failed),
            machine=self._machine.between(machine_before, machine_after, sum(used.values())),
            stray=total(account for name, account in accounts.items() if name != wanted.setup),
            lost_workers=self.load.lost if requests else 0,
            drained=drained,
        ), requests

    def _timed_flush(self, fleet: Fleet | Target) -> tuple[tuple[str, ...], float]:
        """The services whose flush did not answer, and how long all took."""
        if not self.sink.is_running():
            return SERVICES, 0.0
        started = time.monotonic()
        return fleet.flush(), time.monotonic() - started

    def _run(  # noqa: PLR0913, PLR0917 - what an order is
        self,
        arrivals: Sequence[Arrival],
        epoch: int,
        number: int,
        setup: str | None = None,
        users: int = 0,
        length_s: float = 0.0,
    ) -> tuple[Request, ...]:
        return self.load.run(
            arrivals,
            {name: fleet.url for name, fleet in self._fleets.items() if setup in {None, name}},
            epoch=epoch,
            window=number,
            in_flight=self._plan.in_flight,
            timeout_s=self._plan.timeout_s,
            users=users,
            length_s=length_s,
        )

    def _clocks(self) -> Reading:
        return {name: fleet.cpu_ns() for name, fleet in self._fleets.items()}

    def _flush(self) -> dict[str, tuple[str, ...]]:
        if not self.sink.is_running():
            # Every flush would wait for exporters that retry; what is lost is lost.
            return dict.fromkeys(self._fleets, SERVICES)
        return {name: fleet.flush() for name, fleet in self._fleets.items()}

    def _drain(self) -> bool:
        """Whether a collector, if there is one, has passed on everything; waits for it."""
        return self.collector is None or (self.sink.is_running() and self.collector.drain(self.sink))

    def _accounts(self, awake: Iterable[str]) -> dict[str, Account]:
        """The sink's accounts; none at all if it has died, which the ledger then shows."""
        found = self.sink.account(self._shapes) if self.sink.is_running() else {}
        if self._plan.targets:
            # Another machine has a clock of its own: what is late by it says nothing.
            found = {name: replace(account, late=0) for name, account in found.items()}
        for name in awake:
            fleet = self._fleets[name]
            if discards(fleet.setup):
                found[name] = replace(found.get(name, Account()), discarded=self._discarded(name, fleet))
        return found

    def _discarded(self, name: str, fleet: Fleet | Target) -> dict[str, int]:
        """What an exporter to nowhere got since the last account, by service."""
        now = {service: int(str(usage["discarded_spans"])) for service, usage in fleet.usage().items()}
        before, self._counted[name] = self._counted.get(name, {}), now
        return {service: count - before.get(service, 0) for service, count in now.items()}

    def exemplars(self, epoch: int, window: int) -> tuple[Exemplar, ...]:
        """The slowest trace of every set-up in the window just measured; none if the sink has died."""
        found = self.sink.exemplars() if self.sink.is_running() else {}
        return tuple(
            Exemplar(setup=setup, epoch=epoch, window=window, spans=spans)
            for setup, spans in sorted(found.items())
            if setup in self._shapes
        )

    def memory(self) -> tuple[Memory, ...]:
        """Memory of all services."""
        services = tuple(reading for fleet in self._fleets.values() for reading in fleet.memory())
        return (*services, *(self.collector.memory() if self.collector else ()))

    def close(self) -> None:
        """No process of the run is left, and the harness may use all its CPUs again."""
        self._parts.close()


def _reading(
    name: str,
    cpu_ns: dict[str, int],
    requests: Iterable[Request],
    accounts: dict[str, Account],
    flush_failed: tuple[str, ...],
) -> FleetReading:
    statuses = [request.status for request in requests if request.setup == name]
    completed, dropped = statuses.count(CREATED), sum(status in UNSENT for status in statuses)
    return FleetReading(
        setup=name,
        cpu_ns=cpu_ns,
        completed=completed,
        failed=len(statuses) - completed - dropped,
        dropped=dropped,
        account=accounts.get(name, Account()),
        flush_failed=flush_failed,
    )
