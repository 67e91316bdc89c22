"""The answer: what tracing costs, whether to believe it, and what to do."""

from bench.analysis.claims import Severity, VerdictKind
from bench.analysis.records import Recovery, SetupSummary, Summary
from bench.app.presets import INSTRUMENTORS
from bench.app.records import BASELINE, CHECKS, Setup
from bench.app.setups import discards, everything, is_disabled, protocol, sampling_ratio
from bench.plan.machine import Machine
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
WORTHWHILE = 0.1
"""Smallest share of the cost of tracing every request for which the answer proposes anything."""
SDK = ("opentelemetry-sdk", "@opentelemetry/sdk-node", "@opentelemetry/auto-instrumentations-node")
"""Packages whose version stands for OpenTelemetry's, the first one found."""
PYTHON_AGENT = "opentelemetry-instrument"
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


def tested(summary: Summary) -> list[SetupSummary]:
    """Setups under test that have a figure, from cheap to expensive."""
    figures = [
        (change.ratio, setup)
        for setup in summary.setups
        if (change := setup.overhead) and setup.name not in CHECKS and not setup.invalid
    ]
    return [setup for _, setup in sorted(figures, key=lambda figure: figure[0])]


def _full(summary: Summary) -> SetupSummary | None:
    """The setup that traces every request, if it has a figure."""
    full = everything(summary.plan.setups)
    return next((setup for setup in tested(summary) if full and setup.name == full.name), None)


def _headline(summary: Summary) -> str:
    if not summary.valid:
        return _invalid(summary)
    results, full = tested(summary), _full(summary)
    setup = full or (results[-1] if results else None)
    cost = setup.cost if setup else None
    if setup is None or cost is None or cost.added_s is None or cost.change is None:
        return "Nothing was compared with the baseline."
    what = f"{'Tracing every request' if full else 'The most expensive setup'} ({setup.name})"
    change = f"{change_percent(cost.change)} % (± {half_width(cost.change)})"
    load = _load(summary) if setup.light else "at full load"
    if not _is_overhead(setup):
        return (
            f"{what}: no cost was detected {load}, CPU {change}; a run like this detects about "
            f"{detectable(cost.mde)} %."
        )
    line = f"{what} adds {duration(cost.added_s)} CPU per {summary.app.request}, {change}, {load}."
    saturation = []
    if setup.throughput and setup.throughput.change:
        saturation.append(f"{change_percent(setup.throughput.change)} % throughput")
    if setup.light and setup.saturation and setup.saturation.change:
        saturation.append(f"{change_percent(setup.saturation.change)} % CPU per {summary.app.request}")
    return f"{line} At full load: {', '.join(saturation)}." if saturation else line


def headline_figures(summary: Summary) -> tuple[tuple[str, str], ...]:
    """The figures of the answer that a page shows large, each with its name; none of an invalid run."""
    full = _full(summary)
    if not summary.valid or full is None or full.cost is None or full.cost.change is None:
        return ()
    change = f"{change_percent(full.cost.change)} % ± {half_width(full.cost.change)}"
    figures = [(f"CPU ({full.name})", change if _is_overhead(full) else "none detected")]
    if full.cost.added_s is not None and _is_overhead(full):
        figures.append((f"CPU per {summary.app.request}", duration(full.cost.added_s, sign=True)))
    tail = tail_of(summary)
    if full.latency and tail in full.latency.added_s and full.latency.changes[tail].is_significant:
        figures.append((f"{tail} at {at_rate(summary)}", duration(full.latency.added_s[tail], sign=True)))
    if full.throughput and full.throughput.change and full.throughput.change.is_significant:
        figures.append(("Throughput at full load", f"{change_percent(full.throughput.change)} %"))
    return tuple(figures)


def _load(summary: Summary) -> str:
    """At which rate, and what that is a share of."""
    capacity = summary.learned.capacities.get(BASELINE)
    share = summary.light_rate_per_s / capacity if capacity else None
    if not summary.plan.rate_per_s:
        share = summary.plan.share
    of = "" if share is None else f" ({percent(share, sign=False, decimals=0)} % of the untraced maximum)"
    return f"at {at_rate(summary)}{of}"


def _invalid(summary: Summary) -> str:
    """Why nothing counts, and what to do."""
    reasons = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if not reasons:
        return "NOT VALID: too few replicates for an interval. Measure again, and let the run complete."
    first = reasons[0]
    more = f" ({plural(len(reasons) - 1, 'further reason')} below)" if len(reasons) > 1 else ""
    return f"NOT VALID: {first.message}: {first.advice}.{more}"


def _others(summary: Summary) -> str:
    """What the alternatives cost, each by what a reader would decide on."""
    if not summary.valid:
        return ""
    if summary.plan.preset and summary.contrasts:
        return batching_line(summary) if batching(summary) else compared(summary)
    setups = {setup.name: setup for setup in summary.plan.setups}
    results, full = tested(summary), _full(summary)
    batches = [result for result in results if setups[result.name].tracing == "batch"]
    ratios = {result.name: sampling_ratio(setups[result.name]) for result in batches}
    whole = [result for result in batches if ratios[result.name] == 1]
    sampled = [result for result in batches if 0 < ratios[result.name] < 1]
    off = [result for result in batches if _is_unsampled(setups[result.name])]
    disabled = [result for result in results if is_disabled(setups[result.name])]
    costs = []
    if full and len(whole) > 1 and whole[0] is not full:
        costs.append((whole[0].name, whole[0]))
    if sampled:
        usual = min(sampled, key=lambda result: abs(ratios[result.name] - USUAL_RATIO))
        costs.append((f"1 in {1 / ratios[usual.name]:.0f} sampled", usual))
    costs += [("0 sampled", result) for result in off[:1]]
    costs += [("OTEL_SDK_DISABLED", result) for result in disabled[:1]]
    parts = [f"{words} {_overhead(result, summary)}" for words, result in costs]
    return f"{', '.join(parts)}.".replace(" +", " adds +", 1) if parts else ""


def _is_unsampled(setup: Setup) -> bool:
    return sampling_ratio(setup) == 0 and not discards(setup) and not is_disabled(setup)


def _overhead(setup: SetupSummary, summary: Summary) -> str:
    """A setup's cost, and of one that samples, how much less that is than tracing every request."""
    if not _is_overhead(setup):
        return "no cost detected"
    ratio = next(sampling_ratio(one) for one in summary.plan.setups if one.name == setup.name)
    share = saved_share(summary, setup) if 0 < ratio < 1 else None
    full = _full(summary)
    less = f" ({percent(share, sign=False, decimals=0)} % less than {full.name})" if share and full else ""
    return f"{change_percent(setup.overhead)} %{less}"


def saved_share(summary: Summary, setup: SetupSummary) -> float | None:
    """How much of the CPU of tracing every request a setup saves; None where no saving is certain."""
    full = _full(summary)
    pair = next((pair for pair in summary.alternatives if pair.setup == setup.name), None)
    if full is None or full.cost is None or not full.cost.added_s or setup.cost is None:
        return None
    change = pair and (pair.light or pair.saturation)
    if not change or not change.is_significant or change.ratio > 0 or setup.cost.added_s is None:
        return None
    return 1 - setup.cost.added_s / full.cost.added_s


def _is_overhead(setup: SetupSummary) -> bool:
    return setup.verdict.kind is VerdictKind.DIFFERENT


def _is_more_expensive(setup: SetupSummary, other: SetupSummary) -> bool:
    """True if the whole interval lies above that of the other one."""
    return bool(setup.overhead and other.overhead and setup.overhead.low > other.overhead.high)


def _clients(summary: Summary) -> str:
    """What clients notice, and whether spans were lost."""
    if not summary.valid:
        return ""
    sentences = [sentence for sentence in (_latency(summary), _lost(summary)) if sentence]
    return " ".join(sentences)


def _latency(summary: Summary) -> str:
    full, baseline = _full(summary), summary.setup(summary.baseline)
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
        changes.append(levels if change.is_significant else f"{levels} (no change detected)")
    words = f"{summary.baseline} → {full.name}"
    return f"Latency at {rate}, {words}: {', '.join(changes)}." if changes else ""


def _lost(summary: Summary) -> str:
    """How many of the expected spans were lost."""
    expected = sum(setup.accounting.spans_expected or 0 for setup in summary.setups)
    lost = sum(setup.accounting.lost for setup in summary.setups)
    if not expected or _incomplete(summary):
        return ""
    where = ", in setups that may lose some" if lost else ""
    return f"{lost:,} of {expected:,} spans lost{where}."


def _incomplete(summary: Summary) -> list[str]:
    """Setups whose span accounting is incomplete although they may lose nothing."""
    may_lose = {setup.name for setup in summary.plan.setups if setup.may_lose}
    return [
        setup.name
        for setup in summary.setups
        if setup.accounting.complete is False and not (setup.name in may_lose and not setup.invalid)
    ]


def _checks(summary: Summary) -> str:
    """Whether to believe it."""
    parts = []
    checks, noise_floor = summary.checks, summary.checks.noise_floor
    same = (checks.aa.light or checks.aa.saturation) if checks.aa else None
    if same is not None and noise_floor is not None:
        noise = percent(noise_floor, sign=False)
        parts.append(f"the same setup twice differs by {change_percent(same)} % CPU (noise {noise} %)")
    if checks.injected and checks.injected.recovery:
        first, second = checks.injected.recovery, checks.injected.saturation
        both = f", at full load {_recovered(second)}" if second and second is not first else ""
        cost = f"{MICROSECONDS.figure(first.expected_s)} {MICROSECONDS.name}"
        parts.append(f"{cost} of CPU injected into every request was measured as {_recovered(first)}{both}")
    incomplete = _incomplete(summary)
    if incomplete:
        parts.append(f"the span accounting of {', '.join(incomplete)} is incomplete")
    rough = " (rough: setups cannot be ranked)" if noise_floor is not None and noise_floor > ROUGH else ""
    return f"Checks{rough}: {'; '.join(parts)}." if parts else ""


def _recovered(recovery: Recovery) -> str:
    low, high = (MICROSECONDS.figure(end) for end in (recovery.low_s, recovery.high_s))
    return f"{MICROSECONDS.figure(recovery.measured_s)} [{low}, {high}]"


def what_to_do(summary: Summary) -> str:
    """What this run says about lowering the cost; empty where it says nothing."""
    full = _full(summary)
    if not summary.valid or full is None or full.cost is None or not _is_overhead(full):
        return ""
    setups = {setup.name: setup for setup in summary.plan.setups}
    results = tested(summary)
    advice = []
    simple = next((result for result in results if setups[result.name].tracing == "simple"), None)
    if simple and _is_more_expensive(simple, full):
        advice.append(f"never `{simple.name}` ({change_percent(simple.overhead)} %)")
    advice += _same_traces_for_less(summary, full)
    advice += _uninstall(summary, full)
    sampled = [result for result in results if 0 < sampling_ratio(setups[result.name]) < 1]
    if any((saved_share(summary, result) or 0.0) > WORTHWHILE for result in sampled):
        advice.append("then sample" if advice else "sample")
    if not advice:
        return ""
    return f"What to do: {'. '.join([advice[0], *(_capitalised(one) for one in advice[1:])])}."


def _uninstall(summary: Summary, full: SetupSummary) -> list[str]:
    """What stays although the SDK is disabled, where that is worthwhile: only uninstalling saves it."""
    setups = {setup.name: setup for setup in summary.plan.setups}
    disabled = next((result for result in tested(summary) if is_disabled(setups[result.name])), None)
    if disabled is None or not _is_overhead(disabled) or disabled.cost is None or full.cost is None:
        return []
    stays_s, added_s = disabled.cost.added_s or 0.0, full.cost.added_s or 0.0
    if stays_s <= WORTHWHILE * added_s:
        return []
    unit = unit_of([added_s])
    which = f"; `--preset {INSTRUMENTORS}` says which" if _knows_instrumentations(summary) else ""
    stays = f"{unit.figure(stays_s)} of the {unit.figure(added_s)} {unit.name} stays when the SDK is disabled"
    return [f"uninstall instrumentation that you do not need ({stays}{which})"]


def _same_traces_for_less(summary: Summary, full: SetupSummary) -> list[str]:
    """The cheapest alternative that samples every request as well, if it saves enough."""
    setups = {setup.name: setup for setup in summary.plan.setups}
    savings = [
        (share, result)
        for result in tested(summary)
        if result.name != full.name
        and setups[result.name].tracing == full_tracing(summary, full)
        and sampling_ratio(setups[result.name]) == 1
        and not setups[result.name].layer
        and (share := saved_share(summary, result)) is not None
        and share > WORTHWHILE
    ]
    if not savings:
        return []
    share, result = max(savings, key=lambda saving: saving[0])
    return [f"use `{result.name}` ({percent(share, sign=False, decimals=0)} % less than {full.name})"]


def full_tracing(summary: Summary, full: SetupSummary) -> str:
    """How the setup that traces every request does so."""
    return next(setup.tracing for setup in summary.plan.setups if setup.name == full.name)


def _knows_instrumentations(summary: Summary) -> bool:
    """True if the application's instrumentations are known by name, or can be asked for."""
    tracing = summary.plan.app.tracing
    return bool(tracing.instrumentors) or PYTHON_AGENT in tracing.launcher


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def measured(summary: Summary, machine: Machine | None) -> str:
    """What was measured, and on what: a line that goes wherever the answer goes."""
    plan, parts = summary.plan, []
    if machine is not None:
        parts.append(_runtime(machine))
        packages = machine.app_packages or machine.packages
        sdk = next((packages[name] for name in SDK if name in packages), None)
        parts += [f"opentelemetry {sdk}"] if sdk else []
    full = _full(summary)
    if full and full.accounting.requests:
        spans = full.accounting.spans_received / full.accounting.requests
        where = f"over {plural(len(plan.app.process), 'process', 'processes')}"
        where += " elsewhere" if plan.targets else f" on {plural(plan.service_cpus, 'CPU')}"
        parts.append(f"{spans:.3g} spans per {summary.app.request} {where}")
    setup = everything(plan.setups)
    if setup is not None:
        to = f"to {plan.collector} and on to" if plan.collector else "to"
        parts.append(f"OTLP/{protocol(setup).partition('/')[0]} {to} a local receiver (not counted)")
    replicates = plural(plan.replicates, "replicate")
    parts.append(replicates if summary.complete else f"{summary.replicates} of {replicates}")
    return f"Measured: {', '.join(parts)}. {DOES_NOT_TRANSFER}"


def _runtime(machine: Machine) -> str:
    """What the application ran on."""
    if machine.versions:
        return ", ".join(dict.fromkeys(machine.versions.values()))
    return f"{machine.python_implementation} {'.'.join(machine.python.split('.')[:2])}"
