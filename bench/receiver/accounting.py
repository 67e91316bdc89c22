"""Span accounting: what became of the traces of one setup.

Nothing is believed but what arrived: an SDK's return values say True when everything was dropped.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.plan.readings import Account
from bench.plan.records import Shape

_PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")
MAX_SHAPES = 64
"""Limit of the shapes reported while learning; traces with more shapes have no fixed shape."""


@dataclass(frozen=True, slots=True)
class Span:
    """What an account needs of a received span; ids as bytes, `parent` empty for a root."""

    service: str
    trace: bytes
    span: bytes
    parent: bytes
    scope: str = ""
    kind: str = ""
    name: str = ""
    replicate: int | None = None


def shape_of(spans: Iterable[Span], *, detailed: bool) -> Shape:
    """How many spans a trace has by process; detailed: by process, kind and name."""
    return _counted(
        f"{span.service}\t{span.kind}\t{_without_port(span.name)}" if detailed else span.service
        for span in spans
    )


def _without_port(name: str) -> str:
    """A span's name without the port of a process, which is another one in every instance."""
    return _PORT.sub(r"\1", name) if ":" in name else name


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
    spans = tuple(spans)
    traces: defaultdict[bytes, dict[bytes, Span]] = defaultdict(dict)
    for span in spans:
        traces[span.trace].setdefault(span.span, span)
    starts = [trace for trace, members in traces.items() if _is_start(members, start_shapes)]
    at_start = sum(len(traces.pop(trace)) for trace in starts)
    spans = tuple(span for span in spans if span.trace in traces)
    late = sum(
        replicate is not None and span.replicate is not None and span.replicate != replicate for span in spans
    )
    detailed = any("\t" in key for shape in shapes for key in shape) or learn
    orphaned = whole = missing = 0
    seen: dict[str, Shape] = {}
    for trace in traces.values():
        lost_parents, is_tree = _tree(trace)
        shape = shape_of(trace.values(), detailed=detailed)
        orphaned += lost_parents
        if is_tree and shape in shapes:
            whole += 1
        elif not learn:
            missing += _missing(shape, shapes)
        if learn and is_tree and len(seen) <= MAX_SHAPES:
            seen[str(shape)] = shape
    return Account(
        spans=_counted(span.service for span in spans),
        duplicated=len(spans) - sum(map(len, traces.values())),
        orphaned=orphaned,
        whole=whole,
        damaged=len(traces) - whole,
        missing=missing,
        scopes=_counted(span.scope for span in spans),
        late=late,
        at_start=at_start,
        shapes=tuple(seen.values()),
    )


def _tree(trace: Mapping[bytes, Span]) -> tuple[int, bool]:
    """How many spans of a trace lack their parent, and whether all hang below one root."""
    lost_parents = sum(bool(span.parent) and span.parent not in trace for span in trace.values())
    roots = sum(not span.parent for span in trace.values())
    return lost_parents, lost_parents == 0 and roots == 1


def _is_start(trace: Mapping[bytes, Span], shapes: Sequence[Shape]) -> bool:
    """True if a trace is one of those that a start leaves."""
    return bool(shapes) and _tree(trace)[1] and shape_of(trace.values(), detailed=True) in shapes


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def _missing(shape: Shape, shapes: Sequence[Shape]) -> int:
    """Spans that a trace lacks of the known shape that is nearest to it."""
    lacking = [sum(max(count - shape.get(key, 0), 0) for key, count in known.items()) for known in shapes]
    return min(lacking, default=0)


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
