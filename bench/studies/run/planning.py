"""The plan that the command line of `tracing-overhead run` asks for."""

import re
import secrets
from collections.abc import Sequence

from bench.app.presets import BATCHING, DERIVED_PRESETS, PRESETS, batching_setups, instrumentor_setups
from bench.app.records import AA, BASELINE, Setup
from bench.app.setups import (
    ALWAYS,
    DISABLED_INSTRUMENTATIONS,
    EVERYTHING,
    choose,
    default_names,
    protocol,
)
from bench.errors import UsageError
from bench.plan.budget import BUDGETS, MAX_PAUSE_S, Budget, phases
from bench.plan.records import Plan
from bench.studies.run.options import APP_FILE, Options, host_port
from bench.testbed import environments, machine
from bench.testbed.app_files import LoadedApp
from bench.testbed.load import LoadWorkers
from bench.traces import collectors
from bench.traces.catalogue import TOOLS

REST_S, COLLECTOR_REST_S = 1.0, 4.0
"""A collector at rest does something every second or so; a rest has to hold several of these."""
PROBES, LATENCY_LIMIT_S = 5, 0.1
LOOPBACK = "127.0.0.1"


def load_workers_of(options: Options) -> LoadWorkers:
    """The processes that send the load."""
    host, port = ("0.0.0.0", 5557) if options.remote_workers else (LOOPBACK, 0)
    if options.master:
        host, port = host_port(options.master)
    return LoadWorkers(local=options.workers, remote=options.remote_workers, host=host, port=port)


def run_plan(options: Options, loaded: LoadedApp) -> Plan:
    """The plan that a command line asks for.

    Raises:
        UsageError: something in it does not exist or does not go together.
    """
    budget = BUDGETS[options.budget]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", options.name):
        raise UsageError(f"{options.name!r} cannot be part of a folder's name", "use letters, digits and '-'")
    if options.master and not options.workers and not options.remote_workers:
        raise UsageError(
            "--master goes with --workers or --remote-workers", "leave out --master, or add --workers 2"
        )
    if options.remote_workers and not options.target:
        raise UsageError(
            "workers on other machines cannot reach instances that listen on this machine's loopback",
            "start the instances there and name them with --target",
        )
    setups = _setups(options, loaded, budget)
    _check_collector(options, setups)
    if options.latency_limit is not None and not options.find_rate:
        raise UsageError("--latency-limit goes with --find-rate", "add --find-rate, or leave it out")
    if options.light == 0 and options.saturation == 0:
        raise UsageError("no load remains", "leave out --light 0s or --saturation 0s")
    cpus = machine.split_cpus(pinned=not options.no_pin and not options.target)
    slice_s = options.slice or (MAX_PAUSE_S if options.target else None)
    active_s = (options.warm_up, options.light, options.saturation, slice_s)
    warm_up, light, saturation = phases(budget, len(setups), active_s)
    return Plan(
        name=options.name,
        preset=options.preset or "",
        budget=budget.name,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
        app=loaded.app,
        app_file=_app_file(options),
        setups=setups,
        replicates=options.replicates or budget.replicates,
        warm_up=warm_up,
        light=light,
        saturation=saturation,
        probes=PROBES if options.find_rate else 0,
        spare=budget.spare,
        rest_s=COLLECTOR_REST_S if options.collector else REST_S,
        rate_per_s=options.rate or 0.0,
        latency_limit_s=LATENCY_LIMIT_S if options.latency_limit is None else options.latency_limit,
        cpus=cpus.usable,
        services_cpus=cpus.services,
        other_cpus=cpus.others,
        workers=options.workers + options.remote_workers,
        targets=options.targets,
        collector=options.collector,
        scale_timers=options.scale_timers,
    )


def _app_file(options: Options) -> str:
    """The app file as it was typed; the name alone of an absolute path, whose folders are the user's own."""
    if options.app is None:
        return APP_FILE if options.command else ""
    return options.app.name if options.app.is_absolute() else str(options.app)


def _check_collector(options: Options, setups: Sequence[Setup]) -> None:
    """Raise UsageError unless the collector is here and does what setups need of it."""
    sampling = [setup.name for setup in setups if setup.collector_sampling < 1]
    if sampling and options.collector != collectors.SAMPLING:
        raise UsageError(
            f"{', '.join(sampling)} samples in a collector", f"add `--collector {collectors.SAMPLING}`"
        )
    if not options.collector:
        return
    if options.target:
        raise UsageError(
            "--collector goes with instances started here",
            "configure the instances elsewhere to export to the collector, and the collector to the receiver",
        )
    collectors.check_protocols(options.collector, {setup.name: protocol(setup) for setup in setups})
    if options.collector in TOOLS:
        TOOLS[options.collector].require()


def _setups(options: Options, loaded: LoadedApp, budget: Budget) -> tuple[Setup, ...]:
    app, own = loaded.app, loaded.own
    if options.target:
        return _target_setups(options, loaded)
    if options.receiver_host != LOOPBACK and not collectors.is_elsewhere(options.collector):
        raise UsageError(
            "--receiver-host goes with --target or a collector that runs elsewhere",
            "leave it out: processes started here know the receiver's address",
        )
    presets = PRESETS | app.preset
    if options.preset:
        if options.preset in presets:
            names = list(presets[options.preset])
        elif options.preset in DERIVED_PRESETS:
            made = _made(options.preset, loaded)
            own = (*own, *made)
            names = [EVERYTHING]
        else:
            raise UsageError(
                f"there is no preset named {options.preset!r}",
                f"choose from {', '.join(sorted([*presets, *DERIVED_PRESETS]))}",
            )
    elif options.setups is not None:
        names = [name.strip() for name in options.setups.split(",") if name.strip()]
        if not names:
            raise UsageError("--setups names no setup", "`tracing-overhead setups` lists those that exist")
    else:
        names = [setup.name for setup in own] or list(default_names(app, budget.setups))
    chosen = choose(app, [*ALWAYS, *names, *(setup.name for setup in own)], own)
    missing = left_out(chosen) if options.preset else []
    return tuple(setup for setup in chosen if setup.name not in missing)


def left_out(setups: Sequence[Setup]) -> list[str]:
    """Names of setups that need a Python which is not on this machine."""
    return sorted(
        setup.name for setup in setups if setup.python and environments.interpreter(setup.python) is None
    )


def _made(preset: str, loaded: LoadedApp) -> tuple[Setup, ...]:
    """The setups of a preset that are made for the application."""
    if preset == BATCHING:
        return batching_setups()
    app = loaded.app
    names = app.tracing.instrumentors or environments.instrumentors(loaded.place, app)
    return instrumentor_setups(names, app.tracing.env.get(DISABLED_INSTRUMENTATIONS, ""))


def _target_setups(options: Options, loaded: LoadedApp) -> tuple[Setup, ...]:
    """The setups of instances that run elsewhere."""
    targets = options.targets
    if len(targets) < len(options.target):
        raise UsageError("a setup has two targets", f"name the second instance of the baseline {AA}")
    if BASELINE not in targets:
        raise UsageError(
            "no target runs the baseline", "start an instance without tracing, --target none=URL"
        )
    if options.setups or options.preset:
        raise UsageError("the targets are the setups of the run", "leave out --setups and --preset")
    if len(targets) < 2:
        raise UsageError("there is nothing to compare the baseline with", "name a second --target")
    if len({url.rstrip("/") for url in targets.values()}) < len(targets):
        raise UsageError("two targets have the same address", "start one instance for each setup")
    return choose(loaded.app, list(targets), loaded.own)
