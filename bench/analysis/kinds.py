"""Figures by kind of request: how often each was sent, how it was answered, and how fast."""

from collections import Counter

import numpy as np

from bench.analysis.claims import Record
from bench.analysis.figures import RunAnalysis
from bench.plan.readings import DROPPED, LOST, Raw
from bench.plan.records import Kind

UNANSWERED = {0: "no answer", DROPPED: "not sent", LOST: "load worker died"}
LEAST_FOR_P90 = 100
"""Requests of light load that a 90th percentile needs."""


class KindOfRequest(Record, frozen=True, kw_only=True):
    """One kind of request of one setup.

    Attributes:
        request: its label.
        setup: whose instances answered it.
        requests: sent under light and full load.
        failed: how many were not answered as expected, by status or by what happened instead.
        p50_s: latency at the light rate, in active time; absent without requests, or where it is infinite.
        p90_s: likewise, of at least a hundred requests.
    """

    request: str
    setup: str
    requests: int
    failed: dict[str, int]
    p50_s: float | None = None
    p90_s: float | None = None


def by_kind(analysis: RunAnalysis) -> tuple[KindOfRequest, ...]:
    """Figures of every kind of request and setup, kind by kind; none of an application with a single kind."""
    plan, raw = analysis.plan, analysis.raw
    if len(plan.app.request) < 2:
        return ()
    loaded = {
        (reading.replicate, reading.number)
        for reading in raw.readings
        if reading.kind in {Kind.LIGHT, Kind.SATURATION}
    }
    sent: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int, int]] = Counter()
    for step in loaded:
        for row in raw.rows.get(step, ()):
            sent[row.request, row.instance] += 1
            if row.status not in plan.app.statuses[row.request]:
                failed[row.request, row.instance, row.status] += 1
    latencies = _latencies(analysis)
    return tuple(
        KindOfRequest(
            request=request.label,
            setup=setup,
            requests=sent[kind, instance],
            failed={
                UNANSWERED.get(status, str(status)): count
                for (of, at, status), count in sorted(failed.items())
                if (of, at) == (kind, instance)
            },
            p50_s=_quantile(latencies.get((kind, instance), []), 0.5, 1),
            p90_s=_quantile(latencies.get((kind, instance), []), 0.9, LEAST_FOR_P90),
        )
        for kind, request in enumerate(plan.app.request)
        for instance, setup in enumerate(plan.names)
    )


def failures(raw: Raw, setup: str) -> dict[str, int]:
    """How many requests of a setup were not answered as expected, by status or by what happened instead."""
    instance = raw.plan.names.index(setup)
    counts = Counter(
        row.status
        for rows in raw.rows.values()
        for row in rows
        if row.instance == instance and row.status not in raw.plan.app.statuses[row.request]
    )
    return {UNANSWERED.get(status, str(status)): count for status, count in counts.most_common()}


def _latencies(analysis: RunAnalysis) -> dict[tuple[int, int], list[float]]:
    """Latencies of light load in blocks that count, by kind and instance."""
    found: dict[tuple[int, int], list[float]] = {}
    for part in analysis.light:
        for reading, requests, blocks in zip(part.readings, part.requests, part.counting, strict=True):
            rows = analysis.raw.rows.get((part.replicate, reading.number), ())
            for instance, answered in enumerate(requests):
                kinds = np.array([row.request for row in rows if row.instance == instance], np.int64)
                counts = np.isin(answered.planned_block, sorted(blocks))
                for kind in range(len(analysis.plan.app.request)):
                    values = answered.latency_s[counts & (kinds == kind)]
                    found.setdefault((kind, instance), []).extend(map(float, values))
    return found


def _quantile(values: list[float], q: float, least: int) -> float | None:
    if len(values) < least:
        return None
    value = float(np.quantile(values, q, method="higher"))
    return value if np.isfinite(value) else None
