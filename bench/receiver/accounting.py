"""Span accounting: what became of the traces of one setup.

Nothing is believed but what arrived: an SDK's return values say True when everything was dropped.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from bench.plan.readings import Account
from bench.plan.records import Shape
from bench.receiver.damage import judge
from bench.receiver.spans import Span, counted, full_name, shape_of

MAX_SHAPES = 64
"""Limit of the shapes reported while learning; traces with more shapes have no fixed shape."""


def account(
    spans: Iterable[Span],
    shapes: Sequence[Shape],
    *,
    start_shapes: Sequence[Shape] = (),
    replicate: int | None = None,
    learn: bool = False,
) -> Account:
    """The account of one setup's spans.

    Args:
        spans: as received, in any order.
        shapes: of a sampled request's trace: those that may come.
        start_shapes: of traces that a start leaves, by process, kind and name; they are no request's.
        replicate: whose processes are running; a span that names another one is late.
        learn: whether the account should contain the shapes of all traces.
    """
    traces: defaultdict[bytes, dict[bytes, Span]] = defaultdict(dict)
    received: list[Span] = []
    late: set[bytes] = set()
    for span in spans:
        received.append(span)
        traces[span.trace].setdefault(span.span, span)
        if replicate is not None and span.replicate not in {None, replicate}:
            late.add(span.trace)
    starts = {trace for trace, members in traces.items() if _is_start(members, start_shapes)}
    at_start = sum(len(traces.pop(trace)) for trace in starts)
    received = [span for span in received if span.trace not in starts]
    unique = sum(map(len, traces.values()))
    late_spans = sum(len(traces.pop(trace)) for trace in late - starts)
    detailed = any("\t" in key for shape in shapes for key in shape) or learn
    whole, damaged = dict[bytes, dict[bytes, Span]](), dict[bytes, dict[bytes, Span]]()
    seen: dict[str, Shape] = {}
    for trace, members in traces.items():
        is_tree = _is_tree(members)
        shape = shape_of(members.values(), detailed=detailed)
        (whole if is_tree and shape in shapes else damaged)[trace] = members
        if learn and is_tree and len(seen) <= MAX_SHAPES:
            seen[str(shape)] = shape
    key = full_name if detailed else attrgetter("service")
    judged = judge(damaged, whole.values(), shapes, key)
    return Account(
        spans=counted(span.service for span in received),
        duplicated=len(received) - unique,
        orphaned=judged.orphans,
        whole=len(whole),
        damaged=len(damaged) if learn else len(judged.labels),
        missing=0 if learn else judged.lost,
        excess=0 if learn else judged.excess,
        joined=0 if learn else judged.joined,
        background=0 if learn else judged.background,
        background_spans=0 if learn else judged.background_spans,
        requests=len(whole) + judged.requests,
        damages=judged.counts(),
        examples=judged.examples(),
        nested=judged.nested,
        scopes=counted(span.scope for span in received),
        late=late_spans,
        at_start=at_start,
        shapes=tuple(seen.values()),
    )


def begun_since(spans: Iterable[Span], since_ns: int) -> Iterable[Span]:
    """The spans of traces that began at some time or later, and of those whose time is not known."""
    if not since_ns:
        return spans
    kept = list(spans)
    earlier = {span.trace for span in kept if 0 < span.start_ns < since_ns}
    return [span for span in kept if span.trace not in earlier]


def _is_tree(trace: Mapping[bytes, Span]) -> bool:
    """True if all spans of a trace hang below one root."""
    roots = sum(not span.parent for span in trace.values())
    return roots == 1 and all(not span.parent or span.parent in trace for span in trace.values())


def _is_start(trace: Mapping[bytes, Span], shapes: Sequence[Shape]) -> bool:
    """True if a trace is one of those that a start leaves."""
    return bool(shapes) and _is_tree(trace) and shape_of(trace.values(), detailed=True) in shapes


def total(accounts: Iterable[Account]) -> Account:
    """The sum of accounts; a trace never spans two of them, so traces add up, too."""
    accounts = tuple(accounts)
    return Account(
        spans=_sum(account.spans for account in accounts),
        duplicated=sum(account.duplicated for account in accounts),
        orphaned=sum(account.orphaned for account in accounts),
        whole=sum(account.whole for account in accounts),
        damaged=sum(account.damaged for account in accounts),
        missing=sum(account.missing for account in accounts),
        excess=sum(account.excess for account in accounts),
        joined=sum(account.joined for account in accounts),
        background=sum(account.background for account in accounts),
        background_spans=sum(account.background_spans for account in accounts),
        requests=_known_sum(account.requests for account in accounts),
        damages=_sum(account.damages for account in accounts),
        nested=sum(account.nested for account in accounts),
        examples={word: trace for account in reversed(accounts) for word, trace in account.examples.items()},
        exports=sum(account.exports for account in accounts),
        bytes=sum(account.bytes for account in accounts),
        undecodable=sum(account.undecodable for account in accounts),
        scopes=_sum(account.scopes for account in accounts),
        metrics=sum(account.metrics for account in accounts),
        logs=_sum(account.logs for account in accounts),
        sums=_sum(account.sums for account in accounts),
        refused=sum(account.refused for account in accounts),
        rejected=sum(account.rejected for account in accounts),
        late=sum(account.late for account in accounts),
        at_start=sum(account.at_start for account in accounts),
    )


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    added: Counter[str] = Counter()
    for count in counts:
        added.update(count)
    return dict(sorted(added.items()))


def _known_sum(counts: Iterable[int | None]) -> int | None:
    """A sum; None if one count is unknown, or there is none."""
    known = list(counts)
    return None if None in known or not known else sum(count or 0 for count in known)
