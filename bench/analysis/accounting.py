"""Span accounting: the spans that requests must have produced, compared with those received.

Always-on must match exactly; a ratio must match the application's count of sampled traces or lie in its
binomial range; a setup that exports nothing must have sent nothing. Every trace must be whole.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from bench.analysis.claims import Record
from bench.analysis.stats import binomial_range
from bench.app.records import Setup
from bench.app.setups import discards, exports_logs, exports_metrics, sampling_ratio
from bench.plan.readings import Account, InstanceReading, Raw
from bench.plan.records import Footprint, Kind, Learned, Shape
from bench.receiver.accounting import total
from bench.receiver.damage import Damage

RANGE_CONFIDENCE = 0.999
"""How sure the range of a sampled count is: one healthy run in a thousand falls out of it."""

DAMAGES = tuple(word for word in Damage if word is not Damage.JOINED)
"""What may be wrong with a damaged trace; one that is only joined is none."""


class Traces(Record, frozen=True, kw_only=True):
    """The traces that arrived: received = whole + damaged + joined + background.

    A damaged trace is in one or more of orphaned, mixed, split, short and excess.

    Attributes:
        received: all of them.
        whole: of a known shape, in one tree.
        damaged: not those of their requests.
        orphaned: a span's parent arrived in no trace.
        mixed: spans of several concurrent requests.
        split: its request has spans in another trace, too.
        short: it lacks spans that arrived nowhere.
        excess: it has spans that its request should not have.
        joined: several whole requests, one after another.
        background: without any span of a request.
        sampled: traces that the application counted where they were made; absent where it does not count.
        expected_low: fewest traces that must have arrived.
        expected_high: most traces that can have arrived.
    """

    received: int = 0
    whole: int = 0
    damaged: int = 0
    orphaned: int = 0
    mixed: int = 0
    split: int = 0
    short: int = 0
    excess: int = 0
    joined: int = 0
    background: int = 0
    sampled: int | None = None
    expected_low: int = 0
    expected_high: int = 0


class Accounting(Record, frozen=True, kw_only=True):
    """What became of every span of a setup.

    expected + excess + late + background = received - duplicated + lost. Where a share is sampled, expected
    and lost are lower bounds.

    Attributes:
        complete: whether everything is explained; absent where traces vary from request to request.
        requests: completed ones, under every load.
        spans_expected: that the requests must have made; absent where it cannot be known.
        spans_received: at the receiver, duplicates included.
        lost: expected and not received.
        excess: received, and more than the requests must have made.
        background: spans of traces that no request began.
        duplicated: received more than once.
        at_start: spans of traces that a start leaves; in no other number.
        late: spans of an earlier replicate's processes.
        traces: the traces that arrived.
        exports: export requests.
        bytes: over the wire, of all signals.
        metrics: export requests with metrics.
        logs: log records received.
        processes: spans received by process.
        scopes: spans received by instrumentation scope.
        failures: what exporters wrote about failed exports, and how often.
        problems: what is not explained, a sentence each.
    """

    complete: bool | None = None
    requests: int = 0
    spans_expected: int | None = None
    spans_received: int = 0
    lost: int = 0
    excess: int = 0
    background: int = 0
    duplicated: int = 0
    at_start: int = 0
    late: int = 0
    traces: Traces = Traces()
    exports: int = 0
    bytes: int = 0
    metrics: int = 0
    logs: int = 0
    processes: dict[str, int] = msgspec.field(default_factory=dict)
    scopes: dict[str, int] = msgspec.field(default_factory=dict)
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """The requests and spans of one setup over one replicate, or several.

    Attributes:
        account: what the receiver counted.
        completed: requests answered as expected.
        failed: requests that were sent but not answered as expected; each excuses one trace.
        sampled: traces that the application counted; None where it does not.
        discarded: spans that a discarding exporter counted.
        failures: what exporters wrote about failed exports, and how often.
    """

    account: Account
    completed: int
    failed: int
    sampled: int | None
    discarded: int
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def spans(self) -> int:
        """Spans received."""
        return sum(self.account.spans.values())


def traffic_of(raw: Raw, setup: str) -> tuple[Traffic, ...]:
    """A setup's traffic in every replicate that was accounted for."""
    traffic = []
    for replicate in range(raw.plan.replicates):
        readings = [reading for reading in raw.readings if reading.replicate == replicate]
        settled = next((reading for reading in readings if reading.kind is Kind.SETTLE), None)
        if settled is None or any(reading.lost_workers for reading in readings):
            # What a load worker sent before it died is unknown.
            continue
        closing = _instance(settled.instances, setup)
        # Requests of the learning step have an account of their own.
        loaded = [
            _instance(reading.instances, setup) for reading in readings if reading.kind is not Kind.LEARN
        ]
        traffic.append(
            Traffic(
                account=closing.account or Account(),
                completed=sum(instance.completed for instance in loaded),
                failed=sum(instance.failed for instance in loaded),
                sampled=closing.sampled,
                discarded=sum(closing.discarded.values()),
                failures=closing.failures,
            )
        )
    return tuple(traffic)


def _instance(instances: Iterable[InstanceReading], setup: str) -> InstanceReading:
    return next((reading for reading in instances if reading.setup == setup), InstanceReading(setup=setup))


def together(parts: Sequence[Traffic]) -> Traffic:
    """The sum of several replicates."""
    counts = [part.sampled for part in parts]
    return Traffic(
        account=total(part.account for part in parts),
        completed=sum(part.completed for part in parts),
        failed=sum(part.failed for part in parts),
        sampled=None if None in counts or not counts else sum(count or 0 for count in counts),
        discarded=sum(part.discarded for part in parts),
        failures=_most_frequent(part.failures for part in parts),
    )


def _most_frequent(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts added up, the largest first."""
    added: Counter[str] = Counter()
    for part in parts:
        added.update(part)
    return dict(added.most_common())


def accounting_of(learned: Learned, setup: Setup, parts: Sequence[Traffic]) -> Accounting:
    """A setup's accounting over all replicates, with what is not explained in any one of them.

    Args:
        learned: with the shapes of its traces.
        setup: whose accounting.
        parts: its traffic, by replicate.
    """
    accounting = balance(learned, setup, together(parts))
    if accounting.problems or len(parts) < 2:
        return accounting
    # A sampled count may leave its range by chance once in a thousand; over many replicates each gets
    # its share of that chance only (Bonferroni).
    confidence = 1 - (1 - RANGE_CONFIDENCE) / len(parts)
    problems = tuple(
        f"in replicate {replicate + 1} {problem}"
        for replicate, part in enumerate(parts)
        for problem in balance(learned, setup, part, confidence).problems
    )
    return msgspec.structs.replace(accounting, problems=problems, complete=False) if problems else accounting


def balance(
    learned: Learned, setup: Setup, traffic: Traffic, confidence: float = RANGE_CONFIDENCE
) -> Accounting:
    """Whether the spans received are those that the requests must have made."""
    account = traffic.account
    footprint = learned.footprints.get(setup.name, Footprint(traces=1))
    low, high = _expected_traces(traffic, setup, footprint, confidence)
    traces = account.whole + account.damaged + account.joined + account.background
    begun = _begun(account, footprint)
    varies = setup.name in learned.varies or footprint.traces is None
    spans_each = _spans_each(learned.shapes.get(setup.name, ()))
    expected = None if spans_each is None else _expected(begun, low, high) * spans_each
    if footprint.spans is not None or discards(setup):
        by_request = footprint.spans if footprint.spans is not None else spans_each
        expected = None if by_request is None else traffic.completed * by_request
    received = traffic.discarded if discards(setup) else traffic.spans
    lost = excess = 0
    excused = traffic.failed * (footprint.traces or 1)
    if not varies and account.damaged > excused:
        lost, excess = account.missing, account.excess
    if expected is not None and (discards(setup) or footprint.spans is not None):
        lost, excess = max(expected - received, 0), max(received - expected, 0)
    elif spans_each is not None:
        lost += max(low - begun, 0) * spans_each
        excess += max(begun - high - excused, 0) * spans_each
    problems = (
        *_problems(setup, traffic, (low, begun, high), lost, excused, varies=varies),
        *_other_signals(setup, traffic, footprint.logs),
    )
    return Accounting(
        complete=None if varies and not problems else not problems,
        requests=traffic.completed,
        spans_expected=expected,
        spans_received=received,
        lost=lost,
        excess=excess,
        background=account.background_spans,
        duplicated=account.duplicated,
        at_start=account.at_start,
        late=account.late,
        traces=Traces(
            received=traces,
            whole=account.whole,
            damaged=account.damaged,
            # Where traces vary, one of an unknown shape may be as it should be.
            **{word: account.damages.get(word, 0) for word in ((Damage.ORPHANED,) if varies else DAMAGES)},
            joined=account.joined,
            background=account.background,
            sampled=traffic.sampled,
            expected_low=low,
            expected_high=high,
        ),
        exports=account.exports,
        bytes=account.bytes,
        metrics=account.metrics,
        logs=sum(account.logs.values()),
        processes=account.spans,
        scopes=account.scopes,
        failures=dict(traffic.failures),
        problems=problems,
    )


def _expected_traces(
    traffic: Traffic, setup: Setup, footprint: Footprint, confidence: float
) -> tuple[int, int]:
    """Fewest and most traces that must have arrived."""
    if footprint.traces is None:
        return 0, _begun(traffic.account, footprint)
    if traffic.sampled is not None:
        return _sampled_range(traffic.sampled, setup.collector_sampling, confidence)
    return _sampled_range(traffic.completed * footprint.traces, sampling_ratio(setup), confidence)


def _sampled_range(traces: int, ratio: float, confidence: float) -> tuple[int, int]:
    """Bounds of the number of sampled traces if each is sampled with the same probability."""
    if ratio in {0.0, 1.0}:
        return round(traces * ratio), round(traces * ratio)
    return binomial_range(traces, ratio, confidence)


def _begun(account: Account, footprint: Footprint) -> int:
    """How many requests' traces arrived: a trace that mixes two requests counts twice, a part of one not."""
    if account.requests is None or footprint.traces != 1:
        return account.whole + account.damaged
    return account.requests


def _expected(begun: int, low: int, high: int) -> int:
    """Traces whose spans must have arrived."""
    return low if low == high else max(low, begun)


def _spans_each(shapes: Sequence[Shape]) -> int | None:
    """Spans per trace if all shapes have the same number; None if they differ."""
    counts = {sum(shape.values()) for shape in shapes}
    return counts.pop() if len(counts) == 1 else None


def _problems(  # noqa: PLR0913 - both sides of the accounting
    setup: Setup, traffic: Traffic, range_: tuple[int, int, int], lost: int, excused: int, *, varies: bool
) -> Iterable[str]:
    """A sentence for each unexplained count, the gravest first; failed requests excuse `excused` traces."""
    account = traffic.account
    (low, begun, high), traces = range_, account.whole + account.damaged + account.joined
    what = f"{traces:,} traces" if begun == traces else f"traces of {begun:,} requests"
    expected = f"{low:,} were expected" if low == high else f"{low:,} to {high:,} were expected"
    if account.undecodable:
        yield f"{account.undecodable:,} export bodies could not be decoded"
    if lost and not discards(setup):
        yield f"{_bounded(lost, low, high)} spans were lost{_where(account, traces, begun, low)}"
    if account.damaged > excused and not varies:
        yield from _damages(account, traces, expected, all_arrived=not lost)
    if begun > high + excused or (begun < low and not lost):
        yield f"{what} arrived where {expected}"
    if account.orphaned and varies:
        yield f"{account.orphaned:,} spans arrived without their parent"
    if account.late:
        yield f"{account.late:,} spans came from processes of an earlier replicate"
    if account.duplicated:
        yield f"{account.duplicated:,} spans arrived more than once"
    if discards(setup) and lost:
        yield f"the discarding exporters counted {traffic.discarded:,} spans, {lost:,} too few"


def _bounded(lost: int, low: int, high: int) -> str:
    return f"{lost:,}" if low == high else f"at least {lost:,}"


def _where(account: Account, traces: int, begun: int, low: int) -> str:
    """In which traces spans were lost."""
    short = account.damages.get(Damage.SHORT, 0)
    parts = [f"{short:,} of {traces:,} traces lack spans"] if short else []
    parts += [f"{low - begun:,} of {low:,} traces did not arrive"] if begun < low else []
    return f": {' and '.join(parts)}" if parts else ""


def _damages(account: Account, traces: int, expected: str, *, all_arrived: bool) -> Iterable[str]:
    """What is wrong with damaged traces other than that spans are missing."""
    spans = sum(account.spans.values()) - account.duplicated
    arrived = f"all {spans:,} spans arrived, in {traces:,} traces where {expected}; " if all_arrived else ""
    nested = f", and {account.nested:,} requests begin below a span of another one" if account.nested else ""
    sentences = {
        Damage.MIXED: f"{arrived}{{}} mix spans of concurrent requests{nested}",
        Damage.SPLIT: f"{arrived}{{}} are parts of split requests",
        Damage.ORPHANED: f"{{}} have spans without their parent ({account.orphaned:,} spans)",
        Damage.EXCESS: f"{{}} have more spans than their requests must leave ({account.excess:,} spans)",
    }
    for word, sentence in sentences.items():
        if count := account.damages.get(word, 0):
            yield sentence.format(f"{count:,} of {traces:,} traces")
    if not account.damages and account.damaged:
        yield f"{account.damaged:,} of {traces:,} traces are not whole ({account.missing:,} spans missing)"


def _other_signals(setup: Setup, traffic: Traffic, logs: Mapping[str, int]) -> Iterable[str]:
    """What is not explained of metrics and log records, a sentence each."""
    account = traffic.account
    if exports_metrics(setup) and traffic.completed and not account.metrics:
        yield "no metrics arrived, and the setup exports them"
    if not exports_logs(setup):
        return
    if traffic.completed and not account.logs:
        yield "no log records arrived, and the setup exports them"
    for logger, count in logs.items():
        received = account.logs.get(logger, 0)
        low, high = (requests * count for requests in (traffic.completed, traffic.completed + traffic.failed))
        if not low <= received <= high:
            expected = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            yield f"{received:,} log records of {logger} arrived where {expected} were expected"
