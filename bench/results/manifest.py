"""`manifest.json`: a checksum of every file as it was written.

A raw file is sealed once; nothing that reads results ever seals it again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import ResultsError
from bench.plan.records import SCHEMA
from bench.results.store import (
    ENDING,
    MACHINE,
    PLAN,
    READINGS,
    REQUESTS,
    TRACES,
    Store,
    pretty,
    read_bytes,
    read_record,
)

FILE = "manifest.json"
RAW = (
    PLAN, MACHINE, READINGS, REQUESTS, ENDING, TRACES,
    "micro.json", "micro-run.json", "iterations.jsonl", "trials.jsonl.gz",
    "faults.jsonl", "soak.jsonl", "shutdown.json",
)  # fmt: skip
"""Raw files, in the order in which they are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder's files held: SHA-256 of raw and derived ones, by name."""

    schema: int = SCHEMA
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something in a results folder that is not as it should be.

    Attributes:
        file: where.
        field: of the file; None where that cannot be told.
        message: what is wrong, with both values where they are known.
    """

    file: str
    field: str | None = None
    message: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.field}" if self.field else self.file
        return f"{where}: {self.message}"


def seal(folder: Path, derived: Iterable[str]) -> None:
    """Seal a folder's raw files that are not sealed yet, and its derived files anew."""
    known = read(folder) or Manifest()
    files = dict(known.files)
    files |= {name: digest(folder / name) for name in RAW if name not in files and (folder / name).is_file()}
    files |= {name: digest(folder / name) for name in derived}
    Store(folder).write(FILE, pretty(Manifest(files=dict(sorted(files.items())))))


def unseal(folder: Path, raw: str) -> None:
    """Take the seal off a raw file that more will be appended to.

    Raises:
        ResultsError: it is not what was written.
    """
    known = read(folder)
    if known is None:
        return
    for fault in changed(folder, known):
        if fault.file == raw:
            raise ResultsError(f"{folder}: {fault}", "`tracing-overhead accuracy` begins a new series")
    files = {name: digest_ for name, digest_ in known.files.items() if name != raw}
    Store(folder).write(FILE, pretty(Manifest(files=files)))


def read(folder: Path) -> Manifest | None:
    """A folder's manifest; None if it has none."""
    return read_record(folder / FILE, Manifest) if (folder / FILE).exists() else None


def changed(folder: Path, manifest: Manifest) -> Iterator[Fault]:
    """Every file that is not what it was, raw ones first."""
    order = [*(name for name in RAW if name in manifest.files), *sorted(set(manifest.files) - set(RAW))]
    for name in order:
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            yield Fault(file=FILE, field=name, message="is no file of this folder")
        elif not path.is_file():
            yield Fault(file=name, message="is missing")
        elif digest(path) != manifest.files[name]:
            yield Fault(file=name, message="is not what was written")


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
