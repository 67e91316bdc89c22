"""The application that a command line names, and the plan that follows from it."""

import contextlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.app.file import parse_app, parse_setups
from bench.app.presets import BATCHING, MADE, PRESETS, batching_setups, instrumentor_setups
from bench.app.records import App, Setup
from bench.app.setups import (
    ALWAYS,
    DISABLED_INSTRUMENTATIONS,
    EVERYTHING,
    TABLE,
    choose,
    default_names,
    protocol,
)
from bench.cli import display
from bench.cli.options import Application, RunOptions, host_port
from bench.errors import UsageError
from bench.plan.budget import BUDGETS, MAX_PAUSE_S, Budget, stretches
from bench.plan.records import Plan
from bench.testbed import install, machine
from bench.testbed.environ import Place
from bench.testbed.load import LoadWorkers
from bench.testbed.process import ROOT
from bench.traces import collector
from bench.traces.catalogue import TOOLS

BUILT_IN = ROOT / "services" / "checkout.toml"
REST_S, COLLECTOR_REST_S = 1.0, 4.0
"""A collector at rest does something every second or so; a quiet stretch has to hold several of these."""
PROBES = 5
LOOPBACK = "127.0.0.1"
MOST_NAMES = 3
"""Files that a hint lists."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """An application that was read from its file.

    Attributes:
        app: the application.
        place: where it is started from.
        own: setups of the user's files, beside its own.
    """

    app: App
    place: Place
    own: tuple[Setup, ...] = ()


def built_in() -> Subject:
    """The built-in example."""
    return Subject(
        app=parse_app(BUILT_IN.read_text("utf-8"), BUILT_IN.name), place=Place(folder=BUILT_IN.parent)
    )


def read_subject(options: Application, *, installed: bool = True) -> Subject:
    """The application and setups that a command line names.

    Args:
        options: with their files.
        installed: whether its environment has to be there.

    Raises:
        UsageError: a file cannot be read, or something in it is wrong.
    """
    path = options.app or BUILT_IN
    app = parse_app(_text(path), path.name)
    taken = [setup.name for setup in (*TABLE, *app.setup)]
    own: list[Setup] = []
    for file in options.setups_file:
        names = [*taken, *(setup.name for setup in own)]
        own += parse_setups(_text(file), file.name, names)
    place = Place(folder=path.resolve().parent)
    if app.environment and app.environment.always and installed:
        place = install.environment(app.environment, path.resolve().parent)
    return Subject(app=app, place=place, own=tuple(own))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot read {path}: {reason}", f"name a TOML file that is there{_files_beside(path)}"
        ) from None


def _files_beside(path: Path) -> str:
    """The TOML files in the folder where one was looked for, for a hint."""
    with contextlib.suppress(OSError):
        names = sorted(file.name for file in path.parent.glob("*.toml"))[:MOST_NAMES]
        return f", such as {' or '.join(names)}" if names else ""
    return ""


def load_workers_of(options: RunOptions) -> LoadWorkers:
    """Who sends the load."""
    host, port = ("0.0.0.0", 5557) if options.remote_workers else (LOOPBACK, 0)
    if options.master:
        host, port = host_port(options.master)
    return LoadWorkers(local=options.workers, remote=options.remote_workers, host=host, port=port)


def plan_of(options: RunOptions, subject: Subject) -> Plan:
    """The plan that a command line asks for.

    Raises:
        UsageError: something in it does not exist or does not go together.
    """
    budget = BUDGETS[options.budget]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name):
        raise UsageError(f"{options.name!r} cannot be part of a folder's name", "use letters, digits and '-'")
    if options.master and not options.workers and not options.remote_workers:
        raise UsageError("--master goes with --workers or --remote-workers", "one process needs no master")
    if options.remote_workers and not options.target:
        raise UsageError(
            "workers on other machines cannot reach instances that listen on this machine's loopback",
            "start the instances there and name them with --target",
        )
    setups = _setups(options, subject, budget)
    _check_collector(options, setups)
    if options.light == 0 and options.saturation == 0:
        raise UsageError("neither light nor full load is left", "leave out --light 0 or --saturation 0")
    cpus = machine.split_cpus(pinned=not options.no_pin and not options.target)
    slice_s = options.slice or (MAX_PAUSE_S if options.target else None)
    active_s = (options.warm_up, options.light, options.saturation, slice_s)
    warm_up, light, saturation = stretches(budget, len(setups), active_s)
    return Plan(
        name=options.name,
        preset=options.preset or "",
        budget=budget.name,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
        app=subject.app,
        setups=setups,
        replicates=options.replicates or budget.replicates,
        warm_up=warm_up,
        light=light,
        saturation=saturation,
        probes=PROBES if options.find_rate else 0,
        spare=budget.spare,
        rest_s=COLLECTOR_REST_S if options.collector else REST_S,
        rate_per_s=options.rate or 0.0,
        latency_limit_s=options.latency_limit,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        workers=options.workers + options.remote_workers,
        targets=options.targets,
        collector=options.collector,
        scale_timers=options.scale_timers,
    )


def _check_collector(options: RunOptions, setups: Sequence[Setup]) -> None:
    """Raise UsageError unless the collector is here and does what setups need of it."""
    sampling = [setup.name for setup in setups if setup.collector_sampling < 1]
    if sampling and options.collector != collector.SAMPLING:
        raise UsageError(
            f"{', '.join(sampling)} samples in a collector", f"add `--collector {collector.SAMPLING}`"
        )
    if not options.collector:
        return
    if options.target:
        raise UsageError(
            "--collector goes with instances started here",
            "instances that run elsewhere know where they export: point them at it, and it at the receiver",
        )
    collector.check_protocols(options.collector, {setup.name: protocol(setup) for setup in setups})
    if options.collector in TOOLS:
        TOOLS[options.collector].require()


def _setups(options: RunOptions, subject: Subject, budget: Budget) -> tuple[Setup, ...]:
    app, own = subject.app, subject.own
    if options.target:
        return _target_setups(options, subject)
    if options.receiver_host != LOOPBACK and not collector.is_elsewhere(options.collector):
        raise UsageError(
            "--receiver-host goes with --target or a collector that runs elsewhere",
            "everything started here knows its receiver",
        )
    presets = PRESETS | app.preset
    if options.preset:
        if options.preset in presets:
            names = list(presets[options.preset])
        elif options.preset in MADE:
            made = _made(options.preset, subject)
            own = (*own, *made)
            names = [EVERYTHING]
        else:
            raise UsageError(
                f"there is no preset named {options.preset!r}",
                f"there are {', '.join(sorted([*presets, *MADE]))}",
            )
    elif options.setups is not None:
        names = [name.strip() for name in options.setups.split(",") if name.strip()]
        if not names:
            raise UsageError("--setups names no setup", "`tracing-overhead setups` lists those that exist")
    else:
        names = [setup.name for setup in own] or list(default_names(app, budget.setups))
    chosen = choose(app, [*ALWAYS, *names, *(setup.name for setup in own)], own)
    return _possible(chosen) if options.preset else chosen


def _possible(setups: Sequence[Setup]) -> tuple[Setup, ...]:
    """Without those that need a Python that is not on this machine."""
    missing = {setup.name for setup in setups if setup.python and install.interpreter(setup.python) is None}
    if missing:
        display.warn(f"left out, because their Python is not on this machine: {', '.join(sorted(missing))}")
    return tuple(setup for setup in setups if setup.name not in missing)


def _made(preset: str, subject: Subject) -> tuple[Setup, ...]:
    """The setups of a preset that are made for the application."""
    if preset == BATCHING:
        return batching_setups()
    app = subject.app
    names = app.tracing.instrumentors or install.instrumentors(subject.place, app)
    return instrumentor_setups(names, app.tracing.env.get(DISABLED_INSTRUMENTATIONS, ""))


def _target_setups(options: RunOptions, subject: Subject) -> tuple[Setup, ...]:
    """The setups of instances that run elsewhere."""
    targets = options.targets
    if len(targets) < len(options.target):
        raise UsageError("a setup has two targets", "a setup has one instance; name the other none-aa")
    if "none" not in targets:
        raise UsageError(
            "no target runs the baseline", "start an instance without tracing, --target none=URL"
        )
    if options.setups or options.preset:
        raise UsageError("the targets are the setups of the run", "leave out --setups and --preset")
    if len(targets) < 2:
        raise UsageError("there is nothing to compare the baseline with", "name a second --target")
    if len({url.rstrip("/") for url in targets.values()}) < len(targets):
        raise UsageError("two targets have the same address", "a setup has an instance of its own")
    return choose(subject.app, list(targets), subject.own)
