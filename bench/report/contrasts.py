"""Setups against another one than the baseline, and the grid of the batch processor."""

from bench.analysis.records import SetupSummary, Summary
from bench.report.tables import cost_unit
from bench.report.words import (
    ABSENT,
    Table,
    change_interval,
    change_percent,
    count,
    half_width,
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
    for row in summary.contrasts:
        if row.light and not {row.setup, row.against} & invalid:
            change = f"{change_percent(row.light)} %" if row.light.is_significant else "no change detected"
            changes.setdefault(row.against, []).append(f"{row.setup} {change}")
    return "  ".join(f"CPU against {other}: {', '.join(words)}." for other, words in changes.items())


def contrast_table(summary: Summary) -> Table:
    """Setups against another one than the baseline; signals that no setup exports have no column."""
    unit = unit_of(row.light_added_s for row in summary.contrasts)
    counted = [
        (head, [getattr(row, name) for row in summary.contrasts])
        for head, name in (("spans", "spans"), ("log records", "logs"), ("bytes", "bytes"))
    ]
    shown = [(head, values) for head, values in counted if any(values)]
    rows = []
    for at, row in enumerate(summary.contrasts):
        rows.append(
            (
                row.setup,
                row.against,
                unit.figure(row.light_added_s, sign=True),
                change_percent(row.light),
                change_interval(row.light),
                change_percent(row.saturation),
                change_percent(row.throughput),
                milliseconds(row.p50_added_s, sign=True),
                *(signed(values[at], 1 if head == "spans" else 0) for head, values in shown),
            )
        )
    invalid = {setup.name for setup in summary.setups if setup.invalid}
    return Table(
        heads=(
            "setup", "against", f"CPU {unit.name}", "CPU %", "95 % interval %", "full-load CPU %",
            "throughput %", "p50 ms", *(head for head, _ in shown),
        ),
        left=(0, 1),
        keys=2,
        rows=tuple(rows),
        red=frozenset(at for at, row in enumerate(summary.contrasts) if {row.setup, row.against} & invalid),
    )  # fmt: skip


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
                f"{change_percent(setup.overhead)} +- {half_width(setup.overhead)}" if cost else ABSENT,
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
    # A queue smaller than one that lost spans was lucky.
    safe = min((queue for queue, *_ in grid if queue > lossy), default=None)
    rate = summary.light_rate_per_s
    loads = f"at {rate:.0f} {summary.app.request}s/s and at full load"
    if safe is None:
        return f"Every queue of up to {lossy:,} spans lost some {loads}: choose a larger one."
    sizes = sorted({batch for queue, batch, lost in grid if queue == lossy and lost})
    others = f"; one of {lossy:,} lost some in batches of {' and '.join(map(str, sizes))}" if lossy else ""
    return f"The smallest queue that lost nothing {loads}: {safe:,} spans{others}."
