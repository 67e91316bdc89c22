"""Checks that what a folder says follows from what was measured.

Every figure is made again from the raw records and compared with the one that is stored; the
timetable is made again from the plan's seed. The first file and field that differ are named.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from bench.analysis.summary import Predict
from bench.errors import ResultsError
from bench.plan.readings import UNSENT, Raw, StepReading
from bench.plan.records import Kind, Open
from bench.plan.schedule import step_of
from bench.results import manifest
from bench.results.folder import SUMMARY, has_raw, missing_steps, read_run, require_run
from bench.results.manifest import Discrepancy
from bench.results.store import READINGS, REQUESTS, pretty

ROUNDING = 1e-9
"""Another processor may round the last digits differently; files are sealed to the last one."""


class RawRecords(StrEnum):
    """Which raw records a results folder still has; the others were removed to save space."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was checked, and what is wrong.

    Attributes:
        files: sealed files that were compared.
        figures: values that were made again and compared.
        sealed: whether the folder has a manifest.
        raw: how complete its raw records are.
        discrepancies: what is wrong, the first one first.
    """

    files: int = 0
    figures: int = 0
    sealed: bool
    raw: RawRecords = RawRecords.ALL
    discrepancies: tuple[Discrepancy, ...] = ()


def verify(folder: Path, predict: Predict | None = None) -> Verification:
    """Check a run's folder.

    Raises:
        ResultsError: it holds no run.
    """
    require_run(folder)
    try:
        known = manifest.read(folder)
    except ResultsError as error:
        return Verification(
            sealed=True, discrepancies=(Discrepancy(file=manifest.FILE, message=str(error), is_raw=True),)
        )
    discrepancies = list(manifest.changed(folder, known)) if known else []
    files = len(known.raw) + len(known.derived) if known else 0
    if any(discrepancy.is_raw for discrepancy in discrepancies):
        # Figures of changed records say nothing.
        return Verification(files=files, sealed=True, discrepancies=tuple(discrepancies))
    figures = 0
    raw = RawRecords.ALL if has_raw(folder) else RawRecords.NONE
    try:
        result = read_run(folder, predict)
        if result.raw is not None:
            discrepancies += _carried_out(result.raw)
            content = pretty(result.summary)
            figures = content.count(b"\n")
            discrepancies += compare(folder, SUMMARY, content)
    except ResultsError as error:
        discrepancies.append(Discrepancy(file=folder.name, message=str(error), is_raw=True))
    return Verification(
        files=files,
        figures=figures,
        sealed=known is not None,
        raw=raw,
        discrepancies=tuple(discrepancies),
    )


def compare(folder: Path, name: str, made: bytes) -> Iterator[Discrepancy]:
    """The first value of a derived file that does not follow from the raw records."""
    path = folder / name
    if not path.is_file():
        yield Discrepancy(file=name, message="is missing")
        return
    try:
        stored = dict(_leaves(msgspec.json.decode(path.read_bytes())))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        yield Discrepancy(file=name, message=f"cannot be read: {error}")
        return
    expected = dict(_leaves(msgspec.json.decode(made)))
    for field in [*expected, *(field for field in stored if field not in expected)]:
        if field not in stored or field not in expected or not _same(stored[field], expected[field]):
            yield Discrepancy(
                file=name,
                field=field,
                message=f"is {_shown(stored, field)}, and the raw records say {_shown(expected, field)}",
            )
            return


def _shown(values: Mapping[str, object], field: str) -> str:
    return msgspec.json.encode(values[field]).decode() if field in values else "absent"


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value with its path, in the order of the file; what is empty counts as one."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from _leaves(part, f"{path}[{number}]")
    else:
        yield path, value


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=1e-15)
    return type(one) is type(other) and one == other


# ---------------------------------------------------------------- was the plan carried out as stored?


def _carried_out(raw: Raw) -> Iterator[Discrepancy]:
    """Whether the records are those of the plan: complete, in its order, sent when it says."""
    yield from missing_steps(raw)
    for reading in raw.readings:
        discrepancy = _timetable(raw, reading) or _counts(raw, reading)
        if discrepancy:
            yield discrepancy
            return


def _timetable(raw: Raw, reading: StepReading) -> Discrepancy | None:
    """A time slice or an arrival that is not the plan's."""
    if not reading.planned_blocks or (reading.kind is Kind.LIGHT and not raw.learned.rates):
        return None
    step = step_of(
        raw.plan,
        raw.learned,
        reading.replicate,
        reading.number,
        reading.kind,
        reading.planned_blocks,
        rates=reading.rates,
    )
    where = f"step {reading.number} of replicate {reading.replicate}"
    went = [(switch.instance, switch.block) for switch in reading.switches[: len(step.slices)]]
    if went != [(time_slice.instance, time_slice.block) for time_slice in step.slices]:
        return Discrepancy(
            file=READINGS, field="switches", message=f"{where} has other time slices than the plan"
        )
    if isinstance(step.load, Open) and not reading.lost_workers:
        rows = sorted(
            (row.planned_ns, row.instance, row.request)
            for row in raw.rows.get((reading.replicate, reading.number), ())
        )
        expected = sorted(
            (arrival.offset_ns, arrival.instance, arrival.request) for arrival in step.load.arrivals
        )
        if rows != expected:
            stray = next((row for row, planned in zip(rows, expected, strict=False) if row != planned), None)
            example = f": one at {stray[0]} ns is none of them" if stray else ""
            return Discrepancy(
                file=REQUESTS,
                field="planned_ns",
                message=f"{where} does not hold the arrivals of the plan{example}",
            )
    return None


def _counts(raw: Raw, reading: StepReading) -> Discrepancy | None:
    """An instance whose completed requests are not those of the rows."""
    if not reading.planned_blocks:
        return None
    rows = raw.rows.get((reading.replicate, reading.number), ())
    statuses = raw.plan.app.statuses
    for number, instance in enumerate(reading.instances):
        completed = sum(
            row.instance == number and row.status not in UNSENT and row.status in statuses[row.request]
            for row in rows
        )
        if completed != instance.completed:
            return Discrepancy(
                file=READINGS,
                field="completed",
                message=f"step {reading.number} of replicate {reading.replicate} counts {instance.completed} "
                f"requests of {instance.setup}, and the rows hold {completed}",
            )
    return None
