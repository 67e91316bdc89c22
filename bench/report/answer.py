"""The answer: what tracing costs, in five lines."""

from bench.analysis.records import InjectedCheck, Summary
from bench.analysis.setup_records import SetupSummary, Severity
from bench.app.records import CHECKS, Setup
from bench.app.setups import EVERYTHING, discards, everything, is_disabled, sampling_ratio
from bench.report.comparisons import batching, batching_line, compared
from bench.report.words import duration, half_width, percent, plural

ROUGH = 0.1
"""A noise floor above which a run is told to be rough: its setups cannot be ranked."""
USUAL_RATIO = 0.1
"""Of several sampling ratios, the answer tells the one closest to this; the table has them all."""


def answer(summary: Summary) -> tuple[str, ...]:
    """The five lines, without those of which nothing is known; the first one says whether to believe it."""
    lines = [_headline(summary), _others(summary), _fixed_cost(summary), _clients(summary), _trust(summary)]
    return tuple(line for line in lines if line)


def tested(summary: Summary) -> list[SetupSummary]:
    """Setups under test that have a figure, from cheap to dear."""
    figures = [
        (cost.ratio, setup)
        for setup in summary.setups
        if (cost := setup.cost) and cost.ratio is not None
        if setup.name not in CHECKS and not setup.invalid
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
    if setup is None or cost is None or cost.added_s is None or cost.low is None or cost.high is None:
        return "Nothing was compared with the baseline."
    what = "Tracing everything" if full and setup.name == full.name else "The dearest setup"
    if not _is_overhead(setup):
        return (
            f"{what} ({setup.name}): no cost was found for {summary.app.name}, "
            f"{percent(cost.ratio)} +- {half_width(cost.low, cost.high)} % CPU; "
            f"such a run finds about {percent(cost.mde, sign=False)} %."
        )
    line = (
        f"{what} ({setup.name}) costs {summary.app.name} {percent(cost.ratio)} "
        f"+- {half_width(cost.low, cost.high)} % CPU: "
        f"{duration(cost.added_s)} per {summary.app.request}"
    )
    saturation = []
    if setup.light and setup.saturation and setup.saturation.ratio is not None:
        saturation.append(f"pays {percent(setup.saturation.ratio)} %")
    if setup.throughput and setup.throughput.ratio is not None:
        less = "less" if setup.throughput.ratio < 0 else "more"
        saturation.append(f"does {percent(abs(setup.throughput.ratio), sign=False)} % {less}")
    return f"{line}; a full load {' and '.join(saturation)}." if saturation else f"{line}."


def _invalid(summary: Summary) -> str:
    """Why nothing counts, once, in words, and what to do."""
    reasons = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if not reasons:
        return "NOT VALID: too few replicates for an interval. Let the run go on for longer."
    first = reasons[0]
    more = f" ({plural(len(reasons) - 1, 'further reason')} below)" if len(reasons) > 1 else ""
    return f"NOT VALID: {first.message}: {first.advice}.{more}"


def _others(summary: Summary) -> str:
    """What the alternatives cost, each by what a reader would decide on."""
    if not summary.valid:
        return ""
    if summary.plan.preset and summary.comparisons:
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
        sentences.append(f"Installed, nothing sampled: {_overhead(unsampled[0])}.")
    simple = next((result for result in results if setups[result.name].tracing == "simple"), None)
    if simple:
        batch = next((result for result in full if result.name == EVERYTHING), None)
        word = "Never" if batch and _is_more_expensive(simple, batch) else "With"
        sentences.append(f"{word} `{simple.name}`: {_overhead(simple)}.")
    return "  ".join(sentences)


def _is_unsampled(setup: Setup) -> bool:
    return sampling_ratio(setup) == 0 and not discards(setup) and not is_disabled(setup)


def _overhead(setup: SetupSummary) -> str:
    if not _is_overhead(setup):
        return "no cost found"
    return f"{percent(setup.cost.ratio if setup.cost else None)} %"


def _is_overhead(setup: SetupSummary) -> bool:
    return setup.verdict.startswith("overhead")


def _is_more_expensive(setup: SetupSummary, other: SetupSummary) -> bool:
    """True if the whole interval lies above that of the other one."""
    low, high = (setup.cost.low, other.cost.high) if setup.cost and other.cost else (None, None)
    return low is not None and high is not None and low > high


def _fixed_cost(summary: Summary) -> str:
    floor = summary.fixed_cost
    full = summary.setup(EVERYTHING)
    if floor.off is None or not summary.valid or full is None or not _is_overhead(full):
        return ""
    switched_off = (
        f", and {percent(floor.disabled, sign=False, decimals=0)} % with OTEL_SDK_DISABLED"
        if floor.disabled is not None
        else ""
    )
    return (
        f"What sampling cannot save: {percent(floor.off, sign=False, decimals=0)} % of that cost is there "
        f"at ratio 0{switched_off}."
    )


def _clients(summary: Summary) -> str:
    setup = summary.setup(EVERYTHING)
    if setup is None or setup.latency is None or not setup.latency.changes or not summary.valid:
        return ""
    changes = [
        f"{name} {duration(change.added_s, sign=True)}"
        if not change.low <= 0 <= change.high
        else f"{name} no change found"
        for name, change in setup.latency.changes.items()
        if change.added_s is not None
    ]
    rate = setup.latency.rate_per_s or 0.0
    return f"Clients at {rate:.0f} {summary.app.request}s/s ({EVERYTHING}): {', '.join(changes)}."


def _trust(summary: Summary) -> str:
    parts = []
    floor = summary.checks.noise_floor
    if floor is not None:
        parts.append(f"identical setups agree within {percent(floor, sign=False)} % CPU")
    checks = summary.checks
    if checks.injected is not None:
        both = f" (saturation: {_found(checks.injected_saturation)})" if checks.injected_saturation else ""
        parts.append(f"{checks.injected.known_s * 1e6:.0f} us were found as {_found(checks.injected)}{both}")
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
    word = "Trust" if summary.valid else "Checks"
    if floor is not None and floor > ROUGH:
        word = "Rough"
    return f"{word}: {', '.join(parts)}."


def _found(injected: InjectedCheck) -> str:
    ends = f"[{injected.low_s * 1e6:.0f}, {injected.high_s * 1e6:.0f}]"
    return f"{injected.found_s * 1e6:.0f} {ends}"
