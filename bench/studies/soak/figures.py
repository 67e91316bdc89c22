"""Does anything grow while the application is under load for long? Slopes, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.stats import t_quantile

SETTLED = 0.2
"""Share of the time that is not looked at: caches fill, and allocators learn."""
BLOCKS = 8
"""A line is drawn through the medians of this many periods: neighbouring samples are not independent, and a
collection that has just run, or a burst, moves no median."""
CONFIDENCE = 0.95
OWN = ("receiver", "load", "harness")
"""Processes of the harness."""
RELEVANT_BYTES = 10.0
"""Smallest relevant growth per request, decided beforehand: at 100 requests/s it is 86 MB a day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a process holds.

    Attributes:
        name: of the process.
        dirty_bytes: memory that it has written to and does not share.
        threads: running ones.
        descriptors: open files and sockets.
    """

    name: str
    dirty_bytes: int
    threads: int
    descriptors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What every process held while no request was under way.

    Attributes:
        at_s: from the beginning.
        uses: of every process.
        files: temporary files of the run.
        completed: requests answered as expected so far.
        failed: others.
        spans: at the receiver so far.
        spans_expected: that the completed requests have made; None where it cannot be known.
        final: whether everything had been exported before it.
        setups: whose instances run side by side; empty where there is one.
    """

    at_s: float
    uses: tuple[Use, ...]
    files: int
    completed: int
    failed: int
    spans: int
    spans_expected: int | None = None
    final: bool = False
    setups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """One process over time.

    Attributes:
        name: of the process.
        first_bytes: memory when it had settled.
        last_bytes: at the end.
        course: seconds and bytes.
        per_s: bytes per second; None where there were too few samples.
        low: of the interval that holds for all processes at once.
        high: of that.
        relevant_per_s: smallest relevant growth at the rate of the requests.
        own: whether it is a process of the harness, which decides nothing about the application.
        threads: the fewest in the first quarter and in the last one: a burst that passes is no growth.
        descriptors: likewise.
    """

    name: str
    first_bytes: int
    last_bytes: int
    course: tuple[tuple[float, int], ...]
    per_s: float | None
    low: float | None
    high: float | None
    relevant_per_s: float
    own: bool
    threads: tuple[int, int]
    descriptors: tuple[int, int]

    @property
    def grows(self) -> bool:
        """True if memory surely grows by more than is relevant, or threads or descriptors were added."""
        return (
            (self.low or 0.0) > self.relevant_per_s
            or self.threads[1] > self.threads[0]
            or self.descriptors[1] > self.descriptors[0]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Soak:
    """What a long load showed.

    Attributes:
        seconds: under load.
        rate_per_s: of requests.
        completed: requests answered as expected.
        failed: others.
        spans: that arrived.
        spans_expected: that had to arrive; None where it cannot be known.
        files: temporary files at the beginning and at the end.
        growths: of every process.
        setups: whose instances ran side by side; empty where there was one.
    """

    seconds: float
    rate_per_s: float
    completed: int
    failed: int
    spans: int
    spans_expected: int | None
    files: tuple[int, int]
    growths: tuple[Growth, ...]
    setups: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """True if no process of the application grows, and nothing fails or is lost."""
        return (
            not self.failed
            and self.spans_expected in {None, self.spans}
            and self.files[1] <= self.files[0]
            and not any(growth.grows for growth in self.growths if not growth.own)
        )


def soak(samples: Sequence[Sample]) -> Soak:
    """What the samples show.

    Args:
        samples: in order of time; the first one before the load, the last one after everything was exported.
    """
    if not samples:
        raise ValueError("it holds no sample")
    first, last = samples[0], samples[-1]
    loaded_s = max(sample.at_s for sample in samples if not sample.final or len(samples) == 1)
    rate_per_s = last.completed / loaded_s if loaded_s else 0.0
    relevant_per_s = RELEVANT_BYTES * rate_per_s / max(len(last.setups), 1)
    return Soak(
        seconds=loaded_s,
        rate_per_s=rate_per_s,
        completed=last.completed,
        failed=last.failed,
        spans=last.spans,
        # Of a measurement that was ended early the last spans had not been exported.
        spans_expected=last.spans_expected if last.final else None,
        files=(first.files, last.files),
        growths=tuple(_growth(number, samples, relevant_per_s) for number in range(len(first.uses))),
        setups=last.setups,
    )


def _growth(number: int, samples: Sequence[Sample], relevant_per_s: float) -> Growth:
    family = len(samples[0].uses)
    loaded = [sample for sample in samples[1:] if not sample.final] or list(samples)
    settled = [sample for sample in loaded if sample.at_s >= SETTLED * loaded[-1].at_s]
    uses = [sample.uses[number] for sample in settled]
    slope = slope_of([sample.at_s for sample in settled], [use.dirty_bytes for use in uses], family)
    quarter = max(len(uses) // 4, 1)
    # What is still there at the very end, without requests, counts too.
    ends = [*uses[-quarter:], samples[-1].uses[number]]
    return Growth(
        name=uses[0].name,
        first_bytes=uses[0].dirty_bytes,
        last_bytes=uses[-1].dirty_bytes,
        course=tuple((sample.at_s, sample.uses[number].dirty_bytes) for sample in samples),
        per_s=slope[0] if slope else None,
        low=slope[0] - slope[1] if slope else None,
        high=slope[0] + slope[1] if slope else None,
        relevant_per_s=relevant_per_s,
        own=uses[0].name in OWN,
        threads=(min(use.threads for use in uses[:quarter]), min(use.threads for use in ends)),
        descriptors=(min(use.descriptors for use in uses[:quarter]), min(use.descriptors for use in ends)),
    )


def slope_of(times: Sequence[float], values: Sequence[float], family: int = 1) -> tuple[float, float] | None:
    """The slope of a line through block medians, and half its interval for a family of such slopes.

    None with fewer values than blocks.

    Least squares through the medians of `BLOCKS` equal phases, with Student's t of as many points less two
    (Draper and Smith, Applied Regression Analysis, section 1.4), Bonferroni's share for each of the family.
    """
    if len(times) < BLOCKS:
        return None
    count = BLOCKS
    parts = np.array_split(np.arange(len(times)), count)
    x = np.array([np.mean(np.asarray(times)[part]) for part in parts])
    y = np.array([np.median(np.asarray(values, dtype=float)[part]) for part in parts])
    spread = float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - x.mean()) * (y - y.mean())) / spread)
    residuals = y - y.mean() - slope * (x - x.mean())
    error = float(np.sqrt(np.sum(residuals**2) / (count - 2) / spread))
    return slope, t_quantile(1 - (1 - CONFIDENCE) / 2 / family, count - 2) * error
