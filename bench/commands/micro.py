"""`micro`: what one operation of tracing costs."""

import argparse
import secrets
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench import display, machine
from bench.commands.shared import Commands, kept, new_folder, relative
from bench.errors import MeasurementError, UsageError
from bench.layers import PRICED
from bench.micro import instructions, record
from bench.micro.operations import REFERENCE, TABLE, Operation, choose
from bench.micro.runner import FAST_ROUNDS, ROUNDS, Bench, measure
from bench.options import count
from bench.report import terminal, words
from bench.report.timings import checkout_table, timing_table
from bench.setups import BY_NAME
from bench.store import Store, pretty
from bench.timings import MicroRun, MicroSummary

COUNTED_SETUPS = ("none", "api-only", "always-off", "batch", "batch-lean", "simple")
READING_S = 0.6
PRICING_ROUNDS = 5
PRICING_S = 110.0
COUNTING_S = 12.0
"""Estimates for the display only."""


def add(commands: Commands) -> None:
    """`micro`."""
    micro = commands.add_parser("micro", help="time the operations of tracing with pyperf")
    micro.set_defaults(call=_micro)
    micro.add_argument(
        "--only", metavar="PATTERN", help="operations whose name matches or contains it, such as 'span/*'"
    )
    micro.add_argument("--rounds", type=count, help=f"how often each is timed (default: {ROUNDS})")
    micro.add_argument(
        "--fast", action="store_true", help=f"a try: {FAST_ROUNDS} rounds, all CPUs at the same time"
    )
    micro.add_argument(
        "--instructions", action="store_true", help="count CPU instructions, too (needs valgrind; minutes)"
    )
    micro.add_argument("--list", action="store_true", help="print the operations; time nothing")
    micro.add_argument("--seed", type=int, help="repeat the order of another run")
    micro.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-micro)"
    )


def _micro(args: argparse.Namespace) -> int:
    operations = choose(args.only)
    if not operations:
        raise UsageError(
            f"no operation matches {args.only!r}", "`python -m bench micro --list` names them all"
        )
    console = display.console()
    if args.list:
        for operation in operations:
            console.print(f"{operation.name:<34} {operation.sentence}", highlight=False)
        return 0
    machine.require_linux()
    store = new_folder(args.out, "micro")
    store.write("machine.json", pretty(machine.describe(machine.split_cpus(pinned=True), {})))
    rounds = args.rounds or (FAST_ROUNDS if args.fast else ROUNDS)
    counting = args.instructions and instructions.available()
    seconds = READING_S * rounds * len(operations) / (2 if args.fast else 1)
    with display.progress(seconds + (COUNTING_S * len(operations) if counting else 0.0)) as shown:
        seed = secrets.randbelow(2**32) if args.seed is None else args.seed
        found = _measured(store, operations, rounds, seed, shown, fast=args.fast, counting=counting)
    store.write(record.RUN, pretty(found))
    summary = record.derive(store)
    show(summary, console)
    if args.instructions and not counting:
        console.print(Text(instructions.HOW_TO_GET_IT, "yellow"))
    sys.stdout.write(f"\nResults: {relative(store.folder)}\n")
    return 0 if summary.valid else MeasurementError.exit_code


def _measured(  # noqa: PLR0913 - what a microbenchmark is
    store: Store,
    operations: tuple[Operation, ...],
    rounds: int,
    seed: int,
    shown: display.Shown,
    *,
    fast: bool,
    counting: bool,
) -> MicroRun:
    begun = MicroRun(rounds=rounds, fast=fast, seed=seed, steal=None)
    store.write(record.RUN, pretty(begun))
    with kept(store.folder), Bench() as bench:
        timed = measure(
            bench,
            operations,
            rounds,
            fast=fast,
            seed=seed,
            keep=lambda content: store.write(record.FILE, content),
            shown=shown,
        )
        failures = dict(timed.failures)
        of_operations: dict[str, float] = {}
        of_checkouts: dict[str, float] = {}
        if counting:
            of_operations, failed = instructions.of_operations(operations, shown)
            failures |= failed
            setups = [BY_NAME[name] for name in COUNTED_SETUPS]
            of_checkouts, failed = instructions.of_checkouts(setups, bench.endpoints, shown)
            failures |= failed
    return replace(
        begun,
        steal=timed.steal,
        failures=failures,
        instructions=of_operations,
        checkouts=of_checkouts,
    )


def price(store: Store, seed: int, shown: display.Shown) -> None:
    """Times the operations that a run's predictions are made of, into its own folder."""
    operations = tuple(operation for operation in TABLE if operation.name in {REFERENCE, *PRICED})
    found = _measured(store, operations, PRICING_ROUNDS, seed, shown, fast=False, counting=False)
    store.write(record.RUN, pretty(found))


def show(summary: MicroSummary, console: Console) -> None:
    """The figures on a console."""
    sentences = {operation.name: operation.sentence for operation in TABLE}
    terminal.show_table(timing_table(summary, sentences), "What one operation costs, CPU time", console)
    if summary.run.checkouts:
        title = "CPU instructions of a checkout, four services in one process"
        terminal.show_table(checkout_table(summary), title, console)
    for caveat in summary.caveats:
        terminal.show_caveat(caveat, console)
    console.print(Text(words.micro_headline(summary.run.rounds, len(summary.timings), valid=summary.valid)))
