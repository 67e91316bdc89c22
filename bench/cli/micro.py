"""`micro`: what one operation of tracing costs."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.text import Text

from bench.app.records import BASELINE
from bench.app.setups import choose as choose_setups
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Count, Out
from bench.cli.planning import built_in
from bench.cli.shared import kept, new_folder
from bench.errors import ServiceError, UsageError
from bench.micro import instructions as counters
from bench.micro import record
from bench.micro.operations import REFERENCE, TABLE, Operation, choose
from bench.micro.predictions import PRICED
from bench.micro.runner import FAST_ROUNDS, ROUNDS, Bench, measure
from bench.micro.timings import MicroRun
from bench.results.store import Store, pretty
from bench.runner.run import Progress
from bench.testbed import machine
from bench.testbed.environ import Launch
from bench.testbed.ports import free_ports
from bench.testbed.workplace import workplace

COUNTED_SETUPS = ("none", "api-only", "always-off", "batch", "batch-lean", "simple")
READING_S = 0.6
PRICING_ROUNDS = 5
PRICING_S = 450.0
COUNTING_S = 15.0
"""Estimates for the display only."""


def micro(  # noqa: PLR0913 - one option each
    *,
    only: str | None = None,
    rounds: Count | None = None,
    fast: bool = False,
    instructions: bool = False,
    list_only: Annotated[bool, Parameter(name="--list")] = False,
    seed: int | None = None,
    out: Out = None,
) -> int:
    """Time the operations of tracing with pyperf.

    Args:
        only: Operations whose name matches or contains it, such as 'span/*'.
        rounds: How often each is timed.
        fast: A try: few rounds, short values.
        instructions: Count CPU instructions, too (needs valgrind; minutes).
        list_only: Print the operations; time nothing.
        seed: Repeat the order of another run.
        out: The results folder; without it, results/UTC-micro.
    """
    operations = choose(only)
    if not operations:
        raise UsageError(f"no operation matches {only!r}", "`tracing-overhead micro --list` names them all")
    console = display.console()
    if list_only:
        for operation in operations:
            console.print(f"{operation.name:<34} {operation.sentence}", highlight=False)
        return 0
    machine.require_linux()
    store = new_folder(out, "micro")
    store.write("machine.json", pretty(machine.describe(machine.split_cpus(pinned=True))))
    rounds = rounds or (FAST_ROUNDS if fast else ROUNDS)
    counting = instructions and counters.available()
    seconds = READING_S * rounds * len(operations)
    with display.progress(seconds + (COUNTING_S * len(operations) if counting else 0.0)) as shown:
        first = secrets.randbelow(2**32) if seed is None else seed
        _measured(store, operations, rounds, first, shown, fast=fast, counting=counting)
    code = KINDS["microbenchmarks"].report(store.folder)
    if instructions and not counting:
        console.print(Text(counters.HOW_TO_GET_IT, "yellow"))
    return code


def _measured(  # noqa: PLR0913 - what a microbenchmark is
    store: Store,
    operations: tuple[Operation, ...],
    rounds: int,
    seed: int,
    shown: Progress,
    *,
    fast: bool,
    counting: bool,
) -> None:
    """Times operations, and counts their instructions if asked to; whatever is known is on disk at once."""
    run = MicroRun(rounds=rounds, fast=fast, seed=seed, steal=None)
    store.write(record.RUN, pretty(run))
    with kept(store.folder), workplace() as place:
        bench = Bench(place, None if fast else _neighbour(place.logs))
        timed = measure(
            bench,
            operations,
            rounds,
            fast=fast,
            seed=seed,
            keep=lambda content: store.write(record.FILE, content),
            shown=shown,
        )
        run = replace(run, steal=timed.steal, failures=dict(timed.failures))
        store.write(record.RUN, pretty(run))
        if not counting:
            return
        for name, count in counters.of_operations(operations, shown):
            run = _counted(run, "instructions", name, count)
            store.write(record.RUN, pretty(run))
        for name, count in counters.of_requests(_launches(bench.endpoints), shown):
            run = _counted(run, "requests", name, count)
            store.write(record.RUN, pretty(run))


def _neighbour(folder: Path) -> Launch:
    """How the built-in application is started whose requests cool the caches."""
    subject = built_in()
    names = [process.name for process in subject.app.process]
    return Launch(
        app=subject.app,
        place=subject.place,
        setup=choose_setups(subject.app, (BASELINE,))[0],
        ports=dict(zip(names, free_ports(len(names)), strict=True)),
        tmp=folder / "neighbour",
        endpoints={},
    )


def _launches(endpoints: Mapping[str, str]) -> list[Launch]:
    """How the built-in application would be started in the setups whose instructions are counted."""
    subject = built_in()
    ports = {process.name: 1 for process in subject.app.process}
    return [
        Launch(
            app=subject.app,
            place=subject.place,
            setup=setup,
            ports=ports,
            tmp=Path(),
            endpoints=endpoints,
        )
        for setup in choose_setups(subject.app, COUNTED_SETUPS)
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


def price(store: Store, seed: int, shown: Progress) -> None:
    """Times the operations that a run's predictions are made of, into its own folder."""
    operations = tuple(operation for operation in TABLE if operation.name in {REFERENCE, *PRICED})
    _measured(store, operations, PRICING_ROUNDS, seed, shown, fast=False, counting=False)
