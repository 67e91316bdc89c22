"""A comparison of several results, as people read it."""

from collections.abc import Sequence

from bench.analysis.claims import VerdictKind
from bench.compare import table
from bench.compare.comparison import Comparison, Pairing
from bench.compare.differences import Difference
from bench.report import vega
from bench.report.document import Chart, Document, Section, Text, document, section
from bench.report.words import Table, change_interval, change_percent, percent, verdict

ABOUT = (
    "A change is (1 + after) / (1 + before) - 1, with each side relative to its own baseline. That cancels "
    "the speed of the machines, but a percentage still depends on CPU and Python. The two results are "
    "independent, so the squares of their standard errors add up; verdicts hold for all setups at once."
)


def report(comparison: Comparison, *more: Section) -> Document:
    """The report, which ends with further sections."""
    if comparison.apps:
        return table.report(comparison.apps, *more)
    pairings = comparison.pairings
    first = pairings[0]
    names = ", ".join(f"`{pairing.after}`" for pairing in pairings)
    return document(
        f"What changed: {first.before} against {', '.join(pairing.after for pairing in pairings)}",
        [f"Before: `{first.before}`. After: {names}.", *(headline(pairing) for pairing in pairings)],
        *(part for pairing in pairings for part in _sections(pairing, alone=len(pairings) == 1)),
        *more,
    )


def headline(pairing: Pairing) -> Text:
    """Whether the two can be compared, and what changed, in one sentence."""
    decisive = [
        difference.what
        for difference in pairing.differences
        if difference.decisive and difference.setup is None
    ]
    if decisive:
        text = f"INCOMPARABLE: {pairing.after} differs from {pairing.before} in {', '.join(decisive)}."
        return Text(text=text, red=True)
    changed = [
        f"{change.setup} ({change.figure} {change_percent(change.change)} %)"
        for change in pairing.changes
        if change.verdict.kind is VerdictKind.DIFFERENT
    ]
    invalid = sorted({change.setup for change in pairing.changes if change.is_invalid})
    text = f"changed: {', '.join(changed)}" if changed else "no change detected"
    if invalid:
        text += f"; without a verdict: {', '.join(invalid)}"
    return Text(text=f"{pairing.before} to {pairing.after}: {text}.", red=bool(invalid))


def _sections(pairing: Pairing, *, alone: bool) -> list[Section]:
    to = "" if alone else f", {pairing.before} to {pairing.after}"
    missing = f"In one of them only: {', '.join(pairing.missing)}." if pairing.missing else None
    return [
        section(
            f"Differences of the runs{to}",
            difference_table(pairing.differences)
            if pairing.differences
            else "Nothing: machine, packages and plan are the same.",
        ),
        section(
            f"Changes{to}",
            changes_chart(pairing),
            change_table(pairing) if pairing.changes else None,
            ABOUT if pairing.changes else None,
            missing,
        ),
    ]


def difference_table(differences: Sequence[Difference]) -> Table:
    """Everything that differs; what forbids a comparison is red."""
    return Table(
        heads=("where", "what", "before", "after", "comparable"),
        left=(0, 1, 2, 3, 4),
        rows=tuple(
            (
                difference.area,
                difference.what,
                difference.before,
                difference.after,
                "NO" if difference.decisive else "yes",
            )
            for difference in differences
        ),
        red=frozenset(at for at, difference in enumerate(differences) if difference.decisive),
    )


def change_table(pairing: Pairing) -> Table:
    """Every figure before and after."""
    return Table(
        heads=("setup", "figure", "before %", "after %", "change %", "95 % interval %", "verdict"),
        left=(0, 1, 6),
        keys=2,
        rows=tuple(
            (
                change.setup,
                change.figure,
                percent(change.before),
                percent(change.after),
                change_percent(change.change),
                change_interval(change.change),
                verdict(change.verdict, "change"),
            )
            for change in pairing.changes
        ),
        red=frozenset(at for at, change in enumerate(pairing.changes) if change.is_invalid),
    )


def changes_chart(pairing: Pairing) -> Chart | None:
    """The change of every setup's CPU at light load, throughput and median; None without one."""
    rows = [
        vega.change_row(change.setup, change.figure, change.change)
        for change in pairing.changes
        if change.figure in {"light CPU", "throughput", "p50"}
    ]
    return vega.changes(rows, "change, %", "Changes, with 95 % intervals")
