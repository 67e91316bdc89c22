"""Times the operations: round after round, in an order shuffled anew.

A worker runs alone; nothing is timed while another one starts.
All workers of a round have the same hash seed, those of another round another one.
What was read is on disk after every round, as a file that pyperf reads.
"""

import io
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyperf

from bench.errors import ServiceError
from bench.micro.cold import BODY_VARIABLE, URL_VARIABLE
from bench.micro.operations import Operation
from bench.receiver.messages import CloseAccounts
from bench.runner.run import Progress
from bench.testbed.echo import start_echo
from bench.testbed.environ import Launch
from bench.testbed.instance import LocalInstance
from bench.testbed.meter import cpu_times
from bench.testbed.pausing import SignalGroup
from bench.testbed.process import plain_environ, run_to_end
from bench.testbed.receiver import Receiver
from bench.testbed.workplace import Workplace

ROUNDS = 5
FAST_ROUNDS = 2
VALUES = 3
MIN_TIME_S = 0.02
"""One value takes at least so long; ten thousand times the clock's resolution."""
FAST_MIN_TIME_S = 0.005
LIMIT_S = 60.0
STOP_LIMIT_S = 3.0
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
    """The receiver, the echo service and the workers of a microbenchmark.

    Attributes:
        endpoints: the receiver's addresses by OTLP protocol.
    """

    def __init__(self, place: Workplace, neighbour: Launch | None = None) -> None:
        """Start what operations talk to.

        Args:
            place: where.
            neighbour: an application on the same CPU, whose requests come before what is timed with cold
                caches; without one nothing is.

        Raises:
            ServiceError: something does not start.
        """
        self._cpus, self._logs, self._receiver = place.cpus, place.logs, place.receiver
        child, echo = start_echo(place.logs, place.cpus.others)
        place.parts.callback(child.stop, STOP_LIMIT_S)
        self.endpoints = self._receiver.endpoints
        self._environ = plain_environ() | {"BENCH_ECHO": echo} | receiver_variables(self._receiver)
        if neighbour:
            instance = LocalInstance(neighbour, SignalGroup(), place.cpus.services)
            place.parts.callback(instance.stop)
            request = neighbour.app.request[0]
            self._environ |= {URL_VARIABLE: instance.url + request.path, BODY_VARIABLE: request.content}

    def read(self, operation: Operation, environ: Mapping[str, str], options: Sequence[str]) -> pyperf.Run:
        """One reading by a fresh process, on the CPU that the application has in a run.

        Args:
            operation: what is timed.
            environ: what the worker's environment has beside ours.
            options: loops and what follows of the worker's command line.

        Raises:
            ServiceError: the worker failed; the message says why.
        """
        file = self._logs / "reading.json"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bench.micro.worker", operation.name, *options, "-o", str(file)]
        run_to_end(_placed(command, self._cpus.services), {**self._environ, **environ}, LIMIT_S)
        return pyperf.Benchmark.load(str(file)).get_runs()[0]

    def forget(self) -> None:
        """The receiver keeps nothing of what came so far.

        Raises:
            ServiceError: it has died.
        """
        self._receiver.close_accounts(CloseAccounts(replicate=0))


def receiver_variables(receiver: Receiver) -> dict[str, str]:
    """What a worker is told of the receiver."""
    return {
        "BENCH_RECEIVER_HTTP": receiver.endpoints["http/protobuf"],
        "BENCH_RECEIVER_GRPC": receiver.endpoints["grpc"],
        "BENCH_RECEIVER_CONTROL": receiver.control,
    }


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
        fast: with shorter values.
        seed: of the orders and of the hash seeds.
        keep: called with pyperf's file after every round.
        shown: who is told.

    Raises:
        ServiceError: the receiver has died.
    """
    steal_s, started = cpu_times(None)[0], time.monotonic()
    min_time_s = FAST_MIN_TIME_S if fast else MIN_TIME_S
    loops: dict[str, int] = {}
    failures: dict[str, str] = {}
    runs: dict[str, list[pyperf.Run]] = {}
    for number in range(rounds):
        environ = {"PYTHONHASHSEED": str(random.Random(f"{seed}-{number}").randrange(1, 2**32))}
        for operation in in_order(operations, number, seed):
            if operation.name in failures:
                continue
            shown.say(f"round {number + 1} of {rounds}", operation.name)
            count = str(loops.get(operation.name, 0))
            try:
                run = bench.read(operation, environ, [count, str(min_time_s), "-w", "1", "-n", str(VALUES)])
            except ServiceError as error:
                failures[operation.name] = str(error)
                continue
            loops.setdefault(operation.name, run.get_loops())
            runs.setdefault(operation.name, []).append(shareable(run, round=number))
        bench.forget()
        kept = [pyperf.Benchmark(own) for name, own in runs.items() if name not in failures]
        if kept:
            text = io.StringIO()
            pyperf.BenchmarkSuite(kept).dump(text)
            keep(text.getvalue().encode())
    steal = (cpu_times(None)[0] - steal_s) / (time.monotonic() - started)
    return Timed(failures=failures, steal=steal)


def in_order(operations: Sequence[Operation], number: int, seed: int) -> list[Operation]:
    """A round's order."""
    shuffled = list(operations)
    random.Random(f"{seed}-order-{number}").shuffle(shuffled)
    return shuffled


def shareable(run: pyperf.Run, **more: int) -> pyperf.Run:
    """A run without what nobody else needs to know, and with more that they do."""
    metadata = {name: value for name, value in run.get_metadata().items() if name not in SECRET_METADATA}
    return pyperf.Run(run.values, warmups=list(run.warmups), metadata=metadata | more, collect_metadata=False)


def _placed(command: list[str], cpus: Sequence[int]) -> list[str]:
    """The command on these CPUs; on any where there are none."""
    if not cpus:
        return command
    start = f"import os,sys;os.sched_setaffinity(0,{[*cpus]});os.execv(sys.argv[1],sys.argv[1:])"
    return [sys.executable, "-S", "-c", start, *command]
