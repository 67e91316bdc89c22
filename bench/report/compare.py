"""Two results against each other, as people read them."""

from collections.abc import Sequence

from bench.report import vega
from bench.report.document import Chart, Document, Section, Text, document, section
from bench.report.words import Table, interval, percent
from bench.results.compare import Comparison
from bench.results.differences import Difference

ABOUT = (
    "A change is (1 + after) / (1 + before) - 1, each side against its own baseline; the machines' speeds "
    "are not in it, but a share depends on CPU and Python, too, where these are not the same. The two "
    "results share nothing, so the squares of their standard errors add up; verdicts hold for all setups "
    "at once."
)


def report(comparisons: Sequence[Comparison]) -> Document:
    """The report of one comparison, or of several with the same first result."""
    first = comparisons[0]
    names = ", ".join(f"`{comparison.after}`" for comparison in comparisons)
    return document(
        f"What changed: {first.before} against {', '.join(comparison.after for comparison in comparisons)}",
        [f"Before: `{first.before}`. After: {names}.", *(headline(comparison) for comparison in comparisons)],
        *(part for comparison in comparisons for part in _sections(comparison, alone=len(comparisons) == 1)),
    )


def headline(comparison: Comparison) -> Text:
    """Whether the two can be compared, and what changed, in one sentence."""
    decisive = [
        difference.what
        for difference in comparison.differences
        if difference.decisive and difference.setup is None
    ]
    if decisive:
        text = f"INCOMPARABLE: {comparison.after} differs from {comparison.before} in {', '.join(decisive)}."
        return Text(text=text, red=True)
    changed = [
        f"{change.setup} ({change.figure} {percent(change.ratio)} %)"
        for change in comparison.changes
        if change.verdict.startswith("change")
    ]
    invalid = sorted({change.setup for change in comparison.changes if change.invalid})
    text = f"changed: {', '.join(changed)}" if changed else "nothing has changed as far as can be told"
    if invalid:
        text += f"; without a verdict: {', '.join(invalid)}"
    return Text(text=f"{comparison.before} to {comparison.after}: {text}.", red=bool(invalid))


def _sections(comparison: Comparison, *, alone: bool) -> list[Section]:
    to = "" if alone else f", {comparison.before} to {comparison.after}"
    missing = f"In one of them only: {', '.join(comparison.missing)}." if comparison.missing else None
    return [
        section(
            f"What is not the same{to}",
            difference_table(comparison.differences)
            if comparison.differences
            else "Nothing: machine, packages and plan are alike.",
        ),
        section(
            f"Changes{to}",
            changes_chart(comparison),
            change_table(comparison) if comparison.changes else None,
            ABOUT if comparison.changes else None,
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


def change_table(comparison: Comparison) -> Table:
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
                percent(change.ratio),
                interval(change.low, change.high),
                change.verdict,
            )
            for change in comparison.changes
        ),
        red=frozenset(at for at, change in enumerate(comparison.changes) if change.invalid),
    )


def changes_chart(comparison: Comparison) -> Chart | None:
    """The change of every setup's CPU at light load, throughput and median; None without one."""
    rows = [
        vega.change_row(change.setup, change.figure, change.ratio, (change.low, change.high))
        for change in comparison.changes
        if change.figure in {"light CPU", "throughput", "p50"}
    ]
    return vega.changes(rows, "change, %", "Changes, with 95 % intervals")
