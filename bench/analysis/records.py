"""What a run found; `summary.json` holds a `Summary`.

Derived from raw records; what is not known is absent. `ratio` is a change: 0.33 is +33 %.
"""

from bench.analysis.setup_records import Caveat, Change, Record, SetupSummary
from bench.plan.records import Plan


class AACheck(Record, frozen=True, kw_only=True):
    """What two identical setups differ by, figure by figure."""

    light: Change | None = None
    saturation: Change | None = None
    throughput: Change | None = None
    p50: Change | None = None


class InjectedCheck(Record, frozen=True, kw_only=True):
    """The known cost of the injected cost, and what was found of it."""

    known_s: float
    found_s: float
    low_s: float
    high_s: float


class Checks(Record, frozen=True, kw_only=True):
    """How the measurement checks itself.

    Attributes:
        aa: identical setups.
        injected: a known cost, under light load unless there was none.
        injected_saturation: the same cost at full load, where both were measured.
        noise_floor: largest overhead that identical setups still show at light load.
    """

    aa: AACheck | None = None
    injected: InjectedCheck | None = None
    injected_saturation: InjectedCheck | None = None
    noise_floor: float | None = None


class FixedCost(Record, frozen=True, kw_only=True):
    """How much of the cost of tracing everything stays: with nothing sampled, and switched off."""

    off: float | None = None
    disabled: float | None = None


class AppName(Record, frozen=True, kw_only=True):
    """What was measured, and what one request is called."""

    name: str
    request: str


class Pair(Record, frozen=True, kw_only=True):
    """A setup's CPU per request against that of tracing everything, paired inside replicates like all else."""

    setup: str
    against: str
    ratio: float
    low: float
    high: float


class WorkerLag(Record, frozen=True, kw_only=True):
    """How late one load worker sent."""

    worker: int
    arrivals: int
    lag_p50_s: float | None = None
    lag_p99_s: float | None = None


class LoadSummary(Record, frozen=True, kw_only=True):
    """How the load went, and what else the machine did, in blocks that count.

    Attributes:
        requests: planned arrivals of light load, and requests of full load.
        unsent: arrivals that were not sent.
        failed: requests not answered as expected.
        lag_p50_s: median of actual less planned send.
        lag_p99_s: its 99th percentile.
        outside: share of arrivals that were sent after their time_slice.
        load_utilization: share of its CPU that the load used.
        steal: share of a core that the host took.
        foreign: share of a core that other programs used.
        slices: relative difference of time slices' length from what was planned.
        leaked: CPU that stopped instances used, as a share of all.
        blocks: that count.
        repeated: blocks that the host spoiled and that were repeated.
        lost_workers: load workers that died.
        workers: lag of each of them.
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
    slices: float = 0.0
    leaked: float = 0.0
    blocks: int = 0
    repeated: int = 0
    lost_workers: int = 0
    workers: tuple[WorkerLag, ...] = ()


class CollectorSummary(Record, frozen=True, kw_only=True):
    """What a collector between application and receiver needed itself.

    Attributes:
        name: of the tool, or its address.
        spans: that came through it.
        cpu_per_span_s: CPU seconds per span, what it burns at rest taken off; absent where it was
            started by somebody else.
        cpu_per_span_low_s: lower end of its interval over replicates.
        cpu_per_span_high_s: upper end.
        pss_bytes: its memory, mean over replicates.
    """

    name: str
    spans: int
    cpu_per_span_s: float | None = None
    cpu_per_span_low_s: float | None = None
    cpu_per_span_high_s: float | None = None
    pss_bytes: int | None = None


class CostModel(Record, frozen=True, kw_only=True):
    """Added CPU per request = fixed + per span x spans, at one load.

    Attributes:
        fixed_s: CPU seconds of a request of which nothing is sampled.
        per_span_s: CPU seconds that every exported span adds.
        residual_s: standard deviation around the line.
        points: setup, spans per request, added CPU seconds, of those that it was fitted to.
        bytes_per_span: on the wire: over all of them, and the least and the most of one.
    """

    fixed_s: float
    per_span_s: float
    residual_s: float
    points: tuple[tuple[str, float, float], ...]
    bytes_per_span: tuple[float, float, float]


class Layer(Record, frozen=True, kw_only=True):
    """What one layer of tracing adds to a request, a setup against the one below it.

    Attributes:
        setup: with the layer.
        against: without it.
        layer: what it is.
        cpu_s: CPU seconds that it adds at light load.
        low_s: lower end of its interval.
        high_s: upper end.
        predicted_s: what microbenchmarks predict; absent without them.
        predicted_low_s: lower end of that.
        predicted_high_s: upper end.
    """

    setup: str
    against: str
    layer: str
    cpu_s: float
    low_s: float
    high_s: float
    predicted_s: float | None = None
    predicted_low_s: float | None = None
    predicted_high_s: float | None = None


class Comparison(Record, frozen=True, kw_only=True):
    """A setup against another one than the baseline.

    Attributes:
        setup: whose figures.
        against: what they are compared with.
        light: CPU per request at light load.
        saturation: CPU per request at full load.
        throughput: requests per second at full load.
        p50: median latency at the light rate.
        spans: how many more a request leaves at the receiver.
        logs: log records, likewise.
        bytes: on the wire, likewise.
    """

    setup: str
    against: str
    light: Change | None = None
    saturation: Change | None = None
    throughput: Change | None = None
    p50: Change | None = None
    spans: float = 0.0
    logs: float = 0.0
    bytes: float = 0.0


class Summary(Record, frozen=True, kw_only=True):
    """What a run found.

    Attributes:
        schema: format of the folder.
        valid: whether every figure counts.
        complete: whether the plan came to its end.
        app: what was measured.
        baseline: the setup that the others are compared with.
        plan: as it was carried out.
        replicates: that the figures rest on.
        checks: how the measurement checks itself.
        fixed_cost: what sampling cannot save.
        setups: one each, in the plan's order.
        pairs: each setup under test against tracing everything, from cheap to dear.
        load: how the load went.
        caveats: everything measured that speaks against a figure.
        cost_model: at light load; absent where too few setups differ in spans.
        cost_model_saturation: likewise, at full load.
        layers: of a ladder; empty without one.
        comparisons: of setups with another one than the baseline.
        collector: absent without one.
    """

    schema: int
    valid: bool
    complete: bool
    app: AppName
    baseline: str
    plan: Plan
    replicates: int
    checks: Checks
    fixed_cost: FixedCost
    setups: tuple[SetupSummary, ...]
    pairs: tuple[Pair, ...] = ()
    load: LoadSummary
    caveats: tuple[Caveat, ...] = ()
    cost_model: CostModel | None = None
    cost_model_saturation: CostModel | None = None
    layers: tuple[Layer, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    collector: CollectorSummary | None = None

    def setup(self, name: str) -> SetupSummary | None:
        """The setup of a name; None where the run has none."""
        return next((setup for setup in self.setups if setup.name == name), None)
