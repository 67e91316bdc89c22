"""The command line of a run, and the plan that follows from it."""

import argparse
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import machine
from bench.backends import collector
from bench.backends.catalogue import COLLECTORS, TOOLS
from bench.errors import UsageError
from bench.load import Crew
from bench.model import BASELINE, CONTROL, TWIN, Plan, Setup
from bench.plan import BUDGETS, MAX_RATE_PER_S, PHASES, UTILISATION, Budget, solo_of
from bench.setups import PRESETS, choose, parse_toml, protocol

ALWAYS = (BASELINE, TWIN, CONTROL)
"""What every run has: a baseline, a noise floor, and a cost that it has to find."""
SERVICE_PROCESSES = 4
COLLECTOR_IDLE_S = 4.0
"""A collector at rest does something every second or so; a quiet stretch has to hold several of these."""
CONNECTIONS_PER_CPU = 2
"""Two requests under way keep a CPU busy; more connections than needed cost CPU in every call."""


def add_run_arguments(run: argparse.ArgumentParser) -> None:
    """What `python -m bench run` understands."""
    run.add_argument(
        "--budget", choices=tuple(BUDGETS), default="default", help="how long it may take (default: default)"
    )
    which = run.add_mutually_exclusive_group()
    which.add_argument(
        "--setups",
        metavar="A,B",
        help="which set-ups; the baseline, its twin and the control are always there",
    )
    which.add_argument("--preset", choices=tuple(PRESETS), help="a list of set-ups by name")
    run.add_argument("--setups-file", type=Path, metavar="F.toml", help="add your own set-ups")
    run.add_argument(
        "--phases", type=_phases, metavar="P,Q",
        help="rotation (CPU, memory), solo (latency and throughput under load), or both "
        "(default; for --preset layers rotation alone)",
    )  # fmt: skip
    _add_rotation(run)
    _add_solo(run)
    _add_load(run)
    run.add_argument("--no-pin", action="store_true", help="do not pin the services to a CPU of their own")
    run.add_argument("--seed", type=int, help="repeat the order and times of another run")
    run.add_argument("--name", default="bench", help="part of the results folder's name")
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="the results folder (default: results/<UTC>-<name>)"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="print the plan and its duration; measure nothing"
    )


def _add_rotation(run: argparse.ArgumentParser) -> None:
    run.add_argument("--epochs", type=count, help="fresh processes so many times")
    run.add_argument("--windows", type=count, help="windows in an epoch")
    run.add_argument(
        "--window", type=between(0.5, 3600, " seconds"), metavar="S", help="length of a window in seconds"
    )
    run.add_argument(
        "--warm-up",
        type=between(0.5, 3600, " seconds"),
        metavar="S",
        help="load before the first window of an epoch",
    )
    run.add_argument(
        "--utilisation", type=between(0.05, 0.95), default=UTILISATION, metavar="U",
        help=f"how busy the services' CPU should be, 0.05 to 0.95 (default: {UTILISATION})",
    )  # fmt: skip
    run.add_argument(
        "--rate",
        type=between(1, MAX_RATE_PER_S, " per second"),
        default=0.0,
        help="arrivals per second (default: calibrated)",
    )


def _add_solo(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--levels", type=_levels, metavar="A,B",
        help="arrival rates of the solo phase as shares of the baseline's capacity (default: 0.3,0.6,0.9)",
    )  # fmt: skip
    run.add_argument(
        "--latency-limit", type=_seconds, default=0.1, metavar="TIME",
        help="what the 99th percentile has to stay under when the highest rate is searched (default: 100ms)",
    )  # fmt: skip


def _add_load(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--workers", type=_between_int(0, 64), default=0, metavar="N",
        help="spread the load over N local processes (Locust's distributed mode; default: one alone)",
    )  # fmt: skip
    run.add_argument(
        "--remote-workers", type=_between_int(0, 64), default=0, metavar="N",
        help="wait for N workers that you start on other machines",
    )  # fmt: skip
    run.add_argument(
        "--master", type=_host_port, metavar="HOST:PORT",
        help="where workers find the master (default: 127.0.0.1 and any port; with --remote-workers "
        "all addresses, port 5557)",
    )  # fmt: skip
    run.add_argument(
        "--target", type=_target, action="append", default=[], metavar="SETUP=URL",
        help="measure the fleet of this set-up that runs elsewhere, at its frontend-app's address; repeat it",
    )  # fmt: skip
    run.add_argument(
        "--sink-host", default="127.0.0.1", metavar="HOST",
        help="with --target, or a collector that runs elsewhere: the address on which the sink listens "
        "(default: 127.0.0.1)",
    )  # fmt: skip
    http, grpc = collector.SINK_PORTS
    run.add_argument(
        "--collector", type=_collector, metavar=f"{'|'.join(COLLECTORS)}|URL",
        help="put a real collector between services and sink; one that runs elsewhere is named by its "
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


def _seconds(text: str) -> float:
    """Seconds from `0.1`, `0.1s` or `100ms`."""
    number, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 0.1, 0.1s or 100ms") from None
    if not 0.001 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text} is not between 1ms and 10s; write 0.1, 0.1s or 100ms")
    return value


def _phases(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in PHASES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r} names no phase; there are {' and '.join(PHASES)}")
    return names


def _levels(text: str) -> tuple[float, ...]:
    return tuple(sorted({between(0.05, 2)(part) for part in text.split(",")}))


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


# ---------------------------------------------------------------- the plan


def crew_of(args: argparse.Namespace) -> Crew:
    """Who sends the load."""
    host, port = args.master or (("0.0.0.0", 5557) if args.remote_workers else ("127.0.0.1", 0))
    return Crew(local=args.workers, remote=args.remote_workers, host=host, port=port)


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan that a command line asks for.

    Raises:
        UsageError: something in it does not exist or does not go together.
    """
    budget: Budget = BUDGETS[args.budget]
    setups = _setups(args, budget)
    if not args.name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{args.name!r} cannot be part of a folder's name", "use letters, digits and '-'")
    if args.master and not args.workers and not args.remote_workers:
        raise UsageError("--master goes with --workers or --remote-workers", "one process needs no master")
    if args.remote_workers and not args.target:
        raise UsageError(
            "workers on other machines cannot reach fleets that listen on this machine's loopback",
            "start the fleets with `python -m services all --host ...` and name them with --target",
        )
    _check_collector(args, setups)
    phases = args.phases or (("rotation",) if args.preset == "layers" else PHASES)
    cpus, services_cpus, other_cpus = machine.split_cpus(pinned=not args.no_pin and not args.target)
    solo = None
    if "solo" in phases:
        solo = solo_of(budget, setups, args.latency_limit, args.levels)
    return Plan(
        name=args.name,
        budget=budget.name,
        seed=secrets.randbelow(2**32) if args.seed is None else args.seed,
        setups=setups,
        epochs=args.epochs or budget.epochs,
        windows=(args.windows or budget.windows) if "rotation" in phases else 0,
        spare=budget.spare if "rotation" in phases else 0,
        window_s=args.window or budget.window_s,
        warm_up_s=args.warm_up or budget.warm_up_s,
        idle_s=max(budget.idle_s, COLLECTOR_IDLE_S) if args.collector else budget.idle_s,
        utilisation=args.utilisation,
        rate_per_s=args.rate,
        cpus=cpus,
        services_cpus=services_cpus,
        other_cpus=other_cpus,
        connections=CONNECTIONS_PER_CPU * min(len(services_cpus) or cpus, SERVICE_PROCESSES),
        solo=solo,
        workers=args.workers + args.remote_workers,
        targets=dict(args.target),
        collector=args.collector or "",
    )


def _check_collector(args: argparse.Namespace, setups: Sequence[Setup]) -> None:
    """Nothing, if what is to stand between services and sink is here and takes what they send."""
    if not args.collector:
        return
    if args.target:
        raise UsageError(
            "--collector goes with fleets started here",
            "fleets that run elsewhere know where they export: point them at it, and it at the sink",
        )
    collector.check_protocols(args.collector, {setup.name: protocol(setup) for setup in setups})
    if args.collector in TOOLS:
        TOOLS[args.collector].require()


def _setups(args: argparse.Namespace, budget: Budget) -> tuple[Setup, ...]:
    own = read_own(args.setups_file)
    if args.target:
        return _target_setups(args, own)
    if args.sink_host != "127.0.0.1" and not collector.is_elsewhere(args.collector or ""):
        raise UsageError(
            "--sink-host goes with --target or a collector that runs elsewhere",
            "everything started here knows its sink",
        )
    names = list(budget.setups) if not own else []
    if args.preset:
        names = list(PRESETS[args.preset])
    elif args.setups is not None:
        names = [name.strip() for name in args.setups.split(",") if name.strip()]
        if not names:
            raise UsageError("--setups names no set-up", "`python -m bench setups` lists those that exist")
    return choose([*ALWAYS, *names], own)


def _target_setups(args: argparse.Namespace, own: Sequence[Setup]) -> tuple[Setup, ...]:
    """The set-ups of fleets that run elsewhere."""
    names = [name for name, _ in args.target]
    if len(set(names)) < len(names):
        raise UsageError("a set-up has two targets", "a set-up has one fleet; name the other none-again")
    chosen = choose(names, [setup for setup in own if setup.name in names])
    if BASELINE not in names:
        raise UsageError(
            "no target runs the baseline", f"start a fleet without tracing, --target {BASELINE}=URL"
        )
    if args.setups or args.preset:
        raise UsageError("the targets are the set-ups of the run", "leave out --setups and --preset")
    if len(names) < 2:
        raise UsageError("there is nothing to compare the baseline with", "name a second --target")
    if len({url.rstrip("/") for _, url in args.target}) < len(names):
        raise UsageError("two targets have the same address", "a set-up has a fleet of its own")
    return chosen


def read_own(path: Path | None) -> tuple[Setup, ...]:
    """The set-ups of a user's file; none without one.

    Raises:
        UsageError: it cannot be read, or something in it is wrong.
    """
    if path is None:
        return ()
    try:
        return parse_toml(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", "name a TOML file with --setups-file") from None


def defaults(budget: str) -> argparse.Namespace:
    """The command line `run --budget B`."""
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    arguments: Sequence[str] = ["--budget", budget]
    return parser.parse_args(arguments)
