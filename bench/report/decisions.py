"""What to do: one row per alternative, from the largest saving to the largest cost."""

from bench.analysis.claims import Change
from bench.analysis.records import SetupSummary, Summary
from bench.app.records import Setup
from bench.app.setups import (
    everything,
    exports_logs,
    exports_metrics,
    is_disabled,
    protocol,
    sampling_ratio,
)
from bench.report.contrasts import BATCHING
from bench.report.words import ABSENT, Table, change_interval, change_percent, spread, unit_of

COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"


def decision_table(summary: Summary) -> Table | None:
    """Every alternative to tracing every request, the largest saving first; None without any."""
    setups = {setup.name: setup for setup in summary.plan.setups}
    full = everything(summary.plan.setups)
    reference = summary.setup(full.name) if full else None
    if full is None or reference is None or not summary.valid or reference.invalid:
        return None
    pairs = [
        (pair, result)
        for pair in summary.alternatives
        if (result := summary.setup(pair.setup))
        and _is_choice(setups[pair.setup], result)
        and not result.invalid
    ]
    if not pairs:
        return None
    unit = unit_of([_change_s(result, reference) for _, result in pairs])
    rows = []
    for pair, result in sorted(pairs, key=lambda pair: _change_s(pair[1], reference) or 0.0):
        decision, price = _decision(setups[pair.setup], full, result, reference)
        rows.append(
            (
                pair.setup,
                decision,
                unit.figure(_change_s(result, reference), sign=True),
                _change(pair.light) if pair.light else ABSENT,
                price,
            )
        )
    return Table(
        heads=(
            f"instead of {full.name}", "decision", f"CPU change {unit.name}", "CPU change %, 95 % interval",
            "what it costs in information or otherwise",
        ),
        left=(0, 1, 4),
        rows=tuple(rows),
    )  # fmt: skip


def _is_choice(setup: Setup, result: SetupSummary) -> bool:
    """False for untraced setups, and for steps of a ladder that send nothing and only explain a cost."""
    return setup.tracing != "none" and not (setup.layer and not result.accounting.bytes)


def _change_s(result: SetupSummary, reference: SetupSummary) -> float | None:
    """CPU seconds per request that an alternative needs more than tracing every request."""
    ours, theirs = (setup.cost.added_s if setup.cost else None for setup in (result, reference))
    return None if ours is None or theirs is None else ours - theirs


def _change(change: Change) -> str:
    if not change.is_significant:
        return f"none detected, {spread(change.low, change.high)}"
    return f"{change_percent(change)} {change_interval(change)}"


def _decision(setup: Setup, full: Setup, result: SetupSummary, reference: SetupSummary) -> tuple[str, str]:
    """The decision in which a setup differs from tracing every request, and its price."""
    alike = setup.tracing == full.tracing
    differs = {
        "packages": (setup.python, setup.pip, setup.npm) != (full.python, full.pip, full.npm),
        "batching": alike and _batching(setup) != _batching(full),
        "SDK": is_disabled(setup),
        "sampler": alike and sampling_ratio(setup) < 1,
        "processor": setup.tracing == "simple",
        "protocol": alike and protocol(setup) != protocol(full),
        "compression": alike and setup.env.get(COMPRESSION) != full.env.get(COMPRESSION),
        "signals": (exports_metrics(setup), exports_logs(setup))
        != (exports_metrics(full), exports_logs(full)),
        "instrumentations": alike and result.spans_per_request != reference.spans_per_request,
    }
    spans = f"spans per request: {result.spans_per_request:g} instead of {reference.spans_per_request:g}"
    prices = {
        "batching": f"{result.accounting.lost:,} spans lost" if result.accounting.lost else "no span lost",
        "SDK": "no trace is kept",
        "sampler": _sampled(setup),
        "processor": "requests wait for every export; a process that is killed loses no span",
        "protocol": f"{protocol(setup)} has to be reachable, and its package installed",
        "compression": f"{_bytes(result)} bytes per request on the wire instead of {_bytes(reference)}",
        "instrumentations": spans,
        "packages": setup.description if result.spans_per_request == reference.spans_per_request else spans,
    }
    # A setup with other packages, or other batches, may sample otherwise, too.
    decision = next((name for name, does in differs.items() if does), "other")
    return decision, prices.get(decision, setup.description)


def _batching(setup: Setup) -> dict[str, str]:
    return {name: setup.env[name] for name in BATCHING if name in setup.env}


def _sampled(setup: Setup) -> str:
    """What is left of the traces."""
    if setup.collector_sampling < 1:
        return f"a collector keeps one trace in {1 / setup.collector_sampling:,.0f}, and may choose which"
    ratio = sampling_ratio(setup)
    return f"one trace in {1 / ratio:,.0f} is kept; what is rare is missed" if ratio else "no trace is kept"


def _bytes(setup: SetupSummary) -> str:
    return f"{setup.accounting.bytes / max(setup.accounting.requests, 1):,.0f}"
