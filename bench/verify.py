"""Does what a folder says follow from what was measured?

Rule 1: every figure is made again from the raw records and compared with the one that is stored.
Rule 2: the first file, line and field that differ are named; what cannot be checked is said.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec

from bench import manifest, results
from bench.errors import ResultsError
from bench.manifest import Fault
from bench.model import CREATED, Arrival, FleetReading, Kind, Purpose, Raw, Request
from bench.plan import arrivals, block_order, slice_arrivals
from bench.store import read_raw

ROUNDING = 1e-9
"""Another processor may round the last digits differently; what was written is sealed to the last one."""
EMPTY: tuple[object, ...] = ({}, [], None, False, "")
RATE_ROUNDING = 1e-4
"""How far an arrival may be from where the stored rate puts it, as a share of its time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was checked, and what is wrong.

    Attributes:
        files: sealed files that were compared.
        figures: values that were made again and compared.
        sealed: whether the folder has a manifest.
        faults: what is wrong, the first one first.
    """

    files: int
    figures: int
    sealed: bool
    faults: tuple[Fault, ...]


def verify(folder: Path) -> Checked:
    """Checks a folder.

    Raises:
        ResultsError: it holds nothing of this project.
    """
    results.kind_of(folder)
    try:
        known = manifest.read(folder)
    except ResultsError as error:
        return Checked(
            files=0, figures=0, sealed=True, faults=(Fault(file=manifest.FILE, message=str(error)),)
        )
    faults = list(manifest.changed(folder, known)) if known else []
    figures = 0
    try:
        made = results.read(folder)
        if made.kind is results.Kind.RUN:
            faults += _carried_out(read_raw(folder))
        for name, content in made.derived.items():
            if name.endswith(".json"):
                figures += content.count(b"\n")
                faults += _stored(folder, name, content)
    except ResultsError as error:
        faults.append(Fault(file=folder.name, message=str(error)))
    return Checked(
        files=len(known.files) if known else 0,
        figures=figures,
        sealed=known is not None,
        faults=tuple(faults),
    )


def _stored(folder: Path, name: str, made: bytes) -> Iterator[Fault]:
    """The first value of a derived file that does not follow from the raw records."""
    path = folder / name
    if not path.exists():
        yield Fault(file=name, message="is missing")
        return
    try:
        stored = path.read_bytes()
        found = dict(_leaves(msgspec.json.decode(stored)))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        yield Fault(file=name, message=f"cannot be read: {error}")
        return
    due = dict(_leaves(msgspec.json.decode(made)))
    for field in [*due, *(field for field in found if field not in due)]:
        if field not in found and due[field] in EMPTY:
            continue  # a later version says so of a folder that had no word for it
        if field not in found or field not in due or not _same(found[field], due[field]):
            yield Fault(
                file=name,
                line=_line(stored, list(found).index(field)) if field in found else None,
                field=field,
                message=f"is {_told(found, field)}, and the raw records say {_told(due, field)}",
            )
            return


def _told(values: Mapping[str, object], field: str) -> str:
    return msgspec.json.encode(values[field]).decode() if field in values else "absent"


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value with its path, in the order of the file; what is empty counts as one."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    else:
        yield path, value


def _line(text: bytes, leaf: int) -> int | None:
    """The line on which the so-manyth value of indented JSON stands."""
    count = -1
    for number, line in enumerate(text.split(b"\n"), 1):
        stripped = line.strip().rstrip(b",")
        if stripped and not stripped.endswith((b"{", b"[")) and stripped not in {b"}", b"]"}:
            count += 1
            if count == leaf:
                return number
    return None


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=1e-15)
    return type(one) is type(other) and one == other


# ---------------------------------------------------------------- was the plan carried out as stored?


def _carried_out(raw: Raw) -> Iterator[Fault]:
    """Whether the records are those of the plan: complete, and sent when it says."""
    plan = raw.plan
    work = [window for window in raw.windows if window.kind is Kind.WORK]
    counts = Counter(window.epoch for window in work)
    if raw.ending.complete and plan.windows:
        for epoch in range(plan.epochs):
            if counts[epoch] < plan.windows:
                yield Fault(
                    file="windows.jsonl",
                    message=f"epoch {epoch} has {counts[epoch]} of {plan.windows} windows, and the run says "
                    "that it is complete",
                )
    yield from _requests(raw)
    yield from _slices(raw)


def _requests(raw: Raw) -> Iterator[Fault]:
    """Whether every arrival of the rotation was planned, and every answer counted."""
    rows = _by_stretch(raw.requests)
    for window in raw.windows:
        if window.kind is not Kind.WORK or window.lost_workers:
            continue
        mine = rows.get((window.epoch, window.window), [])
        due = arrivals(raw.plan, window.epoch, window.window)
        where = f"window {window.window} of epoch {window.epoch}"
        fault = _unplanned("requests.csv.gz", where, mine, due) or _miscounted(
            "windows.jsonl", where, mine, window.fleets
        )
        if fault:
            yield fault
            return


def _slices(raw: Raw) -> Iterator[Fault]:
    """Whether the solo phase visited the fleets in the order of the plan, and sent what it says."""
    plan, solo = raw.plan, raw.plan.solo
    if solo is None:
        return
    for epoch in range(plan.epochs):
        visits = [name for name, _ in groupby(each.setup for each in raw.slices if each.epoch == epoch)]
        order = list(block_order(plan, solo, epoch))
        if visits != (order if raw.ending.complete else order[: len(visits)]):
            yield Fault(
                file="slices.jsonl",
                field="setup",
                message=f"block {epoch} visited {', '.join(visits) or 'no fleet'}, and the plan says "
                f"{', '.join(order)}",
            )
            return
    rows = _by_stretch(raw.solo_requests)
    for piece in raw.slices:
        if piece.purpose not in {Purpose.LEVEL, Purpose.PROBE} or piece.lost_workers:
            continue
        # The stored length is that of its arrivals; half a slot more, lest rounding loses the last one.
        length_s = piece.length_s + 0.5 / piece.rate_per_s
        planned = slice_arrivals(
            plan, piece.epoch, piece.number, piece.setup, rate_per_s=piece.rate_per_s, length_s=length_s
        )
        mine = rows.get((piece.epoch, piece.number), [])
        where = f"slice {piece.number} of block {piece.epoch}"
        fault = _unplanned("solo.csv.gz", where, mine, planned) or _miscounted(
            "slices.jsonl", where, mine, (piece.reading,)
        )
        if fault:
            yield fault
            return


def _by_stretch(requests: Iterable[Request]) -> dict[tuple[int, int], list[Request]]:
    """Rows by epoch and window, or by block and slice."""
    rows: dict[tuple[int, int], list[Request]] = {}
    for request in requests:
        rows.setdefault((request.epoch, request.window), []).append(request)
    return rows


def _unplanned(file: str, where: str, rows: Sequence[Request], due: Sequence[Arrival]) -> Fault | None:
    """An arrival that the plan does not have, or one that is missing."""
    ordered = sorted(rows, key=lambda row: row.planned_ns)
    pairs = zip(ordered, due, strict=False)
    stray = next((row for row, planned in pairs if not _planned(row, planned)), None)
    if stray is None and len(rows) == len(due):
        return None
    example = f": {stray.setup} at {stray.planned_ns} ns is none of them" if stray else ""
    return Fault(
        file=file,
        field="planned_ns",
        message=f"{where} does not hold the arrivals of the plan{example}",
    )


def _planned(row: Request, planned: Arrival) -> bool:
    """Whether a row is a planned arrival; a slice's rate is stored with three decimals."""
    away = abs(row.planned_ns - planned.offset_ns)
    return row.setup == planned.setup and away <= RATE_ROUNDING * planned.offset_ns + 1


def _miscounted(
    file: str, where: str, rows: Sequence[Request], fleets: Sequence[FleetReading]
) -> Fault | None:
    """A fleet whose completed checkouts are not those of the rows."""
    answered = Counter(row.setup for row in rows if row.status == CREATED)
    for fleet in fleets:
        if fleet.completed != answered[fleet.setup]:
            return Fault(
                file=file,
                field="completed",
                message=f"{where} counts {fleet.completed} checkouts of {fleet.setup}, and the rows hold "
                f"{answered[fleet.setup]}",
            )
    return None
