"""What may be said about a figure: an estimated change, a verdict, a caveat.

A value that is not known is `None` and is left out of JSON.
"""

import math
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from bench.analysis.stats import Estimate

Ratio: TypeAlias = Annotated[float, Meta(gt=-1)]
"""A relative change: 0.33 is +33 %."""
LoadName: TypeAlias = Literal["light", "saturation"]


class Record(Struct, frozen=True, kw_only=True):
    """A part of a summary."""


class Change(Record, frozen=True, kw_only=True):
    """An estimated change of a figure against a reference, such as the baseline.

    Attributes:
        ratio: setup / reference - 1.
        low: lower end of its 95 % interval.
        high: upper end.
        standard_error: of ln(1 + ratio).
        df: degrees of freedom of the standard error.
    """

    ratio: Ratio
    low: Ratio
    high: float
    standard_error: float
    df: float

    @property
    def is_significant(self) -> bool:
        """True if the interval of this change alone excludes 0."""
        return not self.low <= 0 <= self.high

    @property
    def estimate(self) -> Estimate:
        """The contrast on the log scale that this change was made of."""
        return Estimate(
            log_ratio=math.log1p(self.ratio),
            standard_error=self.standard_error,
            df=self.df,
            shares_variance=False,
        )


def change_of(estimate: Estimate, confidence: float) -> Change:
    """An estimate as a change, with the interval of its own."""
    low, high = estimate.ratios(confidence)
    return Change(
        ratio=estimate.ratio, low=low, high=high, standard_error=estimate.standard_error, df=estimate.df
    )


class VerdictKind(StrEnum):
    """What may be claimed of a change."""

    BASELINE = "baseline"
    DIFFERENT = "different"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class Verdict(Record, frozen=True, kw_only=True):
    """A claim, with the numbers that it rests on; `report.words` puts it into words.

    Attributes:
        kind: what is claimed.
        ratio: the change; of a difference alone.
        low: lower end of its 95 % interval; of a difference alone.
        high: upper end; of a difference alone.
        bound: largest change that counts as none; of an equivalence alone.
        mde: smallest change that such a run claims in 80 % of cases; of an inconclusive result alone.
        reason: why the figure does not count; of an invalid one alone.
    """

    kind: VerdictKind
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    mde: float | None = None
    reason: str | None = None


class Severity(StrEnum):
    """How serious a caveat is."""

    CAVEAT = "caveat"
    INVALID = "invalid"


class Caveat(Record, frozen=True, kw_only=True):
    """A measured reason to doubt a figure, stored beside it.

    Attributes:
        code: one word, for programs.
        message: one sentence, with the value.
        advice: what to do about it.
        severity: whether the figure still counts.
        setup: the setup that it concerns; absent if it concerns the whole run.
        load: the load whose figures it concerns, if only one.
        reason: why the figure is invalid, in a few words; of an invalid one alone.
    """

    code: str
    message: str
    advice: str
    severity: Severity = Severity.CAVEAT
    setup: str | None = None
    load: LoadName | None = None
    reason: str | None = None
