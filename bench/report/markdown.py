"""The report as Markdown: `report.md`, to be sent to a colleague."""

from tabulate import tabulate

from bench.calibration import Calibration
from bench.emission import SpecReport
from bench.findings import Caveat, Severity, Summary
from bench.model import Plan, Setup
from bench.report import calibration, emission, layers, load, timings, words
from bench.setups import BY_NAME
from bench.timings import MicroSummary

RED = "🔴"
HOW_TO_READ = (
    "Extra CPU is against the mean of `none` and its twin `none-again`, paired inside windows; "
    "the twin itself is against `none`. The intervals hold for each set-up alone, "
    "the verdicts for all of them at once (Dunnett)."
)


def render(summary: Summary) -> str:
    """The whole report."""
    parts = [
        f"# What tracing costs: {summary.plan.name}",
        (f"{RED} **{words.headline(summary)}**" if not summary.valid else words.headline(summary)),
        *(_rotation(summary) if summary.plan.windows else ()),
        *_solo(summary),
        "## Caveats",
        _caveats(summary),
        "## Set-ups",
        "\n".join(map(_setup, summary.plan.setups)),
        "## How to repeat it",
        _how(summary),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


HOW_MICRO = (
    "CPU time of a process that does nothing else, over and over: the price of an operation with warm "
    "caches. In a service that wakes up for each request the same operations cost several times as much, "
    "so a sum of these is no overhead. Each operation is timed once a round by a fresh process, in an "
    "order shuffled anew; the intervals (95 %) are over rounds. Every value is divided by what plain "
    "Python (the reference) cost just before and after it, and multiplied by what that cost in the whole "
    "run: the machine's speed, which doubles and halves within seconds, is taken out. "
    "`micro.json` is pyperf's own format: `python -m pyperf stats micro.json`."
)


def render_micro(summary: MicroSummary, sentences: dict[str, str]) -> str:
    """The report of a microbenchmark."""
    headline = words.micro_headline(summary.run.rounds, len(summary.timings), valid=summary.valid)
    parts = [
        "# What one operation of tracing costs",
        headline if summary.valid else f"{RED} **{headline}**",
        *micro(summary, sentences),
        "## Caveats",
        "\n".join(map(_caveat, summary.caveats)) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def micro(summary: MicroSummary, sentences: dict[str, str]) -> list[str]:
    """Its tables."""
    parts = [_table(timings.timing_table(summary, sentences)), HOW_MICRO]
    if summary.run.checkouts:
        parts += ["## CPU instructions of a checkout, four services in one process"]
        parts += [_table(timings.checkout_table(summary))]
    return parts


def render_spec(found: SpecReport) -> str:
    """The report that the specification asks for."""
    titles = emission.ITEMS
    parts = [
        "# OpenTelemetry's performance benchmark: the SDK for Python",
        f"{found.repeats} repeats, OTLP over {found.protocol}. {emission.ABOUT}",
        f"## {titles['throughput']}",
        _table(emission.throughput_table(found)),
        f"## {titles['cpu'].format(rate=f'{found.rate_per_s:,.0f}')}",
        *(f"{RED} **{sentence}**" for sentence in emission.verdicts(found)),
        _table(emission.cpu_table(found)),
        f"## {titles['memory']}",
        _table(emission.memory_table(found)),
        "## Caveats",
        "\n".join(map(_caveat, found.caveats)) or "None.",
        "The machine and every version stand in `machine.json`; the iterations in `iterations.jsonl`.",
    ]
    return "\n\n".join(parts) + "\n"


ABOUT_CALIBRATION = (
    "A run is a whole run in small, with the statistics that a run is judged by. Costs are burnt in "
    "order-service after its answer; `found in` counts verdicts, which hold for all set-ups of a run at once."
)


def render_calibration(found: Calibration) -> str:
    """The harness's data sheet."""
    parts = [
        "# What this harness can be believed",
        _table(calibration.target_table(found)),
        f"![{calibration.TITLE}](calibration.svg)",
        "## Known costs, recovered",
        _table(calibration.weight_table(found)),
        *calibration.lines(found),
        ABOUT_CALIBRATION,
    ]
    return "\n\n".join(parts) + "\n"


def _rotation(summary: Summary) -> list[str]:
    """CPU, memory and the median at light load."""
    workers = ["### Load workers", _table(words.workers_table(summary))] if summary.load.workers else []
    return [
        "## CPU per checkout, four services together",
        _table(words.overhead_table(summary)),
        words.noise_floor(summary),
        HOW_TO_READ,
        "### Each set-up against the next cheaper one",
        _table(words.pair_table(summary)),
        *_layers(summary),
        "## Ledger: where every span went",
        _table(words.ledger_table(summary)),
        "## Latency at light load, and memory of the four services",
        _table(words.memory_table(summary)),
        words.load_line(summary),
        *workers,
    ]


def _layers(summary: Summary) -> list[str]:
    """Where the tax goes."""
    parts = []
    if summary.layers:
        parts = ["## Layers: where the tax goes", _table(layers.table(summary.layers))]
        parts += [layers.about(summary.layers)]
    return [*parts, layers.fit_line(summary.fit)] if summary.fit else parts


def _solo(summary: Summary) -> list[str]:
    """Latency and throughput under load."""
    solo, plan = summary.solo, summary.plan.solo
    if solo is None or plan is None or not solo.blocks:
        return []
    parts = ["## Latency and throughput under load, one fleet at a time"]
    for at, level in enumerate(plan.levels):
        parts += [
            f"### {load.title(plan, level)}",
            _table(load.level_table(solo, at)),
            load.too_few(solo, at, is_long=summary.plan.budget == "long"),
        ]
    parts += [load.ABOUT_CHANGES, load.ABOUT_SATURATION, load.HOW_TO_READ]
    parts += ["### Throughput", _table(load.throughput_table(solo, plan)), load.ABOUT_RATES]
    dapper = load.dapper_table(solo)
    if dapper:
        parts += ["### Sampling ratio against latency and throughput", _table(dapper)]
    return [*parts, load.load_line(summary)]


def _table(table: words.Table) -> str:
    rows = [
        [
            f"{RED} {cell}" if at in table.red and number == 0 else cell
            for number, cell in enumerate(map(_escape, row))
        ]
        for at, row in enumerate(table.rows)
    ]
    align = ["right" if right else "left" for right in table.right]
    return str(
        tabulate(
            rows,
            headers=[head.replace("\n", " ") for head in table.heads],
            tablefmt="github",
            colalign=align,
            disable_numparse=True,
        )
    )


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")


def _caveats(summary: Summary) -> str:
    if not summary.caveats:
        return "None."
    return "\n".join(map(_caveat, summary.caveats))


def _caveat(caveat: Caveat) -> str:
    mark = f"{RED} **INVALID** " if caveat.severity is Severity.INVALID else ""
    return f"- {mark}{_escape(words.caveat_line(caveat))}"


def _setup(setup: Setup) -> str:
    env = " ".join(f"{name}={value}" for name, value in setup.env.items())
    return f"- `{_escape(setup.name)}`: {_escape(setup.description)}" + (f" `{_escape(env)}`" if env else "")


def _how(summary: Summary) -> str:
    plan = summary.plan
    own = [setup.name for setup in plan.setups if setup.name not in BY_NAME]
    names = ",".join(setup.name for setup in plan.setups if setup.name not in own)
    command = (
        f"python -m bench run --setups {names}{' --setups-file FILE' if own else ''} --seed {plan.seed} "
        f"--epochs {plan.epochs}{f' --windows {plan.windows}' if plan.windows else ''} "
        f"--window {plan.window_s:g} "
        f"--warm-up {plan.warm_up_s:g} --rate {plan.rate_per_s:g}{'' if plan.services_cpus else ' --no-pin'}"
    )
    command += "" if plan.budget == "default" else f" --budget {plan.budget}"
    command += _phases(plan)
    pinned = f"services on CPU {_cpus(plan.services_cpus)}, everything else on {_cpus(plan.other_cpus)}"
    parts = [
        f"`{command}` ({pinned if plan.services_cpus else 'not pinned'}).",
        f"`FILE` holds {', '.join(f'`{_escape(name)}`' for name in own)} as listed above." if own else "",
        "The machine and every version stand in `machine.json`.",
    ]
    return " ".join(filter(None, parts))


def _phases(plan: Plan) -> str:
    """The options of the phases and of the load, where they are not the usual ones."""
    solo, options = plan.solo, ""
    if solo is None or not plan.windows:
        options += f" --phases {'solo' if solo else 'rotation'}"
    if solo:
        options += f" --levels {','.join(f'{level:g}' for level in solo.levels)}"
        options += f" --latency-limit {solo.latency_limit_s * 1e3:g}ms"
    if plan.workers:
        options += f" --workers {plan.workers}"
    return options + "".join(f" --target {name}={url}" for name, url in plan.targets.items())


def _cpus(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus))
