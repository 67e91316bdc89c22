"""The answer: what tracing costs, in five lines."""

from bench.analysis.records import Summary
from bench.analysis.setup_records import SetupSummary, Severity
from bench.app.records import CHECKS
from bench.report.words import duration, percent, plural

EVERYTHING, ALWAYS_OFF = "batch", "always-off"


def answer(summary: Summary) -> tuple[str, ...]:
    """The five lines, without those of which nothing is known; the first one says whether to believe it."""
    lines = [_headline(summary), _others(summary), _floor(summary), _customers(summary), _trust(summary)]
    return tuple(line for line in lines if line)


def tested(summary: Summary) -> list[SetupSummary]:
    """Set-ups under test that have a figure, from cheap to dear."""
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
    setup = next((setup for setup in setups if setup.name == EVERYTHING), setups[-1] if setups else None)
    cost = setup.cost if setup else None
    if setup is None or cost is None or cost.extra_s is None:
        return "Nothing was compared with the baseline."
    what = "Tracing everything" if setup.name == EVERYTHING else "The dearest set-up"
    line = (
        f"{what} ({setup.name}) costs {summary.app.name} {percent(cost.ratio, decimals=0)} % CPU: "
        f"{duration(cost.extra_s)} per {summary.app.request}"
    )
    if setup.throughput and setup.throughput.ratio is not None:
        less = "less" if setup.throughput.ratio < 0 else "more"
        line += (
            f"; a busy service does {percent(abs(setup.throughput.ratio), sign=False, decimals=0)} % {less}"
        )
    return f"{line}."


def _invalid(summary: Summary) -> str:
    """Why nothing counts, once, in words, and what to do."""
    reasons = [caveat for caveat in summary.caveats if caveat.severity is Severity.INVALID]
    if not reasons:
        return "NOT VALID: too few epochs for an interval. Let the run go on for longer."
    first = reasons[0]
    more = f" ({plural(len(reasons) - 1, 'further reason')} below)" if len(reasons) > 1 else ""
    return f"NOT VALID: {first.message}: {first.advice}.{more}"


def _others(summary: Summary) -> str:
    parts = []
    for setup in tested(summary):
        cost = setup.cost
        if cost and setup.name != EVERYTHING:
            parts.append(f"{setup.name} {percent(cost.ratio, decimals=0)} %")
    return f"Others: {', '.join(parts)}." if parts and summary.valid else ""


def _floor(summary: Summary) -> str:
    floor = summary.floor
    if floor.off is None or not summary.valid:
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


def _customers(summary: Summary) -> str:
    setup = summary.setup(EVERYTHING)
    if setup is None or setup.latency is None or not setup.latency.changes or not summary.valid:
        return ""
    changes = [
        f"{name} {duration(change.extra_s, sign=True)}"
        for name, change in setup.latency.changes.items()
        if change.extra_s is not None
    ]
    rate = setup.latency.rate_per_s or 0.0
    return f"Customers at {rate:.0f} {summary.app.request}s/s ({EVERYTHING}): {', '.join(changes)}."


def _trust(summary: Summary) -> str:
    parts = []
    if summary.checks.noise_floor is not None:
        parts.append(f"identical set-ups agree within {percent(summary.checks.noise_floor, sign=False)} %")
    control = summary.checks.control
    if control is not None:
        parts.append(f"{control.known_s * 1e6:.0f} us were found as {control.found_s * 1e6:.0f}")
    lost = sum(setup.ledger.lost for setup in summary.setups)
    unbalanced = [setup.name for setup in summary.setups if setup.ledger.balanced is False]
    parts.append(
        f"the ledger of {', '.join(unbalanced)} does not balance"
        if unbalanced
        else "no span lost"
        if not lost
        else f"{plural(lost, 'span')} lost"
    )
    return f"Trust: {', '.join(parts)}."
