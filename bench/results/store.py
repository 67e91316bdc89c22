"""A run's results folder: raw records appended step by step, derived files replaced as wholes.

No host name and no secret is written.
"""

import contextlib
import csv
import gzip
import io
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import ResultsError
from bench.plan.machine import Machine
from bench.plan.readings import Ending, Raw, RequestRow, StepReading
from bench.plan.records import NOTHING_LEARNED, SCHEMA, Learned, Plan
from bench.receiver.messages import KeptTrace
from bench.results import consistency

T = TypeVar("T")
PLAN, LEARNED, READINGS, REQUESTS, ENDING, MACHINE = (
    "plan.json", "learned.json", "readings.jsonl", "requests.csv.gz", "ending.json", "machine.json",
)  # fmt: skip
TRACES = "traces.jsonl.gz"
"""Traces of a run, the slowest and damaged ones; no figure rests on them."""
MAX_UNPACKED_BYTES = 2**31
"""Size limit of an unpacked file; a run of thirty setups leaves a hundredth of it."""
MIN_FREE_BYTES = 50 * 1024 * 1024
COLUMNS = ("replicate", "step", *RequestRow.__struct_fields__)
RUN_AGAIN = "it was changed, or written by another version; measure again with `tracing-overhead run`"
WRITTEN_BY_ANOTHER = (
    "read it with the version that wrote it (CHANGELOG.md says which one), or measure again with "
    "`tracing-overhead run`"
)


def folder_name(now: datetime, name: str) -> str:
    """`<UTC>-<name>`: sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{name}"


def pretty(record: object) -> bytes:
    """A record as indented JSON with a final newline; what is `None` is left out, 0 is not."""
    return msgspec.json.format(msgspec.json.encode(_known(msgspec.to_builtins(record))), indent=2) + b"\n"


def _known(value: object) -> object:
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items() if item is not None}
    return [_known(item) for item in value] if isinstance(value, list | tuple) else value


class Store:
    """A results folder that is being written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Store":
        """Make a new folder, or take an empty one.

        Raises:
            ResultsError: it cannot be made, is not empty, or the disk is full.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ResultsError(f"{folder} is not empty", "name another folder with --out")
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise ResultsError(
                f"cannot make {folder}: {error.strerror or error}", "name another folder with --out"
            ) from None
        if free < MIN_FREE_BYTES:
            raise ResultsError(
                f"the disk of {folder} has only {free // 2**20} MiB left",
                "free some, or name another with --out",
            )
        return cls(folder)

    def discard(self) -> None:
        """Remove a folder in which nothing was measured, so that its name can be used again."""
        for path in self.folder.iterdir():
            if path.is_file():
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file: the old one stays until the new one is complete."""
        path = self.folder / name
        partial = path.with_name(f".{path.name}.partial")
        try:
            if path.parent != self.folder:
                path.parent.mkdir(exist_ok=True)
                _require_inside(self.folder, path.parent)
            partial.unlink(missing_ok=True)
            # A new file, so that no link of that name is followed; a link in place of `path` is replaced.
            with partial.open("xb") as file:
                file.write(content)
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise _cannot("write", path, error) from None

    def write_plan(self, plan: Plan) -> None:
        """Write the plan."""
        self.write(PLAN, pretty(plan))

    def write_learned(self, learned: Learned) -> None:
        """Write what has been learned so far."""
        self.write(LEARNED, pretty(learned))

    def append(self, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        """Append a step as it went: its requests first, so that a reading always has them."""
        self._append_rows(reading, rows)
        self.append_line(READINGS, reading)

    def append_traces(self, replicate: int, traces: Iterable[KeptTrace]) -> None:
        """Append the traces that are kept of a replicate."""
        for trace in traces:
            self.append_packed(TRACES, replace(trace, replicate=replicate))

    def append_line(self, name: str, record: object) -> None:
        """Append a record to a file of lines."""
        self._append(name, msgspec.json.encode(record) + b"\n")

    def append_packed(self, name: str, record: object) -> None:
        """Append a record to a gzipped file of lines, as a member of its own."""
        self._append(name, gzip.compress(msgspec.json.encode(record) + b"\n", mtime=0))

    def _append_rows(self, reading: StepReading, rows: Sequence[RequestRow]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not (self.folder / REQUESTS).exists():
            writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow((reading.replicate, reading.number, *msgspec.structs.astuple(row)))
        if text.tell():
            self._append(REQUESTS, gzip.compress(text.getvalue().encode(), mtime=0))

    def _append(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            with open(path, "ab", opener=_without_links) as file:
                file.write(content)
        except OSError as error:
            raise _cannot("write", path, error) from None


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _require_inside(folder: Path, path: Path) -> None:
    """Raise ResultsError if a path of a folder leads out of it, by a symbolic link."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ResultsError(f"{path} leads out of {folder}", "remove the symbolic link")


def _cannot(what: str, path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"cannot {what} {path}: {error.strerror or error}",
        "what was measured so far is kept; make room, or copy the folder to where you may write",
    )


def read_raw(folder: Path) -> Raw:
    """Everything that a run left.

    Raises:
        ResultsError: there is no plan, a file cannot be read, or it is of another schema.
    """
    plan = read_plan(folder)
    learned = read_learned(folder, plan)
    readings = read_lines(folder / READINGS, StepReading)
    for problem in consistency.problems_of_readings(plan, readings):
        raise ResultsError(f"{folder / READINGS}, {problem}", RUN_AGAIN)
    ending = read_ending(folder)
    rows = _read_rows(folder / REQUESTS, plan, complete=ending.complete)
    return Raw(plan=plan, learned=learned, readings=readings, rows=rows, ending=ending)


def read_plan(folder: Path) -> Plan:
    """A folder's plan.

    Raises:
        ResultsError: there is none, or of another schema.
    """
    path = folder / PLAN
    raw = read_bytes(path)
    schema = decode(raw, dict[str, object], path).get("schema")
    if schema != SCHEMA:
        raise ResultsError(
            f"{path} has schema {schema}, and this version reads schema {SCHEMA}", WRITTEN_BY_ANOTHER
        )
    plan = decode(raw, Plan, path)
    for problem in consistency.problems_of_plan(plan):
        raise ResultsError(f"{path} {problem}", RUN_AGAIN)
    return plan


def read_learned(folder: Path, plan: Plan) -> Learned:
    """What a run learned; nothing where it ended before.

    Raises:
        ResultsError: the file cannot be read, or does not fit the plan.
    """
    path = folder / LEARNED
    if not path.exists():
        return NOTHING_LEARNED
    learned = read_record(path, Learned)
    for problem in consistency.problems_of_learned(plan, learned):
        raise ResultsError(f"{path} {problem}", RUN_AGAIN)
    return learned


def read_machine(folder: Path) -> Machine | None:
    """What a folder's figures were measured on; None where it is unknown."""
    path = folder / MACHINE
    return read_record(path, Machine) if path.exists() else None


def read_record(path: Path, kind: type[T]) -> T:
    """A file that holds one record.

    Raises:
        ResultsError: it is not there, or not such a record.
    """
    return decode(read_bytes(path), kind, path)


def read_ending(folder: Path) -> Ending:
    """How a folder's run ended; a run without this file was killed."""
    path = folder / ENDING
    if not path.exists() or not path.stat().st_size:
        return Ending(complete=False, failure="the harness was killed")
    return read_record(path, Ending)


def read_lines(path: Path, kind: type[T]) -> tuple[T, ...]:
    """A file's records, without a last line that was cut short; none without the file.

    Raises:
        ResultsError: it cannot be read, or holds something else.
    """
    if not path.exists():
        return ()
    lines = read_bytes(path).split(b"\n")
    return tuple(decode(line, kind, path) for line in lines[:-1])


def read_packed(path: Path, kind: type[T]) -> tuple[T, ...]:
    """A gzipped file's records, without a last member that was cut short; none without the file.

    Raises:
        ResultsError: it is not gzipped, or holds something else.
    """
    return tuple(decode(line, kind, path) for line in _unpacked_lines(path) if line.endswith(b"\n"))


def _unpacked_lines(path: Path, *, complete: bool = False) -> Iterator[bytes]:
    """The lines of a gzipped file of at most `MAX_UNPACKED_BYTES` unpacked bytes.

    Args:
        path: of the file; without it there are none.
        complete: whether a last member that was cut short is an error.
    """
    if not path.exists():
        return
    _require_regular(path)
    size = 0
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(MAX_UNPACKED_BYTES - size + 1):
                size += len(line)
                if size > MAX_UNPACKED_BYTES:
                    raise ResultsError(f"{path} unpacks to more than {MAX_UNPACKED_BYTES:,} bytes", RUN_AGAIN)
                yield line
    except EOFError:
        if complete:
            raise ResultsError(f"{path} is cut short, and its run came to its end", RUN_AGAIN) from None
    except (OSError, ValueError, zlib.error) as error:
        raise ResultsError(f"cannot read {path}: {error}", RUN_AGAIN) from None


def _read_rows(path: Path, plan: Plan, *, complete: bool) -> dict[tuple[int, int], tuple[RequestRow, ...]]:
    """A file's rows by replicate and step, as far as they go where a run ended early."""
    rows: dict[tuple[int, int], list[RequestRow]] = {}
    for number, line in enumerate(_unpacked_lines(path, complete=complete)):
        if not number or not line.endswith(b"\n"):
            continue
        try:
            replicate, step, *values = map(int, line.split(b","))
            row = RequestRow(*values)
        except (ValueError, TypeError):
            raise ResultsError(f"{path}, line {number + 1} is not a valid request row", RUN_AGAIN) from None
        if not consistency.is_request_of(plan, row):
            raise ResultsError(f"{path}, line {number + 1} is not a request of this plan", RUN_AGAIN)
        rows.setdefault((replicate, step), []).append(row)
    return {key: tuple(values) for key, values in rows.items()}


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        ResultsError: it cannot be read, or is not a regular file.
    """
    try:
        if path.exists():
            _require_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(
            f"cannot read {path}: {error.strerror or error}", "name the folder of a run"
        ) from None


def _require_regular(path: Path) -> None:
    """Raise ResultsError for a pipe or a device: reading it might block."""
    if not path.is_file():
        raise ResultsError(f"{path} is not a regular file", "name the folder of a run")


def decode(raw: bytes, kind: type[T], path: Path) -> T:
    """A record from JSON.

    Raises:
        ResultsError: it is something else.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path} cannot be read: {error}", RUN_AGAIN) from None
