"""`spec`: the report that OpenTelemetry's performance-benchmark document asks of an SDK."""

import secrets
import sys
from typing import Annotated, Literal

import pyperf
from cyclopts import Parameter

from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Count, Out, number
from bench.cli.shared import kept, new_folder, relative
from bench.micro.runner import shareable
from bench.report.ci import Point, benchmark
from bench.results.store import ITERATIONS, MACHINE, Store, pretty
from bench.spec.emission import ITERATION_S, RATE_PER_S, REPEATS, THROUGHPUT_S
from bench.spec.runner import Iterations, carry_out
from bench.testbed import machine
from bench.testbed.process import ROOT, plain_environ, run_to_end
from bench.testbed.workplace import workplace

FAST_REPEATS, FAST_S = 2, 3.0
S001 = ROOT / "bench" / "spec" / "s001.py"
S001_S, FAST_S001_S, S001_LIMIT_S = 35.0, 18.0, 300.0
PROCESS_S = 2.0
"""Around an iteration; for the display only, as are the lengths of S001."""


def spec(  # noqa: PLR0913 - one option each
    *,
    rate: Annotated[float, Parameter(validator=number(1, 1e6))] = RATE_PER_S,
    protocol: Literal["http", "grpc"] = "http",
    repeats: Count | None = None,
    fast: bool = False,
    scenario: Literal["S001"] | None = None,
    out: Out = None,
) -> int:
    """The report that the specification asks of an SDK.

    Args:
        rate: Spans per second at which CPU and memory are read.
        protocol: Of OTLP.
        repeats: How often each iteration is repeated.
        fast: A try: two repeats of three seconds an iteration.
        scenario: Time this one of OpenTelemetry's cross-language scenarios instead, and print the JSON that
            their dashboard reads.
        out: The results folder; without it, results/UTC-spec.
    """
    machine.require_linux()
    if scenario:
        return _scenario(new_folder(out, "s001"), fast=fast)
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


def _scenario(store: Store, *, fast: bool) -> int:
    """S001, timed by pyperf in processes of its own; its file and the dashboard's JSON are kept."""
    cpus = machine.split_cpus(pinned=True)
    here = machine.describe(cpus)
    store.write(MACHINE, pretty(here))
    file = store.folder / "s001.json"
    command = [sys.executable, str(S001), "--quiet", "-o", str(file)]
    command += ["--affinity", ",".join(map(str, cpus.services))] if cpus.services else []
    command += ["--fast"] if fast else []
    with display.progress(FAST_S001_S if fast else S001_S) as shown:
        shown.say("timing S001")
        run_to_end(command, plain_environ(), S001_LIMIT_S)
    whole = pyperf.Benchmark.load(str(file))
    timed = pyperf.Benchmark([shareable(run) for run in whole.get_runs() if run.values])
    timed.dump(str(file), replace=True)
    told = {
        "runner": here.architecture,
        "runtime": f"{here.python_implementation} {here.python}",
        "cpu": here.cpu,
        "kernel": here.kernel,
        "framework": f"pyperf {pyperf.__version__}",
        "bytes held by a call": timed.get_metadata()["bytes_at_once"],
        "opentelemetry-api": here.packages.get("opentelemetry-api", "unknown"),
    }
    point = Point(
        name="S001: counter add, API only",
        unit="ns/op",
        value=round(timed.median() * 1e9, 2),
        range=f"+- {timed.median_abs_dev() * 1e9:.2f}",
        extra="\n".join(f"{name}={value}" for name, value in told.items()),
    )
    text = benchmark([point])
    store.write("benchmark.json", text)
    sys.stdout.write(text.decode())
    display.tell(f"Results: {relative(store.folder)} (`python -m pyperf stats s001.json` has the values)")
    return 0
