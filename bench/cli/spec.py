"""`spec`: the report that OpenTelemetry's performance-benchmark document asks of an SDK."""

import argparse
import secrets
from pathlib import Path

from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import between, count
from bench.cli.shared import Commands, kept, new_folder
from bench.results.store import ITERATIONS, pretty
from bench.spec.emission import ITERATION_S, RATE_PER_S, REPEATS, THROUGHPUT_S
from bench.spec.runner import Iterations, carry_out
from bench.testbed import machine

FAST_REPEATS, FAST_S = 2, 3.0
PROCESS_S = 2.0
"""Around an iteration; for the display only."""


def add(commands: Commands) -> None:
    """`spec`."""
    spec = commands.add_parser("spec", help="the report that the specification asks of an SDK")
    spec.set_defaults(call=_spec)
    spec.add_argument(
        "--rate", type=between(1, 1e6, " per second"), default=RATE_PER_S, metavar="N",
        help=f"spans per second at which CPU and memory are read (default: {RATE_PER_S:g})",
    )  # fmt: skip
    spec.add_argument("--protocol", choices=("http", "grpc"), default="http", help="of OTLP (default: http)")
    spec.add_argument("--repeats", type=count, help=f"(default: {REPEATS})")
    spec.add_argument(
        "--fast", action="store_true", help=f"a try: {FAST_REPEATS} repeats of {FAST_S:g} s an iteration"
    )
    spec.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-spec)"
    )


def _spec(args: argparse.Namespace) -> int:
    machine.require_linux()
    store = new_folder(args.out, "spec")
    store.write("machine.json", pretty(machine.describe(machine.split_cpus(pinned=True))))
    repeats = args.repeats or (FAST_REPEATS if args.fast else REPEATS)
    iteration_s = FAST_S if args.fast else ITERATION_S
    throughput_s = FAST_S if args.fast else THROUGHPUT_S
    seconds = repeats * 2 * (iteration_s + throughput_s + 2 * PROCESS_S)
    with display.progress(seconds) as shown, kept(store.folder), Iterations() as iterations:
        carry_out(
            iterations,
            repeats=repeats,
            protocol=args.protocol,
            rate_per_s=args.rate,
            iteration_s=iteration_s,
            throughput_s=throughput_s,
            seed=secrets.randbelow(2**32),
            keep=lambda iteration: store.append_line(ITERATIONS, iteration),
            shown=shown,
        )
    return KINDS["specification"].report(store.folder)
