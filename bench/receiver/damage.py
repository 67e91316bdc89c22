"""What is wrong with traces that are not whole.

A request begins with its entry: the span that is the root of whole traces. A trace with several entries holds
several requests; one without any holds spans of a request whose other spans came elsewhere. Spans that one
trace lacks and another one has too many of are not lost; what remains on either side is lost, or excess.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TypeAlias

from bench.plan.records import Shape
from bench.receiver.spans import Span, full_name

BEGINNERS = frozenset({"server", "consumer"})
"""Kinds of spans with which a request begins, or arrives at a further process."""

Trace: TypeAlias = Mapping[bytes, Span]
Spare: TypeAlias = defaultdict[str, list[tuple[int, bytes]]]
"""Spans that a trace has too many of, by key: when each began, and in which trace it came."""


class Damage(StrEnum):
    """A way in which a trace is not that of one request.

    Attributes:
        ORPHANED: a span's parent arrived in no trace.
        MIXED: it holds spans of several concurrent requests.
        JOINED: it holds several requests, one after another.
        SPLIT: its request has spans in another trace, too.
        SHORT: it lacks spans that arrived nowhere.
        EXCESS: it has spans that its request should not have.
    """

    ORPHANED = "orphaned"
    MIXED = "mixed"
    JOINED = "joined"
    SPLIT = "split"
    SHORT = "short"
    EXCESS = "excess"


@dataclass(slots=True)
class Judged:
    """What traces that are not whole hold.

    Attributes:
        labels: what is wrong with each damaged trace; one that is only joined is not damaged.
        joined: traces that hold several whole requests, one after another, and nothing else.
        background: traces without any span of a request.
        background_spans: their spans.
        requests: how many requests begin in all of these traces.
        lost: spans that these requests lack, and that arrived nowhere.
        excess: spans that none of these requests should have.
        orphans: spans whose parent arrived nowhere.
        nested: spans with which a request begins, below a span of another request.
    """

    labels: dict[bytes, frozenset[Damage]] = field(default_factory=dict)
    joined: int = 0
    background: int = 0
    background_spans: int = 0
    requests: int = 0
    lost: int = 0
    excess: int = 0
    orphans: int = 0
    nested: int = 0

    def examples(self) -> dict[str, str]:
        """A trace of each damage, in hexadecimal."""
        found: dict[str, str] = {}
        for trace, labels in self.labels.items():
            for label in sorted(labels):
                found.setdefault(label, trace.hex())
        return found

    def counts(self) -> dict[str, int]:
        """Damaged traces by label; one may have several."""
        return dict(sorted(Counter(label for labels in self.labels.values() for label in labels).items()))


@dataclass(slots=True)
class _Case:
    """One trace under judgement.

    Attributes:
        trace: its id.
        begin_ns: when its first span began.
        end_ns: when its last span ended.
        begun: how many requests begin in it.
        labels: found so far.
        missing: spans that its requests lack, by key.
    """

    trace: bytes
    begin_ns: int
    end_ns: int
    begun: int
    labels: set[Damage]
    missing: Counter[str]


def judge(
    damaged: Mapping[bytes, Trace],
    whole: Iterable[Trace],
    shapes: Sequence[Shape],
    key: Callable[[Span], str],
) -> Judged:
    """What is wrong with traces that are not whole.

    Args:
        damaged: traces that are in no known shape, by id.
        whole: all others.
        shapes: those that a request's trace may have.
        key: of a span, as in the shapes.
    """
    judged, whole = Judged(), list(whole)
    entries = _entries(damaged.values(), whole)
    known = {one for shape in shapes for one in shape}
    everywhere = {span for trace in (*whole, *damaged.values()) for span in trace}
    cases: list[_Case] = []
    spare: Spare = defaultdict(list)
    for trace, spans in damaged.items():
        members = sorted(spans.values(), key=lambda span: (span.start_ns, span.span))
        strange = not any(key(span) in known for span in members)
        if known and strange and not any(span.kind in BEGINNERS for span in members if not span.parent):
            judged.background += 1
            judged.background_spans += len(members)
            continue
        orphans = sum(bool(span.parent) and span.parent not in everywhere for span in members)
        begun = _begun(members, entries)
        # The entry of a request whose spans lack their parent may be what was lost.
        requests = len(begun) or int(orphans > 0)
        needed = _needed(members, begun, requests, shapes, key)
        case = _case(trace, members, needed, spare, key)
        case.begun = len(begun)
        case.labels |= _together(members, begun, needed, shapes, key) | (
            {Damage.ORPHANED} if orphans else set()
        )
        case.labels |= {Damage.SPLIT} if not requests and not strange else set()
        judged.requests += requests
        judged.orphans += orphans
        judged.nested += sum(bool(span.parent) for span in begun)
        cases.append(case)
    _reunite(cases, spare)
    _conclude(judged, cases, spare)
    return judged


def _case(
    trace: bytes, members: Sequence[Span], needed: Counter[str], spare: Spare, key: Callable[[Span], str]
) -> _Case:
    """A trace with what its requests lack; what they have too much of is spare."""
    surplus = Counter(key(span) for span in members) - needed
    for span in reversed(members):
        if surplus[key(span)]:
            surplus[key(span)] -= 1
            spare[key(span)].append((span.start_ns, trace))
    return _Case(
        trace=trace,
        begin_ns=members[0].start_ns,
        end_ns=max(span.end_ns for span in members),
        begun=0,
        labels=set(),
        missing=needed - Counter(key(span) for span in members),
    )


def _conclude(judged: Judged, cases: Sequence[_Case], spare: Spare) -> None:
    """Name what nothing else explains: spans that arrived nowhere, and spans of no request."""
    excess = Counter(trace for places in spare.values() for _, trace in places)
    judged.excess = excess.total()
    for case in cases:
        judged.lost += case.missing.total()
        case.labels |= {Damage.SHORT} if case.missing else set()
        case.labels |= {Damage.EXCESS} if excess[case.trace] else set()
        if case.labels == {Damage.JOINED}:
            judged.joined += 1
        else:
            # The right spans in more than one tree: a parent is not named.
            judged.labels[case.trace] = frozenset(case.labels or {Damage.ORPHANED})


def _entries(damaged: Iterable[Trace], whole: Iterable[Trace]) -> Mapping[str, int]:
    """Names of the spans that requests begin with, and how many spans of that name a request has.

    They are the roots of whole traces, or without any, of those there are.
    """
    entries: dict[str, int] = {}
    for trace in whole:
        names = Counter(map(full_name, trace.values()))
        for root in (full_name(span) for span in trace.values() if not span.parent):
            entries[root] = max(names[root], entries.get(root, 0))
    if entries:
        return entries
    others = [span for trace in damaged for span in trace.values() if not span.parent]
    beginners = [span for span in others if span.kind in BEGINNERS]
    return dict.fromkeys(map(full_name, beginners or others), 1)


def _begun(members: Sequence[Span], entries: Mapping[str, int]) -> list[Span]:
    """The spans of a trace with which requests begin, in the order of time."""
    named: defaultdict[str, list[Span]] = defaultdict(list)
    for span in sorted(members, key=lambda span: (bool(span.parent), span.start_ns)):
        if full_name(span) in entries:
            named[full_name(span)].append(span)
    begun = [span for name, spans in named.items() for span in spans[: -(-len(spans) // entries[name])]]
    return sorted(begun, key=lambda span: (span.start_ns, span.span))


def _needed(
    members: Sequence[Span],
    begun: Sequence[Span],
    requests: int,
    shapes: Sequence[Shape],
    key: Callable[[Span], str],
) -> Counter[str]:
    """The spans that the requests of a trace must have left, by key: each has the shape nearest to it."""
    needed: Counter[str] = Counter()
    left = Counter(key(span) for span in members)
    for at in range(requests if shapes else 0):
        own = [shape for shape in shapes if at < len(begun) and key(begun[at]) in shape] or shapes
        nearest = min(own, key=partial(_distance, left))
        needed.update(nearest)
        left = left - Counter(nearest)
    return needed


def _distance(left: Counter[str], shape: Shape) -> int:
    """How many spans a shape and what is left of a trace do not have in common."""
    return (Counter(shape) - left).total() + (left - Counter(shape)).total()


def _together(
    members: Sequence[Span],
    begun: Sequence[Span],
    needed: Counter[str],
    shapes: Sequence[Shape],
    key: Callable[[Span], str],
) -> set[Damage]:
    """Whether a trace holds several requests, at the same time or one after another."""
    labels: set[Damage] = set()
    own = _own(members, begun)
    until_ns = max((span.end_ns for span in own[begun[0].span]), default=0) if begun else 0
    for span in begun[1:]:
        labels.add(Damage.MIXED if span.start_ns <= until_ns else Damage.JOINED)
        until_ns = max(until_ns, *(one.end_ns for one in own[span.span]))
    arrived: Counter[str] = Counter()
    for span in members if begun else ():
        if span.kind not in BEGINNERS or span in begun:
            continue
        arrived[key(span)] += 1
        # A process answered more often than these requests ask it: on behalf of another one.
        if arrived[key(span)] > needed[key(span)]:
            labels.add(Damage.MIXED if span.start_ns <= until_ns else Damage.JOINED)
    if labels == {Damage.JOINED} and Counter(key(span) for span in members) == needed:
        # All spans are there, but below another request's entry.
        parts = [Counter(key(span) for span in spans) for spans in own.values()]
        labels = labels if all(part in shapes for part in parts) else {Damage.MIXED}
    return labels


def _own(members: Sequence[Span], begun: Sequence[Span]) -> dict[bytes, list[Span]]:
    """By the id of its entry, the spans of each request: those below it that are below no other entry."""
    by_id = {span.span: span for span in members}
    own: dict[bytes, list[Span]] = {span.span: [] for span in begun}
    for span in members:
        at: Span | None = span
        climbed: set[bytes] = set()
        while at is not None and at.span not in own and at.span not in climbed:
            climbed.add(at.span)
            at = by_id.get(at.parent)
        if at is not None and at.span in own:
            own[at.span].append(span)
    return own


def _reunite(cases: Sequence[_Case], spare: Spare) -> None:
    """Give requests back the spans that came in other traces, those of their own time first.

    A trace of requests that held spans of another one is mixed, and so is one with several requests, of
    which one has spans elsewhere.
    """
    by_trace = {case.trace: case for case in cases}
    for places in spare.values():
        places.sort()
    for during in (True, False):
        for case in cases:
            for key in list(case.missing):
                places = spare[key]
                while case.missing[key]:
                    at = bisect_left(places, (case.begin_ns, b"")) if during else 0
                    if at >= len(places) or (during and places[at][0] > case.end_ns):
                        break
                    holder = by_trace[places.pop(at)[1]]
                    case.missing[key] -= 1
                    case.labels.add(Damage.SPLIT)
                    holder.labels |= {Damage.MIXED} if holder.begun else set()
            case.missing = +case.missing
    for case in cases:
        if {Damage.JOINED, Damage.SPLIT} <= case.labels:
            case.labels = case.labels - {Damage.JOINED} | {Damage.MIXED}
