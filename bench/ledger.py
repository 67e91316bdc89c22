"""Where every span went: what the checkouts must have made against what the sink received.

Rule 1: nothing is believed but what arrived; an SDK's return values say True when
everything was dropped.
Rule 2: always-on must be exact, a ratio must lie in its binomial range with every trace
whole, and a set-up that exports nothing must have sent nothing.
Rule 3: a failed checkout explains at most one trace that is not whole.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bench.findings import Ledger
from bench.model import Account, FleetReading, Setup
from bench.setups import discards, measures, sampling_ratio, shape
from bench.stats import binomial_range

RANGE_CONFIDENCE = 0.999
"""How sure the range of a sampled count is: one healthy run in a thousand falls out of it."""


@dataclass(frozen=True, slots=True)
class Span:
    """What the account needs of a received span; ids as bytes, `parent` empty for a root, wall clock."""

    service: str
    trace: bytes
    span: bytes
    parent: bytes
    scope: str = ""
    start_ns: int = 0


def account(  # noqa: PLR0913 - what came
    spans: Iterable[Span],
    shape: Mapping[str, int],
    *,
    exports: int = 0,
    size_bytes: int = 0,
    undecodable: int = 0,
    metrics: int = 0,
    since_ns: int = 0,
) -> Account:
    """The account of one set-up's spans in one window.

    Args:
        spans: as received, in any order.
        shape: spans of one sampled checkout by service.
        exports: export requests that carried them.
        size_bytes: their bodies' bytes on the wire.
        undecodable: bodies that could not be read.
        metrics: export requests with metrics.
        since_ns: when the account before was taken, wall clock; what began earlier is late.
    """
    received: Counter[str] = Counter()
    scopes: Counter[str] = Counter()
    traces: defaultdict[bytes, dict[bytes, Span]] = defaultdict(dict)
    duplicated = 0
    for span in spans:
        received[span.service] += 1
        scopes[span.scope] += 1
        if span.span in traces[span.trace]:
            duplicated += 1
        else:
            traces[span.trace][span.span] = span
    orphaned = whole = missing = late = 0
    for trace in traces.values():
        lost_parents = sum(bool(span.parent) and span.parent not in trace for span in trace.values())
        roots = sum(not span.parent for span in trace.values())
        by_service = Counter(span.service for span in trace.values())
        lacking = sum(max(count - by_service[service], 0) for service, count in shape.items())
        late += len(trace) if min(span.start_ns for span in trace.values()) < since_ns else 0
        orphaned += lost_parents
        missing += lacking
        whole += lost_parents == 0 and roots == 1 and by_service == Counter(shape)
    return Account(
        spans=dict(sorted(received.items())),
        duplicated=duplicated,
        orphaned=orphaned,
        whole=whole,
        broken=len(traces) - whole,
        missing=missing,
        exports=exports,
        bytes=size_bytes,
        undecodable=undecodable,
        scopes=dict(sorted(scopes.items())),
        metrics=metrics,
        late=late,
    )


def total(accounts: Iterable[Account]) -> Account:
    """The sum of accounts; a trace never spans two windows, so traces add up too."""
    accounts = tuple(accounts)
    return Account(
        spans=_sum(each.spans for each in accounts),
        duplicated=sum(each.duplicated for each in accounts),
        orphaned=sum(each.orphaned for each in accounts),
        whole=sum(each.whole for each in accounts),
        broken=sum(each.broken for each in accounts),
        missing=sum(each.missing for each in accounts),
        exports=sum(each.exports for each in accounts),
        bytes=sum(each.bytes for each in accounts),
        undecodable=sum(each.undecodable for each in accounts),
        scopes=_sum(each.scopes for each in accounts),
        metrics=sum(each.metrics for each in accounts),
        discarded=_sum(each.discarded for each in accounts),
        late=sum(each.late for each in accounts),
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up."""
    found: Counter[str] = Counter()
    for each in counts:
        found.update(each)
    return dict(sorted(found.items()))


def ledger_of(setup: Setup, readings: Iterable[FleetReading], confidence: float = RANGE_CONFIDENCE) -> Ledger:
    """A set-up's account over some readings, against what its environment must have made.

    Args:
        setup: whose.
        readings: of its fleet.
        confidence: of the range of a sampled count.
    """
    readings = tuple(readings)
    found = total(reading.account for reading in readings)
    checkouts = sum(reading.completed for reading in readings)
    failed = sum(reading.failed for reading in readings)
    ledger = balance(
        found,
        checkouts=checkouts,
        failed=failed,
        ratio=sampling_ratio(setup),
        shape=shape(setup),
        confidence=confidence,
    )
    problems = list(ledger.problems)
    if discards(setup):
        due = {service: count * checkouts for service, count in shape(setup).items()}
        ledger = replace(
            ledger,
            spans_expected=sum(due.values()),
            spans_received=sum(found.discarded.values()),
            lost=sum(max(count - found.discarded.get(service, 0), 0) for service, count in due.items()),
            services={service: (count, found.discarded.get(service, 0)) for service, count in due.items()},
        )
        problems += _undiscarded(found.discarded, due, failed, shape(setup))
    if measures(setup) and checkouts and not found.metrics:
        problems.append("no metrics came, and the set-up exports them")
    return replace(ledger, problems=tuple(problems), balanced=not problems)


def _undiscarded(
    discarded: Mapping[str, int], due: Mapping[str, int], failed: int, shape: Mapping[str, int]
) -> list[str]:
    """Where an exporter to nowhere got other spans than the checkouts must have made."""
    return [
        f"the exporter of {service} got {discarded.get(service, 0)} spans where {count} were due"
        for service, count in due.items()
        if not count <= discarded.get(service, 0) <= count + failed * shape[service]
    ]


def balance(  # noqa: PLR0913 - what an account is held against
    received: Account,
    *,
    checkouts: int,
    failed: int,
    ratio: float,
    shape: Mapping[str, int],
    confidence: float = RANGE_CONFIDENCE,
) -> Ledger:
    """Whether an account is what the checkouts must have made.

    Args:
        received: what the sink got.
        checkouts: completed ones.
        failed: ones that were sent and not completed; each may explain one trace.
        ratio: share of checkouts that the sampler keeps.
        shape: spans of one sampled checkout by service.
        confidence: of the range of a sampled count.
    """
    low, high = _expected_traces(checkouts, ratio, confidence)
    traces = received.whole + received.broken
    # Of a sampled set-up only the traces that came can say how many there were to come.
    expected_traces = low if low == high else max(low, traces)
    unexplained = received.broken > failed
    lost = (received.missing if unexplained else 0) + max(low - traces, 0) * sum(shape.values())
    expected = {service: count * expected_traces for service, count in shape.items()}
    problems = _problems(received, failed, low, high, lost, expected)
    return Ledger(
        checkouts=checkouts,
        spans_expected=sum(expected.values()),
        spans_received=sum(received.spans.values()),
        lost=lost,
        duplicated=received.duplicated,
        orphaned=received.orphaned,
        traces_whole=received.whole,
        traces_broken=received.broken,
        traces_low=low,
        traces_high=high,
        bytes=received.bytes,
        exports=received.exports,
        services={
            service: (expected.get(service, 0), received.spans.get(service, 0))
            for service in dict.fromkeys([*shape, *received.spans])
        },
        balanced=not problems,
        problems=problems,
    )


def _expected_traces(checkouts: int, ratio: float, confidence: float) -> tuple[int, int]:
    if ratio in {0.0, 1.0}:
        return round(checkouts * ratio), round(checkouts * ratio)
    return binomial_range(checkouts, ratio, confidence)


def _problems(  # noqa: PLR0913, PLR0917 - both sides of the account
    received: Account, failed: int, low: int, high: int, lost: int, expected: Mapping[str, int]
) -> tuple[str, ...]:
    """What does not balance, a sentence each."""
    traces = received.whole + received.broken
    problems = []
    if received.undecodable:
        problems.append(f"{received.undecodable} export bodies could not be decoded")
    if received.late:
        problems.append(f"{received.late} spans belong to checkouts of an earlier window")
    if received.duplicated:
        problems.append(f"{received.duplicated} spans came more than once")
    if received.broken > failed:
        short = [name for name, due in expected.items() if received.spans.get(name, 0) < due]
        where = f" in {', '.join(short)}" if short else ""
        detail = f"{received.missing} spans missing{where}, {received.orphaned} without their parent"
        problems.append(f"{received.broken} of {traces} traces are not whole ({detail})")
    if traces < low:
        due = f"{low} were due" if low == high else f"at least {low} were due"
        problems.append(f"{traces} traces came where {due} ({lost} spans lost)")
    if traces > high + failed:
        due = f"{high} were due" if low == high else f"at most {high} were due"
        problems.append(f"{traces} traces came where {due}")
    return tuple(problems)
