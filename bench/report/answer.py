"""The answer: what tracing costs, whether to believe it, what to do, and what was measured."""

from collections.abc import Iterator

from bench.analysis.claims import Severity
from bench.analysis.records import Recovery, SetupSummary, Summary
from bench.app.records import BASELINE, Setup
from bench.app.setups import discards, everything, is_disabled, protocol, sampling_ratio
from bench.plan.machine import UNKNOWN, Machine
from bench.report.advice import less_than_full, what_to_do
from bench.report.contrasts import batching, batching_line, compared
from bench.report.tables import at_rate, level_s, rate_of, tail_of
from bench.report.words import (
    MICROSECONDS,
    change_percent,
    detectable,
    duration,
    half_width,
    percent,
    plural,
    signed,
    unit_of,
)

ROUGH = 0.1
"""A noise floor above which a run is called rough: its setups cannot be ranked."""
USUAL_RATIO = 0.1
"""The answer names the sampling ratio closest to this; the table has all of them."""
SDK = "opentelemetry-sdk"
DOES_NOT_TRANSFER = "Results do not transfer to other hardware."


def answer(summary: Summary, machine: Machine | None = None) -> tuple[str, ...]:
    """Sentences from the cost to how it was measured, without those that have no figure.

    The first one says whether the run is valid.

    Args:
        summary: what the run measured.
        machine: where; None where that is unknown.
    """
    lines = [
        _headline(summary),
        _others(summary),
        _clients(summary),
        _checks(summary),
        what_to_do(summary),
        measured(summary, machine),
    ]
    return tuple(line for line in lines if line)


def _headline(summary: Summary) -> str:
    if not summary.valid:
        return _invalid(summary)
    results, full = summary.tested, summary.full
    setup = full or (results[-1] if results else None)
    cost = setup.cost if setup else None
    if setup is None or cost is None or cost.added_s is None or cost.change is None:
        return "Nothing was compared with the baseline."
    what = f"{'Tracing every request' if full else 'The most expensive setup'} ({setup.name})"
    change = f"{change_percent(cost.change)} % (± {half_width(cost.change)})"
    load = _load(summary) if setup.light else "at full load"
    if not setup.is_overhead:
        return (
            f"{what}: no cost was detected {load}, CPU {change}; a run like this detects about "
            f"{detectable(cost.mde)} %."
        )
    line = f"{what} adds {duration(cost.added_s)} CPU per {summary.app.request}, {change}, {load}."
    saturation = list[str]()
    if setup.throughput and setup.throughput.change:
        saturation.append(f"{change_percent(setup.throughput.change)} % throughput")
    if setup.light and setup.saturation and setup.saturation.change:
        saturation.append(f"{change_percent(setup.saturation.change)} % CPU per {summary.app.request}")
    return (
        f"{line} At full load{_untraced_at_full_load(summary)}: {', '.join(saturation)}."
        if saturation
        else line
    )


def _untraced_at_full_load(summary: Summary) -> str:
    """What the changes at full load are of: it differs from that at light load."""
    baseline = summary.setup(summary.baseline)
    cost = baseline.saturation if baseline and baseline.light else None
    untraced_s = cost.cpu_per_request_s if cost else None
    return "" if untraced_s is None else f" ({duration(untraced_s)} CPU untraced)"


def headline_figures(summary: Summary) -> tuple[tuple[str, str], ...]:
    """The figures of the answer that a page shows large, each with its name; none of an invalid run."""
    full = summary.full
    if not summary.valid or full is None or full.cost is None or full.cost.change is None:
        return ()
    change = f"{change_percent(full.cost.change)} % ± {half_width(full.cost.change)}"
    figures = [(f"CPU ({full.name})", change if full.is_overhead else "none detected")]
    if full.cost.added_s is not None and full.is_overhead:
        figures.append((f"CPU per {summary.app.request}", duration(full.cost.added_s, sign=True)))
    tail = tail_of(summary)
    if full.latency and tail in full.latency.added_s and full.latency.changes[tail].is_significant:
        figures.append((f"{tail} at {at_rate(summary)}", duration(full.latency.added_s[tail], sign=True)))
    if full.throughput and full.throughput.change and full.throughput.change.is_significant:
        figures.append(("Throughput at full load", f"{change_percent(full.throughput.change)} %"))
    return tuple(figures)


def _load(summary: Summary) -> str:
    """At which rate, and what that is a share of."""
    baseline = summary.setup(summary.baseline)
    measured_per_s = baseline.throughput.per_s if baseline and baseline.throughput else None
    capacity = measured_per_s or summary.learned.capacities.get(BASELINE)
    share = summary.light_rate_per_s / capacity if capacity else None
    of = "" if share is None else f" ({percent(share, sign=False, decimals=0)} % of the untraced maximum)"
    return f"at {at_rate(summary)}{of}"


def _invalid(summary: Summary) -> str:
    """Why nothing counts, and what to do."""
    reasons = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if not reasons:
        return "NOT VALID: too few replicates for an interval. Measure again, and let the run complete."
    first = reasons[0]
    more = f" ({plural(len(reasons) - 1, 'further reason')} below)" if len(reasons) > 1 else ""
    return f"NOT VALID: {first.message}. {first.advice[0].upper()}{first.advice[1:]}.{more}"


def _others(summary: Summary) -> str:
    """What the alternatives cost, each by what a reader would decide on."""
    if not summary.valid:
        return ""
    if summary.plan.preset and summary.contrasts:
        return batching_line(summary) if batching(summary) else compared(summary)
    parts: list[str] = []
    for words, setup in _alternatives(summary):
        cost = _overhead(summary, setup)
        parts.append(f"{words} adds {cost}" if not parts and setup.is_overhead else f"{words} {cost}")
    return f"{', '.join(parts)}." if parts else ""


def _alternatives(summary: Summary) -> Iterator[tuple[str, SetupSummary]]:
    """What a reader would choose from, each in words and with its setup."""
    declared = [(result, summary.declared(result.name)) for result in summary.tested]
    ratios = [(result, sampling_ratio(setup)) for result, setup in declared if setup.tracing == "batch"]
    whole = [result for result, ratio in ratios if ratio == 1]
    full = summary.full
    if full and whole and whole[0].name != full.name:
        fewer = whole[0].spans_per_request < full.spans_per_request
        spans = f" ({whole[0].spans_per_request:g} of {full.spans_per_request:g} spans)" if fewer else ""
        yield f"{whole[0].name}{spans}", whole[0]
    sampled = [(result, ratio) for result, ratio in ratios if 0 < ratio < 1]
    if sampled:
        usual, ratio = min(sampled, key=lambda pair: abs(pair[1] - USUAL_RATIO))
        yield f"1 in {1 / ratio:.0f} sampled", usual
    for words, fits in (("0 sampled", _is_unsampled), ("OTEL_SDK_DISABLED", is_disabled)):
        cheapest = next((result for result, setup in declared if fits(setup)), None)
        if cheapest:
            yield words, cheapest
    dearest = _dearest(summary)
    if dearest:
        yield f"{dearest.name} (the most expensive)", dearest


def _dearest(summary: Summary) -> SetupSummary | None:
    """The most expensive setup, if that is more than tracing every request in batches and no known one.

    What the simple processor costs stands in the advice.
    """
    full = summary.full
    costly = [
        setup
        for setup in summary.tested
        if setup.overhead and summary.declared(setup.name).tracing != "simple"
    ]
    if full is None or full.overhead is None or not costly:
        return None
    dearest = max(costly, key=lambda setup: setup.overhead.ratio if setup.overhead else 0.0)
    is_more = dearest.overhead is not None and dearest.overhead.low > full.overhead.high
    return dearest if is_more else None


def _is_unsampled(setup: Setup) -> bool:
    samples = sampling_ratio(setup) or discards(setup) or is_disabled(setup)
    return setup.tracing == "batch" and not samples


def _overhead(summary: Summary, setup: SetupSummary) -> str:
    """A setup's cost, and of one that samples, how much less that is than tracing every request."""
    if not setup.is_overhead:
        return "no cost detected"
    samples = 0 < sampling_ratio(summary.declared(setup.name)) < 1
    return f"{change_percent(setup.overhead)} %{less_than_full(summary, setup) if samples else ''}"


def _clients(summary: Summary) -> str:
    """What clients notice, and whether spans were lost."""
    if not summary.valid:
        return ""
    sentences = [sentence for sentence in (_latency(summary), _lost(summary)) if sentence]
    return " ".join(sentences)


def _latency(summary: Summary) -> str:
    full, baseline = summary.full, summary.setup(summary.baseline)
    if full is None or full.latency is None or baseline is None or baseline.latency is None:
        return ""
    rate = f"{rate_of(summary)}/s"
    if full.latency.overloaded:
        return f"{full.name} cannot hold {rate}: its latency is unbounded and therefore not reported."
    changes = []
    for name in ("p50", tail_of(summary)):
        before, after = level_s(baseline.latency, name), level_s(full.latency, name)
        change = full.latency.changes.get(name)
        if before is None or after is None or change is None:
            continue
        unit = unit_of([before, after])
        levels = f"{name} {signed(before * unit.scale, 1, sign=False)} → "
        levels += f"{signed(after * unit.scale, 1, sign=False)} {unit.name}"
        ends = (
            signed(after * unit.scale * (1 + end) / (1 + change.ratio), 1, sign=False)
            for end in (change.low, change.high)
        )
        changes.append(
            f"{levels} [{', '.join(ends)}]" if change.is_significant else f"{levels} (no change detected)"
        )
    words = f"{summary.baseline} → {full.name}"
    return f"Latency at {rate}, {words}: {', '.join(changes)}." if changes else ""


def _lost(summary: Summary) -> str:
    """How many of the expected spans were lost."""
    accounts = [setup.accounting for setup in summary.setups]
    lost = sum(account.lost for account in accounts)
    if not sum(account.spans_received for account in accounts) or summary.incomplete:
        return ""
    where = ", in setups that may lose some" if lost else ""
    if any(account.spans_received and account.spans_expected is None for account in accounts):
        # Traces of different size: each was whole, and as many came as were expected.
        if any(account.complete is None for account in accounts if account.spans_received):
            return f"How many spans were lost is not known{f', at least {lost:,}' if lost else ''}."
        whole = sum(account.traces.whole for account in accounts)
        return f"{lost:,} spans lost{where}: {whole:,} traces arrived whole."
    expected = sum(account.spans_expected or 0 for account in accounts)
    return f"{lost:,} of {expected:,} spans lost{where}."


def _checks(summary: Summary) -> str:
    """Whether to believe it."""
    parts = []
    checks, noise_floor = summary.checks, summary.checks.noise_floor
    same = (checks.aa.light or checks.aa.saturation) if checks.aa else None
    if same is not None and noise_floor is not None:
        noise = f"± {half_width(same)}: below {percent(noise_floor, sign=False)} % is noise"
        parts.append(f"the same setup twice differs by {change_percent(same)} % CPU ({noise})")
    if checks.injected and checks.injected.recovery:
        first, second = checks.injected.recovery, checks.injected.saturation
        both = f", at full load {_recovered(second)}" if second and second is not first else ""
        cost = f"{MICROSECONDS.figure(first.expected_s)} {MICROSECONDS.name} of CPU injected per request"
        parts.append(f"{cost}, beside the application, was measured as {_recovered(first)}{both}")
    if summary.incomplete:
        parts.append(f"the span accounting of {', '.join(summary.incomplete)} is incomplete")
    rough = " (rough: setups cannot be ranked)" if noise_floor is not None and noise_floor > ROUGH else ""
    return f"Checks{rough}: {'; '.join(parts)}." if parts else ""


def _recovered(recovery: Recovery) -> str:
    low, high = (MICROSECONDS.figure(end) for end in (recovery.low_s, recovery.high_s))
    return f"{MICROSECONDS.figure(recovery.measured_s)} [{low}, {high}]"


def measured(summary: Summary, machine: Machine | None) -> str:
    """What was measured, and on what: a line that goes wherever the answer goes."""
    plan, parts = summary.plan, list[str]()
    if machine is not None:
        parts += _software(summary, machine)
    full = summary.full
    if full and full.spans_per_request:
        where = f"over {plural(sum(process.traced for process in plan.app.process), 'service')}"
        where += " elsewhere" if plan.targets else f" on {plural(plan.service_cpus, 'CPU')}"
        parts.append(f"{full.spans_per_request:.3g} spans per {summary.app.request} {where}")
    setup = everything(plan.setups)
    if setup is not None:
        to = f"to {plan.collector} and on to" if plan.collector else "to"
        parts.append(f"OTLP/{protocol(setup).partition('/')[0]} {to} a local receiver (not counted)")
    replicates = plural(plan.replicates, "replicate")
    parts.append(replicates if summary.complete else f"{summary.replicates} of {replicates}")
    return f"Measured: {', '.join(parts)}. {DOES_NOT_TRANSFER}"


def _software(summary: Summary, machine: Machine) -> Iterator[str]:
    """What the setup that traces every request ran on, as far as that is known.

    What the harness itself runs on is said only of an application that runs on it, too.
    """
    for name, version in machine.versions.items():
        if not version.startswith(UNKNOWN):
            yield f"{name} {version}"
    python, packages = machine.app_python, machine.app_packages
    if any("{python}" in str(process.command) for process in summary.plan.app.process):
        python, packages = f"{machine.python_implementation} {machine.python}", machine.packages
    full = everything(summary.plan.setups)
    if full and full.name in machine.setup_packages:
        packages = machine.setup_packages[full.name]
        python = f"Python {full.python}" if full.python else python
    if python:
        yield ".".join(python.split(".")[:2])
    if SDK in packages:
        yield f"opentelemetry {packages[SDK]}"
