"""Does what a folder says follow from what was measured?

Rule 1: every figure is made again from the raw records and compared with the one that is stored.
Rule 2: the first file, line and field that differ are named; what cannot be checked is said.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import manifest, results
from bench.errors import ResultsError
from bench.manifest import Fault
from bench.model import CREATED, Kind, Raw, Window
from bench.plan import arrivals
from bench.store import read_raw

ROUNDING = 1e-9
"""Another processor may round the last digits differently; what was written is sealed to the last one."""


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


def _which(window: Window) -> str:
    return f"window {window.window} of epoch {window.epoch}"


def _requests(raw: Raw) -> Iterator[Fault]:
    """Whether every arrival was planned, and every answer counted."""
    plan = raw.plan
    rows: dict[tuple[int, int], list[tuple[int, str, int]]] = {}
    for request in raw.requests:
        rows.setdefault((request.epoch, request.window), []).append(
            (request.planned_ns, request.setup, request.status)
        )
    for window in raw.windows:
        if window.kind is not Kind.WORK or window.lost_workers:
            continue
        mine = rows.get((window.epoch, window.window), [])
        due = {(arrival.offset_ns, arrival.setup) for arrival in arrivals(plan, window.epoch, window.window)}
        stray = next((row for row in mine if (row[0], row[1]) not in due), None)
        if stray or len(mine) != len(due):
            yield Fault(
                file="requests.csv.gz",
                field="planned_ns",
                message=f"{_which(window)} does not hold the arrivals of the plan"
                + (f": {stray[1]} at {stray[0]} ns is none of them" if stray else ""),
            )
            return
        answered = Counter(row[1] for row in mine if row[2] == CREATED)
        for fleet in window.fleets:
            if fleet.completed != answered[fleet.setup]:
                yield Fault(
                    file="windows.jsonl",
                    field="completed",
                    message=f"{_which(window)} counts {fleet.completed} checkouts of {fleet.setup}, "
                    f"and requests.csv.gz holds {answered[fleet.setup]}",
                )
                return
