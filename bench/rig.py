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
from pathlib import Path

from bench.errors import MeasurementError
from bench.fleet import Fleet, environ_of
from bench.load import Load
from bench.meter import MachineMeter, pin
from bench.model import (
    CREATED,
    DROPPED,
    Account,
    Arrival,
    FleetReading,
    Kind,
    Memory,
    Plan,
    Request,
    Window,
)
from bench.plan import hash_seed, start_order
from bench.setups import shape
from bench.sink import STRAY, Sink

STOP_LIMIT_S = 3.0
"""How long the services may take to stop in order: their spans were flushed, nothing is left to do."""

Reading = dict[str, dict[str, int]]


class Rig:
    """The processes of a run.

    Args:
        plan: what they are for.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shapes = {setup.name: shape(setup) for setup in plan.setups}
        self._fleets: dict[str, Fleet] = {}
        with contextlib.ExitStack() as stack:
            self._logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            if plan.other_cpus:
                pin(os.getpid(), plan.other_cpus)
            self.sink = Sink(self._logs)
            stack.callback(self.sink.stop)
            self.load = Load(self._logs)
            stack.callback(self.load.stop)
            stack.callback(self.stop_epoch)
            self._parts = stack.pop_all()
        self._machine = MachineMeter(self.load.child.pid, self.sink.child.pid)

    @property
    def fleets(self) -> dict[str, Fleet]:
        """The running fleets by set-up."""
        return self._fleets

    def start_epoch(self, epoch: int) -> None:
        """Fresh processes for all fleets, answering and pinned.

        Raises:
            ServiceError: one does not start.
        """
        self.stop_epoch()
        setups = {setup.name: setup for setup in self._plan.setups}
        seed = hash_seed(self._plan, epoch)
        for name in start_order(self._plan, epoch):
            environ = environ_of(setups[name], hash_seed=seed, endpoints=self.sink.endpoints)
            self._fleets[name] = Fleet(setups[name], environ, self._logs)
        for fleet in self._fleets.values():
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
        self.load.child.check()
        for fleet in self._fleets.values():
            for child in fleet.children.values():
                child.check()

    def stop_epoch(self) -> None:
        """No fleet runs any more."""
        fleets, self._fleets = self._fleets, {}
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
        used = {
            name: {service: after[name][service] - ns for service, ns in clocks.items()}
            for name, clocks in before.items()
        }
        accounts = self._accounts() if kind in {Kind.WORK, Kind.WARM_UP} else {}
        services_ns = sum(sum(clocks.values()) for clocks in used.values())
        return Window(
            epoch=epoch,
            window=window,
            kind=kind,
            duration_s=ended - started,
            fleets=tuple(
                _reading(name, used[name], requests, accounts, flush_failed.get(name, ())) for name in used
            ),
            machine=self._machine.between(machine_before, machine_after, services_ns),
            stray=accounts.get(STRAY, Account()),
        ), requests

    def _run(self, arrivals: Sequence[Arrival], epoch: int, window: int) -> tuple[Request, ...]:
        targets = {name: fleet.url for name, fleet in self._fleets.items()}
        return self.load.run(
            arrivals,
            targets,
            epoch=epoch,
            window=window,
            in_flight=self._plan.in_flight,
            timeout_s=self._plan.timeout_s,
        )

    def _clocks(self) -> Reading:
        return {name: fleet.cpu_ns() for name, fleet in self._fleets.items()}

    def _flush(self) -> dict[str, tuple[str, ...]]:
        if not self.sink.is_running():
            # Every flush would wait for exporters that retry; what is lost is lost.
            return {name: tuple(fleet.children) for name, fleet in self._fleets.items()}
        return {name: fleet.flush() for name, fleet in self._fleets.items()}

    def _accounts(self) -> dict[str, Account]:
        """The sink's accounts; none at all if it has died, which the ledger then shows."""
        return self.sink.account(self._shapes) if self.sink.is_running() else {}

    def memory(self) -> tuple[Memory, ...]:
        """Memory of all services."""
        return tuple(reading for fleet in self._fleets.values() for reading in fleet.memory())

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
    completed, dropped = statuses.count(CREATED), statuses.count(DROPPED)
    return FleetReading(
        setup=name,
        cpu_ns=cpu_ns,
        completed=completed,
        failed=len(statuses) - completed - dropped,
        dropped=dropped,
        account=accounts.get(name, Account()),
        flush_failed=flush_failed,
    )
