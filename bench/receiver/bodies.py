"""Export requests as the receiver keeps them, and the accounts that are made of them."""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace

from bench.plan.readings import Account
from bench.receiver.accounting import account, begun_since
from bench.receiver.decoding import (
    MARKER,
    Body,
    attributes_of,
    longest_root,
    measured,
    message_of,
    parts_of,
    request_of,
    trace_spans,
)
from bench.receiver.messages import (
    MAX_KEPT_BYTES,
    STRAY,
    CloseAccounts,
    Format,
    KeptTrace,
    Seen,
    Signal,
    TraceSpan,
)
from bench.receiver.spans import Span


@dataclass(slots=True)
class Kept:
    """Bodies received between two accounts.

    Attributes:
        bodies: by signal, as they came.
        rejected: bodies with spans that the receiver had been told to refuse.
        refused: how many were beyond the receiver's limits; these are gone.
        size_bytes: of all bodies.
    """

    bodies: dict[Signal, list[Body]] = field(default_factory=lambda: {signal: [] for signal in Signal})
    rejected: list[Body] = field(default_factory=list)
    refused: int = 0
    size_bytes: int = 0

    @property
    def traces(self) -> list[Body]:
        """Bodies with spans."""
        return self.bodies[Signal.TRACES]


class Bodies:
    """Everything received since the last account."""

    def __init__(self) -> None:
        self._kept = Kept()
        self._closed = Kept()
        self._seen: dict[str, Seen] = {}
        self._examples: dict[str, dict[str, str]] = {}
        self._peeked = 0
        self._arrived = asyncio.Event()
        self._count = 0

    def keep(self, signal: Signal, body: Body, *, rejected: bool = False) -> bool:
        """Keep an export request; False if there is no room for it.

        Args:
            signal: what it holds.
            body: as it came.
            rejected: whether its sender got an error.
        """
        size_bytes = len(body.content)
        if self._kept.size_bytes + size_bytes > MAX_KEPT_BYTES:
            self.refuse()
            return False
        self._kept.size_bytes += size_bytes
        if not rejected:
            self._kept.bodies[signal].append(body)
        elif signal is Signal.TRACES:
            self._kept.rejected.append(body)
        self._count += 1
        self._arrived.set()
        return True

    def refuse(self) -> None:
        """Count an export request that is beyond the receiver's limits."""
        self._kept.refused += 1

    @property
    def count(self) -> int:
        """Export requests received so far."""
        return self._count

    def peek(self) -> dict[str, Seen]:
        """What came so far, by setup; every body is decoded once for it."""
        for body in self._kept.traces[self._peeked :]:
            for part in parts_of(body)[0]:
                before = self._seen.get(part.setup, Seen())
                self._seen[part.setup] = Seen(
                    spans=before.spans + len(part.spans),
                    exports=before.exports + 1,
                    bytes=before.bytes + part.size_bytes,
                )
        self._peeked = len(self._kept.traces)
        return self._seen

    def spans(self) -> list[TraceSpan]:
        """All spans received since the last account, with everything that they say."""
        return [span for body in self._kept.traces for span in trace_spans(body)]

    def raw(self) -> tuple[Body, ...]:
        """The export requests of OTLP with spans since the last account."""
        return tuple(body for body in self._kept.traces if body.format is Format.OTLP)

    def kept(self) -> list[KeptTrace]:
        """Of every setup in the last account, the trace with the longest root span and one of each damage."""
        slowest: dict[str, tuple[int, bytes]] = {}
        for body in self._closed.traces:
            for resource_spans in request_of(body).resource_spans:
                setup, root = attributes_of(resource_spans.resource)[0], longest_root(resource_spans)
                if root is not None and root > slowest.get(setup, (0, b"")):
                    slowest[setup] = root
        wanted = {(setup, ""): trace.hex() for setup, (_, trace) in slowest.items() if setup != STRAY}
        for setup, examples in self._examples.items():
            for trace in dict.fromkeys(examples.values()) if setup != STRAY else ():
                damage = ", ".join(sorted(word for word, of in examples.items() if of == trace))
                wanted[setup, damage] = trace
        spans: dict[str, list[TraceSpan]] = {trace: [] for trace in wanted.values()}
        for body in self._closed.traces:
            for span in trace_spans(body, spans):
                spans[span.trace_id].append(span)
        return [
            KeptTrace(setup=setup, spans=tuple(spans[trace]), damage=damage)
            for (setup, damage), trace in sorted(wanted.items())
            if spans[trace]
        ]

    def close(self, request: CloseAccounts) -> dict[str, Account]:
        """The accounts by setup of everything received; the next ones begin anew."""
        self._closed, self._kept = self._kept, Kept()
        self._seen, self._peeked = {}, 0
        spans, exports, sizes, undecodable = _spans_of(self._closed.traces)
        rejected, *_ = _spans_of(self._closed.rejected)
        by_setup, failed = measured(self._closed.bodies[Signal.METRICS], self._closed.bodies[Signal.LOGS])
        accounts = {
            setup: replace(
                account(
                    begun_since(spans[setup], request.since_ns.get(setup, 0)),
                    request.shapes.get(setup, ()),
                    start_shapes=request.start_shapes,
                    replicate=request.replicate,
                    learn=request.learn,
                ),
                exports=exports[setup],
                bytes=sizes[setup] + by_setup[setup].size_bytes,
                metrics=by_setup[setup].requests,
                logs=dict(by_setup[setup].records),
                sums=dict(by_setup[setup].sums),
                rejected=len(_ids(rejected[setup]) - _ids(spans[setup])),
            )
            for setup in sorted({*exports, *by_setup, *rejected} - {MARKER})
        }
        self._examples = {setup: found.examples for setup, found in accounts.items()}
        stray = undecodable + failed
        if stray or self._closed.refused:
            accounts[STRAY] = replace(
                accounts.get(STRAY, Account()), undecodable=stray, refused=self._closed.refused
            )
        return accounts

    async def wait_for_marker(self, trace: bytes, quiet_s: float, limit_s: float) -> bool:
        """Wait for a marker's trace, and until nothing more comes after it; False if it did not come.

        Args:
            trace: id of the marker's trace.
            quiet_s: without any export request: what a collector sends in parallel may come later.
            limit_s: longest wait.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        searched, arrived = 0, False
        while loop.time() < deadline:
            self._arrived.clear()
            arrived = arrived or any(trace in message_of(body) for body in self._kept.traces[searched:])
            searched = len(self._kept.traces)
            patience_s = quiet_s if arrived else deadline - loop.time()
            try:
                await asyncio.wait_for(self._arrived.wait(), patience_s)
            except TimeoutError:
                return arrived
        return False


def _spans_of(
    bodies: list[Body],
) -> tuple[defaultdict[str, list[Span]], Counter[str], Counter[str], int]:
    """By setup spans, export requests and bytes; and how many bodies could not be decoded."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    exports: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    undecodable = 0
    for body in bodies:
        parts, failed = parts_of(body)
        undecodable += failed
        for part in parts:
            exports[part.setup] += 1
            sizes[part.setup] += part.size_bytes
            spans[part.setup] += part.spans
    return spans, exports, sizes, undecodable


def _ids(spans: list[Span]) -> set[tuple[bytes, bytes]]:
    return {(span.trace, span.span) for span in spans}
