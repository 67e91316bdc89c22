"""What to do, in a sentence: only what the run itself has measured."""

from collections.abc import Iterator

from bench.analysis.records import SetupSummary, Summary
from bench.app.presets import INSTRUMENTORS
from bench.app.setups import is_disabled, sampling_ratio
from bench.report.words import change_percent, percent, unit_of

WORTHWHILE = 0.1
"""Smallest share of the cost of tracing every request for which anything is proposed."""
PYTHON_AGENT = "opentelemetry-instrument"


def what_to_do(summary: Summary) -> str:
    """What this run says about lowering the cost; empty where it says nothing."""
    full = summary.full
    if not summary.valid or full is None or not full.is_overhead:
        return ""
    advice = [*_avoid(summary, full), *_replace(summary, full), *_uninstall(summary, full)]
    if any(0 < _ratio(summary, setup) < 1 and _saves(summary, setup) for setup in summary.tested):
        advice.append("then sample" if advice else "sample")
    if not advice:
        return ""
    return f"What to do: {'. '.join([advice[0], *(f'{one[0].upper()}{one[1:]}' for one in advice[1:])])}."


def _saved_share(summary: Summary, setup: SetupSummary) -> float | None:
    """How much of the CPU of tracing every request a setup saves; None where no saving is certain."""
    full = summary.full
    pair = next((pair for pair in summary.alternatives if pair.setup == setup.name), None)
    change = pair and (pair.light or pair.saturation)
    if not change or not change.is_significant or change.ratio > 0 or full is None:
        return None
    added_s, full_s = (one.cost.added_s if one.cost else None for one in (setup, full))
    return 1 - added_s / full_s if added_s is not None and full_s else None


def less_than_full(summary: Summary, setup: SetupSummary) -> str:
    """How much less a setup costs than tracing every request, in brackets; empty where none is certain."""
    share = _saved_share(summary, setup)
    if not share or summary.full is None:
        return ""
    return f" ({percent(share, sign=False, decimals=0)} % less than {summary.full.name})"


def _saves(summary: Summary, setup: SetupSummary) -> bool:
    return (_saved_share(summary, setup) or 0.0) > WORTHWHILE


def _ratio(summary: Summary, setup: SetupSummary) -> float:
    return sampling_ratio(summary.declared(setup.name))


def _avoid(summary: Summary, full: SetupSummary) -> Iterator[str]:
    """The simple processor, if its whole interval lies above that of tracing every request in batches."""
    for setup in summary.tested:
        dear, usual = setup.overhead, full.overhead
        if summary.declared(setup.name).tracing == "simple" and dear and usual and dear.low > usual.high:
            yield f"never `{setup.name}` ({change_percent(dear)} %)"
            return


def _replace(summary: Summary, full: SetupSummary) -> Iterator[str]:
    """The alternative that saves most with the same spans in every request's trace."""
    savings = [
        (_saved_share(summary, setup) or 0.0, setup)
        for setup in summary.tested
        if _ratio(summary, setup) == 1
        and setup.spans_per_request == full.spans_per_request
        and _saves(summary, setup)
    ]
    if savings:
        _, setup = max(savings, key=lambda saving: saving[0])
        yield f"use `{setup.name}`{less_than_full(summary, setup)}"


def _uninstall(summary: Summary, full: SetupSummary) -> Iterator[str]:
    """Instrumentation: what stays although the SDK is disabled, only uninstalling saves."""
    disabled = next((one for one in summary.tested if is_disabled(summary.declared(one.name))), None)
    if disabled is None or not disabled.is_overhead or disabled.cost is None or full.cost is None:
        return
    stays_s, added_s = disabled.cost.added_s or 0.0, full.cost.added_s or 0.0
    if stays_s <= WORTHWHILE * added_s:
        return
    unit = unit_of([added_s])
    which = (
        f"; `tracing-overhead run{_app_file(summary)} --preset {INSTRUMENTORS}` measures each"
        if _knows_instrumentations(summary)
        else ""
    )
    stays = (
        f"even with the SDK disabled, {unit.figure(stays_s)} of the {unit.figure(added_s)} {unit.name} stays"
    )
    yield f"uninstall instrumentation that you do not need ({stays}{which})"


def _app_file(summary: Summary) -> str:
    return f" {summary.plan.app_file}" if summary.plan.app_file else ""


def _knows_instrumentations(summary: Summary) -> bool:
    """True if the application's instrumentations are known by name, or can be asked for."""
    tracing = summary.plan.app.tracing
    return bool(tracing.instrumentors) or PYTHON_AGENT in tracing.launcher
