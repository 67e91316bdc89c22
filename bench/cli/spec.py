"""`spec`: the report that OpenTelemetry's performance-benchmark document asks of an SDK."""

import secrets
from typing import Annotated, Literal

from cyclopts import Parameter

from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Count, Out, number
from bench.cli.shared import kept, new_folder
from bench.results.store import ITERATIONS, pretty
from bench.spec.emission import ITERATION_S, RATE_PER_S, REPEATS, THROUGHPUT_S
from bench.spec.runner import Iterations, carry_out
from bench.testbed import machine
from bench.testbed.workplace import workplace

FAST_REPEATS, FAST_S = 2, 3.0
PROCESS_S = 2.0
"""Around an iteration; for the display only."""


def spec(
    *,
    rate: Annotated[float, Parameter(validator=number(1, 1e6))] = RATE_PER_S,
    protocol: Literal["http", "grpc"] = "http",
    repeats: Count | None = None,
    fast: bool = False,
    out: Out = None,
) -> int:
    """The report that the specification asks of an SDK.

    Args:
        rate: Spans per second at which CPU and memory are read.
        protocol: Of OTLP.
        repeats: How often each iteration is repeated.
        fast: A try: two repeats of three seconds an iteration.
        out: The results folder; without it, results/UTC-spec.
    """
    machine.require_linux()
    store = new_folder(out, "spec")
    store.write("machine.json", pretty(machine.describe(machine.split_cpus(pinned=True))))
    repeats = repeats or (FAST_REPEATS if fast else REPEATS)
    iteration_s = FAST_S if fast else ITERATION_S
    throughput_s = FAST_S if fast else THROUGHPUT_S
    seconds = repeats * 2 * (iteration_s + throughput_s + 2 * PROCESS_S)
    with display.progress(seconds) as shown, kept(store.folder), workplace() as place:
        carry_out(
            Iterations(place),
            repeats=repeats,
            protocol=protocol,
            rate_per_s=rate,
            iteration_s=iteration_s,
            throughput_s=throughput_s,
            seed=secrets.randbelow(2**32),
            keep=lambda iteration: store.append_line(ITERATIONS, iteration),
            shown=shown,
        )
    return KINDS["specification"].report(store.folder)
