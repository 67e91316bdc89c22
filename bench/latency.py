"""From slices to latency and throughput under load: the solo phase's figures with their doubts.

Rule 1: latency counts from the planned send, and every planned arrival counts: one that failed
or was not sent has waited for the whole timeout at least.
Rule 2: a saturated set-up has no percentiles: its queue grows for as long as one looks, so
they would tell the slice's length and rank nothing.
Rule 3: the unit is the block, with fresh processes each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench import doubts
from bench.blocks import Blocks, capacities, complete_blocks, latencies_s, service_times_s, solo_ledger
from bench.cells import design, references
from bench.findings import (
    Caveat,
    Change,
    LevelSummary,
    Percentile,
    SoloSetup,
    SoloSummary,
    Throughput,
)
from bench.model import (
    BASELINE,
    CREATED,
    TWIN,
    UNSENT,
    Purpose,
    Raw,
    Request,
    Slice,
    Solo,
)
from bench.plan import search_draws
from bench.search import KEEPS_UP, Search, achieved_per_s, busy_share, holds
from bench.stats import contrasts, quantile, quantile_contrast, t_quantile

QUANTILES = (0.5, 0.9, 0.99, 0.999)


def solo_summary(raw: Raw, solo: Solo) -> tuple[SoloSummary, tuple[Caveat, ...]]:
    """What the solo phase found, and what speaks against it."""
    blocks = complete_blocks(raw, solo)
    setups = {setup.name: setup for setup in raw.plan.setups}
    ledgers = {name: solo_ledger(setups[name], raw.slices) for name in solo.setups}
    levels = {name: tuple(_level(blocks, name, level) for level in solo.levels) for name in solo.setups}
    capacity = _throughputs(blocks, capacities(blocks))
    under_limit = _throughputs(blocks, _limits(blocks))
    found = tuple(
        SoloSetup(
            name=name,
            invalid=None,
            levels=levels[name],
            capacity=capacity[name],
            under_limit=under_limit[name],
            ledger=ledgers[name],
        )
        for name in solo.setups
    )
    caveats = doubts.caveats(raw, blocks, found)
    lags = doubts.lags(blocks, levels)
    return SoloSummary(
        blocks=len({piece.epoch for piece in blocks.slices}),
        setups=tuple(replace(setup, invalid=doubts.gate_of(setup.name, solo, caveats)) for setup in found),
        lag_p50_s=quantile(lags, 0.5),
        lag_p99_s=quantile(lags, 0.99),
        steal=doubts.share(blocks, "steal_s"),
        foreign=doubts.share(blocks, "foreign_s"),
    ), caveats


def _level(blocks: Blocks, name: str, level: float) -> LevelSummary:
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


def _achieved_per_s(blocks: Blocks, name: str, level: float) -> float:
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
    blocks: Blocks, name: str, level: float, by_block: Sequence[Sequence[Request]]
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


def _limits(blocks: Blocks) -> dict[str, list[float | None]]:
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


def _throughputs(blocks: Blocks, found: Mapping[str, Sequence[float | None]]) -> dict[str, Throughput]:
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
