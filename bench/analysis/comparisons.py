"""Setups that are compared with another one than the baseline, paired inside replicates like all else."""

from collections.abc import Mapping

from bench.analysis.figures import Figure, Findings, change_of
from bench.analysis.records import Comparison
from bench.analysis.setup_records import Accounting, Change
from bench.analysis.stats import against, contrasts
from bench.plan.records import Plan


def pairs_of(plan: Plan) -> dict[str, str]:
    """What each setup is compared with besides the baseline; steps of a ladder are layers."""
    return {
        setup.name: setup.against for setup in plan.setups if setup.against in plan.names and not setup.layer
    }


def comparisons(findings: Findings) -> tuple[Comparison, ...]:
    """Every setup that names another one, against that."""
    pairs = pairs_of(findings.plan)
    light, saturation = _changes(findings.light_cpu, pairs), _changes(findings.saturation_cpu, pairs)
    throughput = _changes(findings.throughput, pairs)
    p50 = _changes(findings.latency["p50"], pairs)
    return tuple(
        Comparison(
            setup=name,
            against=other,
            light=light.get(name),
            saturation=saturation.get(name),
            throughput=throughput.get(name),
            p50=p50.get(name),
            spans=_more(findings.accountings, name, other, "spans_received"),
            logs=_more(findings.accountings, name, other, "logs"),
            bytes=_more(findings.accountings, name, other, "bytes"),
        )
        for name, other in pairs.items()
    )


def _changes(figure: Figure, pairs: Mapping[str, str]) -> dict[str, Change]:
    """Of one figure, the change of each setup against its other one; in seconds by the level of that."""
    weights = {
        name: against(name, (other,))
        for name, other in pairs.items()
        if figure.logs.get(name) and figure.logs.get(other)
    }
    return {
        name: change_of(estimate, figure.plan, figure.level(pairs[name]) or 0.0)
        for name, estimate in contrasts(figure.logs, weights, len(weights)).items()
    }


def _more(accountings: Mapping[str, Accounting], name: str, other: str, what: str) -> float:
    """How much more of something a request leaves at the receiver."""
    ours, theirs = (
        getattr(accountings[setup], what) / max(accountings[setup].requests, 1) for setup in (name, other)
    )
    return float(ours - theirs)
