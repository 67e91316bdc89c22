"""Times the operations: round after round, in an order shuffled anew.

A worker runs alone; nothing is timed while another one starts.
All workers of a round have the same hash seed, those of another round another one.
What was read is on disk after every round, as a file that pyperf reads.
"""

import io
import queue
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pyperf

from bench.errors import ServiceError
from bench.micro.operations import Operation
from bench.runner.run import Progress
from bench.sink.messages import CloseAccounts
from bench.testbed.echo import start_echo
from bench.testbed.process import ROOT, plain_environ
from bench.testbed.workplace import Workplace

ROUNDS = 5
FAST_ROUNDS = 2
VALUES = 3
MIN_TIME_S = 0.02
"""One value takes at least so long; ten thousand times the clock's resolution."""
FAST_MIN_TIME_S = 0.005
LIMIT_S = 60.0
STOP_LIMIT_S = 3.0
MAX_LANES = 4
"""Workers at the same time in a try; more would only heat the machine."""
SECRET_METADATA = frozenset(
    {"hostname", "python_executable", "python_config_args", "command", "user", "boot_time"}
)
"""A result is sent to colleagues: no host name, no path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """How it went.

    Attributes:
        failures: operations that could not prove what they are, and why.
        steal: share of a core that the host took away.
    """

    failures: dict[str, str] = field(default_factory=dict)
    steal: float = 0.0


class Bench:
    """The sink, the echo service and the workers of a microbenchmark.

    Attributes:
        endpoints: the sink's addresses by OTLP protocol.
    """

    def __init__(self, place: Workplace) -> None:
        self._cpus, self._logs, self._sink = place.cpus, place.logs, place.sink
        child, echo = start_echo(place.logs, place.cpus.others)
        place.parts.callback(child.stop, STOP_LIMIT_S)
        self.endpoints = self._sink.endpoints
        self._environ = plain_environ() | {
            "BENCH_ECHO": echo,
            "BENCH_SINK_HTTP": self.endpoints["http/protobuf"],
            "BENCH_SINK_GRPC": self.endpoints["grpc"],
        }

    def read(
        self, operation: Operation, cpu: int | None, environ: Mapping[str, str], options: Sequence[str]
    ) -> pyperf.Run:
        """One reading by a fresh process.

        Args:
            operation: what is timed.
            cpu: where; absent: anywhere.
            environ: what the worker's environment has beside ours.
            options: loops and what follows of the worker's command line.

        Raises:
            ServiceError: the worker failed; the message says why.
        """
        file = self._logs / f"reading-{cpu}.json"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.micro.worker", operation.name, *options, "-o", str(file)]
        try:
            done = subprocess.run(
                _placed(command, cpu),
                cwd=ROOT,
                env={**self._environ, **environ},
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ServiceError(f"it took longer than {LIMIT_S:g} s", "is the machine busy?") from None
        if done.returncode or not file.exists():
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["it said nothing"]
            raise ServiceError(last[0].removeprefix(f"{operation.name}: "), "see the other operations")
        return pyperf.Benchmark.load(str(file)).get_runs()[0]

    def forget(self) -> None:
        """The sink keeps nothing of what came so far.

        Raises:
            ServiceError: it has died.
        """
        self._sink.close_accounts(CloseAccounts(epoch=0))

    def cpus(self, *, fast: bool) -> tuple[int | None, ...]:
        """Where workers run: on the CPU that services have in a measured run, or on all of them."""
        services, others = self._cpus.services, self._cpus.others
        return (*services, *others)[:MAX_LANES] or (None,) if fast else services or (None,)


def measure(  # noqa: PLR0913 - what a measurement is
    bench: Bench,
    operations: Sequence[Operation],
    rounds: int,
    *,
    fast: bool,
    seed: int,
    keep: Callable[[bytes], None],
    shown: Progress,
) -> Timed:
    """Every operation timed once a round.

    Args:
        bench: what it is done with.
        operations: the reference among them.
        rounds: how often.
        fast: with shorter values, and on all CPUs at the same time.
        seed: of the orders and of the hash seeds.
        keep: called with pyperf's file after every round.
        shown: who is told.

    Raises:
        ServiceError: the sink has died.
    """
    steal_s, started = psutil.cpu_times().steal, time.monotonic()
    min_time_s = FAST_MIN_TIME_S if fast else MIN_TIME_S
    loops: dict[str, int] = {}
    failures: dict[str, str] = {}
    runs: dict[str, list[pyperf.Run]] = {}
    for number in range(rounds):
        environ = {"PYTHONHASHSEED": str(random.Random(f"{seed}-{number}").randrange(1, 2**32))}

        def read(operation: Operation, cpu: int | None, number: int = number,
                 environ: Mapping[str, str] = environ) -> None:  # fmt: skip
            shown.say(f"round {number + 1} of {rounds}", operation.name)
            count = str(loops.get(operation.name, 0))
            options = [count, str(min_time_s), "-w", "1", "-n", str(VALUES)]
            try:
                run = bench.read(operation, cpu, environ, options)
            except ServiceError as error:
                failures[operation.name] = str(error)
                return
            loops.setdefault(operation.name, run.get_loops())
            runs.setdefault(operation.name, []).append(_clean(run, number))

        _everywhere(in_order(operations, number, seed), bench.cpus(fast=fast), failures, read)
        bench.forget()
        kept = [pyperf.Benchmark(each) for name, each in runs.items() if name not in failures]
        if kept:
            text = io.StringIO()
            pyperf.BenchmarkSuite(kept).dump(text)
            keep(text.getvalue().encode())
    steal = (psutil.cpu_times().steal - steal_s) / (time.monotonic() - started)
    return Timed(failures=failures, steal=steal)


def _everywhere(
    order: Sequence[Operation],
    cpus: Sequence[int | None],
    failures: Mapping[str, str],
    read: Callable[[Operation, int | None], None],
) -> None:
    """Reads operation after operation, as many at a time as there are CPUs."""
    free: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for cpu in cpus:
        free.put(cpu)

    def one(operation: Operation) -> None:
        cpu = free.get()
        try:
            if operation.name not in failures:
                read(operation, cpu)
        finally:
            free.put(cpu)

    with ThreadPoolExecutor(len(cpus)) as pool:
        try:
            for future in [pool.submit(one, each) for each in order]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def in_order(operations: Sequence[Operation], number: int, seed: int) -> list[Operation]:
    """A round's order."""
    shuffled = list(operations)
    random.Random(f"{seed}-order-{number}").shuffle(shuffled)
    return shuffled


def _clean(run: pyperf.Run, number: int) -> pyperf.Run:
    """A run without what nobody else needs to know, and with its round."""
    metadata = {name: value for name, value in run.get_metadata().items() if name not in SECRET_METADATA}
    return pyperf.Run(
        run.values, warmups=list(run.warmups), metadata={**metadata, "round": number}, collect_metadata=False
    )


def _placed(command: list[str], cpu: int | None) -> list[str]:
    """The command on a CPU."""
    if cpu is None:
        return command
    start = f"import os,sys;os.sched_setaffinity(0,{{{cpu}}});os.execv(sys.argv[1],sys.argv[1:])"
    return [sys.executable, "-S", "-c", start, *command]
