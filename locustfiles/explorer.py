"""What a person explores in Locust's web UI: one setup's instance at a time, and what it has used so far.

A run brings its instance up and takes it down; the processes of one run never meet another's load. What
was lost is known only after the last flush, and not shown before. This is for looking: runs one after
another meet a different machine each time.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field

import httpx
import msgspec
import numpy as np

from bench.analysis.accounting import Traffic, balance
from bench.app.records import BASELINE, App, Setup
from bench.app.setups import declared_spans
from bench.errors import BenchError
from bench.plan.readings import Account
from bench.plan.records import Learned
from bench.receiver.messages import CloseAccounts
from bench.testbed import machine
from bench.testbed.environ import Place
from bench.testbed.instance import LocalInstance
from bench.testbed.options import Options
from bench.testbed.ports import free_ports
from bench.testbed.testbed import Testbed
from bench.traces.scenario import DELAYS, single_request_plan

CONNECTIONS = "--connections 10"
"""To each upstream: enough for some dozen users and an upstream that takes its time."""
WARM_UP = 10
"""Requests before the first that counts."""
WARM_UP_LIMIT_S = 5.0
MIN_SAMPLES = {0.5: 2, 0.95: 20, 0.99: 100}
"""Fewer requests than these do not have such a percentile at all."""


@dataclass(slots=True)
class Run:
    """A setup as a person ran it.

    Attributes:
        setup: which.
        delays: of the built-in application's services, as typed, by process.
        started_s: on the monotonic clock.
        length_s: from the first user to the last, or until now.
        latencies_s: of completed requests, from the actual send.
        failed: requests answered otherwise or not at all.
        cpu_s: of all processes.
        spans: at the receiver so far.
        exported_bytes: over the wire so far.
        lost: spans that never came; None while it runs, or where it is unknown.
    """

    setup: Setup
    delays: dict[str, str]
    started_s: float
    length_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    cpu_s: float = 0.0
    spans: int = 0
    exported_bytes: int = 0
    lost: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two runs the same experiment."""
        return self.setup.name, str(sorted(self.delays.items()))

    @property
    def cpu_per_request_s(self) -> float | None:
        """Mean over its requests, its idle time included."""
        return self.cpu_s / len(self.latencies_s) if self.latencies_s else None

    def percentile_s(self, q: float) -> float | None:
        """A percentile of latency; None with too few samples."""
        if len(self.latencies_s) < MIN_SAMPLES[q]:
            return None
        return float(np.quantile(self.latencies_s, q))


class Explorer:
    """The receiver, the instance of the run that goes on, and all runs so far.

    Attributes:
        app: what is explored.
        error: why the last run could not start, as a sentence and a hint; None if it could.
    """

    def __init__(self, app: App, place: Place) -> None:
        self.app = app
        self._cpus = machine.split_cpus(pinned=True).services
        self._plan = single_request_plan(app, Setup(name=BASELINE, tracing="none"))
        self._testbed = Testbed(self._plan, Options(place=place, load=False))
        self._instance: LocalInstance | None = None
        self._run: Run | None = None
        self._cpu_ns = 0
        self._number = 0
        self._runs: dict[tuple[str, str], Run] = {}
        self._changing = threading.RLock()
        self._is_unwanted = False
        self.error: str | None = None

    def start(self, setup: Setup, delays: dict[str, str]) -> str | None:
        """Bring a setup's instance up; returns its address.

        None if that failed (see `error`), or if somebody has asked to stop meanwhile.
        """
        self._is_unwanted = False
        with self._changing:
            self._stop()
            return self._start(setup, delays)

    def _start(self, setup: Setup, delays: dict[str, str]) -> str | None:
        self.error = None
        self._number += 1
        plan = single_request_plan(_delayed(self.app, delays), setup)
        try:
            ports = free_ports(len(plan.app.process))
            launch = self._testbed.launch(plan, setup, 0, ports, f"{setup.name}-{self._number}")
            instance = self._testbed.start_instance(launch, self._cpus)
            self._testbed.instances.append(instance)
            if self._is_unwanted:
                self._testbed.stop_instances()
                return None
            self._warm_up(instance)
            self._testbed.receiver.close_accounts(CloseAccounts(replicate=0))
            self._cpu_ns = instance.cpu_ns()
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
            self._testbed.stop_instances()
            return None
        self._instance = instance
        self._run = Run(setup, delays, started_s=time.monotonic())
        self._runs.pop(self._run.key, None)
        self._runs[self._run.key] = self._run
        return instance.url

    def _warm_up(self, instance: LocalInstance) -> None:
        """The first requests of a process cost several times as much as later ones; these are not shown."""
        with httpx.Client(timeout=WARM_UP_LIMIT_S, trust_env=False) as client:
            for number in range(WARM_UP):
                request = self.app.request[number % len(self.app.request)]
                with contextlib.suppress(httpx.HTTPError):
                    client.request(
                        request.method,
                        instance.url + request.path,
                        content=request.content or None,
                        headers=request.all_headers,
                    )
        self._testbed.settle(single_request_plan(self.app, instance.setup))

    def note(self, latency_s: float, *, completed: bool) -> None:
        """One request of the run that goes on."""
        if self._run is None:
            return
        if completed:
            self._run.latencies_s.append(latency_s)
        else:
            self._run.failed += 1

    def read(self) -> None:
        """Read the meters of the run that goes on."""
        run, instance = self._run, self._instance
        if run is None or instance is None:
            return
        try:
            run.cpu_s = (instance.cpu_ns() - self._cpu_ns) / 1e9
            seen = self._testbed.receiver.peek().get(run.setup.name)
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
            return
        run.length_s = time.monotonic() - run.started_s
        if seen:
            run.spans, run.exported_bytes = seen.spans, seen.bytes

    def stop(self) -> None:
        """Flush the run that goes on, close its account, and take its instance down.

        One that is being started is taken down as soon as it is there: half a start leaves processes behind.
        """
        self._is_unwanted = True
        with self._changing:
            self._stop()

    def _stop(self) -> None:
        run, instance = self._run, self._instance
        self._run = self._instance = None
        if run is None or instance is None:
            return
        try:
            run.length_s = time.monotonic() - run.started_s
            self._testbed.settle(single_request_plan(self.app, run.setup))
            run.cpu_s = (instance.cpu_ns() - self._cpu_ns) / 1e9
            self._close_account(run)
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
        finally:
            self._testbed.stop_instances()

    def _close_account(self, run: Run) -> None:
        declared = declared_spans(self.app, run.setup)
        learned = Learned(shapes={run.setup.name: (declared,)} if declared else {})
        accounts = self._testbed.accounts(learned, 0)
        account = accounts.get(run.setup.name, Account())
        traffic = Traffic(
            account=account, completed=len(run.latencies_s), failed=run.failed, sampled=None, discarded=0
        )
        accounting = balance(learned, run.setup, traffic)
        run.spans, run.exported_bytes = accounting.spans_received, accounting.bytes
        run.lost = accounting.lost if declared else None

    def close(self) -> None:
        """Leave no process of the explorer."""
        self.stop()
        self._testbed.close()

    def rows(self) -> list[dict[str, object]]:
        """All runs so far, side by side with the baseline's at the same delays, from cheap to dear."""
        self.read()
        bases = {run.key[1]: run for run in self._runs.values() if run.setup.name == BASELINE}
        runs = sorted(
            self._runs.values(), key=lambda run: (run.setup.name != BASELINE, run.cpu_per_request_s or 0.0)
        )
        return [_row(run, bases.get(run.key[1]), is_running=run is self._run) for run in runs]


def _delayed(app: App, delays: dict[str, str]) -> App:
    """The built-in application with delays; any other as it is."""
    processes = []
    for process in app.process:
        command = process.command
        if isinstance(command, str) and set(DELAYS) <= {process.name for process in app.process}:
            command = command.replace("--connections 2", CONNECTIONS)
            if process.name in delays:
                command += f" --{DELAYS[process.name]}-delay {delays[process.name]}"
        processes.append(msgspec.structs.replace(process, command=command))
    return msgspec.structs.replace(app, process=processes)


def _row(run: Run, base: Run | None, *, is_running: bool) -> dict[str, object]:
    """A run's figures with their units in the names; None for what is not known."""
    cpu = run.cpu_per_request_s
    base_cpu = base.cpu_per_request_s if base and base is not run else None
    extra = cpu - base_cpu if cpu is not None and base_cpu is not None else None
    delays = [
        f"{DELAYS[process]} {delay}"
        for process, delay in run.delays.items()
        if delay not in {"0", "0ms", "0s"}
    ]
    return {
        "setup": run.setup.name,
        "delays": ", ".join(delays),
        "running": is_running,
        "seconds": round(run.length_s, 1),
        "requests": len(run.latencies_s),
        "failed": run.failed,
        "requests_per_s": _rounded(len(run.latencies_s) / run.length_s if run.length_s else None, 1),
        "p50_ms": _ms(run.percentile_s(0.5)),
        "p95_ms": _ms(run.percentile_s(0.95)),
        "p99_ms": _ms(run.percentile_s(0.99)),
        "cpu_ms_per_request": _ms(cpu),
        "added_cpu_ms": _ms(extra),
        "added_cpu_percent": _rounded(extra / base_cpu * 100 if extra is not None and base_cpu else None, 0),
        "spans_received": run.spans,
        "spans_lost": run.lost,
        "exported_bytes": run.exported_bytes,
    }


def _ms(seconds: float | None) -> float | None:
    return _rounded(seconds * 1e3 if seconds is not None else None, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
