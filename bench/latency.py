"""From slices to latency and throughput under load: the solo phase's figures with their doubts.

Rule 1: latency counts from the planned send, and every planned arrival counts: one that failed
or was not sent has waited for the whole timeout at least.
Rule 2: a saturated set-up has no percentiles: its queue grows for as long as one looks, so
they would tell the slice's length and rank nothing.
Rule 3: the unit is the block, with fresh processes each.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench import gates
from bench.cells import design, references
from bench.findings import (
    Caveat,
    Change,
    Ledger,
    LevelSummary,
    Percentile,
    Severity,
    SoloSetup,
    SoloSummary,
    Throughput,
)
from bench.ledger import balance, total
from bench.model import (
    BASELINE,
    CREATED,
    TWIN,
    UNSENT,
    Plan,
    Purpose,
    Raw,
    Request,
    Setup,
    Slice,
    Solo,
)
from bench.plan import search_draws
from bench.search import KEEPS_UP, Search, achieved_per_s, busy_share, closed_per_s, holds
from bench.setups import sampling_ratio, shape
from bench.stats import Array, contrasts, quantile, quantile_contrast, t_quantile

QUANTILES = (0.5, 0.9, 0.99, 0.999)

Rows = Mapping[tuple[int, int], Sequence[Request]]
"""Requests by epoch and slice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Blocks:
    """The complete blocks of a run: its plan, the slices that count, and their rows."""

    plan: Plan
    solo: Solo
    slices: tuple[Slice, ...]
    rows: Rows

    def of(self, setup: str, purpose: Purpose, level: float | None = None) -> list[Slice]:
        """A set-up's slices of one purpose, by block."""
        return [
            piece
            for piece in self.slices
            if piece.setup == setup and piece.purpose is purpose and piece.level == level
        ]

    def requests(self, piece: Slice) -> Sequence[Request]:
        """A slice's rows."""
        return self.rows.get((piece.epoch, piece.number), ())

    def reached_per_s(self, closed: Slice) -> float:
        """Throughput of a closed loop, with the exports that it caused."""
        quiet_s = next(
            piece.flush_s for piece in self.of(closed.setup, Purpose.PRE_ROLL) if piece.epoch == closed.epoch
        )
        return closed_per_s(self.requests(closed), closed.flush_s - quiet_s)


def solo_summary(raw: Raw, solo: Solo) -> tuple[SoloSummary, tuple[Caveat, ...]]:
    """What the solo phase found, and what speaks against it."""
    blocks = _complete_blocks(raw, solo)
    setups = {setup.name: setup for setup in raw.plan.setups}
    ledgers = {name: _ledger(setups[name], raw.slices) for name in solo.setups}
    levels = {name: tuple(_level(blocks, name, level) for level in solo.levels) for name in solo.setups}
    caveats = _caveats(raw, blocks, ledgers, levels)
    capacity = _throughputs(blocks, _capacities(blocks))
    under_limit = _throughputs(blocks, _limits(blocks))
    lags = _lags(blocks, levels)
    return SoloSummary(
        blocks=len({piece.epoch for piece in blocks.slices}),
        setups=tuple(
            SoloSetup(
                name=name,
                invalid=_gate(name, solo, caveats),
                levels=levels[name],
                capacity=capacity[name],
                under_limit=under_limit[name],
                ledger=ledgers[name],
            )
            for name in solo.setups
        ),
        lag_p50_s=quantile(lags, 0.5),
        lag_p99_s=quantile(lags, 0.99),
        steal=_share(blocks, "steal_s"),
        foreign=_share(blocks, "foreign_s"),
    ), caveats


def _share(blocks: _Blocks, what: str) -> float:
    """CPU seconds that somebody else used, as a share of a core."""
    length = sum(piece.duration_s for piece in blocks.slices) or 1.0
    return sum(float(getattr(piece.machine, what)) for piece in blocks.slices) / length


def latencies_s(requests: Sequence[Request], timeout_s: float) -> Array:
    """From the planned send to the last byte, one a planned arrival."""
    return np.array(
        [
            max((row.done_ns - row.planned_ns) / 1e9, 0.0 if row.status == CREATED else timeout_s)
            for row in requests
        ]
    )


def service_times_s(requests: Sequence[Request]) -> Array:
    """From the actual send to the last byte, as a tool reports that does not know when it was due."""
    return np.array([(row.done_ns - row.sent_ns) / 1e9 for row in requests if row.status not in UNSENT])


def _complete_blocks(raw: Raw, solo: Solo) -> _Blocks:
    """The blocks that visited every set-up to its end, without a load worker's death."""
    rows: defaultdict[tuple[int, int], list[Request]] = defaultdict(list)
    for request in raw.solo_requests:
        rows[request.epoch, request.window].append(request)
    counting = [piece for piece in raw.slices if piece.epoch >= 0 and not piece.lost_workers]
    measured: Counter[tuple[int, str]] = Counter()
    for piece in counting:
        measured[piece.epoch, piece.setup] += piece.purpose is not Purpose.PROBE
    # A pre-roll, a closed loop, the levels, a flush after them, and one at the end.
    wanted = 4 + len(solo.levels)
    whole = {
        epoch
        for epoch in {piece.epoch for piece in counting}
        if all(measured[epoch, name] == wanted for name in solo.setups)
    }
    slices = tuple(piece for piece in counting if piece.epoch in whole)
    return _Blocks(plan=raw.plan, solo=solo, slices=slices, rows=rows)


def _level(blocks: _Blocks, name: str, level: float) -> LevelSummary:
    mine = blocks.of(name, Purpose.LEVEL, level)
    by_block = [blocks.requests(piece) for piece in mine]
    every = [row for block in by_block for row in block]
    offered = level * blocks.solo.capacity_per_s
    kept_up = _achieved_per_s(blocks, name, level)
    busy_s = sum(sum(piece.reading.cpu_ns.values()) / 1e9 for piece in mine)
    span_s = sum(map(_span_s, by_block, mine)) or 1.0
    saturated = kept_up < KEEPS_UP * offered
    return LevelSummary(
        level=level,
        offered_per_s=offered,
        achieved_per_s=kept_up,
        utilisation=busy_s / span_s / blocks.plan.service_cpus,
        saturated=saturated,
        arrivals=len(every),
        failed=sum(row.status not in {CREATED, *UNSENT} for row in every),
        dropped=sum(row.status in UNSENT for row in every),
        percentiles=() if saturated or not every else _percentiles(blocks, name, level, by_block),
    )


def _achieved_per_s(blocks: _Blocks, name: str, level: float) -> float:
    """Completed checkouts per second at a level, mean over blocks."""
    by_block = [blocks.requests(piece) for piece in blocks.of(name, Purpose.LEVEL, level)]
    offered = level * blocks.solo.capacity_per_s
    sizes = [len(block) for block in by_block]
    if not sum(sizes):
        return 0.0
    return float(np.average([achieved_per_s(block, offered) for block in by_block], weights=sizes))


def _span_s(requests: Sequence[Request], piece: Slice) -> float:
    """From a slice's start to its last answer."""
    return max([piece.length_s, *(row.done_ns / 1e9 for row in requests)])


def _percentiles(
    blocks: _Blocks, name: str, level: float, by_block: Sequence[Sequence[Request]]
) -> tuple[Percentile, ...]:
    plan = blocks.plan
    mine = [latencies_s(block, plan.timeout_s) for block in by_block]
    service = np.concatenate([service_times_s(block) for block in by_block])
    fleets = (BASELINE,) if name == TWIN else references(blocks.solo.setups)
    parts = [
        [
            latencies_s(blocks.requests(piece), plan.timeout_s)
            for piece in blocks.of(fleet, Purpose.LEVEL, level)
        ]
        for fleet in fleets
    ]
    base = [np.concatenate(each) for each in zip(*parts, strict=True)]
    # Against a baseline that is saturated itself every change would be one of its queue's length.
    offered = level * blocks.solo.capacity_per_s
    sound = all(_achieved_per_s(blocks, fleet, level) >= KEEPS_UP * offered for fleet in fleets)
    found = []
    for q in QUANTILES:
        value = quantile(np.concatenate(mine), q)
        base_s = None if name == BASELINE or not sound else quantile(np.concatenate(base), q)
        change = None
        if value is not None and base_s is not None:
            change = _change(quantile_contrast(mine, base, q, plan.seed), plan.confidence)
        found.append(
            Percentile(q=q, value_s=value, base_s=base_s, change=change, service_s=quantile(service, q))
        )
    return tuple(found)


def _change(contrast: tuple[float, float, float] | None, confidence: float) -> Change | None:
    if contrast is None:
        return None
    center, standard_error, df = contrast
    half = t_quantile(0.5 + confidence / 2, df) * standard_error
    return Change(ratio=math.expm1(center), low=math.expm1(center - half), high=math.expm1(center + half))


# ---------------------------------------------------------------- throughput


def _capacities(blocks: _Blocks) -> dict[str, list[float | None]]:
    """Throughput of every closed loop, by set-up and block."""
    return {
        name: [blocks.reached_per_s(piece) or None for piece in blocks.of(name, Purpose.CLOSED)]
        for name in blocks.solo.setups
    }


def _limits(blocks: _Blocks) -> dict[str, list[float | None]]:
    """What every search found, by set-up and block: the search once more, on what was read."""
    found: dict[str, list[float | None]] = {}
    for name in blocks.solo.setups:
        found[name] = []
        for closed in blocks.of(name, Purpose.CLOSED):
            draws = search_draws(blocks.plan, closed.epoch, name)
            search = Search(blocks.reached_per_s(closed), draws)
            for piece in blocks.slices:
                tried = piece.purpose in {Purpose.LEVEL, Purpose.PROBE}
                if tried and piece.setup == name and piece.epoch == closed.epoch:
                    requests, rate = blocks.requests(piece), piece.rate_per_s
                    busy = busy_share(piece, requests, blocks.plan.service_cpus)
                    search.tell(rate, held=holds(requests, rate, blocks.solo.latency_limit_s, busy))
            found[name].append(search.found_per_s)
    return found


def _throughputs(blocks: _Blocks, found: Mapping[str, Sequence[float | None]]) -> dict[str, Throughput]:
    """Means over blocks and changes against the baseline; a set-up with a gap has none.

    As for CPU: paired log ratios, variance pooled over contrasts.
    """
    whole = {
        name: [value for value in values if value is not None]
        for name, values in found.items()
        if values and None not in values
    }
    changes: dict[str, Change] = {}
    if BASELINE in whole and min(map(len, whole.values())) >= 2:
        logs = {name: [[math.log(value)] for value in values] for name, values in whole.items()}
        weights = {name: each for name, each in design(tuple(whole)).items() if set(each) <= set(whole)}
        for name, estimate in contrasts(logs, weights).items():
            low, high = estimate.interval(blocks.plan.confidence)
            changes[name] = Change(
                ratio=math.expm1(estimate.log_ratio), low=math.expm1(low), high=math.expm1(high)
            )
    return {
        name: Throughput(
            per_s=float(np.mean(whole[name])) if name in whole else None, change=changes.get(name)
        )
        for name in found
    }


# ---------------------------------------------------------------- doubts


def _ledger(setup: Setup, slices: Sequence[Slice]) -> Ledger:
    """A set-up's account over all its visits, those included that count for nothing else.

    What a load worker sent before it died nobody knows, so its visit has no account.
    """
    mine = [piece for piece in slices if piece.setup == setup.name]
    unknown = {piece.epoch for piece in mine if piece.lost_workers}
    readings = [piece.reading for piece in mine if piece.epoch not in unknown]
    return balance(
        total(reading.account for reading in readings),
        checkouts=sum(reading.completed for reading in readings),
        failed=sum(reading.failed for reading in readings),
        ratio=sampling_ratio(setup),
        shape=shape(setup),
    )


def _lags(blocks: _Blocks, levels: Mapping[str, Sequence[LevelSummary]]) -> list[float]:
    """Actual minus planned send of every arrival at a rate that its set-up could hold."""
    return [
        (row.sent_ns - row.planned_ns) / 1e9
        for name, mine in levels.items()
        for each in mine
        if not each.saturated
        for piece in blocks.of(name, Purpose.LEVEL, each.level)
        for row in blocks.requests(piece)
        if row.status not in UNSENT
    ]


def _caveats(
    raw: Raw,
    blocks: _Blocks,
    ledgers: Mapping[str, Ledger],
    levels: Mapping[str, Sequence[LevelSummary]],
) -> tuple[Caveat, ...]:
    """The gates of the rotation, for the slices that count."""
    slices, lags = raw.slices, _lags(blocks, levels)
    base = next((each.percentiles[0].value_s for each in levels[BASELINE] if each.percentiles), None)
    found: list[Caveat] = [
        *_too_few(raw.plan, len({piece.epoch for piece in blocks.slices})),
        *gates.workers(sum(piece.lost_workers for piece in slices), 0),
        *gates.lag(quantile(lags, 0.5), quantile(lags, 0.99), base),
        *gates.host(_share(blocks, "steal_s"), _share(blocks, "foreign_s")),
        *gates.strangers(sum(piece.stray.exports for piece in slices)),
    ]
    for name, mine in levels.items():
        sound = [each for each in mine if not each.saturated]
        wrong = sum(each.failed + each.dropped for each in sound)
        found += gates.errors(name, sum(each.arrivals for each in sound), wrong)
        found += gates.ledger(name, ledgers[name], ())
        found += gates.flush(
            name, sum(len(piece.reading.flush_failed) for piece in slices if piece.setup == name)
        )
    return tuple(
        replace(caveat, code=f"solo-{caveat.code}", solo=True, message=f"solo phase: {caveat.message}")
        for caveat in found
    )


def _too_few(plan: Plan, blocks: int) -> tuple[Caveat, ...]:
    if blocks == plan.epochs and blocks > 1:
        return ()
    return (
        Caveat(
            code="blocks",
            message=f"{blocks} of {plan.epochs} blocks are complete",
            advice="measure with two epochs or more, and let it run to its end",
            severity=Severity.INVALID if blocks < 2 else Severity.CAVEAT,
        ),
    )


def _gate(name: str, solo: Solo, caveats: Sequence[Caveat]) -> str | None:
    """The gate that forbids a set-up's figures."""
    concerned = {None, name, *references(solo.setups)}
    return next(
        (
            caveat.code
            for caveat in caveats
            if caveat.severity is Severity.INVALID and caveat.setup in concerned
        ),
        None,
    )
