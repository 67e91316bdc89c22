"""The tables of a run."""

from bench.analysis.accounting import DAMAGES, Accounting
from bench.analysis.claims import LoadName
from bench.analysis.collector_cost import CollectorSummary
from bench.analysis.layers import Layer
from bench.analysis.records import Latency, SetupSummary, Summary
from bench.app.records import CHECKS, INJECTED
from bench.plan.machine import Machine
from bench.report.words import (
    ABSENT,
    MICROSECONDS,
    Columns,
    Table,
    Unit,
    change_interval,
    change_percent,
    count,
    detectable,
    half_width,
    megabytes,
    milliseconds,
    signed,
    unit_of,
    verdict,
)

QUANTILES = ("p50", "p90", "p99")
WHOLE = 10.0
"""Rates from here on are shown without decimals."""
ABOUT_INTERVALS = (
    "Brackets are 95 % intervals; ± is half of one, in percentage points. "
    "Further down, the report has the intervals of all columns."
)
BURNT_APART = 4
"""The method since which the injected cost burns in a process of its own."""
ABOUT_INJECTED = (
    "`injected` burns its CPU beside the application: no request waits for it, so latency and throughput "
    "stay."
)


def ordered(summary: Summary) -> tuple[SetupSummary, ...]:
    """Setups by cost: baseline, those under test from cheap to expensive, then the checks."""

    def key(setup: SetupSummary) -> tuple[int, float]:
        group = 0 if setup.name == summary.baseline else 2 if setup.name in CHECKS else 1
        return group, setup.overhead.ratio if setup.overhead else 0.0

    return tuple(sorted(summary.setups, key=key))


def _red(setups: tuple[SetupSummary, ...]) -> frozenset[int]:
    return frozenset(at for at, setup in enumerate(setups) if setup.invalid)


def cost_unit(summary: Summary) -> Unit:
    """The unit of CPU per request in this report: one for all of its tables and charts."""
    return unit_of(setup.cost.cpu_per_request_s for setup in summary.setups if setup.cost)


def answer_table(summary: Summary) -> Table:
    """One row per setup: what it costs, and what clients notice; it fits 80 columns."""
    setups = ordered(summary)
    unit, tail = cost_unit(summary), tail_of(summary)
    has_light, has_saturation = bool(summary.plan.light.blocks), bool(summary.plan.saturation.blocks)
    both = has_light and has_saturation
    rows = []
    for setup in setups:
        cost, throughput = setup.cost, setup.throughput
        row = [
            setup.name,
            unit.figure(cost.cpu_per_request_s if cost else None),
            unit.figure(cost.added_s if cost else None, sign=True),
            change_percent(setup.overhead),
            half_width(setup.overhead),
        ]
        if has_light:
            row += _latencies(setup.latency, tail)
        if both:
            row.append(change_percent(setup.saturation.change if setup.saturation else None))
        if has_saturation:
            row.append(change_percent(throughput.change if throughput else None))
        rows.append(tuple(row))
    heads = (f"CPU {unit.name}", "added", "%", "±")
    latencies = ("p50 ms", f"{tail} ms") if has_light else ()
    full = (*(["CPU %"] if both else []), *(["throughput %"] if has_saturation else []))
    main = f"at {at_rate(summary)} (light load)" if has_light else "full load"
    return Table(
        heads=(
            "setup", f"CPU {unit.name}", f"added {unit.name}", "added %", "±", *latencies,
            *(f"full-load {head}" for head in full),
        ),
        rows=tuple(rows),
        red=_red(setups),
        groups=(
            Columns(title="", heads=("setup",)),
            Columns(title=main, heads=(*heads, *latencies, *(full if not both else ()))),
            *([Columns(title="full load", heads=full)] if both else []),
        ),
        divider=next(((at, "checks") for at, setup in enumerate(setups) if setup.name in CHECKS), None),
        note=" ".join(
            filter(None, (ABOUT_INTERVALS, overloaded(summary), _about_injected(summary)))
        ),
    )  # fmt: skip


def _latencies(latency: Latency | None, tail: str) -> list[str]:
    """Two cells; of an overloaded setup, one word that reaches into both."""
    if latency is None:
        return [ABSENT, ABSENT]
    if latency.overloaded:
        return ["overloaded", ""]
    return [milliseconds(level_s(latency, name), decimals=1) for name in ("p50", tail)]


def _about_injected(summary: Summary) -> str:
    """Why the injected cost shows in CPU alone; empty where there is none, or it burnt inside."""
    is_apart = summary.plan.method >= BURNT_APART and INJECTED not in summary.plan.burns
    return ABOUT_INJECTED if is_apart and summary.setup(INJECTED) else ""


def overloaded(summary: Summary) -> str:
    """Which setups have their light figures at a rate of their own; empty if none has."""
    rates = [
        f"{setup.name} at {setup.latency.rate_per_s:.1f}/s"
        for setup in summary.setups
        if setup.latency and setup.latency.overloaded and setup.latency.rate_per_s
    ]
    if not rates:
        return ""
    return f"Overloaded at this rate, and measured at half of their own capacity: {', '.join(rates)}."


def tail_of(summary: Summary) -> str:
    """The high percentile that stands beside the median: a short run has too few requests for the 99th."""
    known = any("p99" in setup.latency.added_s for setup in summary.setups if setup.latency)
    return "p99" if known else "p90"


def rate_of(summary: Summary) -> str:
    """Planned arrivals per second at light load."""
    rate = summary.light_rate_per_s
    return signed(rate, 0 if rate >= WHOLE else 1, sign=False)


def at_rate(summary: Summary) -> str:
    """The same with its unit, such as `93 requests/s`."""
    return f"{rate_of(summary)} {summary.app.request}s/s"


def cpu_table(summary: Summary, load: LoadName) -> Table:
    """CPU per request at light or full load; with verdicts where they rest on it."""
    setups = ordered(summary)
    unit = cost_unit(summary)
    judged = load == "light" or not summary.plan.light.blocks
    rows = []
    for setup in setups:
        cost = setup.light if load == "light" else setup.saturation
        if cost is None:
            continue
        rows.append(
            (
                setup.name,
                unit.figure(cost.cpu_per_request_s),
                unit.figure(cost.added_s, sign=True),
                unit.interval(cost.added_low_s, cost.added_high_s),
                change_percent(cost.change),
                change_interval(cost.change),
                detectable(cost.mde),
                *((verdict(setup.verdict),) if judged else ()),
            )
        )
    return Table(
        heads=(
            "setup", f"CPU {unit.name}", f"added {unit.name}", "95 % interval", "overhead %",
            "95 % interval %", "MDE %", *(("verdict",) if judged else ()),
        ),
        left=(0, 7),
        rows=tuple(rows),
        red=_red(setups),
    )  # fmt: skip


def latency_table(summary: Summary) -> Table:
    """Latency at the light rate, and its changes, for the percentiles that have enough requests."""
    setups = tuple(setup for setup in ordered(summary) if setup.latency)
    known = [setup.latency for setup in setups if setup.latency]
    quantiles = [name for name in QUANTILES if any(level_s(latency, name) is not None for latency in known)]
    rows = []
    for setup, latency in zip(setups, known, strict=True):
        rate = signed(latency.rate_per_s or 0.0, 1, sign=False)
        if latency.overloaded:
            rows.append((setup.name, rate, "overloaded", *[""] * 2 * len(quantiles)))
            continue
        cells = [setup.name, rate, count(latency.requests)]
        for name in quantiles:
            change = latency.changes.get(name)
            cells.append(milliseconds(level_s(latency, name)))
            cells.append(f"{change_percent(change)} {change_interval(change)}" if change else ABSENT)
        rows.append(tuple(cells))
    heads = [head for name in quantiles for head in (f"{name} ms", f"{name} change %")]
    return Table(
        heads=("setup", "rate/s", "requests", *heads),
        rows=tuple(rows),
        red=_red(setups),
    )


def level_s(latency: Latency, quantile: str) -> float | None:
    """A percentile in seconds; None with too few requests."""
    return {"p50": latency.p50_s, "p90": latency.p90_s, "p99": latency.p99_s}[quantile]


def throughput_table(summary: Summary) -> Table:
    """Throughput at full load, and the highest rate under the latency limit where it was searched."""
    searched = any(setup.highest_rate for setup in summary.setups)
    setups = tuple(setup for setup in ordered(summary) if setup.throughput)
    rows = []
    for setup in setups:
        cells = [setup.name]
        for throughput in (setup.throughput, *([setup.highest_rate] if searched else [])):
            cells += [
                ABSENT if throughput is None or throughput.per_s is None else f"{throughput.per_s:.1f}",
                change_percent(throughput.change if throughput else None),
                change_interval(throughput.change if throughput else None),
            ]
        rows.append(tuple(cells))
    limit = f"{summary.plan.latency_limit_s * 1e3:g} ms"
    derived = any(setup.throughput and setup.throughput.derived for setup in setups)
    heads = ("setup", "CPU-bound, per s" if derived else "per s", "change %", "95 % interval %")
    more = (f"held under {limit}, per s", "change %", "95 % interval %") if searched else ()
    return Table(
        heads=(*heads, *more),
        rows=tuple(rows),
        red=_red(setups),
    )


def rest_table(summary: Summary) -> Table:
    """What an instance needs without load, and to start."""
    setups = ordered(summary)
    rows = []
    for setup in setups:
        rest, start = setup.rest, setup.start
        rows.append(
            (
                setup.name,
                MICROSECONDS.figure(rest.cpu_per_s) if rest else ABSENT,
                megabytes(rest.pss_bytes) if rest else ABSENT,
                megabytes(rest.uss_bytes) if rest else ABSENT,
                ABSENT if start is None or start.ready_s is None else f"{start.ready_s:.2f}",
                ABSENT if start is None or start.cpu_s is None else f"{start.cpu_s:.2f}",
            )
        )
    return Table(
        heads=(
            "setup",
            f"at rest: CPU {MICROSECONDS.name} per s",
            "PSS MB",
            "USS MB",
            "start: s",
            "start: CPU s",
        ),
        rows=tuple(rows),
    )


def accounting_table(summary: Summary) -> Table:
    """Where the spans went; other signals have a column if a setup exports them."""
    signals = {"metrics": "metrics exports", "logs": "log records"}
    others = [name for name in signals if any(getattr(setup.accounting, name) for setup in summary.setups)]
    rows = []

    def is_allowed(setup: SetupSummary) -> bool:
        return setup.accounting.complete is False and setup.name not in summary.incomplete

    for setup in summary.setups:
        accounting, traces = setup.accounting, setup.accounting.traces
        not_whole = ((getattr(traces, word), word) for word in ("damaged", "joined", "background"))
        low, high = traces.expected_low, traces.expected_high
        states = {True: "complete", False: "INCOMPLETE", None: "received"}
        rows.append(
            (
                setup.name,
                count(accounting.requests),
                "".join(
                    (f"{traces.whole:,}", *(f" + {number:,} {word}" for number, word in not_whole if number))
                ),
                f"{low:,}" if low == high else f"{low:,}-{high:,}",
                count(accounting.spans_expected),
                count(accounting.spans_received),
                _lost(accounting),
                count(accounting.excess + accounting.background),
                count(accounting.duplicated),
                ", ".join(f"{number:,} {word}" for word in DAMAGES if (number := getattr(traces, word)))
                or ABSENT,
                *(count(getattr(accounting, name)) for name in others),
                count(accounting.exports),
                count(round(accounting.bytes / max(accounting.requests, 1))),
                "lost some, as it may" if is_allowed(setup) else states[accounting.complete],
            )
        )
    return Table(
        heads=(
            "setup", "requests", "traces", "traces expected", "spans expected", "received", "lost",
            "excess", "duplicated", "damage", *(signals[name] for name in others),
            "exports",
            f"bytes per request{f', from {summary.plan.collector}' if summary.plan.collector else ''}",
            "accounting",
        ),
        left=(0, 9, 12 + len(others)),
        rows=tuple(rows),
        red=frozenset(at for at, setup in enumerate(summary.setups) if setup.name in summary.incomplete),
    )  # fmt: skip


def kinds_table(summary: Summary) -> Table | None:
    """Latency and failures by kind of request; None for an application with a single kind."""
    if not summary.requests:
        return None
    return Table(
        heads=("request", "setup", "requests", "failed", "p50 ms", "p90 ms"),
        left=(0, 1, 3),
        keys=2,
        rows=tuple(
            (
                row.request,
                row.setup,
                count(row.requests),
                ", ".join(f"{word}: {number:,}" for word, number in row.failed.items()) or "none",
                milliseconds(row.p50_s),
                milliseconds(row.p90_s),
            )
            for row in summary.requests
        ),
        red=frozenset(at for at, row in enumerate(summary.requests) if row.failed),
    )


def _lost(accounting: Accounting) -> str:
    """How many spans were lost; at least how many, where the expected number is unknown."""
    if accounting.spans_expected is not None or accounting.complete is True:
        return count(accounting.lost)
    return f"at least {accounting.lost:,}" if accounting.lost else "not known"


def layer_table(layers: tuple[Layer, ...]) -> Table:
    """What every layer adds, and what microbenchmarks predict of it."""
    unit = unit_of(layer.cpu_s for layer in layers)
    return Table(
        heads=(
            "layer", "setup", "against", f"adds {unit.name}", "95 % interval",
            f"predicted {unit.name}", "95 % interval",
        ),
        left=(0, 1, 2),
        rows=tuple(
            (
                layer.layer,
                layer.setup,
                layer.against,
                unit.figure(layer.cpu_s, sign=True),
                unit.interval(layer.low_s, layer.high_s),
                unit.figure(layer.predicted_s, sign=True),
                unit.interval(layer.predicted_low_s, layer.predicted_high_s),
            )
            for layer in layers
        ),
    )  # fmt: skip


def collector_table(collector: CollectorSummary) -> Table:
    """What a collector between application and receiver needed."""
    ends = (collector.cpu_per_span_low_s, collector.cpu_per_span_high_s)
    low, high = (ABSENT if end is None else f"{end * 1e6:.1f}" for end in ends)
    cost = ABSENT if collector.cpu_per_span_s is None else f"{collector.cpu_per_span_s * 1e6:.1f}"
    return Table(
        heads=("collector", "spans", f"CPU {MICROSECONDS.name} per span", "95 % interval", "PSS MB"),
        rows=(
            (
                collector.name,
                count(collector.spans),
                cost,
                ABSENT if None in ends else f"[{low}, {high}]",
                megabytes(collector.pss_bytes),
            ),
        ),
    )


def workers_table(summary: Summary) -> Table:
    """How late each load worker sent."""
    return Table(
        heads=("load worker", "arrivals", "lag p50 ms", "lag p99 ms"),
        rows=tuple(
            (
                str(lag.worker + 1),
                count(lag.arrivals),
                milliseconds(lag.lag_p50_s),
                milliseconds(lag.lag_p99_s),
            )
            for lag in summary.load.workers
        ),
    )


def machine_table(machine: Machine) -> Table:
    """What the run was measured on."""
    pinned = ", ".join(map(str, machine.services_cpus)) or "not pinned"
    quota = f", a quota of {machine.quota_cpus:g}" if machine.quota_cpus is not None else ""
    siblings = "; ".join("+".join(map(str, pair)) for pair in machine.siblings)
    rows = {
        "measured": machine.started[:19].replace("T", " ") + " UTC" if machine.started else ABSENT,
        "CPU": machine.cpu,
        "CPUs usable": f"{machine.cpus_usable} (application on: {pinned}){quota}",
        **({"on one core": siblings} if siblings else {}),
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "virtual": "yes" if machine.hypervisor else "no",
        "governor": machine.governor or "unknown",
        "system": f"{machine.system} {machine.kernel}, {machine.architecture}, {machine.libc}",
        "Python": f"{machine.python_implementation} {machine.python}",
        **({"Python of the application": machine.app_python} if machine.app_python else {}),
        "instances paused by": machine.pausing or ABSENT,
        **machine.versions,
        **({"collector": machine.collector} if machine.collector else {}),
    }
    return Table(heads=("", "found"), left=(0, 1), rows=tuple(rows.items()))
