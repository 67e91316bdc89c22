"""The main job: what does tracing cost?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.analysis.records import SetupSummary, Summary
from bench.analysis.summary import Predict
from bench.app.presets import INSTRUMENTORS
from bench.app.setups import choose
from bench.errors import UsageError
from bench.plan.budget import duration_s
from bench.plan.records import Plan
from bench.report import histograms, run, words
from bench.report.ci import Case, Metric
from bench.report.document import Document, Section, Text, document
from bench.results.folder import RunResult, read_run
from bench.results.store import REQUESTS, Store, pretty
from bench.runner.run import Progress
from bench.studies.micro import document as micro_document
from bench.studies.micro import files as micro_files
from bench.studies.micro.predictions import predictor as micro_predictor
from bench.studies.run.measure import (
    PRICING_S,
    look_at_machine,
    measure,
    minutes,
    testbed_options,
    warnings_about,
)
from bench.studies.run.options import APP_FILE, Options
from bench.studies.run.planning import left_out, run_plan
from bench.studies.study import Measurement, Parts, case
from bench.testbed import guessing, machine, remote
from bench.testbed.app_files import LoadedApp, load, loaded


def prepare(options: Options) -> Measurement | str:
    """The run that options ask for, or its plan in words.

    Raises:
        UsageError: something in the options or the app file is wrong, or cannot be installed.
    """
    draft = _draft(options)
    # Only the environment of an application knows what it can instrument.
    installed = not options.dry_run or options.preset == INSTRUMENTORS
    if draft is None:
        app = load(options.app, options.setups_file, installed=installed)
    else:
        app = loaded(draft.text, Path(APP_FILE), options.setups_file, installed=installed)
    plan = run_plan(options, app)
    if options.dry_run:
        return "\n".join(described(plan)) + "\n"
    machine.require_linux()
    trips = {name: remote.round_trip_s(url) for name, url in plan.targets.items()}
    plan = replace(plan, round_trips_s=trips)
    # What cannot be installed is an error before anything is measured.
    how = testbed_options(options, plan, app)
    app_file = f" {options.app}" if options.app else " FILE" if draft else ""

    def before(progress: Progress) -> Iterator[str]:
        if draft is not None:
            yield f"The same as `tracing-overhead run FILE` with this file:\n\n{draft.text}"
        yield from warnings_about(plan, _left_out(options, app))
        yield from look_at_machine(plan, progress, app_file=app_file, wait=options.wait_for_quiet)

    def carry_out(log: Store, progress: Progress) -> None:
        if draft is not None:
            log.write(APP_FILE, draft.text.encode())
        measure(plan, app, how, with_prices=options.with_prices, store=log, progress=progress)

    return Measurement(
        name=plan.name,
        duration_s=duration_s(plan) + (PRICING_S if options.with_prices else 0.0),
        measure=carry_out,
        before=before,
        describes_machine=True,
        reports_when_interrupted=True,
        required=REQUESTS,
        full=options.full,
    )


def _draft(options: Options) -> guessing.Draft | None:
    """The app file that --command makes."""
    if options.command is None:
        if options.path is not None:
            raise UsageError("--path goes with --command", "add --command, or name the path in the app file")
        return None
    if options.app is not None:
        raise UsageError("an app file names the command already", "leave out --command, or the file")
    draft = guessing.draft(options.command, options.path or "/")
    guessing.require_agent(draft, "then run the same command again")
    return draft


def _left_out(options: Options, app: LoadedApp) -> list[str]:
    """Setups of a preset that need a Python which is not here."""
    if not options.preset or options.preset not in app.app.preset:
        return []
    return left_out(choose(app.app, app.app.preset[options.preset], app.own))


def described(plan: Plan) -> Iterator[str]:
    """What a run would do, and how long it takes, a line each."""
    pinned = f"application on CPU {', '.join(map(str, plan.services_cpus))}"
    yield (
        f"{plan.app.name}, budget {plan.budget}: {minutes(plan)}, seed {plan.seed}, "
        f"{pinned if plan.services_cpus else 'not pinned'}"
    )
    yield (
        f"{words.plural(plan.replicates, 'replicate')} with fresh processes; in each, instances run in "
        f"interleaved time slices: {plan.warm_up.active_s:.1f} s of active time to warm up, "
        f"{plan.light.active_s:.1f} s of light load in slices of {plan.light.slice_s * 1e3:.0f} ms, "
        f"{plan.saturation.active_s:.1f} s of saturation ({plan.users} users) in slices of "
        f"{plan.saturation.slice_s * 1e3:.0f} ms"
    )
    rate = (
        f"{plan.rate_per_s:g}/s"
        if plan.rate_per_s
        else f"{plan.share * 100:.0f} % of the baseline's capacity"
    )
    spare = (
        f"; up to {words.plural(plan.spare, 'block')} of each load may be repeated if the host takes CPU away"
    )
    yield f"light rate: {rate}{spare if plan.spare else ''}"
    if plan.probes:
        yield (
            f"highest rate with p99 under {plan.latency_limit_s * 1e3:g} ms: {plan.probes} steps per "
            "replicate"
        )
    if plan.workers:
        yield f"load: {plan.workers} workers"
    if plan.collector:
        yield f"collector between application and receiver: {plan.collector}"
    yield f"{len(plan.setups)} setups:"
    for setup in plan.setups:
        yield f"  {setup.name:<16} {words.printable(setup.description)}"


# ---------------------------------------------------------------- what it left


def predictor(folder: Path) -> Predict | None:
    """Predicts layers from a folder's microbenchmarks; None where it has none."""
    return micro_predictor(micro_files.read(folder).prices) if micro_files.exists(folder) else None


def figures(folder: Path) -> RunResult:
    """What is known of a run."""
    return read_run(folder, predictor(folder))


def report(result: RunResult, *more: Section) -> Document:
    """The report of a run, which ends with further sections."""
    made = run.report(result.summary, result.machine, *more)
    if not result.discrepancies:
        return made
    text = f"CHANGED SINCE IT WAS MEASURED: {result.discrepancies[0]}; no figure counts."
    return document(made.title, [Text(text=text, red=True), *made.lead], *made.sections)


def sections(folder: Path) -> list[Section]:
    """The microbenchmarks of a folder, if it has any."""
    micro = micro_document.sections(micro_files.read(folder)) if micro_files.exists(folder) else []
    return [replace(part, folded=True) for part in micro]


def extras(folder: Path, result: RunResult) -> dict[str, bytes]:
    """Further files made from the raw records: latency distributions, and figures of microbenchmarks."""
    files: dict[str, bytes] = {}
    if result.raw is not None:
        logs = histograms.render(result.raw)
        files |= {f"{histograms.FOLDER}/{name}": content for name, content in logs.items()}
    if micro_files.exists(folder):
        files[micro_files.SUMMARY] = pretty(micro_files.read(folder))
    return files


def metrics(result: RunResult) -> list[Metric]:
    """CPU and latency of every setup against the baseline."""
    summary = result.summary
    setups = [setup for setup in summary.setups if setup.name != summary.baseline]
    return [metric for setup in setups for metric in _metrics(setup, summary.app.name)]


def _metrics(setup: SetupSummary, app: str) -> list[Metric]:
    name = f"{app}, {setup.name}"
    changes = setup.latency.changes if setup.latency else {}
    claim = "" if setup.invalid else words.verdict(setup.verdict)
    return [
        *Metric.of_change(f"{name}: CPU", setup.overhead, claim),
        *(
            metric
            for quantile, change in changes.items()
            for metric in Metric.of_change(f"{name}: {quantile}", change)
        ),
    ]


def cases(result: RunResult) -> list[Case]:
    """Every setup: an invalid one is an error."""
    summary = result.summary
    return [
        case(setup.name, words.verdict(setup.verdict), valid=not setup.invalid and summary.valid)
        for setup in summary.setups
    ]


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=figures,
    record=Summary,
    stored=lambda result: result.summary,
    document=report,
    sections=sections,
    extras=extras,
    is_valid=lambda result: result.valid,
    metrics=metrics,
    cases=cases,
)
