"""Figures of a run: one value per replicate and setup, and what is estimated from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.analysis.accounting import accounting_of, traffic_of
from bench.analysis.blocks import MeasuredPhase, logs, measured_phases
from bench.analysis.claims import Change, change_of
from bench.analysis.limits import limits_of
from bench.analysis.stats import Estimate, against, contrasts, half_width_of_mean
from bench.app.records import AA, BASELINE, CHECKS
from bench.plan.readings import Raw
from bench.plan.records import Kind, Plan
from bench.plan.schedule import is_overloaded

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of all setups, such as CPU per request at light load.

    Attributes:
        plan: of the run.
        values: by setup, one value per replicate; None where a replicate has none.
    """

    plan: Plan
    values: Mapping[str, Sequence[float | None]]

    @cached_property
    def logs(self) -> dict[str, list[float]]:
        """Ln of the values, of the replicates in which every setup has one."""
        return logs(self.values)

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The instances that together are the baseline: itself, and the A/A setup where there is one.

        They are the same setup, so their mean is the baseline with half the variance. The A/A setup is
        compared with the baseline's instance only, so its difference does not correlate with those of the
        others.
        """
        return tuple(name for name in (BASELINE, AA) if name in self.values)

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Every setup against the baseline; the A/A setup against the baseline's own instance only."""
        names = [name for name in self.values if name != BASELINE]
        weights = {name: against(name, (BASELINE,) if name == AA else self.references) for name in names}
        return contrasts(self.logs, weights, len([name for name in names if name not in CHECKS]))

    def level(self, *names: str) -> float | None:
        """Geometric mean over replicates of one setup, or of several identical ones."""
        values = [value for name in names for value in self.logs.get(name, ())]
        return math.exp(float(np.mean(values))) if values else None

    @property
    def base(self) -> float | None:
        """The baseline's level."""
        return self.level(*self.references)

    @cached_property
    def bias(self) -> float:
        """Log ratio of identical setups if its interval excludes 0, else 0; claims are widened by it."""
        aa = self.estimates.get(AA)
        if aa is None:
            return 0.0
        low, high = aa.interval(self.plan.confidence)
        return 0.0 if low <= 0.0 <= high else abs(aa.log_ratio)

    def change(self, name: str) -> Change | None:
        """A setup's change against the baseline."""
        estimate = self.estimates.get(name)
        return change_of(estimate, self.plan.confidence) if estimate else None

    def added(self, name: str) -> float | None:
        """The same in the figure's own unit."""
        estimate = self.estimates.get(name)
        return estimate.ratio * (self._base_of(name) or 0.0) if estimate else None

    def _base_of(self, name: str) -> float | None:
        """What a setup is compared with: the A/A setup with the baseline itself."""
        return self.level(BASELINE) if name == AA else self.base

    def difference(self, name: str) -> tuple[float, float, float]:
        """The change in absolute terms, and the ends of its interval.

        It is the product of a ratio and the baseline's level, which has an error too. If the ratio's sign
        is certain, half-widths are added in quadrature on the log scale, which keeps the sign. If it is
        not, the same is done in seconds (Zou and Donner, 2008). The two errors have opposite signs where
        a setup costs more, so the interval is then too wide rather than too narrow.
        """
        estimate, base = self.estimates[name], self._base_of(name) or 0.0
        ratio, (low, high) = estimate.ratio, estimate.ratios(self.plan.confidence)
        references = (BASELINE,) if name == AA else self.references
        replicates = np.mean([self.logs[reference] for reference in references], axis=0)
        level = half_width_of_mean(replicates, self.plan.confidence)
        value = ratio * base
        if low > 0 or high < 0:
            ends = [
                value * math.exp(side * math.hypot(math.log(end / ratio), level))
                for side, end in ((-1, low), (1, high))
            ]
            return value, min(ends), max(ends)
        error = value * math.expm1(level)
        return (
            value,
            value - math.hypot(value - low * base, error),
            value + math.hypot(high * base - value, error),
        )


def figure(plan: Plan, parts: Sequence[MeasuredPhase], read: str, *, only: Sequence[str] = ()) -> Figure:
    """A figure from a method of `MeasuredPhase`, of all setups or some."""
    return Figure(
        plan=plan,
        values={
            name: [getattr(part, read)(number) for part in parts]
            for number, name in enumerate(plan.names)
            if not only or name in only
        },
    )


class RunAnalysis:
    """Everything that is computed once and needed in several places."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.plan, self.learned = raw.plan, raw.learned
        self.light = measured_phases(raw, Kind.LIGHT)
        self.saturation = measured_phases(raw, Kind.SATURATION)
        self.light_cpu = figure(self.plan, self.light, "cpu_per_request_s")
        self.saturation_cpu = figure(self.plan, self.saturation, "cpu_per_request_s")
        self.limits = limits_of(self.saturation, self.plan)
        self.measured_rates = figure(self.plan, self.saturation, "per_s")
        self.throughput = self._cpu_bound_rates() if self.limits.generator else self.measured_rates
        self.latency = {name: self._latency(q) for name, q in QUANTILES.items()}
        self.traffic = {name: traffic_of(raw, name) for name in self.plan.names}
        self.accounting = {
            setup.name: accounting_of(self.learned, setup, self.traffic[setup.name])
            for setup in self.plan.setups
        }

    def _cpu_bound_rates(self) -> Figure:
        """Throughput as far as CPU limits it, of all setups but those that wait for something else.

        It is derived from CPU per request and from the CPUs that an instance can use: as many as the busiest
        instance used. Measured and derived rates have no common scale, so one figure has one kind.
        """
        shares = [
            part.utilization(number) for part in self.saturation for number in range(len(self.plan.setups))
        ]
        cpus = min(max(shares, default=1.0), 1.0) * self.plan.service_cpus
        # Without the baseline there is nothing to compare with.
        names = [] if BASELINE in self.limits.blocked else self.plan.names
        return Figure(
            plan=self.plan,
            values={
                name: [cpus / cost if cost else None for cost in self.saturation_cpu.values[name]]
                for name in names
                if name not in self.limits.blocked
            },
        )

    @property
    def main_cpu(self) -> Figure:
        """CPU per request at light load, or at saturation in a run without light load."""
        return self.light_cpu if self.plan.light.blocks else self.saturation_cpu

    @property
    def checked(self) -> dict[str, Figure]:
        """Figures in which the A/A setup has to agree with the baseline."""
        return {
            "light": self.light_cpu,
            "saturation": self.saturation_cpu,
            "throughput": self.throughput,
            "p50": self.latency["p50"],
        }

    def _latency(self, q: float) -> Figure:
        """A quantile, of the setups that hold the light rate."""
        values: dict[str, list[float | None]] = {}
        for number, name in enumerate(self.plan.names):
            if not is_overloaded(self.plan, self.learned, name):
                values[name] = [_quantile(part.latencies_s(number), q) for part in self.light]
        return Figure(plan=self.plan, values=values)

    def requests(self, name: str) -> int:
        """Requests of light load that a setup's percentiles rest on."""
        number = self.plan.names.index(name)
        return sum(len(part.latencies_s(number)) for part in self.light)

    @property
    def replicates(self) -> int:
        """Replicates with a figure of every setup."""
        loads = [
            figure_
            for figure_, planned in (
                (self.light_cpu, self.plan.light),
                (self.saturation_cpu, self.plan.saturation),
            )
            if planned.blocks
        ]
        return min((len(cpu.logs[BASELINE]) for cpu in loads), default=0)


def _quantile(values: np.ndarray, q: float) -> float | None:
    """A quantile of one replicate; None if there are no requests or if it falls on a failed one."""
    if not len(values):
        return None
    # Between two failures numpy subtracts infinity from infinity: NaN, which becomes None below.
    with np.errstate(invalid="ignore"):
        value = float(np.quantile(values, q))
    return value if math.isfinite(value) else None
