"""Converters and validators for the command line, and options that every study has.

Cyclopts reads names, types and help texts from the dataclasses.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Group, Parameter, Token

T = TypeVar("T")

RESULTS = Group("Results", sort_key=5)
_DURATION = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<unit>ms|s|m|h)")
_SCALES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SPELLING = "write it with its unit, such as 100ms, 2s or 5m"


def read_as(parse: Callable[[str], T]) -> Callable[[object, Sequence[Token]], T]:
    """A converter of one word; `parse` raises ValueError with a sentence."""
    return lambda _kind, tokens: parse(tokens[0].value)


def duration(text: str) -> float:
    """Seconds from `100ms`, `2s`, `5m` or `1h`.

    Raises:
        ValueError: it is not a duration; a number needs its unit.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: {SPELLING}")
    return float(match["number"]) * _SCALES[match["unit"]]


def spelled(seconds: float) -> str:
    """A duration as it is typed: `50ms`, `2.5s`, `5m`."""
    if 0 < seconds < 1:
        return f"{seconds * 1e3:g}ms"
    return f"{seconds / 60:g}m" if seconds >= 60 and not seconds % 60 else f"{seconds:g}s"


def between(low_s: float, high_s: float) -> Callable[[str], float]:
    """A parser of durations in a range."""

    def parse(text: str) -> float:
        seconds = duration(text)
        if not low_s <= seconds <= high_s:
            raise ValueError(f"{text} is not between {spelled(low_s)} and {spelled(high_s)}")
        return seconds

    return parse


def share(text: str) -> float:
    """A share from `0.1` or `10%`."""
    number, scale = (text[:-1], 0.01) if text.endswith("%") else (text, 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{text!r} is not a share: write 0.1 or 10%")
    return value


def number(low: float, high: float) -> Callable[[object, object], None]:
    """A validator of numbers in a range; Cyclopts has already rejected other text."""

    def validate(_kind: object, value: object) -> None:
        if isinstance(value, int | float) and not low <= value <= high:
            raise ValueError(f"it must lie between {low:g} and {high:g}")

    return validate


def checked(parse: Callable[[str], object]) -> Callable[[object, object], None]:
    """A validator of words that are parsed where they are used."""

    def validate(_kind: object, value: object) -> None:
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str):
                parse(word)

    return validate


Count = Annotated[int, Parameter(validator=number(1, 1000))]
Duration = Annotated[float, Parameter(converter=read_as(between(0.001, 60)), metavar="DURATION")]
Budget = Literal["quick", "default"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What every study understands.

    Attributes:
        out: The results folder; results/UTC-NAME by default.
    """

    out: Annotated[Path | None, Parameter(name=("--out", "-o"), group=RESULTS)] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AppOptions:
    """Which application.

    Attributes:
        app: The app file; it is a positional argument of the command.
        setups_file: A file with further setups of your own; repeatable.
    """

    app: Annotated[Path | None, Parameter(parse=False)] = None
    setups_file: tuple[Path, ...] = ()
