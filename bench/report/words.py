"""Numbers as people read them, and the table that they stand in.

One rule for units: a cost below a millisecond is shown in µs, any other in ms. A column and an axis have one
unit, that of the largest figure in it.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from bench.analysis.claims import Caveat, Change, Verdict, VerdictKind

ABSENT = "-"
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MEASURABLE = 10.0
"""The largest minimum detectable effect that is printed; above it, nothing can be concluded."""
MINUS = "−"  # noqa: RUF001 - a minus sign, as wide as a plus


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Adjacent columns of a table under one title.

    Attributes:
        title: above them; empty without one.
        heads: one per column, short because of the title.
    """

    title: str
    heads: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table.

    Attributes:
        heads: one per column, each clear by itself.
        rows: cells as text.
        keys: how many columns tell a row from the others.
        left: numbers of the columns that are aligned to the left; figures are to the right.
        red: numbers of the rows that are invalid.
        drawn: number of a column that draws what a chart shows as well; None without one.
        folded: what a page shows instead until a reader asks for the table; None if it is always shown.
        groups: of adjacent columns, from the left; where a reader sees them, they replace the heads.
        divider: number of the row before which a line stands, and its word; None without one.
        note: a sentence below it; empty without one.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    keys: int = 1
    left: tuple[int, ...] = (0,)
    red: frozenset[int] = frozenset()
    drawn: int | None = None
    folded: str | None = None
    groups: tuple["Columns", ...] = ()
    divider: tuple[int, str] | None = None
    note: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The heads where groups are shown above them."""
        return tuple(head for group in self.groups for head in group.heads) or self.heads

    @property
    def right(self) -> tuple[bool, ...]:
        """Which columns are aligned to the right."""
        return tuple(number not in self.left for number in range(len(self.heads)))


def signed(value: float, decimals: int, *, sign: bool = True) -> str:
    """A number with its sign, and a minus as wide as the plus; zero has no sign."""
    text = f"{value:+,.{decimals}f}" if sign else f"{value:,.{decimals}f}"
    if not text.strip("+-0.,"):
        return text.lstrip("+-")
    return text.replace("-", MINUS)


def percent(ratio: float | None, *, sign: bool = True, decimals: int = 1) -> str:
    """A ratio in percent, without the percent sign."""
    return ABSENT if ratio is None else signed(ratio * 100, decimals, sign=sign)


def milliseconds(seconds: float | None, *, sign: bool = False, decimals: int = 2) -> str:
    """Milliseconds."""
    return ABSENT if seconds is None else signed(seconds * 1e3, decimals, sign=sign)


def duration(seconds: float, *, sign: bool = False) -> str:
    """A cost with its unit: microseconds below a millisecond, milliseconds from there on."""
    if abs(seconds) < 1e-3:
        return f"{MICROSECONDS.figure(seconds, sign=sign)} {MICROSECONDS.name}"
    return f"{milliseconds(seconds, sign=sign, decimals=1)} ms"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """The unit of a column or of an axis.

    Attributes:
        name: µs or ms.
        scale: units per second.
        decimals: of a figure.
    """

    name: str
    scale: float
    decimals: int

    def figure(self, seconds: float | None, *, sign: bool = False) -> str:
        """A figure without its unit."""
        return ABSENT if seconds is None else signed(seconds * self.scale, self.decimals, sign=sign)

    def interval(self, low: float | None, high: float | None) -> str:
        """The ends of an interval."""
        if low is None or high is None:
            return ABSENT
        return f"[{self.figure(low, sign=True)}, {self.figure(high, sign=True)}]"


MICROSECONDS = Unit(name="µs", scale=1e6, decimals=0)
MILLISECONDS = Unit(name="ms", scale=1e3, decimals=2)


def unit_of(seconds: Iterable[float | None]) -> Unit:
    """The unit of figures that stand together."""
    return (
        MILLISECONDS if max((abs(figure or 0.0) for figure in seconds), default=0.0) >= 1e-3 else MICROSECONDS
    )


def spread(low: float, high: float) -> str:
    """Largest difference that an interval around none allows, in percentage points."""
    return f"within {max(abs(low), abs(high)) * 100:.1f} %"


def megabytes(size: float | None) -> str:
    """Whole megabytes."""
    return ABSENT if size is None else f"{size / 1e6:.0f}"


def count(number: int | None) -> str:
    """A count with separators of thousands."""
    return ABSENT if number is None else f"{number:,}"


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval in percent."""
    return ABSENT if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def change_percent(change: Change | None) -> str:
    """A change in percent, without the percent sign."""
    return percent(change.ratio if change else None)


def change_interval(change: Change | None) -> str:
    """The ends of a change's interval in percent."""
    return interval(change.low, change.high) if change else ABSENT


def half_width(change: Change | None) -> str:
    """Half-width of a change's interval, in percentage points."""
    return ABSENT if change is None else f"{(change.high - change.low) * 50:.1f}"


def detectable(mde: float | None) -> str:
    """A minimum detectable effect in percent; `over 1,000` above `MEASURABLE`."""
    return "over 1,000" if mde is not None and mde > MEASURABLE else percent(mde, sign=False)


def verdict(claim: Verdict, what: str = "overhead") -> str:
    """A verdict in words.

    Args:
        claim: the verdict.
        what: what is claimed; between two results it is a change.
    """
    match claim.kind:
        case VerdictKind.BASELINE:
            return "baseline"
        case VerdictKind.DIFFERENT:
            ends = f"[{(claim.low or 0) * 100:+.1f}, {(claim.high or 0) * 100:+.1f}]"
            return f"{what} {(claim.ratio or 0) * 100:+.1f} % {ends}"
        case VerdictKind.EQUIVALENT:
            return f"no {what} beyond {(claim.bound or 0) * 100:.0f} %"
        case VerdictKind.INCONCLUSIVE:
            return f"inconclusive (MDE {detectable(claim.mde or 0.0)} %)"
        case VerdictKind.INVALID:
            return f"invalid ({claim.reason})"


ASCII = str.maketrans({"µ": "u", "±": "+-", MINUS: "-", "→": "->", "─": "-", "…": "..."})
"""What a terminal shows that knows no more than ASCII."""


def printable(text: str) -> str:
    """Text without control characters, which could move a terminal's cursor or reverse the reading order.

    Names and descriptions are other people's: no escape sequence in one may reach the reader of a report.
    """
    return "".join(character for character in text if character in "\n\t" or not _is_control(character))


def _is_control(character: str) -> bool:
    # Cc: C0 and C1; of Cf those that embed, override or isolate a direction.
    return unicodedata.category(character) == "Cc" or character in _DIRECTIONS


def plural(number: int, word: str, several: str = "") -> str:
    """A count with its word, and that with an s, or with `several`, where there is not one."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {several or f'{word}s'}"


def caveat_line(caveat: Caveat) -> str:
    """A caveat as one sentence and its advice."""
    return f"{caveat.message} - {caveat.advice}."


def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value >= 100:
        return count(round(value))
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
