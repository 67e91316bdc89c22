"""The command line of a run, and the plan that follows from it."""

import argparse
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.app.file import parse_app, parse_setups, warnings
from bench.app.records import App, Setup
from bench.app.setups import ALWAYS, PRESETS, TABLE, choose, default_names, protocol
from bench.errors import UsageError
from bench.plan.budget import BUDGETS, MAX_PAUSE_S, Budget, stretches
from bench.plan.records import Plan
from bench.testbed import install, machine
from bench.testbed.environ import Place
from bench.testbed.load import Crew
from bench.testbed.process import ROOT
from bench.traces import collector
from bench.traces.catalogue import COLLECTORS, TOOLS

BUILT_IN = ROOT / "services" / "checkout.toml"
REST_S, COLLECTOR_REST_S = 1.0, 4.0
"""A collector at rest does something every second or so; a quiet stretch has to hold several of these."""
PROBES = 5
OTLP_PORTS = (4318, 4317)
"""OTLP's own, http and grpc: where instances that run elsewhere send unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An application that was read from its file.

    Attributes:
        app: the application.
        place: where it is started from.
        own: set-ups of the user's files, beside its own.
    """

    app: App
    place: Place
    own: tuple[Setup, ...] = ()


def add_app(parser: argparse.ArgumentParser) -> None:
    """Options that name the application and further set-ups."""
    parser.add_argument(
        "--app",
        type=Path,
        metavar="FILE",
        help="the app file of your service (default: the built-in example)",
    )
    parser.add_argument(
        "--setups-file", type=Path, action="append", default=[], metavar="F.toml",
        help="your own set-ups, too; may be given twice",
    )  # fmt: skip


def add_run_arguments(run: argparse.ArgumentParser) -> None:
    """What `tracing-overhead run` understands."""
    add_app(run)
    which = run.add_argument_group("what is compared")
    exclusive = which.add_mutually_exclusive_group()
    exclusive.add_argument(
        "--setups", metavar="A,B", help="set-ups; the baseline, its twin and the control are always there"
    )
    exclusive.add_argument("--preset", metavar="NAME", help="a list of set-ups, such as dapper")
    _add_budget(run.add_argument_group("how long, and how"))
    _add_load(run.add_argument_group("load"))
    _add_elsewhere(run.add_argument_group("elsewhere"))
    results = run.add_argument_group("results")
    results.add_argument("--name", default="bench", help="part of the results folder's name")
    results.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-<name>)"
    )
    results.add_argument("--full", action="store_true", help="show every table in the terminal, too")
    results.add_argument(
        "--dry-run", action="store_true", help="print the plan and its duration; measure nothing"
    )


Group = argparse._ArgumentGroup  # noqa: SLF001 - it has no other name


def _add_budget(group: Group) -> None:
    group.add_argument(
        "--budget", choices=tuple(BUDGETS), default="default", help="how long it may take (default: default)"
    )
    group.add_argument("--epochs", type=count, help="fresh processes so many times")
    seconds = between(0, 3600, " seconds")
    group.add_argument(
        "--light", type=seconds, metavar="S", help="own seconds of light load per epoch and set-up"
    )
    group.add_argument(
        "--busy", type=seconds, metavar="S", help="own seconds of busy load per epoch and set-up"
    )
    group.add_argument("--warm-up", type=seconds, metavar="S", help="own seconds of load before that")
    group.add_argument(
        "--turn", type=parse_seconds, metavar="TIME", help="length of a turn, such as 200ms or 2s"
    )
    group.add_argument("--seed", type=int, help="repeat the order and times of another run")
    group.add_argument("--no-pin", action="store_true", help="do not pin the application to CPUs of its own")
    group.add_argument(
        "--signals", action="store_true", help="pause instances by signals even where control groups work"
    )
    group.add_argument(
        "--scale-timers", action="store_true",
        help="multiply the batch processor's delay by the number of set-ups",
    )  # fmt: skip


def _add_load(group: Group) -> None:
    group.add_argument(
        "--rate", type=between(0.01, 1e5, " per second"), default=0.0, metavar="N",
        help="arrivals per second of light load (default: 30%% of what the baseline can do)",
    )  # fmt: skip
    group.add_argument(
        "--find-rate", action="store_true", help="search the highest rate under the latency limit, too"
    )
    group.add_argument(
        "--latency-limit", type=parse_seconds, default=0.1, metavar="TIME",
        help="what 99 in 100 requests have to stay under then (default: 100ms)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=_between_int(0, 64), default=0, metavar="N",
        help="spread the load over N local processes (Locust's distributed mode; default: one alone)",
    )  # fmt: skip


def _add_elsewhere(group: Group) -> None:
    group.add_argument(
        "--remote-workers", type=_between_int(0, 64), default=0, metavar="N",
        help="wait for N load workers that you start on other machines",
    )  # fmt: skip
    group.add_argument(
        "--master", type=_host_port, metavar="HOST:PORT",
        help="where workers find the master (default: 127.0.0.1 and any port; with --remote-workers "
        "all addresses, port 5557)",
    )  # fmt: skip
    group.add_argument(
        "--target", type=_target, action="append", default=[], metavar="SETUP=URL",
        help="measure the instance of this set-up that runs elsewhere; repeat it",
    )  # fmt: skip
    group.add_argument(
        "--sink-host", default="127.0.0.1", metavar="HOST",
        help="with --target, or a collector elsewhere: the address on which the sink listens",
    )  # fmt: skip
    http, grpc = collector.SINK_PORTS
    group.add_argument(
        "--collector", type=_collector, metavar=f"{'|'.join(COLLECTORS)}|URL",
        help="put a real collector between application and sink; one that runs elsewhere is named by its "
        "address for OTLP over http, or by two, HTTP,GRPC, and has to export to the sink, "
        f"ports {http} (http) and {grpc} (grpc)",
    )  # fmt: skip


# ---------------------------------------------------------------- values


def between(low: float, high: float, unit: str = "") -> Callable[[str], float]:
    """A parser of numbers in a range."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}{unit}")
        return value

    return parse


def share(text: str) -> float:
    """A share from `0.1` or `10%`."""
    number, scale = (text[:-1], 0.01) if text.endswith("%") else (text, 1.0)
    return between(0, 1 / scale)(number.strip()) * scale


def _between_int(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(text: str) -> int:
        value = between(low, high)(text)
        if value != int(value):
            raise argparse.ArgumentTypeError(f"{text} is no whole number")
        return int(value)

    return parse


count = _between_int(1, 1000)


def parse_seconds(text: str) -> float:
    """Seconds from `0.1`, `0.1s` or `100ms`."""
    number, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 0.1, 0.1s or 100ms") from None
    if not 0.001 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text} is not between 1ms and 60s; write 0.1, 0.1s or 100ms")
    return value


def _target(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not name or not re.fullmatch(r"https?://[^/\s]+/?", url):
        raise argparse.ArgumentTypeError(f"{text!r} is not SETUP=URL, such as batch=http://10.0.0.5:8000")
    return name, url


def _collector(text: str) -> str:
    try:
        return collector.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


# ---------------------------------------------------------------- the application


def read_subject(args: argparse.Namespace, *, installed: bool = True) -> Subject:
    """The application and set-ups that a command line names.

    Args:
        args: with `app` and `setups_file`.
        installed: whether its environment has to be there.

    Raises:
        UsageError: a file cannot be read, or something in it is wrong.
    """
    path = args.app or BUILT_IN
    app = parse_app(_text(path, "--app"), path.name)
    taken = [setup.name for setup in (*TABLE, *app.setup)]
    own: list[Setup] = []
    for file in args.setups_file:
        own += parse_setups(_text(file, "--setups-file"), file.name, [*taken, *(each.name for each in own)])
    place = Place(folder=path.resolve().parent)
    if app.environment and installed:
        place = install.environment(app.environment, path.resolve().parent)
    return Subject(app=app, place=place, own=tuple(own))


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}", f"name a TOML file with {option}") from None


# ---------------------------------------------------------------- the plan


def crew_of(args: argparse.Namespace) -> Crew:
    """Who sends the load."""
    host, port = args.master or (("0.0.0.0", 5557) if args.remote_workers else ("127.0.0.1", 0))
    return Crew(local=args.workers, remote=args.remote_workers, host=host, port=port)


def plan_of(args: argparse.Namespace, subject: Subject) -> Plan:
    """The plan that a command line asks for.

    Raises:
        UsageError: something in it does not exist or does not go together.
    """
    budget: Budget = BUDGETS[args.budget]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", args.name):
        raise UsageError(f"{args.name!r} cannot be part of a folder's name", "use letters, digits and '-'")
    if args.master and not args.workers and not args.remote_workers:
        raise UsageError("--master goes with --workers or --remote-workers", "one process needs no master")
    if args.remote_workers and not args.target:
        raise UsageError(
            "workers on other machines cannot reach instances that listen on this machine's loopback",
            "start the instances there and name them with --target",
        )
    setups = _setups(args, subject, budget)
    _check_collector(args, setups)
    if args.light == 0 and args.busy == 0:
        raise UsageError("neither light nor busy load is left", "leave out --light 0 or --busy 0")
    cpus = machine.split_cpus(pinned=not args.no_pin and not args.target)
    turn_s = args.turn or (MAX_PAUSE_S if args.target else None)
    warm_up, light, busy = stretches(budget, len(setups), (args.warm_up, args.light, args.busy, turn_s))
    return Plan(
        name=args.name,
        budget=budget.name,
        seed=secrets.randbelow(2**32) if args.seed is None else args.seed,
        app=subject.app,
        setups=setups,
        epochs=args.epochs or budget.epochs,
        warm_up=warm_up,
        light=light,
        busy=busy,
        probes=PROBES if args.find_rate else 0,
        spare=budget.spare,
        rest_s=COLLECTOR_REST_S if args.collector else REST_S,
        rate_per_s=args.rate,
        latency_limit_s=args.latency_limit,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        workers=args.workers + args.remote_workers,
        targets=dict(args.target),
        collector=args.collector or "",
        scale_timers=args.scale_timers,
    )


def _check_collector(args: argparse.Namespace, setups: Sequence[Setup]) -> None:
    """Raise UsageError unless the collector is here and takes what is sent."""
    if not args.collector:
        return
    if args.target:
        raise UsageError(
            "--collector goes with instances started here",
            "instances that run elsewhere know where they export: point them at it, and it at the sink",
        )
    collector.check_protocols(args.collector, {setup.name: protocol(setup) for setup in setups})
    if args.collector in TOOLS:
        TOOLS[args.collector].require()


def _setups(args: argparse.Namespace, subject: Subject, budget: Budget) -> tuple[Setup, ...]:
    app, own = subject.app, subject.own
    if args.target:
        return _target_setups(args, subject)
    if args.sink_host != "127.0.0.1" and not collector.is_elsewhere(args.collector or ""):
        raise UsageError(
            "--sink-host goes with --target or a collector that runs elsewhere",
            "everything started here knows its sink",
        )
    presets = PRESETS | app.preset
    if args.preset:
        if args.preset not in presets:
            raise UsageError(
                f"there is no preset named {args.preset!r}", f"there are {', '.join(sorted(presets))}"
            )
        names = list(presets[args.preset])
    elif args.setups is not None:
        names = [name.strip() for name in args.setups.split(",") if name.strip()]
        if not names:
            raise UsageError("--setups names no set-up", "`tracing-overhead setups` lists those that exist")
    else:
        names = [setup.name for setup in own] or list(default_names(app, budget.setups))
    return choose(app, [*ALWAYS, *names, *(setup.name for setup in own)], own)


def _target_setups(args: argparse.Namespace, subject: Subject) -> tuple[Setup, ...]:
    """The set-ups of instances that run elsewhere."""
    names = [name for name, _ in args.target]
    if len(set(names)) < len(names):
        raise UsageError("a set-up has two targets", "a set-up has one instance; name the other none-again")
    if "none" not in names:
        raise UsageError(
            "no target runs the baseline", "start an instance without tracing, --target none=URL"
        )
    if args.setups or args.preset:
        raise UsageError("the targets are the set-ups of the run", "leave out --setups and --preset")
    if len(names) < 2:
        raise UsageError("there is nothing to compare the baseline with", "name a second --target")
    if len({url.rstrip("/") for _, url in args.target}) < len(names):
        raise UsageError("two targets have the same address", "a set-up has an instance of its own")
    return choose(subject.app, names, subject.own)


def warnings_of(setups: Sequence[Setup]) -> list[str]:
    """What looks wrong in the set-ups' variables, a sentence each."""
    return list(warnings(setups))


def defaults(budget: str) -> argparse.Namespace:
    """The command line `run --budget B`."""
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    return parser.parse_args(["--budget", budget])
