"""What speaks against the solo phase's figures.

Rule 1: the gates of the rotation hold here, too, for the slices that count; some are of this phase alone.
Rule 2: a gate looks at how the measurement went, never at how large an effect is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench import gates
from bench.blocks import Blocks, capacities
from bench.cells import references
from bench.findings import Caveat, LevelSummary, Severity, SoloSetup
from bench.model import BASELINE, TWIN, UNSENT, Plan, Purpose, Raw, Solo
from bench.stats import quantile

VISIT_STEAL = 0.05
CAPACITY_DRIFT = 0.10


def caveats(raw: Raw, blocks: Blocks, setups: Sequence[SoloSetup]) -> tuple[Caveat, ...]:
    """The gates of the rotation, for the slices that count, and some of the solo phase's own."""
    slices, levels = raw.slices, {setup.name: setup.levels for setup in setups}
    late = lags(blocks, levels)
    base = next((each.percentiles[0].value_s for each in levels[BASELINE] if each.percentiles), None)
    found: list[Caveat] = [
        *_too_few(raw.plan, len({piece.epoch for piece in blocks.slices})),
        *gates.workers(sum(piece.lost_workers for piece in slices), 0),
        *gates.lag(quantile(late, 0.5), quantile(late, 0.99), base),
        *gates.host(share(blocks, "steal_s"), share(blocks, "foreign_s")),
        *_worst_visit(blocks),
        *_drift(blocks),
        *_twin(setups),
        *gates.strangers(sum(piece.stray.exports for piece in slices)),
    ]
    for name, mine in levels.items():
        # Also where saturated: a fleet that fails completes too little, and would pass for that.
        wrong = sum(each.failed + (0 if each.saturated else each.dropped) for each in mine)
        found += gates.errors(name, sum(each.arrivals for each in mine), wrong)
        found += gates.ledger(name, next(each.ledger for each in setups if each.name == name), ())
        found += gates.flush(
            name, sum(len(piece.reading.flush_failed) for piece in slices if piece.setup == name)
        )
    return tuple(
        replace(caveat, code=f"solo-{caveat.code}", solo=True, message=f"solo phase: {caveat.message}")
        for caveat in found
    )


def _worst_visit(blocks: Blocks) -> tuple[Caveat, ...]:
    """Whether the host spoiled a single visit, which the mean over all would hide."""
    steal: defaultdict[tuple[int, str], float] = defaultdict(float)
    length: defaultdict[tuple[int, str], float] = defaultdict(float)
    for piece in blocks.slices:
        steal[piece.epoch, piece.setup] += piece.machine.steal_s
        length[piece.epoch, piece.setup] += piece.duration_s
    spoiled = {visit: steal[visit] / max(length[visit], 1e-9) for visit in length}
    over = [visit for visit, share in spoiled.items() if share > VISIT_STEAL]
    if not over:
        return ()
    worst = max(over, key=spoiled.__getitem__)
    return (
        Caveat(
            code="steal-visit",
            message=(
                f"in {len(over)} of {len(spoiled)} visits the host took over {VISIT_STEAL:.0%} of a core, "
                f"most in that of {worst[1]} in block {worst[0] + 1} ({spoiled[worst]:.1%})"
            ),
            advice="measure on a quieter machine, or with more epochs",
        ),
    )


def _drift(blocks: Blocks) -> tuple[Caveat, ...]:
    """Whether the baseline still has the capacity that the levels were made of."""
    found = [
        value
        for fleet in references(blocks.solo.setups)
        for value in capacities(blocks)[fleet]
        if value is not None
    ]
    planned = blocks.solo.capacity_per_s
    if not found or not planned or abs(float(np.mean(found)) / planned - 1) <= CAPACITY_DRIFT:
        return ()
    return (
        Caveat(
            code="capacity",
            message=(
                f"the levels are shares of {planned:.1f} checkouts/s, read before the first block; "
                f"in the blocks the baseline reached {float(np.mean(found)):.1f}"
            ),
            advice="take the rates as they are, in checkouts/s; the machine's speed changed",
        ),
    )


def _twin(setups: Sequence[SoloSetup]) -> tuple[Caveat, ...]:
    """Whether two identical set-ups look alike."""
    twin = next((setup for setup in setups if setup.name == TWIN), None)
    if twin is None:
        return ()
    changes = {
        "throughput at saturation": twin.capacity.change,
        "the highest rate held": twin.under_limit.change,
        **{
            f"p{each.q * 100:g} at {level.offered_per_s:.1f}/s": each.change
            for level in twin.levels
            for each in level.percentiles
        },
    }
    known = {what: change for what, change in changes.items() if change is not None}
    apart = [what for what, change in known.items() if not change.low <= 0.0 <= change.high]
    if not apart:
        return ()
    return (
        Caveat(
            code="twin",
            message=(
                f"the baseline and its twin are identical, and yet differ in {' and '.join(apart)} "
                f"({len(apart)} of {len(known)} intervals exclude 0; 1 in 20 would by chance)"
            ),
            advice="differences of that size mean nothing here; measure with more epochs",
        ),
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


def gate_of(name: str, solo: Solo, caveats: Sequence[Caveat]) -> str | None:
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


def lags(blocks: Blocks, levels: Mapping[str, Sequence[LevelSummary]]) -> list[float]:
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


def share(blocks: Blocks, what: str) -> float:
    """CPU seconds that somebody else used, as a share of a core."""
    length = sum(piece.duration_s for piece in blocks.slices) or 1.0
    return sum(float(getattr(piece.machine, what)) for piece in blocks.slices) / length
