"""The report of a run: what stands in it, and in which order."""

from bench.findings import SetupSummary, Summary
from bench.model import Machine, Plan, Setup
from bench.report import charts, layers, load, timings, words
from bench.report.document import Document, Doubts, Items, Part, Section, Text, document, section
from bench.setups import BY_NAME
from bench.timings import MicroSummary

HOW_TO_READ = (
    "Extra CPU is against the mean of `none` and its twin `none-again`, paired inside windows; "
    "the twin itself is against `none`. The intervals hold for each set-up alone, "
    "the verdicts for all of them at once (Dunnett)."
)
HOW_MEASURED = (
    "Every set-up is a fleet of four service processes. In the rotation all fleets run at the same time and "
    "every request goes to the next one of a freshly shuffled cycle; what is compared is CPU per completed "
    "checkout, summed over the four services, from before the first request to after the flush, less what "
    "idle processes burn. The unit of replication is the epoch: fresh processes, a new hash seed. Load is "
    "open loop: requests are sent when they were planned, and latency counts from then."
)
HOW_SOLO = (
    "In the solo phase a block visits one fleet after another, in random order and then in its mirror "
    "image, while all others are stopped; intervals are a bootstrap of whole blocks."
)


def report(summary: Summary, micro: MicroSummary | None = None, machine: Machine | None = None) -> Document:
    """The whole report.

    Args:
        summary: what the run found.
        micro: its microbenchmarks; absent without any.
        machine: what it was measured on; absent where that is not known.
    """
    return document(
        f"What tracing costs: {summary.plan.name}",
        [Text(text=words.headline(summary), red=not summary.valid)],
        section("The answer", Items(items=answers(summary))),
        *_rotation(summary),
        *_solo(summary),
        *_layers(summary),
        section("Ledger: where every span went", words.ledger_table(summary)),
        *_collector(summary),
        *_memory(summary),
        *timings.sections(micro),
        section("Caveats", Doubts(caveats=summary.caveats)),
        _method(summary),
        *machine_sections(machine),
        section("Set-ups", Items(items=tuple(map(_setup, summary.plan.setups)))),
        section("How to repeat it", _how(summary)),
    )


def answers(summary: Summary) -> tuple[str, ...]:
    """What each set-up costs, in one sentence each."""
    return tuple(_answer(summary, setup) for setup in summary.setups if setup.name != summary.baseline)


def _answer(summary: Summary, setup: SetupSummary) -> str:
    """Microseconds first, then the verdict, and what else the run found."""
    name = f"`{setup.name}`"
    overhead = setup.overhead
    if setup.invalid or overhead is None:
        return f"{name}: **{setup.verdict}**."
    extra = words.microseconds(overhead.cpu_s, sign=True)
    cost = f"{extra} us of CPU per checkout {words.interval_us(overhead)}"
    if overhead.cpu_per_span_s is not None:
        cost += f", {words.span_cost(overhead)} us a span"
    return f"{name}: {cost}: {'; '.join([f'**{setup.verdict}**', *_under_load(summary, setup.name)])}."


def _under_load(summary: Summary, name: str) -> list[str]:
    """What the solo phase found of it: median at the lowest rate, throughput."""
    solo = summary.solo
    mine = next((each for each in solo.setups if each.name == name), None) if solo else None
    if mine is None or mine.invalid:
        return []
    found = []
    lowest = min(mine.levels, key=lambda level: level.level, default=None)
    if lowest is not None and lowest.saturated:
        found.append(f"saturated at {lowest.offered_per_s:.1f} checkouts/s")
    for each in lowest.percentiles if lowest is not None and not lowest.saturated else ():
        if each.q == 0.5 and each.change is not None and each.base_s is not None:
            delta = words.signed(each.change.ratio * each.base_s * 1e3, 2)
            found.append(f"p50 {delta} ms at {lowest.offered_per_s:.1f} checkouts/s" if lowest else "")
    if mine.capacity.change is not None:
        found.append(f"throughput {words.percent(mine.capacity.change.ratio)} %")
    return found


def _rotation(summary: Summary) -> list[Section]:
    """CPU per checkout."""
    if not summary.plan.windows:
        return []
    return [
        section(
            "CPU per checkout, four services together",
            charts.overhead(summary),
            words.overhead_table(summary),
            words.noise_floor(summary),
            HOW_TO_READ,
        ),
        section("Each set-up against the next cheaper one", words.pair_table(summary), level=3),
    ]


def _solo(summary: Summary) -> list[Section]:
    """Latency and throughput under load."""
    solo, plan = summary.solo, summary.plan.solo
    if solo is None or plan is None or not solo.blocks:
        return []
    dapper = load.dapper_table(solo)
    return [
        section(
            "Latency against load, one fleet at a time",
            charts.latency(solo),
            load.ABOUT_CHANGES,
            load.ABOUT_SATURATION,
            load.HOW_TO_READ,
        ),
        *(
            section(
                load.title(plan, level),
                load.level_table(solo, at),
                load.too_few(solo, at, is_long=summary.plan.budget == "long"),
                level=3,
            )
            for at, level in enumerate(plan.levels)
        ),
        section("Throughput", charts.throughput(solo), load.throughput_table(solo, plan), load.ABOUT_RATES),
        *([section("Sampling ratio against latency and throughput", dapper, level=3)] if dapper else []),
    ]


def _layers(summary: Summary) -> list[Section]:
    """Where the tax goes, and a cost per span."""
    parts: list[Part | str | None] = []
    if summary.layers:
        parts = [
            charts.waterfall(summary.layers),
            layers.table(summary.layers),
            layers.about(summary.layers),
        ]
    parts.append(layers.fit_line(summary.fit) if summary.fit else None)
    return [section("Layers: where the tax goes" if summary.layers else "Cost by spans", *parts)]


def _memory(summary: Summary) -> list[Section]:
    if not summary.plan.windows:
        return []
    return [section("Memory of the four services, and latency at light load", words.memory_table(summary))]


def _collector(summary: Summary) -> list[Section]:
    """What a collector on the way needed."""
    if summary.collector is None:
        return []
    return [
        section(
            "The collector between services and sink",
            words.collector_table(summary.collector),
            words.ABOUT_COLLECTOR,
        )
    ]


def _method(summary: Summary) -> Section:
    """How it was measured, and how that went."""
    rotation, solo = bool(summary.plan.windows), bool(summary.solo and summary.solo.blocks)
    return section(
        "How it was measured",
        HOW_MEASURED if rotation else None,
        words.load_line(summary) if rotation else None,
        words.workers_table(summary) if summary.load.workers else None,
        HOW_SOLO if solo else None,
        load.load_line(summary) if solo else None,
    )


def machine_sections(machine: Machine | None) -> list[Section]:
    """The machine, and every version."""
    if machine is None:
        return []
    packages = tuple(f"`{name}` {version}" for name, version in machine.packages.items())
    return [
        section(
            "The machine",
            words.machine_table(machine),
            Items(items=packages, folded=f"{len(packages)} packages") if packages else None,
        )
    ]


def _setup(setup: Setup) -> str:
    env = " ".join(f"{name}={value}" for name, value in setup.env.items())
    return f"`{setup.name}`: {setup.description}" + (f" `{env}`" if env else "")


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
        f"`FILE` holds {', '.join(f'`{name}`' for name in own)} as listed above." if own else "",
        "The raw records lie beside this report; `python -m bench report DIR` makes it again from them.",
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
    if plan.collector:
        options += f" --collector {plan.collector}"
    return options + "".join(f" --target {name}={url}" for name, url in plan.targets.items())


def _cpus(cpus: tuple[int, ...]) -> str:
    return ", ".join(map(str, cpus))
