"""Lets the backend of tracing fail while clients come, one fault after the other.

All setups of a fault run side by side, each with a way to the backend of its own; the untraced one beside
them shows what the machine does to everybody.
"""

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec

from bench.analysis.faults import Cell, Fault
from bench.app.records import BASELINE, Setup
from bench.errors import MeasurementError, ServiceError
from bench.plan.readings import Account, Row
from bench.plan.records import Plan
from bench.receiver.messages import Answering, CloseAccounts
from bench.runner.run import Progress
from bench.testbed.environ import Place
from bench.testbed.instance import LocalInstance
from bench.testbed.options import Options
from bench.testbed.orders import Steady, order_without_slices
from bench.testbed.ports import free_ports
from bench.testbed.proxy import Proxy, Way
from bench.testbed.testbed import Testbed

SETUPS = (BASELINE, "batch", "batch-grpc", "simple", "simple-grpc")
RATE_PER_S = 6.0
LOAD_S, GONE_S, BACK_S = 10.0, 20.0, 10.0
TIMEOUT_S = 8.0
"""After which a client gives up."""
STOP_LIMIT_S = 35.0
"""A little longer than the 30 s that Kubernetes waits before it kills."""
WARM_UP = 5
MOST_FAILED = 0.1
"""Share of the requests that may fail before a backend does."""
BATCH_S = 6.5
"""Longer than the batch processor's delay."""
QUIET_S, QUIET_LIMIT_S = 1.0, 20.0
SMALL_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "32", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32"}
HEALTHY = Answering()
USAGE_NUMBERS = struct.Struct("qqq")
"""Spans that ended, the longest stall in ns, and when the loop was last awake: what a process notes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Imposed:
    """How a fault is made.

    Attributes:
        answering: how the backend answers.
        way: what becomes of the connections to it.
        env: further variables of the processor.
        signal: what the first process gets in the middle of the load; empty: nothing.
        load_s: for how long clients come.
        back_s: when the backend is back; 0: not while they come.
    """

    answering: Answering = HEALTHY
    way: Way = Way.OPEN
    env: tuple[tuple[str, str], ...] = ()
    signal: str = ""
    load_s: float = LOAD_S
    back_s: float = 0.0


IMPOSED = {
    Fault.NONE: Imposed(),
    Fault.CUT: Imposed(way=Way.CUT),
    Fault.MUTE: Imposed(way=Way.MUTE),
    Fault.UNAVAILABLE: Imposed(answering=Answering(status=503)),
    Fault.LATER: Imposed(answering=Answering(status=503, retry_after_s=30)),
    Fault.ERROR: Imposed(answering=Answering(status=500)),
    Fault.SLOW: Imposed(answering=Answering(delay_s=2.0)),
    Fault.DRIP: Imposed(way=Way.DRIP),
    Fault.GONE: Imposed(way=Way.CUT, load_s=GONE_S + BACK_S, back_s=GONE_S),
    Fault.OVERFLOW: Imposed(env=tuple(SMALL_QUEUE.items())),
    Fault.TERM: Imposed(signal="SIGTERM"),
    Fault.KILL: Imposed(signal="SIGKILL"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An instance with its way to the backend.

    Attributes:
        setup: how it is traced.
        instance: its processes.
        proxies: by OTLP protocol.
        usage_files: files in which its processes note what they did, by process.
    """

    setup: Setup
    instance: LocalInstance
    proxies: dict[str, Proxy]
    usage_files: dict[str, Path]

    def become(self, way: Way) -> None:
        """Change its way to the backend."""
        for proxy in self.proxies.values():
            proxy.become(way)

    def noted(self) -> list[tuple[int, int]]:
        """Spans and longest stall in ns, that of this moment included, of every process that notes them."""
        noted = []
        for name, path in self.usage_files.items():
            if path.exists():
                spans, stall_ns, awake_ns = USAGE_NUMBERS.unpack(path.read_bytes())
                if awake_ns and self.instance.is_running(name):
                    stall_ns = max(stall_ns, time.monotonic_ns() - awake_ns)
                noted.append((spans, stall_ns))
        return noted

    def forget_stalls(self) -> None:
        """What happened before the load is not told."""
        for path in self.usage_files.values():
            if path.exists():
                with path.open("r+b") as file:
                    file.seek(8)
                    file.write(bytes(8))


def cells(
    plan: Plan, place: Place, faults: Sequence[Fault], rate_per_s: float, progress: Progress
) -> Iterator[Cell]:
    """Impose one fault after the other.

    Args:
        plan: with the application and its setups.
        place: where it is started from.
        faults: the healthy backend first, with which all others are compared.
        rate_per_s: of clients, to each setup.
        progress: is told.

    Raises:
        ServiceError: a process does not start, or the load fails.
    """
    with contextlib.ExitStack() as stack:
        testbed = Testbed(plan, Options(place=place))
        stack.callback(testbed.close)
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(plan.setups) + 1))
        # Before the pool is waited for: whoever waits for an instance to end is done when it has.
        stack.callback(testbed.stop_instances)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        bench = _Bench(testbed, plan, pool, rate_per_s)
        waiting: Future[tuple[Subject, ...]] | None = None
        for number, fault in enumerate(faults):
            progress.say(f"{fault}: fresh processes")
            subjects = waiting.result() if waiting else bench.start(fault)
            progress.say(f"{fault}: clients come")
            loaded = bench.load(fault, subjects)
            progress.say(f"{fault}: stopping")
            # Who stops mostly waits; the next ones can start meanwhile.
            following = faults[number + 1] if number + 1 < len(faults) else None
            waiting = pool.submit(bench.start, following) if following else None
            yield from bench.conclude(fault, subjects, loaded)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """What a load has left, by instance.

    Attributes:
        rows: its requests.
        growth_bytes: of memory.
        noted: what its processes had noted at the end.
        before: spans that they had noted before the fault.
    """

    rows: list[list[Row]]
    growth_bytes: list[int]
    noted: list[list[tuple[int, int]]]
    before: list[int]


class _Bench:
    """Starts, loads and stops the instances of a fault."""

    def __init__(self, testbed: Testbed, plan: Plan, pool: ThreadPoolExecutor, rate_per_s: float) -> None:
        self._testbed = testbed
        self._plan = plan
        self._pool = pool
        self._rate_per_s = rate_per_s
        self._per_request: dict[str, int] = {}

    def start(self, fault: Fault) -> tuple[Subject, ...]:
        """Fresh instances of all setups, side by side."""
        ports = free_ports(len(self._plan.app.process) * len(self._plan.setups))
        count = len(self._plan.app.process)
        begun = [
            self._pool.submit(self._start_one, fault, setup, ports[number * count : (number + 1) * count])
            for number, setup in enumerate(self._plan.setups)
        ]
        return tuple(one.result() for one in begun)

    def _start_one(self, fault: Fault, setup: Setup, ports: Sequence[int]) -> Subject:
        named = msgspec.structs.replace(
            setup, name=f"{fault}.{setup.name}", env=setup.env | dict(IMPOSED[fault].env)
        )
        targets = {name: urlsplit(url).port or 0 for name, url in self._testbed.endpoints.items()}
        proxies = {name: Proxy(port) for name, port in targets.items()}
        launch = replace(
            self._testbed.launch(self._plan, named, 0, ports),
            endpoints={name: proxy.url for name, proxy in proxies.items()},
            has_usage_files=True,
        )
        instance = self._testbed.start_instance(launch)
        self._testbed.instances.append(instance)
        return Subject(
            setup=setup,
            instance=instance,
            proxies=proxies,
            usage_files={process.name: launch.usage_file(process) for process in self._plan.app.process},
        )

    def load(self, fault: Fault, subjects: Sequence[Subject]) -> _Loaded:
        """Warm up, impose the fault, and have clients come."""
        imposed, receiver = IMPOSED[fault], self._testbed.receiver
        for subject in subjects:
            self._warm_up(subject)
        # What was made before the fault has arrived before it, and is in no count.
        list(self._pool.map(lambda subject: subject.instance.flush(), subjects))
        receiver.wait_until_quiet(QUIET_S if self._plan.app.tracing.flush else BATCH_S, QUIET_LIMIT_S)
        receiver.close_accounts(CloseAccounts(replicate=0))
        spans_before = [sum(spans for spans, _ in subject.noted()) for subject in subjects]
        for subject in subjects:
            subject.forget_stalls()
            subject.instance.let_go()
        before = [subject.instance.memory().uss_bytes for subject in subjects]
        receiver.answer(imposed.answering)
        for subject in subjects:
            subject.become(imposed.way)
        order = order_without_slices(
            self._plan,
            self._testbed.load,
            {subject.setup.name: subject.instance.url for subject in subjects},
            # A little more than anybody waits here.
            (TIMEOUT_S + 1.0) / 3,
            Steady(seconds=imposed.load_s, rate_per_s=self._rate_per_s),
        )
        self._testbed.load.send(order)
        if imposed.signal:
            _sleep_until(order.start_ns / 1e9 + imposed.load_s / 2)
            for subject in subjects:
                subject.instance.signal_first(imposed.signal)
        if imposed.back_s:
            _sleep_until(order.start_ns / 1e9 + imposed.back_s)
            for subject in subjects:
                subject.become(Way.OPEN)
        rows = self._testbed.load.rows()
        after = [subject.instance.memory().uss_bytes for subject in subjects]
        return _Loaded(
            rows=[[row for row in rows if row.instance == number] for number in range(len(subjects))],
            growth_bytes=[end - begin for begin, end in zip(before, after, strict=True)],
            noted=[subject.noted() for subject in subjects],
            before=spans_before,
        )

    def _warm_up(self, subject: Subject) -> None:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            for number in range(WARM_UP):
                request = self._plan.app.request[number % len(self._plan.app.request)]
                try:
                    client.request(
                        request.method,
                        subject.instance.url + request.path,
                        content=request.content or None,
                        headers=request.all_headers,
                    )
                except httpx.HTTPError as error:
                    raise ServiceError(
                        f"{subject.instance.setup.name} does not answer {request.label}: "
                        f"{str(error) or type(error).__name__}",
                        "`tracing-overhead check` tries an app file",
                    ) from None

    def conclude(self, fault: Fault, subjects: Sequence[Subject], loaded: _Loaded) -> Iterator[Cell]:
        """Stop all instances, the fault still there, and count what has arrived."""
        ending = [self._pool.submit(subject.instance.end, "SIGTERM", STOP_LIMIT_S) for subject in subjects]
        stops_s = [one.result() for one in ending]
        noted = [subject.noted() for subject in subjects]
        for subject in subjects:
            subject.instance.stop()
            with contextlib.suppress(ValueError):
                self._testbed.instances.remove(subject.instance)
            for proxy in subject.proxies.values():
                proxy.close()
        receiver = self._testbed.receiver
        receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)
        receiver.answer(HEALTHY)
        accounts = receiver.close_accounts(CloseAccounts(replicate=0))
        for number, subject in enumerate(subjects):
            # An untraced instance has the baseline's label, whatever it is called.
            label = BASELINE if subject.setup.tracing == "none" else f"{fault}.{subject.setup.name}"
            account = accounts.get(label, Account())
            cell = self._cell(fault, subject, account, loaded, number, noted[number], stops_s[number])
            if fault is Fault.NONE:
                _require_sound(cell)
            yield cell

    def _cell(  # noqa: PLR0913, PLR0917 - what a cell is made of
        self,
        fault: Fault,
        subject: Subject,
        account: Account,
        loaded: _Loaded,
        number: int,
        noted: Sequence[tuple[int, int]],
        stop_s: float,
    ) -> Cell:
        rows = loaded.rows[number]
        expected = [request.statuses for request in self._plan.app.request]
        good = [row for row in rows if row.status in expected[row.request]]
        in_time = [row for row in good if row.done_ns - row.planned_ns <= TIMEOUT_S * 1e9]
        first = min((row.planned_ns for row in rows), default=0)
        last = max((row.done_ns for row in rows), default=0)
        stalls = [stall_ns for _, stall_ns in loaded.noted[number]]
        received = sum(account.spans.values()) - account.duplicated
        return Cell(
            fault=fault,
            setup=subject.setup.name,
            latencies_s=tuple((row.done_ns - row.planned_ns) / 1e9 for row in in_time),
            failed=len(rows) - len(in_time),
            duration_s=(last - first) / 1e9,
            stall_s=max(stalls) / 1e9 if stalls else None,
            growth_bytes=loaded.growth_bytes[number],
            made=self._made(fault, subject, noted, loaded.before[number], len(rows), len(good), received),
            received=received,
            duplicated=account.duplicated,
            rejected=account.rejected,
            stop_s=stop_s,
            stop_limit_s=STOP_LIMIT_S,
        )

    def _made(  # noqa: PLR0913, PLR0917 - what it can be known from
        self,
        fault: Fault,
        subject: Subject,
        noted: Sequence[tuple[int, int]],
        before: int,
        sent: int,
        completed: int,
        received: int,
    ) -> int | None:
        """Spans that were made: as the application notes, or from what a healthy backend got a request.

        None where nobody can know: what a request has made that failed.
        """
        if subject.setup.tracing == "none":
            return 0
        if noted:
            return sum(spans for spans, _ in noted) - before
        if fault is Fault.NONE and completed and received % completed == 0:
            self._per_request[subject.setup.name] = received // completed
        each = self._per_request.get(subject.setup.name)
        return None if each is None or completed < sent else each * completed


def _require_sound(cell: Cell) -> None:
    """Raise MeasurementError where the healthy backend already shows that nothing can be compared with it."""
    if cell.failed > cell.requests * MOST_FAILED:
        raise MeasurementError(
            f"{cell.failed} of {cell.requests} requests of {cell.setup} fail with a healthy backend",
            "fewer clients with --rate, or see what `tracing-overhead check` says",
        )
    if cell.setup == BASELINE and cell.received:
        raise MeasurementError("the untraced setup exports spans", "`tracing-overhead check` says why")
    if cell.setup != BASELINE and not cell.received:
        raise MeasurementError(
            f"nothing of {cell.setup} arrives at a healthy backend",
            "does the application read OTEL_EXPORTER_OTLP_ENDPOINT and _PROTOCOL, and have the exporter?",
        )


def _sleep_until(moment_s: float) -> None:
    time.sleep(max(moment_s - time.monotonic(), 0.0))
