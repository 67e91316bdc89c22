"""The results folder: raw records appended as they happen, derived files written at the end.

Rule 1: what was measured is on disk before the next window begins.
Rule 2: raw files are only ever appended to; a last line cut short by a full disk or a
crash is left out when reading, and the windows before it count.
Rule 3: no host name, no secret.
"""

import csv
import gzip
import io
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.errors import ResultsError
from bench.journey import Exemplar
from bench.model import SCHEMA, Ending, Machine, Plan, Raw, Request, Slice, Window

T = TypeVar("T")
ITERATIONS, TRIALS = "iterations.jsonl", "trials.jsonl.gz"
"""Raw files of the specification's report and of a calibration."""
EXEMPLARS = "traces.jsonl.gz"
"""The slowest traces of a run's windows; no figure rests on them."""
MIN_FREE_BYTES = 50 * 1024 * 1024
REQUEST_COLUMNS = ("epoch", "window", "setup", "planned_ns", "sent_ns", "done_ns", "status", "worker")


def folder_name(now: datetime, name: str) -> str:
    """`<UTC>-<name>`: sorts by time."""
    return f"{now:%Y%m%dT%H%M%SZ}-{name}"


def pretty(record: object) -> bytes:
    """A record as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


class Store:
    """One results folder, to be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Store":
        """A new folder, or an empty one.

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

    def write(self, name: str, content: bytes) -> None:
        """A whole file."""
        path = self.folder / name
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise _cannot("write", path, error) from None

    def write_plan(self, plan: Plan) -> None:
        """plan.json."""
        self.write("plan.json", pretty(plan))

    def append_window(self, window: Window) -> None:
        """One record to windows.jsonl."""
        self.append_line("windows.jsonl", window)

    def append_requests(self, requests: Iterable[Request]) -> None:
        """A window's rows to requests.csv.gz, as a gzip member of their own."""
        self._append_rows("requests.csv.gz", requests)

    def append_slice(self, piece: Slice, requests: Iterable[Request]) -> None:
        """One record to slices.jsonl and its rows to solo.csv.gz, where `window` is the slice's number."""
        self._append_rows("solo.csv.gz", requests)
        self.append_line("slices.jsonl", piece)

    def append_exemplars(self, exemplars: Iterable[Exemplar]) -> None:
        """A window's slowest traces to traces.jsonl.gz, a gzip member each."""
        for exemplar in exemplars:
            self.append_packed(EXEMPLARS, exemplar)

    def append_line(self, name: str, record: object) -> None:
        """One record to a file of lines."""
        self._append(name, msgspec.json.encode(record) + b"\n")

    def append_packed(self, name: str, record: object) -> None:
        """One record to a gzipped file of lines, as a member of its own."""
        self._append(name, gzip.compress(msgspec.json.encode(record) + b"\n", mtime=0))

    def _append_rows(self, name: str, requests: Iterable[Request]) -> None:
        path = self.folder / name
        requests = tuple(requests)
        if not requests and path.exists():
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        if not path.exists():
            rows.writerow(REQUEST_COLUMNS)
        rows.writerows([getattr(request, column) for column in REQUEST_COLUMNS] for request in requests)
        self._append(path.name, gzip.compress(text.getvalue().encode(), mtime=0))

    def _append(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            with path.open("ab") as file:
                file.write(content)
        except OSError as error:
            raise _cannot("write", path, error) from None


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
    return Raw(
        plan=plan,
        windows=_read_windows(folder / "windows.jsonl", plan),
        requests=_read_rows(folder / "requests.csv.gz"),
        slices=read_lines(folder / "slices.jsonl", Slice),
        solo_requests=_read_rows(folder / "solo.csv.gz"),
        ending=read_ending(folder),
    )


def _read_windows(path: Path, plan: Plan) -> tuple[Window, ...]:
    """All windows; each holds the fleets of the plan and no others."""
    windows = read_lines(path, Window)
    due = {setup.name for setup in plan.setups}
    for number, window in enumerate(windows, 1):
        found = {fleet.setup for fleet in window.fleets}
        if found != due:
            raise ResultsError(
                f"{path}, line {number} has the fleets {', '.join(sorted(found)) or 'none'}, and the plan "
                f"{', '.join(sorted(due))}",
                "it was changed, or belongs to another run",
            )
    return windows


def read_plan(folder: Path) -> Plan:
    """A folder's plan.

    Raises:
        ResultsError: there is none, or of another schema.
    """
    path = folder / "plan.json"
    raw = _read(path)
    schema = msgspec.json.decode(raw, type=dict[str, object]).get("schema") if raw.strip() else None
    if schema != SCHEMA:
        raise ResultsError(
            f"{path} has schema {schema}, not {SCHEMA}", "read it with the version that wrote it"
        )
    return _decode(raw, Plan, path)


def read_machine(folder: Path) -> Machine | None:
    """What a folder's figures were measured on; absent where nobody wrote it down.

    Raises:
        ResultsError: the file cannot be read.
    """
    path = folder / "machine.json"
    return read_record(path, Machine) if path.exists() else None


def read_record(path: Path, kind: type[T]) -> T:
    """A file that holds one record.

    Raises:
        ResultsError: it is not there, or not such a record.
    """
    return _decode(_read(path), kind, path)


def read_ending(folder: Path) -> Ending:
    """How a folder's run ended; a run that left no word of it was killed.

    Raises:
        ResultsError: it cannot be read.
    """
    path = folder / "ending.json"
    if not path.exists():
        return Ending(complete=False, failure="the harness itself was killed")
    return _decode(_read(path), Ending, path)


def read_lines(path: Path, kind: type[T]) -> tuple[T, ...]:
    """A file's records, without a last line that was cut short; none without the file.

    Raises:
        ResultsError: it cannot be read, or holds something else.
    """
    if not path.exists():
        return ()
    lines = _read(path).split(b"\n")
    return tuple(_decode(line, kind, path) for line in lines[:-1])


def read_packed(path: Path, kind: type[T]) -> tuple[T, ...]:
    """A gzipped file's records, without a last member that was cut short; none without the file.

    Raises:
        ResultsError: it is not gzipped, or holds something else.
    """
    if not path.exists():
        return ()
    found: list[T] = []
    try:
        with gzip.open(path, "rb") as file:
            found.extend(_decode(line, kind, path) for line in file)
    except EOFError:
        pass
    except OSError as error:
        raise _cannot("read", path, error) from None
    return tuple(found)


def _read_rows(path: Path) -> tuple[Request, ...]:
    """A file's rows, without a last member that was cut short."""
    if not path.exists():
        return ()
    text = io.StringIO()
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            for line in file:
                text.write(line)
    except EOFError:
        pass  # the last member was cut short: its rows belong to no complete window
    except OSError as error:
        raise _cannot("read", path, error) from None
    text.seek(0)
    reader = csv.DictReader(text)
    rows: Sequence[dict[str, str]] = list(reader)
    last = (reader.fieldnames or REQUEST_COLUMNS)[-1]
    return tuple(
        Request(
            epoch=int(row["epoch"]),
            window=int(row["window"]),
            setup=row["setup"],
            planned_ns=int(row["planned_ns"]),
            sent_ns=int(row["sent_ns"]),
            done_ns=int(row["done_ns"]),
            status=int(row["status"]),
            worker=int(row.get("worker", 0)),
        )
        for row in rows
        if row[last]
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(
            f"cannot read {path}: {error.strerror or error}", "is it the folder of a run?"
        ) from None


def _decode(raw: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise ResultsError(
            f"{path} cannot be read: {error}", "it was changed, or written by another version"
        ) from None
