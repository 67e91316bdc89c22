"""The answer: what tracing costs, in five lines."""

from bench.analysis.claims import Severity, VerdictKind
from bench.analysis.records import Recovery, SetupSummary, Summary
from bench.app.records import CHECKS, Setup
from bench.app.setups import EVERYTHING, discards, everything, is_disabled, sampling_ratio
from bench.report.contrasts import batching, batching_line, compared
from bench.report.words import change_percent, detectable, duration, half_width, percent, plural

ROUGH = 0.1
"""A noise floor above which a run is called rough: its setups cannot be ranked."""
USUAL_RATIO = 0.1
"""The answer names the sampling ratio closest to this; the table has all of them."""


def answer(summary: Summary) -> tuple[str, ...]:
    """The five lines, without those that have no figure; the first one says whether the run is valid."""
    lines = [_headline(summary), _others(summary), _fixed_cost(summary), _clients(summary), _trust(summary)]
    return tuple(line for line in lines if line)


def tested(summary: Summary) -> list[SetupSummary]:
    """Setups under test that have a figure, from cheap to expensive."""
    figures = [
        (change.ratio, setup)
        for setup in summary.setups
        if (change := setup.overhead) and setup.name not in CHECKS and not setup.invalid
    ]
    return [setup for _, setup in sorted(figures, key=lambda figure: figure[0])]


def _headline(summary: Summary) -> str:
    if not summary.valid:
        return _invalid(summary)
    setups = tested(summary)
    full = everything(summary.plan.setups)
    setup = next(
        (setup for setup in setups if full and setup.name == full.name), setups[-1] if setups else None
    )
    cost = setup.cost if setup else None
    if setup is None or cost is None or cost.added_s is None or cost.change is None:
        return "Nothing was compared with the baseline."
    what = "Tracing every request" if full and setup.name == full.name else "The most expensive setup"
    if not _is_overhead(setup):
        return (
            f"{what} ({setup.name}): no cost was detected for {summary.app.name}, "
            f"{change_percent(cost.change)} +- {half_width(cost.change)} % CPU; "
            f"such a run detects about {detectable(cost.mde)} %."
        )
    line = (
        f"{what} ({setup.name}) costs {summary.app.name} {change_percent(cost.change)} "
        f"+- {half_width(cost.change)} % CPU: {duration(cost.added_s)} per {summary.app.request}"
    )
    saturation = []
    if setup.light and setup.saturation and setup.saturation.change:
        saturation.append(f"{change_percent(setup.saturation.change)} % CPU per {summary.app.request}")
    if setup.throughput and setup.throughput.change:
        saturation.append(f"{change_percent(setup.throughput.change)} % throughput")
    return f"{line}. At full load: {', '.join(saturation)}." if saturation else f"{line}."


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
    results = tested(summary)
    batches = [result for result in results if setups[result.name].tracing == "batch"]
    ratios = {result.name: sampling_ratio(setups[result.name]) for result in batches}
    full = [result for result in batches if ratios[result.name] == 1]
    sampled = [result for result in batches if 0 < ratios[result.name] < 1]
    unsampled = [result for result in batches if _is_unsampled(setups[result.name])]
    sentences = []
    if len(full) > 1:
        sentences.append(f"Cheapest full tracing: {full[0].name} {_overhead(full[0])}.")
    if sampled:
        result = min(sampled, key=lambda result: abs(ratios[result.name] - USUAL_RATIO))
        sentences.append(f"One in {1 / ratios[result.name]:.0f} sampled: {_overhead(result)}.")
    if unsampled:
        sentences.append(f"0 sampled: {_overhead(unsampled[0])}.")
    simple = next((result for result in results if setups[result.name].tracing == "simple"), None)
    if simple:
        batch = next((result for result in full if result.name == EVERYTHING), None)
        word = "Never" if batch and _is_more_expensive(simple, batch) else "With"
        sentences.append(f"{word} `{simple.name}`: {_overhead(simple)}.")
    return "  ".join(sentences)


def _is_unsampled(setup: Setup) -> bool:
    return sampling_ratio(setup) == 0 and not discards(setup) and not is_disabled(setup)


def _overhead(setup: SetupSummary) -> str:
    return f"{change_percent(setup.overhead)} %" if _is_overhead(setup) else "no cost detected"


def _is_overhead(setup: SetupSummary) -> bool:
    return setup.verdict.kind is VerdictKind.DIFFERENT


def _is_more_expensive(setup: SetupSummary, other: SetupSummary) -> bool:
    """True if the whole interval lies above that of the other one."""
    return bool(setup.overhead and other.overhead and setup.overhead.low > other.overhead.high)


def _fixed_cost(summary: Summary) -> str:
    fixed = summary.fixed_cost
    full = summary.setup(EVERYTHING)
    if fixed.off is None or not summary.valid or full is None or not _is_overhead(full):
        return ""
    disabled = (
        f", {percent(fixed.disabled, sign=False, decimals=0)} % with OTEL_SDK_DISABLED"
        if fixed.disabled is not None
        else ""
    )
    return (
        f"Fixed cost: {percent(fixed.off, sign=False, decimals=0)} % of that remains with nothing sampled"
        f"{disabled}."
    )


def _clients(summary: Summary) -> str:
    setup = summary.setup(EVERYTHING)
    if setup is None or setup.latency is None or not setup.latency.changes or not summary.valid:
        return ""
    added_s = setup.latency.added_s
    changes = [
        f"{name} {duration(added_s[name], sign=True)}"
        if change.is_significant
        else f"{name} no change detected"
        for name, change in setup.latency.changes.items()
        if name in added_s
    ]
    rate = setup.latency.rate_per_s or 0.0
    return f"Latency at {rate:.0f} {summary.app.request}s/s ({EVERYTHING}): {', '.join(changes)}."


def _trust(summary: Summary) -> str:
    parts = []
    checks, noise_floor = summary.checks, summary.checks.noise_floor
    if noise_floor is not None:
        parts.append(f"identical setups agree within {percent(noise_floor, sign=False)} % CPU")
    if checks.injected and checks.injected.recovery:
        first, second = checks.injected.recovery, checks.injected.saturation
        both = f" (at full load: {_measured(second)})" if second and second is not first else ""
        parts.append(
            f"an injected cost of {first.expected_s * 1e6:.0f} us was measured as {_measured(first)}{both}"
        )
    lost = sum(setup.accounting.lost for setup in summary.setups)
    may_lose = {setup.name for setup in summary.plan.setups if setup.may_lose}
    incomplete = [
        setup.name
        for setup in summary.setups
        if setup.accounting.complete is False and not (setup.name in may_lose and not setup.invalid)
    ]
    parts.append(
        f"the span accounting of {', '.join(incomplete)} is incomplete"
        if incomplete
        else "no span lost"
        if not lost
        else f"{plural(lost, 'span')} lost, where they may be"
    )
    rough = noise_floor is not None and noise_floor > ROUGH
    return f"Checks{' (rough)' if rough else ''}: {', '.join(parts)}."


def _measured(recovery: Recovery) -> str:
    ends = f"[{recovery.low_s * 1e6:.0f}, {recovery.high_s * 1e6:.0f}]"
    return f"{recovery.measured_s * 1e6:.0f} {ends}"
