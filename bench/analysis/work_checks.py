"""Whether all setups do the same work, and whether it is in what was measured.

As in `checks`, every check is a function: what was measured, a limit, a sentence, advice.
"""

from collections.abc import Iterator

from bench.analysis.checks import percent
from bench.analysis.claims import Caveat, Severity
from bench.app.records import BASELINE
from bench.plan.readings import InstanceReading, Raw
from bench.plan.records import Kind

ANSWER_FACTOR, ANSWER_BYTES = 2.0, 100
"""Answers that differ by more than this factor and by more bytes than that are not the same work."""
LATE_LIMIT, LATE_INVALID = 0.02, 0.10
"""CPU after the load, as a share of what a setup used under it."""
REST_LIMIT = 0.02
"""Share of a CPU that an application without requests may use."""


def work(raw: Raw) -> Iterator[Caveat]:
    """Every check of this module."""
    yield from answers(raw)
    yield from late(raw)
    yield from at_rest(raw)


def answers(raw: Raw) -> Iterator[Caveat]:
    """Whether every setup answers with about as many bytes as the baseline: an error may have status 200."""
    first = {instance.setup: instance.answer_bytes for instance in _readings(raw, Kind.LEARN)}
    for name, sizes in first.items():
        pairs = zip(raw.plan.app.request, sizes, first.get(BASELINE, ()), strict=False)
        for request, size, usual in pairs:
            low, high = sorted((size, usual))
            if high > ANSWER_FACTOR * low and high - low > ANSWER_BYTES:
                yield Caveat(
                    code="answers",
                    setup=name,
                    message=f"{name} answers {request.label} with {size:,} bytes, {BASELINE} with {usual:,}: "
                    "that is not the same work",
                    advice="compare both answers; an error may have the status of a success",
                )


def late(raw: Raw) -> Iterator[Caveat]:
    """Whether spans were exported after the measurement; a flush path prevents that."""
    if raw.plan.app.tracing.flush or raw.plan.targets:
        return
    loaded, after = _cpu_ns(raw, Kind.LIGHT, Kind.SATURATION), _cpu_ns(raw, Kind.SETTLE)
    for setup in raw.plan.setups:
        under_load = loaded.get(setup.name, 0)
        share = (after.get(setup.name, 0) - after.get(BASELINE, 0)) / under_load if under_load else 0.0
        if setup.tracing != "none" and share > LATE_LIMIT:
            yield Caveat(
                code="late",
                setup=setup.name,
                severity=Severity.INVALID if share > LATE_INVALID else Severity.CAVEAT,
                message=f"after the load, {setup.name} used another {percent(share)} of its CPU under load, "
                "such as for the export of its last spans; no figure includes that",
                advice="give the application a `flush` path, or measure for longer",
                reason="its exports came after the load",
            )


def at_rest(raw: Raw) -> Iterator[Caveat]:
    """Whether the application uses CPU without requests; such CPU is counted as part of requests."""
    length_s = sum(reading.duration_s for reading in raw.readings if reading.kind is Kind.REST)
    share = _cpu_ns(raw, Kind.REST).get(BASELINE, 0) / 1e9 / length_s if length_s else 0.0
    if share > REST_LIMIT:
        yield Caveat(
            code="background",
            message=f"{BASELINE} uses {percent(share)} of a CPU without requests, and more in time slices, "
            "where its timers are overdue; that makes percentages too small, but not microseconds",
            advice="disable its background work, or read microseconds",
        )


def _readings(raw: Raw, *kinds: Kind) -> Iterator[InstanceReading]:
    for reading in raw.readings:
        if reading.kind in kinds:
            yield from reading.instances


def _cpu_ns(raw: Raw, *kinds: Kind) -> dict[str, int]:
    """CPU time by setup, over all steps of some kinds."""
    sums: dict[str, int] = {}
    for instance in _readings(raw, *kinds):
        sums[instance.setup] = sums.get(instance.setup, 0) + instance.cpu_ns
    return sums
