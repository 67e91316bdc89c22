"""Comparisons with setups other than the baseline, paired inside replicates."""

from collections.abc import Mapping

from bench.analysis import stats
from bench.analysis.accounting import Accounting
from bench.analysis.claims import Change, change_of
from bench.analysis.figures import Figure, RunAnalysis
from bench.analysis.records import Contrast
from bench.app.records import CHECKS
from bench.app.setups import everything
from bench.plan.records import Plan


def declared_pairs(plan: Plan) -> dict[str, str]:
    """The `against` setup of each setup that has one in this run, without the layers of a ladder."""
    return {
        setup.name: setup.against for setup in plan.setups if setup.against in plan.names and not setup.layer
    }


def contrasts(analysis: RunAnalysis) -> tuple[Contrast, ...]:
    """Compare every setup that has an `against` setup with that setup."""
    pairs = declared_pairs(analysis.plan)
    light, saturation = analysis.light_cpu, analysis.saturation_cpu
    p50, throughput = analysis.latency["p50"], analysis.throughput
    light_changes, p50_changes = changes_against(light, pairs), changes_against(p50, pairs)
    saturation_changes, throughput_changes = (
        changes_against(saturation, pairs),
        changes_against(throughput, pairs),
    )
    return tuple(
        Contrast(
            setup=name,
            against=other,
            light=light_changes.get(name),
            light_added_s=_added_s(light, light_changes.get(name), other),
            saturation=saturation_changes.get(name),
            throughput=throughput_changes.get(name),
            p50=p50_changes.get(name),
            p50_added_s=_added_s(p50, p50_changes.get(name), other),
            spans=_more(analysis.accounting, name, other, "spans_received"),
            logs=_more(analysis.accounting, name, other, "logs"),
            bytes=_more(analysis.accounting, name, other, "bytes"),
        )
        for name, other in pairs.items()
    )


def alternatives(analysis: RunAnalysis) -> tuple[Contrast, ...]:
    """CPU of each setup under test against tracing every request; intervals are never subtracted."""
    cpu = analysis.main_cpu
    reference = everything(analysis.plan.setups)
    if reference is None or reference.name not in cpu.estimates:
        return ()
    tested = [name for name in cpu.estimates if name not in {*CHECKS, reference.name}]
    ordered = sorted(tested, key=lambda name: cpu.estimates[name].log_ratio)
    changes = changes_against(cpu, dict.fromkeys(ordered, reference.name))
    return tuple(Contrast(setup=name, against=reference.name, light=changes[name]) for name in ordered)


def changes_against(figure: Figure, pairs: Mapping[str, str]) -> dict[str, Change]:
    """Change of one figure in each setup against its partner."""
    weights = {
        name: stats.against(name, (other,))
        for name, other in pairs.items()
        if figure.logs.get(name) and figure.logs.get(other)
    }
    estimates = stats.contrasts(figure.logs, weights, len(weights))
    return {name: change_of(estimate, figure.plan.confidence) for name, estimate in estimates.items()}


def _added_s(figure: Figure, change: Change | None, other: str) -> float | None:
    """A change in seconds, from the level of what it is compared with."""
    return change.ratio * (figure.level(other) or 0.0) if change else None


def _more(accounting: Mapping[str, Accounting], name: str, other: str, what: str) -> float:
    """How much more of something a request leaves at the receiver."""
    ours, theirs = (
        getattr(accounting[setup], what) / max(accounting[setup].requests, 1) for setup in (name, other)
    )
    return float(ours - theirs)
