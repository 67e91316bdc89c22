"""Lets the tracing backend fail under load, one fault after the other.

All setups of a fault run side by side, each with its own way to the backend; the untraced one shows what the
machine does to all of them.
"""

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx
import msgspec

from bench.app.records import BASELINE, App, Setup
from bench.errors import MeasurementError, ServiceError
from bench.plan.readings import Account, RequestRow
from bench.plan.records import Plan
from bench.receiver.messages import Answering, CloseAccounts
from bench.runner.run import Progress
from bench.studies.faults.figures import Fault, FaultResult
from bench.testbed.environ import Launch, Place
from bench.testbed.instance import LocalInstance
from bench.testbed.options import Options
from bench.testbed.orders import Steady, order_without_slices
from bench.testbed.ports import free_ports
from bench.testbed.proxy import LinkState, Proxy
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
"""Numbers in a usage file: ended spans, longest stall in ns, time of the loop's last run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Imposed:
    """How a fault is made.

    Attributes:
        answering: how the backend answers.
        way: what happens to the connections to it.
        env: further variables of the processor.
        signal: what the first process gets in the middle of the load; empty: nothing.
        load_s: length of the load.
        back_s: when the backend is back; 0: not during the load.
    """

    answering: Answering = HEALTHY
    way: LinkState = LinkState.OPEN
    env: tuple[tuple[str, str], ...] = ()
    signal: str = ""
    load_s: float = LOAD_S
    back_s: float = 0.0


IMPOSED = {
    Fault.NONE: Imposed(),
    Fault.CUT: Imposed(way=LinkState.CUT),
    Fault.MUTE: Imposed(way=LinkState.MUTE),
    Fault.UNAVAILABLE: Imposed(answering=Answering(status=503)),
    Fault.LATER: Imposed(answering=Answering(status=503, retry_after_s=30)),
    Fault.ERROR: Imposed(answering=Answering(status=500)),
    Fault.SLOW: Imposed(answering=Answering(delay_s=2.0)),
    Fault.DRIP: Imposed(way=LinkState.DRIP),
    Fault.GONE: Imposed(way=LinkState.CUT, load_s=GONE_S + BACK_S, back_s=GONE_S),
    Fault.OVERFLOW: Imposed(env=tuple(SMALL_QUEUE.items())),
    Fault.TERM: Imposed(signal="SIGTERM"),
    Fault.KILL: Imposed(signal="SIGKILL"),
}


def results(
    plan: Plan, place: Place, faults: Sequence[Fault], rate_per_s: float, progress: Progress
) -> Iterator[FaultResult]:
    """Impose one fault after the other.

    Args:
        plan: with the application and its setups.
        place: where it is started from.
        faults: the healthy backend first, with which all others are compared.
        rate_per_s: requests per second to each setup.
        progress: displays what is going on.

    Raises:
        ServiceError: a process does not start, or the load fails.
        MeasurementError: nothing can be compared with the healthy backend.
    """
    with contextlib.ExitStack() as stack:
        testbed = Testbed(plan, Options(place=place))
        stack.callback(testbed.close)
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(plan.setups) + 1))
        # Before the pool is shut down: stopping instances unblocks the pool.
        stack.callback(testbed.stop_instances)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        series = _Series(testbed, plan, pool, rate_per_s)
        waiting: Future[tuple[_Faulty, ...]] | None = None
        for number, fault in enumerate(faults):
            progress.say(f"{fault}: fresh processes")
            instances = waiting.result() if waiting else series.start(fault)
            progress.say(f"{fault}: under load")
            series.load(fault, instances)
            progress.say(f"{fault}: stopping")
            # Stopping is mostly waiting; the next instances can start meanwhile.
            following = faults[number + 1] if number + 1 < len(faults) else None
            waiting = pool.submit(series.start, following) if following else None
            yield from series.conclude(fault, instances)


class _Faulty:
    """An instance with its own way to the backend, and what was observed of it under one fault.

    Attributes:
        setup: how it is traced.
        instance: its processes.
        rows: its requests.
        stall_s: the longest silence of an event loop under load; None where no process notes it.
        growth_bytes: of memory under load.
    """

    def __init__(self, setup: Setup, launch: Launch, testbed: Testbed) -> None:
        self.setup = setup
        self._launch = launch
        ports = {name: urlsplit(url).port or 0 for name, url in testbed.endpoints.items()}
        self._proxies = {name: Proxy(port) for name, port in ports.items()}
        endpoints = {name: proxy.url for name, proxy in self._proxies.items()}
        self.instance: LocalInstance = testbed.start_instance(replace(launch, endpoints=endpoints))
        self.rows: list[RequestRow] = []
        self.stall_s: float | None = None
        self.growth_bytes = self._spans_before = self._memory_before = 0

    def become(self, way: LinkState) -> None:
        """Change its way to the backend."""
        for proxy in self._proxies.values():
            proxy.become(way)

    def before_load(self) -> None:
        """Read its memory and its usage files, and forget its stalls so far."""
        self._spans_before = sum(spans for spans, _ in self._usage())
        for process in self._launch.app.process:
            path = self._launch.usage_file(process)
            if path.exists():
                with path.open("r+b") as file:
                    file.seek(8)
                    file.write(bytes(8))
        self.instance.let_go()
        self._memory_before = self.instance.memory().uss_bytes

    def after_load(self, rows: Sequence[RequestRow]) -> None:
        """Keep its requests, and read its memory and its stalls."""
        self.rows = list(rows)
        self.growth_bytes = self.instance.memory().uss_bytes - self._memory_before
        stalls = [stall_ns for _, stall_ns in self._usage()]
        self.stall_s = max(stalls) / 1e9 if stalls else None

    def made(self) -> int | None:
        """Spans that ended since before the fault; None where no process notes them."""
        usage = self._usage()
        return sum(spans for spans, _ in usage) - self._spans_before if usage else None

    def close(self) -> None:
        """Stop what is left of it."""
        self.instance.stop()
        for proxy in self._proxies.values():
            proxy.close()

    def _usage(self) -> list[tuple[int, int]]:
        """Spans and the longest stall in ns, including a current one, of every process that notes them."""
        usage = []
        for process in self._launch.app.process:
            path = self._launch.usage_file(process)
            if path.exists():
                spans, stall_ns, awake_ns = USAGE_NUMBERS.unpack(path.read_bytes())
                if awake_ns and self.instance.is_running(process.name):
                    stall_ns = max(stall_ns, time.monotonic_ns() - awake_ns)
                usage.append((spans, stall_ns))
        return usage


class _Series:
    """Starts, loads and stops the instances of one fault after the other."""

    def __init__(self, testbed: Testbed, plan: Plan, pool: ThreadPoolExecutor, rate_per_s: float) -> None:
        self._testbed = testbed
        self._plan = plan
        self._pool = pool
        self._rate_per_s = rate_per_s
        self._per_request: dict[str, int] = {}

    def start(self, fault: Fault) -> tuple[_Faulty, ...]:
        """Fresh instances of all setups, side by side."""
        count = len(self._plan.app.process)
        ports = free_ports(count * len(self._plan.setups))
        started = [
            self._pool.submit(self._start, fault, setup, ports[number * count : (number + 1) * count])
            for number, setup in enumerate(self._plan.setups)
        ]
        return tuple(one.result() for one in started)

    def _start(self, fault: Fault, setup: Setup, ports: Sequence[int]) -> _Faulty:
        named = msgspec.structs.replace(
            setup, name=f"{fault}.{setup.name}", env=setup.env | dict(IMPOSED[fault].env)
        )
        launch = replace(self._testbed.launch(self._plan, named, 0, ports), has_usage_files=True)
        faulty = _Faulty(setup, launch, self._testbed)
        self._testbed.instances.append(faulty.instance)
        return faulty

    def load(self, fault: Fault, instances: Sequence[_Faulty]) -> None:
        """Warm up, impose the fault, and send requests at planned times."""
        imposed, receiver = IMPOSED[fault], self._testbed.receiver
        for faulty in instances:
            _warm_up(faulty.instance, self._plan.app)
        # Export the spans from before the fault now, so that they are not counted.
        list(self._pool.map(lambda faulty: faulty.instance.flush(), instances))
        receiver.wait_until_quiet(QUIET_S if self._plan.app.tracing.flush else BATCH_S, QUIET_LIMIT_S)
        receiver.close_accounts(CloseAccounts(replicate=0))
        for faulty in instances:
            faulty.before_load()
        receiver.answer(imposed.answering)
        for faulty in instances:
            faulty.become(imposed.way)
        order = order_without_slices(
            self._plan,
            self._testbed.load,
            {faulty.setup.name: faulty.instance.url for faulty in instances},
            # A little longer than any client waits.
            (TIMEOUT_S + 1.0) / 3,
            Steady(seconds=imposed.load_s, rate_per_s=self._rate_per_s),
        )
        self._testbed.load.send(order)
        if imposed.signal:
            _sleep_until(order.start_ns / 1e9 + imposed.load_s / 2)
            for faulty in instances:
                faulty.instance.signal_first(imposed.signal)
        if imposed.back_s:
            _sleep_until(order.start_ns / 1e9 + imposed.back_s)
            for faulty in instances:
                faulty.become(LinkState.OPEN)
        rows = self._testbed.load.rows()
        for number, faulty in enumerate(instances):
            faulty.after_load([row for row in rows if row.instance == number])

    def conclude(self, fault: Fault, instances: Sequence[_Faulty]) -> Iterator[FaultResult]:
        """Stop all instances while the fault lasts, and count what has arrived."""
        stopping = [self._pool.submit(faulty.instance.end, "SIGTERM", STOP_LIMIT_S) for faulty in instances]
        stops_s = [one.result() for one in stopping]
        made = [faulty.made() for faulty in instances]
        for faulty in instances:
            faulty.close()
            with contextlib.suppress(ValueError):
                self._testbed.instances.remove(faulty.instance)
        receiver = self._testbed.receiver
        receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)
        receiver.answer(HEALTHY)
        accounts = receiver.close_accounts(CloseAccounts(replicate=0))
        for faulty, stop_s, counted in zip(instances, stops_s, made, strict=True):
            # Every untraced instance has the baseline's label.
            is_traced = faulty.setup.tracing != "none"
            label = f"{fault}.{faulty.setup.name}" if is_traced else BASELINE
            result = self._result(fault, faulty, accounts.get(label, Account()), counted, stop_s)
            if fault is Fault.NONE:
                _require_sound(result)
            yield result

    def _result(
        self, fault: Fault, faulty: _Faulty, account: Account, counted: int | None, stop_s: float
    ) -> FaultResult:
        rows = faulty.rows
        expected = self._plan.app.statuses
        good = [row for row in rows if row.status in expected[row.request]]
        in_time = [row for row in good if row.done_ns - row.planned_ns <= TIMEOUT_S * 1e9]
        first = min((row.planned_ns for row in rows), default=0)
        last = max((row.done_ns for row in rows), default=0)
        received = sum(account.spans.values()) - account.duplicated
        if fault is Fault.NONE and good and received % len(good) == 0:
            self._per_request[faulty.setup.name] = received // len(good)
        made = counted
        if faulty.setup.tracing == "none":
            made = 0
        elif counted is None:
            # Without usage files: the spans per request at a healthy backend, if no request failed.
            each = self._per_request.get(faulty.setup.name)
            made = None if each is None or len(good) < len(rows) else each * len(good)
        return FaultResult(
            fault=fault,
            setup=faulty.setup.name,
            latencies_s=tuple((row.done_ns - row.planned_ns) / 1e9 for row in in_time),
            failed=len(rows) - len(in_time),
            duration_s=(last - first) / 1e9,
            stall_s=faulty.stall_s,
            growth_bytes=faulty.growth_bytes,
            made=made,
            received=received,
            duplicated=account.duplicated,
            rejected=account.rejected,
            stop_s=stop_s,
            stop_limit_s=STOP_LIMIT_S,
        )


def _warm_up(instance: LocalInstance, app: App) -> None:
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        for number in range(WARM_UP):
            request = app.request[number % len(app.request)]
            try:
                client.request(
                    request.method,
                    instance.url + request.path,
                    content=request.content or None,
                    headers=request.all_headers,
                )
            except httpx.HTTPError as error:
                raise ServiceError(
                    f"{instance.setup.name} does not answer {request.label}: "
                    f"{str(error) or type(error).__name__}",
                    "`tracing-overhead check FILE` tries an app file",
                ) from None


def _require_sound(result: FaultResult) -> None:
    """Raise MeasurementError if nothing can be compared with the healthy backend."""
    if result.failed > result.requests * MOST_FAILED:
        raise MeasurementError(
            f"{result.failed} of {result.requests} requests of {result.setup} fail with a healthy backend",
            "lower --rate, or see what `tracing-overhead check FILE` says",
        )
    if result.setup == BASELINE and result.received:
        raise MeasurementError("the untraced setup exports spans", "`tracing-overhead check FILE` says why")
    if result.setup != BASELINE and not result.received:
        raise MeasurementError(
            f"nothing of {result.setup} arrives at a healthy backend",
            "install its exporter, and let it read OTEL_EXPORTER_OTLP_ENDPOINT and "
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        )


def _sleep_until(moment_s: float) -> None:
    time.sleep(max(moment_s - time.monotonic(), 0.0))
