"""The report of a run: what stands in it, and in which order."""

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.claims import Severity
from bench.analysis.layers import Layer
from bench.analysis.records import CostModel, Summary
from bench.app.records import Setup
from bench.app.setups import TABLE
from bench.plan.machine import Machine
from bench.plan.records import Plan
from bench.report import charts, contrasts, tables
from bench.report.answer import answer, headline_figures
from bench.report.decisions import decision_table
from bench.report.document import Caveats, Document, Items, Section, Text, Tiles, document, section
from bench.report.words import duration, percent, plural

HOW_TO_READ = (
    "Added CPU is against the mean of `none` and the A/A setup `none-aa`, paired inside replicates; the "
    "A/A setup itself is against `none`. Intervals hold for each setup alone, verdicts for all setups "
    "under test at once (studentised maximum modulus). MDE is the smallest overhead that such a run finds "
    "in 80 % of cases."
)
HOW_MEASURED = (
    "Every setup is an instance of the whole application. Instances run in interleaved time slices: one "
    "runs, all others are stopped, in rounds that are shuffled anew. Time counts as long as an instance "
    "runs (active time). Light load is open loop: requests are sent when they were planned, and latency "
    "counts from then. Full load is a closed loop. CPU is that of all processes of an instance, exports "
    "included. The unit of replication is the replicate: fresh processes, a new hash seed."
)
ABOUT_DECISIONS = (
    "Each choice compared with tracing everything, paired inside replicates, in CPU per request under light "
    "load; percentages are of the whole request, tracing included. Sampling in a collector (tail sampling) "
    "costs the application what tracing everything costs."
)
BIAS = (
    (
        "*Neither percentages nor microseconds transfer*: a service that does more per request has smaller "
        "percentages, and another CPU or other versions change both."
    ),
    (
        "*Smaller than elsewhere*: the receiver answers at once, on loopback. Over a network, or with a busy "
        "collector, exports take longer, and with the simple processor requests wait for each."
    ),
    (
        "*Larger than elsewhere*: instances run in interleaved time slices, so each time slice begins "
        "with caches that another one has used."
    ),
    (
        "*Timers run on* while an instance is stopped: a batch processor exports smaller batches than in a "
        "service that always runs; `--scale-timers` takes that out."
    ),
)
"""What makes the figures larger or smaller than in the reader's own system."""
INCOMPLETE = Text(
    text="The span accounting is incomplete: the traces of setups in red are not what their requests left.",
    red=True,
)
BURNT_INSIDE = (
    "The injected cost of this run burns its CPU inside the application, and what that does to the work "
    "around it comes on top, most of all at full load. Later runs burn it in a process for which no "
    "request waits."
)
ABOUT_PACKAGES = (
    "Setups with packages of their own, and what in their environments differs from the others', whose "
    "versions are in brackets. All of it is in their figures, whether or not it has to do with tracing."
)
FIGURES = "The same in figures"
"""Label of the collapsed table below a chart with the same figures."""
ABOUT_COLLECTOR = (
    "What a collector between application and receiver needed itself; it is in no figure above. CPU per span "
    "is without what it burns at rest. It is one process for the whole run: its interval says nothing about "
    "other days."
)


def report(summary: Summary, machine: Machine | None, *more: Section) -> Document:
    """The whole report.

    Args:
        summary: what the run measured.
        machine: where; None where that is unknown.
        more: further sections, which stand before the machine, such as microbenchmarks.
    """
    lines = answer(summary, machine)
    incomplete = bool(summary.incomplete)
    return document(
        f"What tracing costs: {summary.app.name}",
        [glance(summary), Text(text=lines[0], red=not summary.valid), *lines[1:]],
        section("What it costs", charts.overhead(summary), tables.answer_table(summary)),
        _what_to_do(summary),
        *_contrasts(summary),
        *_layers(summary),
        section("Caveats", Caveats(caveats=summary.caveats)),
        *_latency(summary),
        section(
            "Throughput",
            charts.throughput(summary),
            replace(tables.throughput_table(summary), folded=FIGURES),
            folded=True,
        )
        if summary.plan.saturation.blocks
        else section("Throughput"),
        section("By kind of request", tables.kinds_table(summary), folded=True),
        section("Start, rest and memory", tables.rest_table(summary), folded=True),
        *_cpu(summary),
        section(
            "Span accounting",
            INCOMPLETE if incomplete else None,
            tables.accounting_table(summary),
            "Requests of all loads, the warm-up included.",
            folded=not incomplete,
        ),
        section(
            "The collector between application and receiver",
            tables.collector_table(summary.collector) if summary.collector else None,
            ABOUT_COLLECTOR if summary.collector else None,
            folded=True,
        ),
        section("Where these figures would differ", Items(items=BIAS), folded=True),
        section(
            "How it was measured",
            HOW_MEASURED,
            extent(summary),
            load_line(summary),
            tables.workers_table(summary) if summary.load.workers else None,
            folded=True,
        ),
        *more,
        *machine_sections(machine),
        section("Setups", Items(items=tuple(map(_setup, summary.plan.setups))), folded=True),
        section("How to repeat it", how_to_repeat(summary.plan, summary.light_rate_per_s), folded=True),
    )


def glance(summary: Summary) -> Tiles:
    """Whether the figures count, and the most important ones."""
    invalid = sum(caveat.severity is Severity.INVALID for caveat in summary.caveats)
    state = "passed" if summary.valid else f"{invalid} failed" if invalid else "too few replicates"
    return Tiles(state=state, red=not summary.valid, figures=headline_figures(summary))


def _what_to_do(summary: Summary) -> Section:
    decisions = decision_table(summary)
    return section("What to do", decisions, ABOUT_DECISIONS if decisions else None)


def extent(summary: Summary) -> str:
    """How much was measured, in a sentence."""
    plan = summary.plan
    replicates = plural(plan.replicates, "replicate")
    if not summary.complete:
        replicates = f"{summary.replicates} of {replicates}"
    requests = plural(summary.load.requests, summary.app.request)
    return f"{replicates}, {plural(len(plan.setups), 'setup')}, {requests}."


def _cpu(summary: Summary) -> list[Section]:
    unit = summary.app.request
    sections = []
    if summary.plan.light.blocks:
        sections.append(
            section(
                f"CPU per {unit} under light load",
                tables.cpu_table(summary, "light"),
                HOW_TO_READ,
                tables.overloaded(summary) or None,
                folded=True,
            )
        )
    if summary.plan.saturation.blocks:
        sections.append(
            section(
                f"CPU per {unit} at full load",
                tables.cpu_table(summary, "saturation"),
                BURNT_INSIDE
                if summary.plan.app.injected and summary.plan.method < tables.BURNT_APART
                else None,
                folded=True,
            )
        )
    return sections


def _burnt_inside(summary: Summary) -> str | None:
    """What is said of runs whose injected cost burnt inside the application."""
    plan = summary.plan
    return BURNT_INSIDE if plan.app.injected and plan.method < tables.BURNT_APART else None


def _latency(summary: Summary) -> list[Section]:
    rate = summary.light_rate_per_s
    if not summary.plan.light.blocks or not rate:
        return []
    share = (
        f"{percent(summary.plan.share, sign=False, decimals=0)} % of the baseline's capacity in its first "
        "closed loop"
    )
    chosen = "as chosen" if summary.plan.rate_per_s else share
    return [
        section(
            "Latency at light load",
            charts.latency(summary),
            replace(tables.latency_table(summary), folded=FIGURES),
            f"At {rate:.1f} {summary.app.request}s/s of active time ({chosen}), from the planned send (no "
            "coordinated omission). A setup that cannot hold that rate is overloaded: its latency is "
            "unbounded and therefore not reported.",
            folded=True,
        )
    ]


def _contrasts(summary: Summary) -> list[Section]:
    grid = contrasts.batching(summary)
    return [
        section(
            "Queue, batch size and delay",
            contrasts.batching_line(summary) if grid else None,
            contrasts.batching_table(summary) if grid else None,
        ),
        section(
            "Compared with each other",
            contrasts.contrast_table(summary) if summary.contrasts else None,
            contrasts.ABOUT if summary.contrasts else None,
            folded=bool(grid),
        ),
    ]


def _layers(summary: Summary) -> list[Section]:
    sections = []
    if summary.layers:
        sections.append(
            section(
                "Layers: where the cost goes",
                charts.waterfall(summary.layers),
                replace(tables.layer_table(summary.layers), folded=FIGURES),
                layer_line(summary.layers),
            )
        )
    if summary.cost_model:
        sections.append(section("Cost by spans", *cost_model_lines(summary), folded=True))
    return sections


def layer_line(layers: Sequence[Layer]) -> str | None:
    """What all layers add, compared with the prediction; None without a prediction."""
    predicted = [layer.predicted_s for layer in layers if layer.predicted_s is not None]
    if len(predicted) < len(layers) or sum(predicted) <= 0:
        return None
    added_s = sum(layer.cpu_s for layer in layers)
    return (
        f"Together they add {duration(added_s)}. Their operations, each timed on its own and with cold "
        f"caches, predict {duration(sum(predicted))}: what is measured is "
        f"{added_s / sum(predicted):.2f} times that."
    )


def cost_model_lines(summary: Summary) -> list[str]:
    """The fitted cost models, a sentence for each load."""
    models = {"Under light load": summary.cost_model, "At full load": summary.cost_model_saturation}
    return [_cost_model_line(summary, load, model) for load, model in models.items() if model]


def _cost_model_line(summary: Summary, load: str, model: CostModel) -> str:
    return (
        f"{load}: added CPU per {summary.app.request} = {duration(model.fixed_s)} + "
        f"{duration(model.per_span_s)} for each exported span, fitted to "
        f"{', '.join(name for name, _, _ in model.points)}; they lie {duration(model.residual_s)} from it "
        "(standard deviation)."
    )


def load_line(summary: Summary) -> str:
    """How the load went, in one sentence."""
    load = summary.load
    lags = [
        f"{name} {lag * 1e3:.2f} ms"
        for name, lag in (("p50", load.lag_p50_s), ("p99", load.lag_p99_s))
        if lag
    ]
    return (
        f"Lag {', '.join(lags) or 'not known'}; load generator "
        f"{percent(load.load_utilization, sign=False)} % busy; {load.failed:,} failed, {load.unsent:,} not "
        f"sent; steal {percent(load.steal, sign=False)} %, other programs "
        f"{percent(load.foreign, sign=False)} % of a core; {plural(load.repeated, 'block')} spoiled by the "
        f"host; time slices {percent(load.slice_error, sign=False, decimals=2)} % off their length."
    )


def machine_sections(machine: Machine | None) -> list[Section]:
    """The machine, and every version."""
    if machine is None:
        return []
    packages = tuple(
        f"`{name}` {version}" for name, version in (machine.packages | machine.app_packages).items()
    )
    return [
        section(
            "The machine",
            tables.machine_table(machine),
            Items(items=packages, folded=f"{len(packages)} packages") if packages else None,
            folded=True,
        ),
        section(
            "Packages that differ",
            ABOUT_PACKAGES if machine.setup_packages else None,
            Items(items=_differing_packages(machine)) if machine.setup_packages else None,
            folded=True,
        ),
    ]


def _differing_packages(machine: Machine) -> tuple[str, ...]:
    """By environment: its setups, and the packages that the common one lacks or has in another version."""
    common = machine.app_packages or machine.packages
    items: dict[str, list[str]] = {}
    for name, packages in machine.setup_packages.items():
        differing = [
            f"`{package}` {version}" + (f" ({common[package]})" if package in common else "")
            for package, version in packages.items()
            if common.get(package) != version
        ]
        items.setdefault(", ".join(differing) or "none", []).append(name)
    return tuple(f"**{', '.join(names)}**: {differing}" for differing, names in items.items())


def _setup(setup: Setup) -> str:
    env = " ".join(f"{name}={value}" for name, value in setup.env.items())
    spans = f" `spans = {setup.spans}`" if setup.spans else ""
    packages = ", ".join([*([f"Python {setup.python}"] if setup.python else []), *setup.pip, *setup.npm])
    return (
        f"`{setup.name}`: {setup.description} `tracing = {setup.tracing}`{spans}"
        + (f" `{env}`" if env else "")
        + (f" with `{packages}`" if packages else "")
    )


def how_to_repeat(plan: Plan, rate_per_s: float) -> str:
    """The command of the run."""
    known = {setup.name for setup in (*TABLE, *plan.app.setup)}
    own = [setup.name for setup in plan.setups if setup.name not in known]
    names = ",".join(name for name in plan.names if name not in own)
    chosen = f"--preset {plan.preset}" if plan.preset else f"--setups {names}"
    options = [
        f"tracing-overhead run {'FILE' if plan.app_file is None else plan.app_file}".rstrip(),
        chosen,
        f"--seed {plan.seed}",
        f"--replicates {plan.replicates}",
    ]
    options += ["--setups-file FILE"] if own and not plan.preset else []
    options += [f"--budget {plan.budget}"] if plan.budget != "default" else []
    options += [f"--light {plan.light.active_s:g}s", f"--saturation {plan.saturation.active_s:g}s"]
    options += [f"--rate {rate_per_s:g}"] if rate_per_s else []
    options += ["--find-rate"] if plan.probes else []
    options += [] if plan.services_cpus else ["--no-pin"]
    options += [f"--workers {plan.workers}"] if plan.workers else []
    options += [f"--collector {plan.collector}"] if plan.collector else []
    options += [f"--target {name}={url}" for name, url in plan.targets.items()]
    unknown = ", without FILE for the built-in example" if plan.app_file is None else ""
    return (
        f"`{' '.join(options)}`{unknown}. The raw records lie beside this report; `tracing-overhead report` "
        "with their folder makes it again from them."
    )
