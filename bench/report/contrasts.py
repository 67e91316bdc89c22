"""Setups against another one than the baseline, and the grid of the batch processor."""

from bench.analysis.records import SetupSummary, Summary
from bench.report.tables import at_rate, cost_unit
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
MOST_LOSSY = 3
"""Combinations that a sentence names."""
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
        cost = setup.cost
        rows.append(
            (
                *variables,
                unit.figure(cost.added_s if cost else None, sign=True),
                f"{change_percent(setup.overhead)} ± {half_width(setup.overhead)}" if cost else ABSENT,
                megabytes(setup.rest.pss_bytes if setup.rest else None),
                count(setup.accounting.lost),
                percent(_lost_share(setup), sign=False, decimals=2),
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
    """Which combinations lost spans, in a sentence."""
    rows = batching(summary)
    lossy = [(setup, values) for setup, values in rows if setup.accounting.lost]
    loads = f"at {at_rate(summary)} and at full load"
    if not lossy:
        return f"None of the {len(rows)} combinations lost spans {loads}."
    which = [
        f"a queue of {int(queue):,} with batches of {int(batch):,} and a delay of {int(delay) / 1000:g} s "
        f"({percent(_lost_share(setup), sign=False, decimals=2)} %)"
        for setup, (queue, batch, delay) in sorted(lossy, key=lambda row: -_lost_share(row[0]))[:MOST_LOSSY]
    ]
    more = f", and {len(lossy) - len(which)} more" if len(lossy) > len(which) else ""
    return f"{len(lossy)} of {len(rows)} combinations lost spans {loads}: {'; '.join(which)}{more}."


def _lost_share(setup: SetupSummary) -> float:
    """Share of the expected spans that were lost."""
    accounting = setup.accounting
    return accounting.lost / accounting.spans_expected if accounting.spans_expected else 0.0
