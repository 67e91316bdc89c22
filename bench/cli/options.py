"""What is typed on the command line of more than one command, as typed records.

Cyclopts reads names, types and help texts from them.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Group, Parameter, Token, validators

from bench.plan.budget import BudgetName
from bench.traces.collector import parse as parse_collector

T = TypeVar("T")

COMPARED = Group("What is compared", sort_key=1)
EITHER = Group(validator=validators.LimitedChoice())
HOW_LONG = Group("How long, and how", sort_key=2)
LOAD = Group("Load", sort_key=3)
ELSEWHERE = Group("Elsewhere", sort_key=4)
RESULTS = Group("Results", sort_key=5)

Format = Literal["text", "md", "html", "json", "junit", "github-action-benchmark"]


def read_as(parse: Callable[[str], T]) -> Callable[[object, Sequence[Token]], T]:
    """A converter of one word; `parse` raises ValueError with a sentence."""
    return lambda _kind, tokens: parse(tokens[0].value)


def seconds(text: str) -> float:
    """Seconds from `0.1`, `0.1s` or `100ms`."""
    number, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 0.1, 0.1s or 100ms") from None
    if not 0.001 <= value <= 60:
        raise ValueError(f"{text} is not between 1ms and 60s; write 0.1, 0.1s or 100ms")
    return value


def share(text: str) -> float:
    """A share from `0.1` or `10%`."""
    number, scale = (text[:-1], 0.01) if text.endswith("%") else (text, 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{text!r} is no share; write 0.1 or 10%")
    return value


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


def number(low: float, high: float) -> Callable[[object, object], None]:
    """A validator of numbers in a range; text that is no number never gets here."""

    def validate(_kind: object, value: object) -> None:
        if isinstance(value, int | float) and not low <= value <= high:
            raise ValueError(f"it must lie between {low:g} and {high:g}")

    return validate


def checked(parse: Callable[[str], object]) -> Callable[[object, object], None]:
    """A validator of words that are parsed where they are used."""

    def validate(_kind: object, value: object) -> None:
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str):
                parse(word)

    return validate


Count = Annotated[int, Parameter(validator=number(1, 1000))]
ActiveSeconds = Annotated[float, Parameter(validator=number(0, 3600))]
Time = Annotated[float, Parameter(converter=read_as(seconds))]
Out = Annotated[Path | None, Parameter(group=RESULTS)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Application:
    """Which application.

    Attributes:
        app: The app file of your service; without it, the built-in example.
        setups_file: A file with further setups of your own; repeatable.
    """

    app: Path | None = None
    setups_file: tuple[Path, ...] = ()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunOptions(Application):
    """What `tracing-overhead run` understands.

    Attributes:
        setups: Setups, as A,B; the baseline, its A/A aa and the injected cost are always there.
        preset: A list of setups, such as ratios.
        budget: How long it may take.
        replicates: Fresh processes so many times.
        light: Active seconds of light load per replicate and setup.
        saturation: Active seconds of full load per replicate and setup.
        warm_up: Active seconds of load before that.
        slice: Length of a time slice, such as 50ms; 2s for what waits for something outside.
        seed: Repeat the order and times of another run.
        no_pin: Do not pin the application to CPUs of its own.
        signals: Pause instances by signals even where control groups work.
        scale_timers: Multiply the batch processor's delay by the number of setups.
        rate: Arrivals per second of light load; without it, 30% of what the baseline can do.
        find_rate: Search the highest rate under the latency limit, too.
        latency_limit: Seconds that 99 in 100 requests have to stay under then, or 100ms.
        workers: Spread the load over so many local processes (Locust's distributed mode).
        remote_workers: Wait for so many load workers that you start on other machines.
        master: HOST:PORT where workers find the master; without it, 127.0.0.1 and any port, with
            --remote-workers all addresses and port 5557.
        target: SETUP=URL: measure the instance of this setup that runs elsewhere; repeat it.
        receiver_host: With --target, or a collector elsewhere: the address on which the receiver listens.
        collector: Put a real collector between application and receiver: otelcol or rotel. One that runs
            elsewhere is named by its address for OTLP over http, or by two, HTTP,GRPC, and has to
            export to the receiver, ports 14318 (http) and 14317 (grpc).
        name: Part of the results folder's name.
        out: The results folder; without it, results/UTC-NAME.
        full: Show the whole report in the terminal.
        wait_for_quiet: Wait for up to ten minutes until nobody else uses the machine.
        dry_run: Print the plan and its duration; measure nothing.
    """

    setups: Annotated[str | None, Parameter(group=(COMPARED, EITHER))] = None
    preset: Annotated[str | None, Parameter(group=(COMPARED, EITHER))] = None
    budget: Annotated[BudgetName, Parameter(group=HOW_LONG)] = "default"
    replicates: Annotated[Count | None, Parameter(group=HOW_LONG)] = None
    light: Annotated[ActiveSeconds | None, Parameter(group=HOW_LONG)] = None
    saturation: Annotated[ActiveSeconds | None, Parameter(group=HOW_LONG)] = None
    warm_up: Annotated[ActiveSeconds | None, Parameter(group=HOW_LONG)] = None
    slice: Annotated[Time | None, Parameter(group=HOW_LONG)] = None
    seed: Annotated[int | None, Parameter(group=HOW_LONG, validator=number(0, 2**63 - 1))] = None
    no_pin: Annotated[bool, Parameter(group=HOW_LONG)] = False
    signals: Annotated[bool, Parameter(group=HOW_LONG)] = False
    scale_timers: Annotated[bool, Parameter(group=HOW_LONG)] = False
    wait_for_quiet: Annotated[bool, Parameter(group=HOW_LONG)] = False
    rate: Annotated[float | None, Parameter(group=LOAD, validator=number(0.01, 1e5))] = None
    find_rate: Annotated[bool, Parameter(group=LOAD)] = False
    latency_limit: Annotated[Time, Parameter(group=LOAD)] = 0.1
    workers: Annotated[int, Parameter(group=LOAD, validator=number(0, 64))] = 0
    remote_workers: Annotated[int, Parameter(group=ELSEWHERE, validator=number(0, 64))] = 0
    master: Annotated[str | None, Parameter(group=ELSEWHERE, validator=checked(host_port))] = None
    target: Annotated[tuple[str, ...], Parameter(group=ELSEWHERE, validator=checked(parse_target))] = ()
    receiver_host: Annotated[str, Parameter(group=ELSEWHERE)] = "127.0.0.1"
    collector: Annotated[
        str, Parameter(group=ELSEWHERE, converter=read_as(parse_collector), show_default=False)
    ] = ""
    name: Annotated[str, Parameter(group=RESULTS)] = "bench"
    out: Out = None
    full: Annotated[bool, Parameter(group=RESULTS)] = False
    dry_run: Annotated[bool, Parameter(group=RESULTS)] = False

    @property
    def targets(self) -> dict[str, str]:
        """Addresses of instances that run elsewhere, by setup; of two for one setup, the last."""
        return dict(map(parse_target, self.target))
