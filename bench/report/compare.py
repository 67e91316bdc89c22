"""Two results against each other, as people read them."""

import json
from collections.abc import Sequence

from bench.compare import Compared, Comparison, Side
from bench.differences import Difference
from bench.report import vega
from bench.report.document import Chart, Document, Section, Text, document, section
from bench.report.words import ABSENT, Table, microseconds, percent

ABOUT = (
    "A change is (1 + overhead after) / (1 + overhead before) - 1: how much more a checkout costs in the "
    "second result, against its own baseline; the machines' speeds are not in it, but a share depends on CPU "
    "and Python, too, where these are not the same. The two results "
    "share nothing, so the squares of their standard errors add up; verdicts hold for all set-ups at once. "
    "Extra us are those of each machine, for reading and not for comparing."
)
ABOUT_OPERATIONS = (
    "Times the reference: CPU of an operation over that of plain Python beside it. With two versions of "
    "Python the reference changes, too. Verdicts hold for all operations at once."
)


def report(found: Sequence[Compared]) -> Document:
    """The report of one comparison or of several with the same first result."""
    first = found[0]
    names = ", ".join(f"`{each.after}`" for each in found)
    return document(
        f"What changed: {first.before} against {', '.join(each.after for each in found)}",
        [f"Before: `{first.before}`. After: {names}.", *(headline(each) for each in found)],
        *(part for each in found for part in _sections(each, alone=len(found) == 1)),
    )


def headline(found: Compared) -> Text:
    """Whether the two can be compared, in one sentence."""
    decisive = [each.what for each in found.differences if each.decisive and each.setup is None]
    if decisive:
        text = f"INCOMPARABLE: {found.after} differs from {found.before} in {', '.join(decisive)}."
        return Text(text=text, red=True)
    changed = [each.setup for each in found.setups if each.verdict.startswith("overhead")]
    operations = sum(each.verdict.startswith("overhead") for each in found.operations)
    invalid = [each.setup for each in found.setups if each.invalid]
    said = f"changed: {', '.join(changed)}" if changed else "no set-up has changed as far as can be told"
    if not found.setups:
        said = ""
    if found.operations:
        said += f"{'; ' if said else ''}{operations} of {len(found.operations)} operations have changed"
    if not found.sound:
        said += "; microbenchmarks of one side are invalid"
    if invalid:
        said += f"; without a verdict: {', '.join(invalid)}"
    return Text(text=f"{found.before} to {found.after}: {said}.", red=bool(invalid) or not found.sound)


def _sections(found: Compared, *, alone: bool) -> list[Section]:
    to = "" if alone else f", {found.before} to {found.after}"
    missing = f"In one of them only: {', '.join(found.missing)}." if found.missing else None
    return [
        section(f"What is not the same{to}", difference_table(found.differences))
        if found.differences
        else section(f"What is not the same{to}", "Nothing: machine, packages and plan are alike."),
        section(
            f"Overheads{to}",
            changes_chart(found),
            setup_table(found) if found.setups else None,
            ABOUT if found.setups else None,
            missing,
        ),
        section(
            f"Microbenchmarks{to}",
            operation_table(found) if found.operations else None,
            ABOUT_OPERATIONS if found.operations else None,
        ),
    ]


def difference_table(differences: Sequence[Difference]) -> Table:
    """Everything that differs; what forbids a comparison is red."""
    return Table(
        heads=("where", "what", "before", "after", "comparable"),
        right=(False,) * 5,
        rows=tuple(
            (each.area, each.what, each.before, each.after, "NO" if each.decisive else "yes")
            for each in differences
        ),
        red=frozenset(at for at, each in enumerate(differences) if each.decisive),
    )


def setup_table(found: Compared) -> Table:
    """Every set-up before and after."""
    return Table(
        heads=(
            "set-up", "before: extra us", "overhead %", "after: extra us", "overhead %",
            "change %", "95 % interval %", "verdict",
        ),
        right=(False, *([True] * 6), False),
        rows=tuple(
            (
                each.setup,
                *_side(each.before),
                *_side(each.after),
                percent(each.ratio),
                _ends(each),
                each.verdict,
            )
            for each in found.setups
        ),
        red=frozenset(at for at, each in enumerate(found.setups) if each.invalid),
    )  # fmt: skip


def _side(side: Side) -> tuple[str, str]:
    ends = f"[{percent(side.low)}, {percent(side.high)}]"
    return microseconds(side.cpu_s, sign=True), f"{percent(side.ratio)} {ends}"


def _ends(each: Comparison) -> str:
    return f"[{percent(each.low)}, {percent(each.high)}]"


def operation_table(found: Compared) -> Table:
    """Every microbenchmark before and after, as a multiple of plain Python."""
    return Table(
        heads=(
            "operation",
            "before: x reference",
            "after: x reference",
            "change %",
            "95 % interval %",
            "verdict",
        ),
        right=(False, True, True, True, True, False),
        rows=tuple(
            (
                each.name,
                f"{each.before:.2f}",
                f"{each.after:.2f}",
                percent(each.ratio),
                ABSENT if each.low is None else f"[{percent(each.low)}, {percent(each.high)}]",
                each.verdict,
            )
            for each in found.operations
        ),
    )


def changes_chart(found: Compared) -> Chart | None:
    """Every set-up's overhead in both results; none without a set-up that is in both."""
    if not found.setups:
        return None
    sides = (found.before, found.after)
    if sides[0] == sides[1]:
        sides = (f"{sides[0]} (before)", f"{sides[1]} (after)")
    kept = [max(each.before.high, each.after.high) for each in found.setups]
    reach = vega.reach(kept) * 100
    rows: vega.Rows = [
        {
            "set-up": each.setup,
            "result": name,
            "%": min(side.ratio * 100, reach),
            "low": min(side.low * 100, reach),
            "high": min(side.high * 100, reach),
            "cut": side.ratio * 100 > reach,
            "label": f"{percent(each.ratio)} %",
            "figure": f"{each.setup}, {name}: {percent(side.ratio)} % "
            f"[{percent(side.low)}, {percent(side.high)}]",
        }
        for each in found.setups
        for name, side in zip(sides, (each.before, each.after), strict=True)
    ]
    names = [each.setup for each in found.setups]
    colour = vega.kinds("result", list(sides))
    y = vega.names("set-up", names)
    offset: vega.Spec = {"field": "result", "sort": list(sides)}
    x = vega.number("%", "overhead, %", [min(0.0, *vega.column(rows, "low")), reach])
    layers: list[vega.Spec | None] = [
        vega.zero(),
        vega.interval("low", "high", y, colour, offset),
        {
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
            "encoding": {"x": x, "y": y, "yOffset": offset, "color": colour, "tooltip": vega.said("figure")},
        },
        vega.arrow(x, y, colour, offset),
        {
            "transform": [{"filter": f"datum.result == {json.dumps(sides[0])}"}],
            "mark": {"type": "text", "align": "left", "dx": 10, "color": vega.INK},
            "encoding": {"x": {"value": vega.WIDTH}, "y": y, "text": {"field": "label"}},
        },
    ]
    title = "Overheads before and after, with 95 % intervals; beside them the change"
    title += vega.leads_out(rows)
    return vega.chart(title, rows, layers, (len(names), vega.ROW + 8))
