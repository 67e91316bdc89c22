"""What a run measured: `summary.json` holds a `Summary`.

Everything follows from the raw records. A value that is not known is absent.
"""

import msgspec

from bench.analysis.accounting import Accounting
from bench.analysis.claims import Caveat, Change, Record, Verdict, VerdictKind
from bench.analysis.collector_cost import CollectorSummary
from bench.analysis.kinds import KindOfRequest
from bench.analysis.layers import Layer
from bench.app.records import CHECKS, Setup
from bench.app.setups import everything
from bench.plan.records import Learned, Plan


class Cost(Record, frozen=True, kw_only=True):
    """CPU time per completed request under one load.

    Attributes:
        rate_per_s: planned arrivals per second; of light load alone.
        cpu_per_request_s: geometric mean over replicates.
        added_s: CPU seconds more than the baseline.
        added_low_s: lower end of its interval, which includes the uncertainty of the baseline.
        added_high_s: upper end.
        change: against the baseline; absent for the baseline itself.
        mde: smallest overhead that such a run claims in 80 % of cases.
        claim_low: lower end of the interval that holds for all setups at once.
        claim_high: upper end.
        negligible: whether the 90 % interval lies inside the bounds of no overhead.
        shares_variance: whether the variance is the one that all setups share.
    """

    rate_per_s: float | None = None
    cpu_per_request_s: float | None = None
    added_s: float | None = None
    added_low_s: float | None = None
    added_high_s: float | None = None
    change: Change | None = None
    mde: float | None = None
    claim_low: float | None = None
    claim_high: float | None = None
    negligible: bool | None = None
    shares_variance: bool | None = None


class Throughput(Record, frozen=True, kw_only=True):
    """Requests per second of active time.

    Attributes:
        per_s: geometric mean over replicates.
        change: against the baseline; absent for the baseline itself.
        derived: whether it follows from CPU per request, because the load generator was the limit.
    """

    per_s: float | None = None
    change: Change | None = None
    derived: bool = False


class Latency(Record, frozen=True, kw_only=True):
    """Latency in active time at the light rate, from the planned send.

    Attributes:
        rate_per_s: planned arrivals per second.
        overloaded: whether the setup cannot hold the baseline's light rate; it has no percentiles.
        requests: number of requests behind the percentiles.
        p50_s: median.
        p90_s: 90th percentile; absent with too few requests.
        p99_s: 99th percentile; absent with too few requests.
        changes: against the baseline, by `p50`, `p90` and `p99`.
        added_s: the same in seconds.
    """

    rate_per_s: float | None = None
    overloaded: bool = False
    requests: int = 0
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    changes: dict[str, Change] = msgspec.field(default_factory=dict)
    added_s: dict[str, float] = msgspec.field(default_factory=dict)


class Rest(Record, frozen=True, kw_only=True):
    """An instance without load: CPU seconds per second, and memory."""

    cpu_per_s: float | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None


class Start(Record, frozen=True, kw_only=True):
    """The start of an instance: seconds and CPU seconds until all processes answer."""

    ready_s: float | None = None
    cpu_s: float | None = None


class SetupSummary(Record, frozen=True, kw_only=True):
    """Everything that a run measured of one setup.

    Attributes:
        name: of the setup.
        description: one sentence.
        verdict: on CPU per request at light load, or at saturation in a run without light load.
        invalid: whether a check invalidates its figures.
        light: CPU per request at light load.
        saturation: CPU per request at saturation.
        throughput: at saturation.
        highest_rate: highest rate that holds the latency limit; absent unless it was searched.
        latency: at light load.
        rest: CPU and memory without load.
        start: time and CPU of a start.
        accounting: what became of its spans.
        caveats: of this setup alone.
    """

    name: str
    description: str
    verdict: Verdict
    invalid: bool
    light: Cost | None = None
    saturation: Cost | None = None
    throughput: Throughput | None = None
    highest_rate: Throughput | None = None
    latency: Latency | None = None
    rest: Rest | None = None
    start: Start | None = None
    accounting: Accounting
    caveats: tuple[Caveat, ...] = ()

    @property
    def cost(self) -> Cost | None:
        """The figure that the verdict rests on."""
        return self.light or self.saturation

    @property
    def spans_per_request(self) -> float:
        """Spans that were received, per request of all loads; to one decimal."""
        return round(self.accounting.spans_received / max(self.accounting.requests, 1), 1)

    @property
    def is_overhead(self) -> bool:
        """Whether it differs from the baseline, as far as may be claimed."""
        return self.verdict.kind is VerdictKind.DIFFERENT

    @property
    def overhead(self) -> Change | None:
        """Its change against the baseline."""
        return self.cost.change if self.cost else None


class AACheck(Record, frozen=True, kw_only=True):
    """The difference between two identical setups, figure by figure."""

    light: Change | None = None
    saturation: Change | None = None
    throughput: Change | None = None
    p50: Change | None = None


class Recovery(Record, frozen=True, kw_only=True):
    """An injected cost, and what was measured of it.

    Attributes:
        expected_s: CPU seconds that were injected into every request.
        measured_s: CPU seconds that were measured.
        low_s: lower end of the 95 % interval.
        high_s: upper end.
    """

    expected_s: float
    measured_s: float
    low_s: float
    high_s: float


class InjectedCheck(Record, frozen=True, kw_only=True):
    """The injected cost, as each load recovered it."""

    light: Recovery | None = None
    saturation: Recovery | None = None

    @property
    def recovery(self) -> Recovery | None:
        """At light load, or at saturation in a run without light load."""
        return self.light or self.saturation


class Checks(Record, frozen=True, kw_only=True):
    """How the measurement checks itself.

    Attributes:
        aa: identical setups.
        injected: whether the injected cost was recovered.
        noise_floor: largest overhead that identical setups may still have, at 95 % confidence.
    """

    aa: AACheck | None = None
    injected: InjectedCheck | None = None
    noise_floor: float | None = None


class FixedCost(Record, frozen=True, kw_only=True):
    """Share of the cost of tracing every request that sampling or disabling cannot save.

    Attributes:
        off: with nothing sampled.
        disabled: with OTEL_SDK_DISABLED.
    """

    off: float | None = None
    disabled: float | None = None


class AppName(Record, frozen=True, kw_only=True):
    """What was measured, and what one request is called."""

    name: str
    request: str


class Contrast(Record, frozen=True, kw_only=True):
    """A setup compared with a setup other than the baseline, paired inside replicates.

    Attributes:
        setup: whose figures.
        against: what they are compared with.
        light: CPU per request at light load.
        light_added_s: the same in seconds.
        saturation: CPU per request at saturation.
        throughput: requests per second at saturation.
        p50: median latency at the light rate.
        p50_added_s: the same in seconds.
        spans: additional spans per request at the receiver.
        logs: additional log records per request.
        bytes: additional bytes on the wire per request.
    """

    setup: str
    against: str
    light: Change | None = None
    light_added_s: float | None = None
    saturation: Change | None = None
    throughput: Change | None = None
    p50: Change | None = None
    p50_added_s: float | None = None
    spans: float = 0.0
    logs: float = 0.0
    bytes: float = 0.0


class WorkerLag(Record, frozen=True, kw_only=True):
    """How late one load worker sent."""

    worker: int
    arrivals: int
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None


class LoadSummary(Record, frozen=True, kw_only=True):
    """How the load went and what else the machine did, in blocks that count.

    Attributes:
        requests: planned arrivals at light load and requests at saturation.
        unsent: arrivals that were not sent.
        failed: requests not answered as expected.
        lag_p50_s: median of actual less planned send.
        lag_p99_s: its 99th percentile.
        outside: share of arrivals that were sent after their time slice.
        load_utilization: share of its CPU that the load generator used.
        steal: share of a core that the host took.
        foreign: share of a core that other programs used.
        slice_error: relative difference of the time slices' total length from the plan.
        leaked: CPU that stopped instances used, as a share of all.
        blocks: that count.
        repeated: blocks that the host spoiled and that were repeated.
        lost_workers: load workers that died.
        workers: lag of each load worker.
    """

    requests: int = 0
    unsent: int = 0
    failed: int = 0
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None
    outside: float = 0.0
    load_utilization: float = 0.0
    steal: float = 0.0
    foreign: float = 0.0
    slice_error: float = 0.0
    leaked: float = 0.0
    blocks: int = 0
    repeated: int = 0
    lost_workers: int = 0
    workers: tuple[WorkerLag, ...] = ()


class CostModel(Record, frozen=True, kw_only=True):
    """Added CPU per request = fixed + per span x spans, at one load.

    Attributes:
        fixed_s: CPU seconds of a request with nothing sampled.
        per_span_s: CPU seconds that every exported span adds.
        residual_s: standard deviation around the line.
        points: setup, spans per request, added CPU seconds, of those that it was fitted to.
        bytes_per_span: on the wire: over all setups together, and the smallest and largest of one setup.
    """

    fixed_s: float
    per_span_s: float
    residual_s: float
    points: tuple[tuple[str, float, float], ...]
    bytes_per_span: tuple[float, float, float]


class Summary(Record, frozen=True, kw_only=True):
    """What a run measured.

    Attributes:
        schema: format of the folder.
        valid: whether every figure counts.
        complete: whether the plan came to its end.
        app: what was measured.
        baseline: the setup that the others are compared with.
        plan: as it was decided beforehand.
        learned: what its first replicate measured for the others to use.
        replicates: that the figures rest on.
        checks: how the measurement checks itself.
        fixed_cost: what remains of the cost when less is sampled.
        setups: one each, in the plan's order.
        alternatives: each setup under test against tracing every request, from cheap to expensive.
        contrasts: setups compared with the setup that their `against` names.
        load: how the load went.
        caveats: every measured reason to doubt a figure.
        cost_model: at light load; absent where too few setups differ in spans.
        cost_model_saturation: likewise, at saturation.
        layers: of a ladder of setups; empty without one.
        collector: absent without one.
        requests: figures by kind of request; none of an application with a single kind.
    """

    schema: int
    valid: bool
    complete: bool
    app: AppName
    baseline: str
    plan: Plan
    learned: Learned
    replicates: int
    checks: Checks
    fixed_cost: FixedCost
    setups: tuple[SetupSummary, ...]
    alternatives: tuple[Contrast, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    load: LoadSummary
    caveats: tuple[Caveat, ...] = ()
    cost_model: CostModel | None = None
    cost_model_saturation: CostModel | None = None
    layers: tuple[Layer, ...] = ()
    collector: CollectorSummary | None = None
    requests: tuple[KindOfRequest, ...] = ()

    def setup(self, name: str) -> SetupSummary | None:
        """The setup of a name; None where the run has none."""
        return next((setup for setup in self.setups if setup.name == name), None)

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Setups whose span accounting is incomplete, but for those that only lost spans and may do so."""
        may_lose = {setup.name for setup in self.plan.setups if setup.may_lose}
        return tuple(
            setup.name
            for setup in self.setups
            if setup.accounting.complete is False and not (setup.name in may_lose and not setup.invalid)
        )

    def declared(self, name: str) -> Setup:
        """How the setup of a name is traced."""
        return next(setup for setup in self.plan.setups if setup.name == name)

    @property
    def tested(self) -> list[SetupSummary]:
        """Setups under test that have a figure which counts, from cheap to expensive."""
        figures = [
            (change.ratio, setup)
            for setup in self.setups
            if (change := setup.overhead) and setup.name not in CHECKS and not setup.invalid
        ]
        return [setup for _, setup in sorted(figures, key=lambda figure: figure[0])]

    @property
    def full(self) -> SetupSummary | None:
        """The setup that traces every request, if it has a figure which counts."""
        full = everything(self.plan.setups)
        return next((setup for setup in self.tested if full and setup.name == full.name), None)

    @property
    def light_rate_per_s(self) -> float:
        """Planned arrivals per second of the baseline at light load; 0 without light load."""
        return max(self.learned.rates.values(), default=0.0)
