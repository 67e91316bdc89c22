"""The command line of `tracing-overhead run`."""

import re
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter, validators

from bench.plan.budget import BudgetName
from bench.studies.options import (
    RESULTS,
    AppOptions,
    Count,
    Duration,
    StudyOptions,
    between,
    checked,
    number,
    read_as,
)
from bench.traces.collectors import parse as parse_collector

APP_FILE = "app.toml"
"""The app file that --command makes, in the results folder."""
COMPARED = Group("What is compared", sort_key=1)
EITHER = Group(validator=validators.LimitedChoice())
HOW_LONG = Group("How long, and how", sort_key=2)
LOAD = Group("Load", sort_key=3)
ELSEWHERE = Group("Elsewhere", sort_key=4)
ActiveTime = Annotated[float, Parameter(converter=read_as(between(0, 3600)), metavar="DURATION")]
# Without a warm-up no capacity would be known.
WarmUp = Annotated[float, Parameter(converter=read_as(between(0.05, 3600)), metavar="DURATION")]


def parse_target(text: str) -> tuple[str, str]:
    """Setup and address from SETUP=URL."""
    name, _, url = text.partition("=")
    if not name or not re.fullmatch(r"https?://[^/\s]+/?", url):
        raise ValueError(f"{text!r} is not SETUP=URL, such as batch=http://10.0.0.5:8000")
    return name, url


def host_port(text: str) -> tuple[str, int]:
    """Host and port from HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host, int(port)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(AppOptions, StudyOptions):
    """What `tracing-overhead run` understands.

    Attributes:
        command: Instead of an app file: the command that starts your service, with {port} where its port is.
        path: With --command: the path to request, with its query; / by default.
        setups: Setups, as A,B; the baseline, the A/A check and the injected cost are always there.
        preset: A list of setups, such as ratios; `tracing-overhead setups` lists them.
        budget: How long it may take.
        replicates: Number of replicates (process restarts).
        light: Active time of light load per replicate and setup, such as 5s.
        saturation: Active time of saturation per replicate and setup, such as 2s.
        warm_up: Active time of load before that.
        slice: Length of a time slice, such as 50ms; 2s for a service that waits for others.
        seed: Repeat the order and times of another run.
        no_pin: Do not pin the application to CPUs of its own.
        signals: Pause instances by signals even where control groups work.
        scale_timers: Multiply the batch processor's delay by the number of setups.
        with_prices: Predict the steps of a ladder from microbenchmarks, which take seven minutes.
        rate: Arrivals per second of light load; 30 % of the baseline's capacity by default.
        find_rate: Also search the highest rate that holds the latency limit.
        latency_limit: With --find-rate: 99 in 100 requests must be faster than this; 100ms by default.
        workers: Spread the load over this many local processes (Locust's distributed mode).
        remote_workers: Wait for this many load workers that you start on other machines.
        master: HOST:PORT where workers find the master; 127.0.0.1 and any port by default, with
            --remote-workers all addresses and port 5557.
        target: SETUP=URL: measure the instance of this setup that runs elsewhere; repeatable.
        receiver_host: With --target, or a collector elsewhere: the address on which the receiver listens.
        collector: Put a real collector between application and receiver: otelcol or rotel. One that runs
            elsewhere is named by its address for OTLP over http, or by two, HTTP,GRPC, and has to
            export to the receiver, ports 14318 (http) and 14317 (grpc).
        name: Part of the results folder's name.
        full: Show the whole report in the terminal.
        wait_for_quiet: Wait for up to ten minutes until no other program uses the machine.
        dry_run: Print the plan and its duration; measure nothing.
    """

    command: Annotated[str | None, Parameter(group=COMPARED)] = None
    path: Annotated[str | None, Parameter(group=COMPARED)] = None
    setups: Annotated[str | None, Parameter(group=(COMPARED, EITHER))] = None
    preset: Annotated[str | None, Parameter(group=(COMPARED, EITHER))] = None
    budget: Annotated[BudgetName, Parameter(group=HOW_LONG)] = "default"
    replicates: Annotated[Count | None, Parameter(group=HOW_LONG)] = None
    light: Annotated[ActiveTime | None, Parameter(group=HOW_LONG)] = None
    saturation: Annotated[ActiveTime | None, Parameter(group=HOW_LONG)] = None
    warm_up: Annotated[WarmUp | None, Parameter(group=HOW_LONG)] = None
    slice: Annotated[Duration | None, Parameter(group=HOW_LONG)] = None
    seed: Annotated[int | None, Parameter(group=HOW_LONG, validator=number(0, 2**63 - 1))] = None
    no_pin: Annotated[bool, Parameter(group=HOW_LONG)] = False
    signals: Annotated[bool, Parameter(group=HOW_LONG)] = False
    scale_timers: Annotated[bool, Parameter(group=HOW_LONG)] = False
    with_prices: Annotated[bool, Parameter(group=HOW_LONG)] = False
    wait_for_quiet: Annotated[bool, Parameter(group=HOW_LONG)] = False
    rate: Annotated[float | None, Parameter(group=LOAD, validator=number(0.01, 1e5))] = None
    find_rate: Annotated[bool, Parameter(group=LOAD)] = False
    latency_limit: Annotated[Duration | None, Parameter(group=LOAD)] = None
    workers: Annotated[int, Parameter(group=LOAD, validator=number(0, 64))] = 0
    remote_workers: Annotated[int, Parameter(group=ELSEWHERE, validator=number(0, 64))] = 0
    master: Annotated[str | None, Parameter(group=ELSEWHERE, validator=checked(host_port))] = None
    target: Annotated[tuple[str, ...], Parameter(group=ELSEWHERE, validator=checked(parse_target))] = ()
    receiver_host: Annotated[str, Parameter(group=ELSEWHERE)] = "127.0.0.1"
    collector: Annotated[
        str, Parameter(group=ELSEWHERE, converter=read_as(parse_collector), show_default=False)
    ] = ""
    name: Annotated[str, Parameter(group=RESULTS)] = "bench"
    full: Annotated[bool, Parameter(group=RESULTS)] = False
    dry_run: Annotated[bool, Parameter(group=RESULTS)] = False

    @property
    def targets(self) -> dict[str, str]:
        """Addresses of instances that run elsewhere, by setup; of two for one setup, the last."""
        return dict(map(parse_target, self.target))
