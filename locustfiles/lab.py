"""What a person explores in Locust's web UI: one set-up's fleet at a time, and what it has used so far.

Rule 1: a run brings its fleet up and takes it down; the services of one run never meet another's load.
Rule 2: what is shown live is read while the run goes on; what was lost is known only after the
last flush, and not shown before.
Rule 3: this is for looking. Runs one after another meet a different machine each time.
"""

import contextlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from bench import machine
from bench.errors import BenchError
from bench.fleet import Fleet, environ_of
from bench.ledger import ledger_of
from bench.load import CHECKOUT
from bench.model import BASELINE, Account, FleetReading, Setup
from bench.setups import shape
from bench.sink import Sink

STOP_LIMIT_S = 3.0
CONNECTIONS = 10
"""To each upstream: enough for some dozen users and an upstream that takes its time."""
WARM_UP = 10
"""Checkouts before the first that counts."""
WARM_UP_LIMIT_S = 5.0
MIN_SAMPLES = {0.5: 2, 0.95: 20, 0.99: 100}
"""Fewer requests than these do not have such a percentile at all."""


@dataclass(slots=True)
class Run:
    """A set-up as a person ran it.

    Attributes:
        setup: which.
        payment_delay: of payment-service, as typed.
        inventory_delay: of inventory-service, as typed.
        started_s: on the monotonic clock.
        length_s: from the first user to the last, or until now.
        latencies_s: of completed checkouts, from the actual send.
        failed: checkouts answered otherwise or not at all.
        cpu_s: of the four services.
        spans: at the sink so far.
        exported_bytes: over the wire so far.
        lost: spans that never came; absent while it runs.
        ended: whether it was stopped and flushed.
    """

    setup: Setup
    payment_delay: str
    inventory_delay: str
    started_s: float
    length_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    cpu_s: float = 0.0
    spans: int = 0
    exported_bytes: int = 0
    lost: int | None = None
    ended: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two runs the same experiment."""
        return self.setup.name, self.payment_delay, self.inventory_delay

    @property
    def cpu_per_checkout_s(self) -> float | None:
        """Mean over its checkouts, its start and its idle time included."""
        return self.cpu_s / len(self.latencies_s) if self.latencies_s else None

    def percentile_s(self, q: float) -> float | None:
        """Of latency; absent with too few samples."""
        if len(self.latencies_s) < MIN_SAMPLES[q]:
            return None
        return float(np.quantile(self.latencies_s, q))


class Lab:
    """The sink, the fleet of the run that goes on, and all runs so far.

    Attributes:
        error: why the last run could not start, as a sentence and a hint; absent if it could.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-web-")
        self._logs = Path(self._folder.name)
        _, self._services_cpus, _ = machine.split_cpus(pinned=True)
        self._sink = Sink(self._logs)
        self._fleet: Fleet | None = None
        self._run: Run | None = None
        self._cpu_ns = 0
        self._runs: dict[tuple[str, str, str], Run] = {}
        self.error: str | None = None

    def start(self, setup: Setup, payment_delay: str, inventory_delay: str) -> str | None:
        """Brings a set-up's fleet up; returns its address, or nothing if that failed (see `error`)."""
        self.stop()
        self.error = None
        options = (
            "--connections", str(CONNECTIONS),
            "--payment-delay", payment_delay, "--inventory-delay", inventory_delay,
        )  # fmt: skip
        try:
            environ = environ_of(setup, hash_seed=1, endpoints=self._sink.endpoints)
            fleet = Fleet(setup, environ, self._logs, options)
            try:
                fleet.wait_until_ready()
                if self._services_cpus:
                    fleet.pin(self._services_cpus)
                self._warm_up(fleet)
                self._cpu_ns = sum(fleet.cpu_ns().values())
            except BaseException:
                fleet.stop(time.monotonic() + STOP_LIMIT_S)
                raise
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
            return None
        self._fleet = fleet
        self._run = Run(setup, payment_delay, inventory_delay, started_s=time.monotonic())
        self._runs.pop(self._run.key, None)
        self._runs[self._run.key] = self._run
        return fleet.url.removesuffix("/checkout")

    def _warm_up(self, fleet: Fleet) -> None:
        """The first checkouts of a process cost several times as much as later ones; nobody sees these."""
        with httpx.Client(timeout=WARM_UP_LIMIT_S, trust_env=False) as client:
            for _ in range(WARM_UP):
                with contextlib.suppress(httpx.HTTPError):
                    client.post(fleet.url, json=CHECKOUT)
        fleet.flush()
        self._sink.account({})

    def note(self, latency_s: float, *, completed: bool) -> None:
        """One checkout of the run that goes on."""
        if self._run is None:
            return
        if completed:
            self._run.latencies_s.append(latency_s)
        else:
            self._run.failed += 1

    def read(self) -> None:
        """Reads the meters of the run that goes on."""
        run, fleet = self._run, self._fleet
        if run is None or fleet is None:
            return
        try:
            run.cpu_s = (sum(fleet.cpu_ns().values()) - self._cpu_ns) / 1e9
            seen = self._sink.peek().get(run.setup.name)
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
            return
        run.length_s = time.monotonic() - run.started_s
        if seen:
            run.spans, run.exported_bytes = seen.spans, seen.bytes

    def stop(self) -> None:
        """Flushes the run that goes on, takes its account, and takes its fleet down."""
        run, fleet = self._run, self._fleet
        self._run = self._fleet = None
        if run is None or fleet is None:
            return
        try:
            run.length_s = time.monotonic() - run.started_s
            fleet.flush()
            run.cpu_s = (sum(fleet.cpu_ns().values()) - self._cpu_ns) / 1e9
            self._take_account(run)
        except BenchError as error:
            self.error = f"{error} - {error.hint}"
        finally:
            run.ended = True
            fleet.stop(time.monotonic() + STOP_LIMIT_S)

    def _take_account(self, run: Run) -> None:
        name = run.setup.name
        account = self._sink.account({name: shape(run.setup)}).get(name, Account())
        reading = FleetReading(
            setup=name, cpu_ns={}, completed=len(run.latencies_s), failed=run.failed, account=account
        )
        found = ledger_of(run.setup, [reading])
        run.spans, run.exported_bytes, run.lost = found.spans_received, found.bytes, found.lost

    def close(self) -> None:
        """No process of the lab is left."""
        self.stop()
        self._sink.stop()
        self._folder.cleanup()

    def rows(self) -> list[dict[str, object]]:
        """All runs so far, side by side with the baseline's at the same delays."""
        self.read()
        bases = {run.key[1:]: run for run in self._runs.values() if run.setup.name == BASELINE}
        runs = sorted(self._runs.values(), key=lambda run: run.setup.name != BASELINE)
        return [_row(run, bases.get(run.key[1:]), is_running=run is self._run) for run in runs]


def _row(run: Run, base: Run | None, *, is_running: bool) -> dict[str, object]:
    """A run's figures with their units in the names; None for what is not known."""
    cpu = run.cpu_per_checkout_s
    base_cpu = base.cpu_per_checkout_s if base and base is not run else None
    extra = cpu - base_cpu if cpu is not None and base_cpu is not None else None
    delays = [
        f"{name} {delay}"
        for name, delay in (("payment", run.payment_delay), ("inventory", run.inventory_delay))
        if delay not in {"0", "0ms", "0s"}
    ]
    return {
        "setup": run.setup.name,
        "delays": ", ".join(delays),
        "running": is_running,
        "seconds": round(run.length_s, 1),
        "checkouts": len(run.latencies_s),
        "failed": run.failed,
        "checkouts_per_s": _rounded(len(run.latencies_s) / run.length_s if run.length_s else None, 1),
        "p50_ms": _ms(run.percentile_s(0.5)),
        "p95_ms": _ms(run.percentile_s(0.95)),
        "p99_ms": _ms(run.percentile_s(0.99)),
        "cpu_ms_per_checkout": _ms(cpu),
        "extra_cpu_ms": _ms(extra),
        "extra_cpu_percent": _rounded(extra / base_cpu * 100 if extra is not None and base_cpu else None, 0),
        "spans_received": run.spans,
        "spans_lost": run.lost,
        "exported_bytes": run.exported_bytes,
    }


def _ms(seconds: float | None) -> float | None:
    return _rounded(seconds * 1e3 if seconds is not None else None, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
