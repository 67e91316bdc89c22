"""`python -m bench`: parses, calls, prints. Results go to stdout, progress to stderr.

Exit codes: 0 every figure counts; 2 the command line or a set-ups file is wrong;
3 a process of the run failed; 4 the run is complete and must not be believed;
5 a results folder cannot be written or read; 130 Ctrl-C.
"""

import argparse
import contextlib
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import display, doctor, gates, machine
from bench.errors import INTERRUPTED_EXIT_CODE, BenchError, MeasurementError, ResultsError, UsageError
from bench.experiment import Outcome, carry_out
from bench.findings import Summary
from bench.fleet import environ_of
from bench.generator import ROUNDS, compare
from bench.model import BASELINE, Plan, Raw, Solo
from bench.options import add_run_arguments, crew_of, defaults, plan_of, read_own
from bench.overhead import summarise
from bench.plan import BUDGETS, duration_s
from bench.process import ROOT, plain_environ
from bench.report import histograms, markdown, terminal, words
from bench.report.generators import generators_table
from bench.rig import Rig
from bench.setups import PRESETS, TABLE, choose
from bench.store import Store, folder_name, pretty, read_raw


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    # Explicitly: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    args = _parser().parse_args(argv)
    try:
        return int(args.call(args))
    except BenchError as error:
        return _complain(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # The reader of our output (`| head`) has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(error: BenchError) -> int:
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text(f"error: {error}", "red"))
    console.print(Text(f"hint: {error.hint}"))
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What does tracing cost a real checkout?",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=machine.version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure, and report (the main job)")
    run.set_defaults(call=_run)
    add_run_arguments(run)
    setups = commands.add_parser("setups", help="list the tracing set-ups")
    setups.set_defaults(call=_setups)
    setups.add_argument("--setups-file", type=Path, metavar="F.toml", help="your own, too")
    setups.add_argument(
        "--env", metavar="SETUP", help="print this one's environment alone, to start a --target with"
    )
    report = commands.add_parser("report", help="make summary and report again from a folder's raw records")
    report.set_defaults(call=_report)
    report.add_argument("folder", type=Path, metavar="DIR", help="a results folder")
    web = commands.add_parser("web", help="explore the set-ups by hand in Locust's web UI")
    web.set_defaults(call=_web)
    web.add_argument("--port", type=int, default=8089, help="on 127.0.0.1 (default: 8089)")
    generator = commands.add_parser(
        "generator", help="what the load generator itself costs, beside Locust's own users and wrk"
    )
    generator.set_defaults(call=_generator)
    generator.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each (default: {ROUNDS})")
    doctor = commands.add_parser("doctor", help="is this machine fit to measure, and what to expect")
    doctor.set_defaults(call=_doctor)
    return parser


# ---------------------------------------------------------------- run


def _run(args: argparse.Namespace) -> int:
    plan = plan_of(args)
    if args.dry_run:
        _show_plan(plan, display.console())
        return 0
    machine.require_linux()
    now = datetime.now(UTC)
    store = Store.create(args.out or ROOT / "results" / folder_name(now, plan.name))
    record = _Redacting(store)
    record.write_plan(plan)
    rig = None
    with display.progress(duration_s(plan)) as shown:
        try:
            shown.say("starting the sink and the load generator")
            rig = _rig(plan, args)
            environs = {
                setup.name: environ_of(setup, hash_seed=0, endpoints=rig.sink.endpoints)
                for setup in plan.setups
            }
            store.write(
                "machine.json", pretty(machine.describe(plan, environs) | {"started": now.isoformat()})
            )
            outcome = carry_out(plan, rig, record, shown)
        finally:
            with _uninterrupted():
                if rig is not None:
                    rig.close()
    with _uninterrupted():
        return _conclude(outcome, store)


OTLP_PORTS = (4318, 4317)
"""OTLP's own, http and grpc: where fleets that run elsewhere send unless told otherwise."""


def _rig(plan: Plan, args: argparse.Namespace) -> Rig:
    if not plan.targets:
        return Rig(plan, crew_of(args))
    return Rig(plan, crew_of(args), OTLP_PORTS, args.sink_host)


class _Redacting:
    """A record that never stores a set-up's secrets."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.append_window = store.append_window
        self.append_requests = store.append_requests
        self.append_slice = store.append_slice

    def write_plan(self, plan: Plan) -> None:
        """The plan with secret values redacted."""
        self._store.write_plan(replace(plan, setups=machine.redact(plan.setups)))


def _minutes(plan: Plan) -> str:
    """How long a run takes, without and with all the windows that it may repeat."""
    least, most = duration_s(plan), duration_s(plan, repeated=plan.spare)
    return f"about {_clock(least)}, at most {_clock(most)}" if plan.spare else f"about {_clock(least)}"


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def _show_plan(plan: Plan, console: Console) -> None:
    pinned = f"services on CPU {plan.services_cpus}" if plan.services_cpus else "not pinned"
    console.print(f"budget {plan.budget}: {_minutes(plan)}, seed {plan.seed}, {pinned}")
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
        summary = _derive(store, outcome.raw)
    except ResultsError as error:
        # The disk is full: what is on it stays, and the report is shown at least here.
        outcome.error = outcome.error or error
        summary = summarise(outcome.raw)
    terminal.show(summary, display.console())
    sys.stdout.write(f"\nResults: {_relative(store.folder)}\n")
    if outcome.error is not None:
        return _complain(outcome.error)
    if not outcome.complete:
        return INTERRUPTED_EXIT_CODE
    return 0 if summary.valid else MeasurementError.exit_code


def _derive(store: Store, raw: Raw) -> Summary:
    """The summary of raw records; summary.json, report.md and the histograms are written.

    Raises:
        ResultsError: the disk is full.
    """
    plan = replace(raw.plan, setups=machine.redact(raw.plan.setups))
    summary = summarise(replace(raw, plan=plan))
    store.write("summary.json", pretty(summary))
    store.write("report.md", markdown.render(summary).encode())
    for name, content in histograms.render(raw, summary).items():
        store.write(f"{histograms.FOLDER}/{name}", content)
    return summary


def _relative(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not keep the processes from being stopped."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# ---------------------------------------------------------------- the other commands


def _setups(args: argparse.Namespace) -> int:
    own = read_own(args.setups_file)
    if args.env:
        setup = choose([args.env], own)[-1] if args.env != BASELINE else choose([])[0]
        given = setup.env.get("OTEL_RESOURCE_ATTRIBUTES")
        label = f"bench.setup={setup.name}"
        environ = setup.env | {"OTEL_RESOURCE_ATTRIBUTES": f"{given},{label}" if given else label}
        sys.stdout.writelines(f"{name}={shlex.quote(value)}\n" for name, value in environ.items())
        return 0
    console = display.console()
    table = Table(box=None, pad_edge=False)
    for head in ("set-up", "lists", "what it is", "environment"):
        table.add_column(head, overflow="fold")
    for setup in (*TABLE, *own):
        lists = ", ".join(name for name, names in PRESETS.items() if setup.name in names)
        environment = "\n".join(f"{name}={value}" for name, value in setup.env.items())
        table.add_row(Text(setup.name, "bold"), lists, Text(setup.description), Text(environment))
    console.print(table)
    return 0


def _report(args: argparse.Namespace) -> int:
    summary = _derive(Store(args.folder), read_raw(args.folder))
    terminal.show(summary, display.console())
    return 0 if summary.valid else MeasurementError.exit_code


WEB_LOCUSTFILE = ROOT / "locustfiles" / "explore.py"


def _web(args: argparse.Namespace) -> int:
    """Locust's web UI, until Ctrl-C; this process becomes Locust's."""
    machine.require_linux()
    try:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", args.port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the web UI cannot listen on port {args.port}: {reason}", "choose another with --port"
        ) from None
    _, _, other_cpus = machine.split_cpus(pinned=True)
    if other_cpus:
        os.sched_setaffinity(0, other_cpus)
    sys.stdout.write(f"Locust's web UI: http://127.0.0.1:{args.port} - Ctrl-C stops it and all services.\n")
    sys.stdout.flush()
    os.chdir(ROOT)
    options = ["-f", str(WEB_LOCUSTFILE), "--web-host", "127.0.0.1", "--web-port", str(args.port)]
    command = [sys.executable, "-m", "locust", *options, "--loglevel", "WARNING", "--stop-timeout", "5"]
    os.execve(sys.executable, command, plain_environ())  # noqa: S606 - nothing is left to do here


GENERATOR_S = 90


def _generator(args: argparse.Namespace) -> int:
    machine.require_linux()
    with display.progress(GENERATOR_S) as shown:
        found, steal = compare(shown, max(args.rounds, 2))
    console = display.console()
    title = "What a request costs its generator, on the same echo service"
    terminal.show_table(generators_table(found), title, console)
    for caveat in gates.host(steal, 0.0):
        console.print(Text("caveat " + words.caveat_line(caveat), "yellow"))
    return 0


def _trial(plan: Plan, shown: display.Shown) -> doctor.Trial:
    rig = Rig(plan)
    try:
        return doctor.trial(plan, rig, shown)
    finally:
        with _uninterrupted():
            rig.close()


def _doctor(_args: argparse.Namespace) -> int:
    console = display.console()
    checks = machine.examine()
    for check in checks:
        mark = Text("fit   ", "green") if check.fit else Text("doubt ", "yellow")
        console.print(
            mark + Text(f"{check.name}: {check.found}") + Text("" if check.fit else f" - {check.advice}")
        )
    machine.require_linux()
    with display.progress(doctor.TRIAL_S) as shown:
        found = _trial(doctor.plan(machine.split_cpus(pinned=True)), shown)
    console.print(
        f"\nA trial of {doctor.TRIAL_S} s with two identical fleets: {found.cpu_per_checkout_s * 1e3:.1f} ms "
        f"of CPU per checkout, varying by {found.request_sd:.0%} from one request to the next."
    )
    console.print("What to expect here (the smallest overhead that 80 % of runs find):")
    for budget in BUDGETS.values():
        planned = plan_of(defaults(budget.name))
        expected = f"{doctor.expected_mde(budget, found) * 100:6.1f} % in {_minutes(planned)}"
        console.print(f"  {budget.name:<8} {expected}", highlight=False)
    doubts = [check.name for check in checks if not check.fit]
    if doubts:
        console.print(Text(f"Not fit to measure: {', '.join(doubts)}.", "yellow"))
        return MeasurementError.exit_code
    console.print(Text("Fit to measure.", "green"))
    return 0
