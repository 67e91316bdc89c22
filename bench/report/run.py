"""The report of a run: what stands in it, and in which order."""

from bench.analysis.records import Summary
from bench.app.records import Setup
from bench.app.setups import TABLE
from bench.plan.machine import Machine
from bench.plan.records import Plan
from bench.report import charts, tables
from bench.report.answer import answer
from bench.report.document import Caveats, Document, Items, Section, Text, document, section
from bench.report.words import percent, plural

HOW_TO_READ = (
    "Extra CPU is against the mean of `none` and its twin `none-again`, paired inside epochs; the twin "
    "itself is against `none`. Intervals hold for each set-up alone, verdicts for all set-ups under test "
    "at once (studentised maximum modulus). MDE is the smallest overhead that such a run finds in 80 % of "
    "cases."
)
HOW_MEASURED = (
    "Every set-up is an instance of the whole application. Instances take turns: one runs, all others are "
    "stopped, in rounds that are shuffled anew. Time counts as long as an instance runs (own time). Light "
    "load is open loop: requests are sent when they were planned, and latency counts from then. Busy load "
    "is a closed loop. CPU is that of all processes of an instance, exports included. The unit of "
    "replication is the epoch: fresh processes, a new hash seed."
)
ABOUT_COLLECTOR = (
    "What a collector between application and sink needed itself; it is in no figure above. CPU per span "
    "is without what it burns at rest. It is one process for the whole run, and its interval is that of an "
    "hour."
)


def report(summary: Summary, machine: Machine | None = None, *more: Section) -> Document:
    """The whole report.

    Args:
        summary: what the run found.
        machine: what it was measured on; None where that is not known.
        more: further sections, of microbenchmarks that belong to the run.
    """
    lines = answer(summary)
    return document(
        f"What tracing costs: {summary.app.name}",
        [Text(text=lines[0], red=not summary.valid), *lines[1:], extent(summary)],
        section("Extra CPU", charts.overhead(summary), tables.answer_table(summary)),
        *_cpu(summary),
        *_latency(summary),
        section("Throughput", charts.throughput(summary), tables.throughput_table(summary))
        if summary.plan.busy.blocks
        else section("Throughput"),
        *_layers(summary),
        section("At rest and at start", tables.rest_table(summary)),
        section("Ledger: where every span went", tables.ledger_table(summary)),
        section(
            "The collector between application and sink",
            tables.collector_table(summary.collector),
            ABOUT_COLLECTOR,
        )
        if summary.collector
        else section(""),
        *more,
        section("Caveats", Caveats(caveats=summary.caveats) if summary.caveats else None),
        section(
            "How it was measured",
            HOW_MEASURED,
            load_line(summary),
            tables.workers_table(summary) if summary.load.workers else None,
        ),
        *machine_sections(machine),
        section("Set-ups", Items(items=tuple(map(_setup, summary.plan.setups)))),
        section("How to repeat it", how_to_repeat(summary.plan)),
    )


def extent(summary: Summary) -> str:
    """How much was measured, in a sentence."""
    plan = summary.plan
    epochs = plural(plan.epochs, "epoch")
    if not summary.complete:
        epochs = f"{summary.epochs} of {epochs}"
    requests = plural(summary.load.requests, summary.app.request)
    return f"{epochs}, {plural(len(plan.setups), 'set-up')}, {requests}."


def _cpu(summary: Summary) -> list[Section]:
    unit = summary.app.request
    sections = []
    if summary.plan.light.blocks:
        sections.append(
            section(f"CPU per {unit} under light load", tables.cpu_table(summary, "light"), HOW_TO_READ)
        )
    if summary.plan.busy.blocks:
        sections.append(section(f"CPU per {unit} under busy load", tables.cpu_table(summary, "busy")))
    if summary.pairs:
        sections.append(
            section("Each set-up against the next cheaper one", tables.pair_table(summary), level=3)
        )
    return sections


def _latency(summary: Summary) -> list[Section]:
    if not summary.plan.light.blocks or not summary.plan.rates:
        return []
    rate = max(summary.plan.rates.values())
    share = f"{percent(summary.plan.share, sign=False, decimals=0)} % of the baseline's capacity"
    chosen = "as chosen" if summary.plan.rate_per_s else share
    return [
        section(
            "Latency at light load",
            charts.latency(summary),
            tables.latency_table(summary),
            f"At {rate:.1f} {summary.app.request}s/s of own time ({chosen}), from the planned send. A set-up "
            "that cannot hold that rate is saturated: its latency would depend on how long one looks.",
        )
    ]


def _layers(summary: Summary) -> list[Section]:
    sections = []
    if summary.layers:
        sections.append(
            section(
                "Layers: where the cost goes",
                charts.waterfall(summary.layers),
                tables.layer_table(summary.layers),
            )
        )
    if summary.cost_model:
        sections.append(section("Cost by spans", cost_model_line(summary)))
    return sections


def cost_model_line(summary: Summary) -> str | None:
    """The fitted cost model in a sentence."""
    model = summary.cost_model
    if model is None:
        return None
    return (
        f"Extra us per {summary.app.request} = {model.fixed_s * 1e6:,.0f} + {model.per_span_s * 1e6:,.0f} x "
        f"exported spans, fitted to {', '.join(name for name, _, _ in model.points)}; "
        f"they lie {model.residual_s * 1e6:,.0f} us from it (standard deviation)."
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
        f"Lag {', '.join(lags) or 'not known'}; load generator {percent(load.load_busy, sign=False)} % busy; "
        f"{load.failed:,} failed, {load.unsent:,} not sent; steal {percent(load.steal, sign=False)} %, other "
        f"programs {percent(load.foreign, sign=False)} % of a core; {plural(load.repeated, 'block')} spoiled "
        f"by the host; turns {percent(load.turns, sign=False, decimals=2)} % off their length."
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
        )
    ]


def _setup(setup: Setup) -> str:
    env = " ".join(f"{name}={value}" for name, value in setup.env.items())
    spans = f" `spans = {setup.spans}`" if setup.spans else ""
    return f"`{setup.name}`: {setup.description} `tracing = {setup.tracing}`{spans}" + (
        f" `{env}`" if env else ""
    )


def how_to_repeat(plan: Plan) -> str:
    """The command of the run."""
    known = {setup.name for setup in (*TABLE, *plan.app.setup)}
    own = [setup.name for setup in plan.setups if setup.name not in known]
    names = ",".join(name for name in plan.names if name not in own)
    options = ["tracing-overhead run", f"--setups {names}", f"--seed {plan.seed}", f"--epochs {plan.epochs}"]
    options += ["--setups-file FILE"] if own else []
    options += [f"--budget {plan.budget}"] if plan.budget != "default" else []
    options += [f"--light {plan.light.own_s:g}", f"--busy {plan.busy.own_s:g}"]
    options += [f"--rate {max(plan.rates.values()):g}"] if plan.rates else []
    options += ["--find-rate"] if plan.probes else []
    options += [] if plan.services_cpus else ["--no-pin"]
    options += [f"--workers {plan.workers}"] if plan.workers else []
    options += [f"--collector {plan.collector}"] if plan.collector else []
    options += [f"--target {name}={url}" for name, url in plan.targets.items()]
    return (
        f"`{' '.join(options)}`, with `--app FILE` for an application of your own. The raw records lie "
        "beside this report; `tracing-overhead report DIR` makes it again from them."
    )
