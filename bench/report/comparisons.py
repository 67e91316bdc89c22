"""Setups against another one than the baseline, and the grid of the batch processor."""

from bench.analysis.records import Summary
from bench.analysis.setup_records import Change, SetupSummary
from bench.report.tables import cost_unit
from bench.report.words import (
    ABSENT,
    Table,
    count,
    half_width,
    interval,
    megabytes,
    milliseconds,
    percent,
    signed,
    unit_of,
)

BATCHING = ("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY")
"""The batch processor's variables."""
ABOUT = (
    "Each setup against the one beside it, paired inside replicates; spans, log records and bytes are what a "
    "request leaves more of at the receiver."
)


def compared(summary: Summary) -> str:
    """What each setup costs against the one that it names, in a sentence for each of those."""
    invalid = {setup.name for setup in summary.setups if setup.invalid}
    changes: dict[str, list[str]] = {}
    for row in summary.comparisons:
        if row.light and not {row.setup, row.against} & invalid:
            found = not row.light.low <= 0 <= row.light.high
            change = f"{percent(row.light.ratio)} %" if found else "no change found"
            changes.setdefault(row.against, []).append(f"{row.setup} {change}")
    return "  ".join(f"CPU against {other}: {', '.join(words)}." for other, words in changes.items())


def comparison_table(summary: Summary) -> Table:
    """Setups against another one than the baseline; signals that nobody exports have no column."""
    unit = unit_of(row.light.added_s for row in summary.comparisons if row.light)
    counted = [
        (head, [getattr(row, name) for row in summary.comparisons])
        for head, name in (("spans", "spans"), ("log records", "logs"), ("bytes", "bytes"))
    ]
    shown = [(head, values) for head, values in counted if any(values)]
    rows = []
    for at, row in enumerate(summary.comparisons):
        p50 = row.p50.added_s if row.p50 else None
        rows.append(
            (
                row.setup,
                row.against,
                unit.figure(row.light.added_s if row.light else None, sign=True),
                *_cells(row.light),
                *_cells(row.saturation)[:1],
                *_cells(row.throughput)[:1],
                milliseconds(p50, sign=True),
                *(signed(values[at], 1 if head == "spans" else 0) for head, values in shown),
            )
        )
    invalid = {setup.name for setup in summary.setups if setup.invalid}
    return Table(
        heads=(
            "setup", "against", f"CPU {unit.name}", "CPU %", "95 % interval %", "full-load CPU %", "throughput %",
            "p50 ms", *(head for head, _ in shown),
        ),
        left=(0, 1),
        keys=2,
        rows=tuple(rows),
        red=frozenset(at for at, row in enumerate(summary.comparisons) if {row.setup, row.against} & invalid),
    )  # fmt: skip


def _cells(change: Change | None) -> tuple[str, str]:
    """A change in percent, and its interval."""
    if change is None:
        return ABSENT, ABSENT
    return percent(change.ratio), interval(change.low, change.high)


def batching_table(summary: Summary) -> Table:
    """Queue, batch size and delay: what each choice costs and loses."""
    unit = cost_unit(summary)
    rows = []
    for setup, variables in batching(summary):
        cost, accounting = setup.cost, setup.accounting
        lost = accounting.lost / accounting.spans_expected if accounting.spans_expected else 0.0
        rows.append(
            (
                *variables,
                unit.figure(cost.added_s if cost else None, sign=True),
                f"{percent(cost.ratio)} +- {half_width(cost.low, cost.high)}" if cost else ABSENT,
                megabytes(setup.rest.pss_bytes if setup.rest else None),
                count(accounting.lost),
                percent(lost, sign=False, decimals=2),
            )
        )
    return Table(
        heads=(
            "queue", "batch", "delay ms", f"added {unit.name}", "CPU %", "PSS MB", "spans lost", "lost %",
        ),
        left=(),
        keys=3,
        rows=tuple(rows),
        red=frozenset(at for at, (setup, _) in enumerate(batching(summary)) if setup.accounting.lost),
    )  # fmt: skip


def batching(summary: Summary) -> list[tuple[SetupSummary, tuple[str, ...]]]:
    """Setups that say all three of the batch processor's variables, with their values."""
    known = {setup.name: setup.env for setup in summary.plan.setups}
    return [
        (setup, tuple(known[setup.name][variable] for variable in BATCHING))
        for setup in summary.setups
        if set(BATCHING) <= set(known[setup.name])
    ]


def batching_line(summary: Summary) -> str:
    """The smallest queue that lost nothing, in a sentence."""
    grid = [(int(queue), int(batch), setup.accounting.lost) for setup, (queue, batch, _) in batching(summary)]
    lossy = max((queue for queue, _, lost in grid if lost), default=0)
    # One that is smaller than one that lost spans has been lucky.
    safe = min((queue for queue, *_ in grid if queue > lossy), default=None)
    rate = max(summary.plan.rates.values(), default=0.0)
    loads = f"at {rate:.0f} {summary.app.request}s/s and at full load"
    if safe is None:
        return f"Every queue of up to {lossy:,} spans lost some {loads}: try a larger one."
    sizes = sorted({batch for queue, batch, lost in grid if queue == lossy and lost})
    others = f"; one of {lossy:,} lost some in batches of {' and '.join(map(str, sizes))}" if lossy else ""
    return f"The smallest queue that lost nothing {loads}: {safe:,} spans{others}."
