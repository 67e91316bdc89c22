"""Times the operations, replicate after replicate, in a freshly shuffled order.

A worker runs alone; nothing is timed while another one starts.
All workers of a replicate have the same hash seed, those of another replicate another one.
What was read is on disk after every replicate, as a file that pyperf reads.
"""

import io
import random
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyperf

from bench.app.records import BASELINE
from bench.app.setups import choose as choose_setups
from bench.errors import ServiceError
from bench.receiver.messages import CloseAccounts
from bench.results.store import Store, pretty
from bench.runner.run import Progress
from bench.studies.micro import files
from bench.studies.micro import instructions as counters
from bench.studies.micro.cold import BODY_VARIABLE, URL_VARIABLE
from bench.studies.micro.figures import MicroRun
from bench.studies.micro.operations import Operation
from bench.testbed.app_files import load
from bench.testbed.echo import start_echo
from bench.testbed.environ import Launch
from bench.testbed.instance import LocalInstance
from bench.testbed.meter import cpu_times
from bench.testbed.pausing import SignalGroup
from bench.testbed.ports import free_ports
from bench.testbed.process import RUN_VARIABLE, plain_environ, run_to_end
from bench.testbed.receiver import Receiver
from bench.testbed.workplace import Workplace, workplace

REPLICATES, QUICK_REPLICATES = 5, 2
COUNTED_SETUPS = ("none", "api-only", "always-off", "batch", "batch-lean", "simple")
VALUES = 3
MIN_TIME_S = 0.02
"""One value takes at least this long: ten thousand times the clock's resolution."""
QUICK_MIN_TIME_S = 0.005
LIMIT_S = 60.0
STOP_LIMIT_S = 3.0
SECRET_METADATA = frozenset(
    {"hostname", "python_executable", "python_config_args", "command", "user", "boot_time"}
)
"""Results are sent to colleagues: no host name, no path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """How it went.

    Attributes:
        failures: operations that could not prove what they are, and why.
        steal: share of a core that the host took away.
    """

    failures: dict[str, str] = field(default_factory=dict)
    steal: float = 0.0


class MicroBench:
    """The receiver, the echo service and the workers of a microbenchmark.

    Attributes:
        endpoints: the receiver's addresses by OTLP protocol.
    """

    def __init__(self, place: Workplace, neighbour: Launch | None = None) -> None:
        """Start what operations talk to.

        Args:
            place: where.
            neighbour: an application on the same CPU, whose requests come before an operation to cool the
                caches; None: nothing is timed with cold caches.

        Raises:
            ServiceError: something does not start.
        """
        self._cpus, self._logs, self._receiver = place.cpus, place.logs, place.receiver
        child, echo = start_echo(place.logs, place.cpus.others)
        place.parts.callback(child.stop, STOP_LIMIT_S)
        self.endpoints = self._receiver.endpoints
        self._environ = {
            **plain_environ(),
            **receiver_variables(self._receiver),
            RUN_VARIABLE: place.run,
            "BENCH_ECHO": echo,
        }
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
        command = [
            sys.executable,
            "-m",
            "bench.studies.micro.worker",
            operation.name,
            *options,
            "-o",
            str(file),
        ]
        run_to_end(_placed(command, self._cpus.services), {**self._environ, **environ}, LIMIT_S)
        return pyperf.Benchmark.load(str(file)).get_runs()[0]

    def forget(self) -> None:
        """Have the receiver discard what came so far.

        Raises:
            ServiceError: it has died.
        """
        self._receiver.close_accounts(CloseAccounts(replicate=0))


def receiver_variables(receiver: Receiver) -> dict[str, str]:
    """Variables that name the receiver to a worker."""
    return {
        "BENCH_RECEIVER_HTTP": receiver.endpoints["http/protobuf"],
        "BENCH_RECEIVER_GRPC": receiver.endpoints["grpc"],
        "BENCH_RECEIVER_CONTROL": receiver.control,
    }


def measure(  # noqa: PLR0913 - what a measurement is
    bench: MicroBench,
    operations: Sequence[Operation],
    replicates: int,
    *,
    quick: bool,
    seed: int,
    keep: Callable[[bytes], None],
    progress: Progress,
) -> Timed:
    """Every operation, timed once a replicate.

    Args:
        bench: what it is done with.
        operations: the reference among them.
        replicates: how often.
        quick: with shorter values.
        seed: of the orders and of the hash seeds.
        keep: called with pyperf's file after every replicate.
        progress: displays what is going on.

    Raises:
        ServiceError: the receiver has died.
    """
    steal_s, started = cpu_times(None)[0], time.monotonic()
    min_time_s = QUICK_MIN_TIME_S if quick else MIN_TIME_S
    loops: dict[str, int] = {}
    failures: dict[str, str] = {}
    runs: dict[str, list[pyperf.Run]] = {}
    for number in range(replicates):
        environ = {"PYTHONHASHSEED": str(random.Random(f"{seed}-{number}").randrange(1, 2**32))}
        for operation in in_order(operations, number, seed):
            if operation.name in failures:
                continue
            progress.say(f"replicate {number + 1} of {replicates}", operation.name)
            count = str(loops.get(operation.name, 0))
            try:
                run = bench.read(operation, environ, [count, str(min_time_s), "-w", "1", "-n", str(VALUES)])
            except ServiceError as error:
                failures[operation.name] = str(error)
                continue
            loops.setdefault(operation.name, run.get_loops())
            runs.setdefault(operation.name, []).append(shareable(run, replicate=number))
        bench.forget()
        kept = [pyperf.Benchmark(own) for name, own in runs.items() if name not in failures]
        if kept:
            text = io.StringIO()
            pyperf.BenchmarkSuite(kept).dump(text)
            keep(text.getvalue().encode())
    steal = (cpu_times(None)[0] - steal_s) / (time.monotonic() - started)
    return Timed(failures=failures, steal=steal)


def measured(  # noqa: PLR0913 - what a microbenchmark is
    log: Store,
    operations: Sequence[Operation],
    replicates: int,
    seed: int,
    progress: Progress,
    *,
    quick: bool = False,
    counting: bool = False,
) -> None:
    """Times operations, and counts their instructions if asked to; every record is on disk at once.

    Args:
        log: where records go.
        operations: the reference among them.
        replicates: how often each one is timed.
        seed: of the orders and of the hash seeds.
        progress: displays what is going on.
        quick: with shorter values, and with warm caches alone.
        counting: whether instructions are counted as well.

    Raises:
        ServiceError: a process failed.
    """
    run = MicroRun(replicates=replicates, budget="quick" if quick else "default", seed=seed, steal=None)
    log.write(files.RUN, pretty(run))
    with workplace() as place:
        bench = MicroBench(place, None if quick else _neighbour(place))
        timed = measure(
            bench,
            operations,
            replicates,
            quick=quick,
            seed=seed,
            keep=lambda content: log.write(files.FILE, content),
            progress=progress,
        )
        run = replace(run, steal=timed.steal, failures=dict(timed.failures))
        log.write(files.RUN, pretty(run))
        if not counting:
            return
        for name, count in counters.of_operations(operations, place.run, progress):
            run = _counted(run, "instructions", name, count)
            log.write(files.RUN, pretty(run))
        for name, count in counters.of_requests(_launches(bench.endpoints, place.run), progress):
            run = _counted(run, "requests", name, count)
            log.write(files.RUN, pretty(run))


def draw_seed() -> int:
    """A seed for the orders of a run."""
    return secrets.randbelow(2**32)


def _neighbour(place: Workplace) -> Launch:
    """How the built-in application is started whose requests cool the caches."""
    loaded = load(None)
    names = [process.name for process in loaded.app.process]
    return Launch(
        app=loaded.app,
        place=loaded.place,
        setup=choose_setups(loaded.app, (BASELINE,))[0],
        ports=dict(zip(names, free_ports(len(names)), strict=True)),
        tmp=place.logs / "neighbour",
        endpoints={},
        run=place.run,
    )


def _launches(endpoints: Mapping[str, str], run: str) -> list[Launch]:
    """How the built-in application would be started in the setups whose instructions are counted."""
    loaded = load(None)
    ports = {process.name: 1 for process in loaded.app.process}
    return [
        Launch(
            app=loaded.app,
            place=loaded.place,
            setup=setup,
            ports=ports,
            tmp=Path(),
            endpoints=endpoints,
            run=run,
        )
        for setup in choose_setups(loaded.app, COUNTED_SETUPS)
    ]


def _counted(
    run: MicroRun, where: Literal["instructions", "requests"], name: str, count: float | ServiceError
) -> MicroRun:
    """The same with one count more, or with the reason why there is none."""
    if isinstance(count, ServiceError):
        return replace(run, uncounted=run.uncounted | {name: str(count)})
    if where == "requests":
        return replace(run, requests=run.requests | {name: count})
    return replace(run, instructions=run.instructions | {name: count})


def in_order(operations: Sequence[Operation], number: int, seed: int) -> list[Operation]:
    """A replicate's order."""
    shuffled = list(operations)
    random.Random(f"{seed}-order-{number}").shuffle(shuffled)
    return shuffled


def shareable(run: pyperf.Run, **more: int) -> pyperf.Run:
    """A run without what identifies the machine or its user, and with more metadata."""
    metadata = {name: value for name, value in run.get_metadata().items() if name not in SECRET_METADATA}
    return pyperf.Run(run.values, warmups=list(run.warmups), metadata=metadata | more, collect_metadata=False)


def _placed(command: list[str], cpus: Sequence[int]) -> list[str]:
    """The command on these CPUs; on any where there are none."""
    if not cpus:
        return command
    start = f"import os,sys;os.sched_setaffinity(0,{[*cpus]});os.execv(sys.argv[1],sys.argv[1:])"
    return [sys.executable, "-S", "-c", start, *command]
