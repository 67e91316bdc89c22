"""`run`, the main job; and `report`, which makes its report again."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench import display, machine, results
from bench.backends.collector import SINK_PORTS, is_elsewhere
from bench.commands.micro import PRICING_S, price
from bench.commands.shared import Commands, complain, conclude, minutes, new_folder, uninterrupted, where
from bench.errors import INTERRUPTED_EXIT_CODE, MeasurementError, ResultsError
from bench.experiment import Outcome, carry_out
from bench.fleet import environ_of
from bench.layers import is_ladder
from bench.model import Plan, Solo
from bench.options import add_run_arguments, crew_of, plan_of
from bench.overhead import summarise
from bench.plan import duration_s
from bench.report import html, markdown, terminal
from bench.rig import Rig
from bench.store import Store, pretty, read_raw


def add(commands: Commands) -> None:
    """`run` and `report`."""
    run = commands.add_parser("run", help="measure, and report (the main job)")
    run.set_defaults(call=_run)
    add_run_arguments(run)
    report = commands.add_parser("report", help="make summary and report again from a folder's raw records")
    report.set_defaults(call=_report)
    report.add_argument("folder", type=Path, metavar="DIR", help="a results folder")
    report.add_argument("--format", choices=FORMATS, help="print that, and write nothing")


def _run(args: argparse.Namespace) -> int:
    plan = plan_of(args)
    if args.dry_run:
        _show_plan(plan, display.console())
        return 0
    machine.require_linux()
    store = new_folder(args.out, plan.name)
    keeper = _Redacting(store)
    keeper.write_plan(plan)
    rig = None
    priced = is_ladder(plan)
    with display.progress(duration_s(plan) + (PRICING_S if priced else 0.0)) as shown:
        try:
            if priced:
                price(store, plan.seed, shown)
            shown.say("starting the sink and the load generator")
            rig = _rig(plan, args)
            environs = {
                setup.name: environ_of(setup, hash_seed=0, endpoints=rig.endpoints) for setup in plan.setups
            }
            cpus = (plan.cpus, plan.services_cpus, plan.other_cpus)
            between = f"{rig.collector.name} {rig.collector.version}".strip() if rig.collector else ""
            store.write("machine.json", pretty(replace(machine.describe(cpus, environs), collector=between)))
            outcome = carry_out(plan, rig, keeper, shown)
        finally:
            with uninterrupted():
                if rig is not None:
                    rig.close()
    with uninterrupted():
        return _conclude(outcome, store)


OTLP_PORTS = (4318, 4317)
"""OTLP's own, http and grpc: where fleets that run elsewhere send unless told otherwise."""


def _rig(plan: Plan, args: argparse.Namespace) -> Rig:
    if plan.targets:
        return Rig(plan, crew_of(args), OTLP_PORTS, args.sink_host)
    if is_elsewhere(plan.collector):
        return Rig(plan, crew_of(args), SINK_PORTS, args.sink_host)
    return Rig(plan, crew_of(args))


class _Redacting:
    """A record that never stores a set-up's secrets."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.append_window = store.append_window
        self.append_requests = store.append_requests
        self.append_slice = store.append_slice
        self.append_exemplars = store.append_exemplars

    def write_plan(self, plan: Plan) -> None:
        """The plan with secret values redacted."""
        self._store.write_plan(replace(plan, setups=machine.redact(plan.setups)))


def _show_plan(plan: Plan, console: Console) -> None:
    pinned = f"services on CPU {plan.services_cpus}" if plan.services_cpus else "not pinned"
    console.print(f"budget {plan.budget}: {minutes(plan)}, seed {plan.seed}, {pinned}")
    if plan.windows:
        console.print(
            f"rotation: {plan.epochs} epochs of {plan.windows} windows of {plan.window_s:g} s, "
            f"{plan.warm_up_s:g} s of warm-up and {plan.idle_s:g} s of quiet in each; "
            f"up to {plan.spare} windows are repeated if the host takes CPU away"
        )
    if plan.solo:
        console.print(_solo_line(plan, plan.solo))
    rate = (
        f"{plan.rate_per_s:g} arrivals/s"
        if plan.rate_per_s
        else f"calibrated to {plan.utilisation:.0%} of the CPU"
    )
    if plan.windows:
        console.print(f"arrival rate of the rotation: {rate}, every cycle visits all set-ups once")
    if plan.workers:
        console.print(f"load: {plan.workers} workers")
    if plan.collector:
        console.print(f"collector between services and sink: {plan.collector}")
    console.print(f"{len(plan.setups)} set-ups:")
    for setup in plan.setups:
        console.print(f"  {setup.name:<14} {setup.description}", highlight=False)


def _solo_line(plan: Plan, solo: Solo) -> str:
    slices = ", ".join(
        f"{length:g} s at {level:.0%}" for level, length in zip(solo.levels, solo.levels_s, strict=True)
    )
    return (
        f"solo (without the control): {plan.epochs} blocks; every visit {solo.closed_s:g} s of closed loop, "
        f"{slices} of the baseline's capacity, "
        f"{solo.probes} probes of {solo.probe_s:g} s for p99 under {solo.latency_limit_s * 1e3:g} ms"
    )


def _conclude(outcome: Outcome, store: Store) -> int:
    """The derived files, the report, and the exit code."""
    try:
        store.write("ending.json", pretty(outcome.raw.ending))
        # Ctrl-C may come between what is on disk and what is known of it; the disk is right.
        interrupted = not outcome.complete and outcome.error is None
        made = results.of_run(store.folder, read_raw(store.folder) if interrupted else outcome.raw)
        results.publish(store.folder, made)
        figures, valid = made.figures, made.valid
    except ResultsError as error:
        # The disk is full: what is on it stays, and the report is shown at least here.
        outcome.error = outcome.error or error
        figures = summarise(outcome.raw)
        valid = figures.valid
    terminal.show(figures, display.console())
    where(store.folder)
    if outcome.error is not None:
        return complain(outcome.error)
    if not outcome.complete:
        return INTERRUPTED_EXIT_CODE
    return 0 if valid else MeasurementError.exit_code


FORMATS = ("md", "html", "json")


def _report(args: argparse.Namespace) -> int:
    if args.format is None:
        return conclude(args.folder)
    result = results.read(args.folder)
    made = {"md": markdown.render, "html": html.render}.get(args.format)
    sys.stdout.write(made(result.document) if made else pretty(result.figures).decode())
    return 0 if result.valid else MeasurementError.exit_code
