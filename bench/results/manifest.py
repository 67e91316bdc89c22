"""`manifest.json`: a checksum of every file as it was written.

A raw file is sealed once; nothing that reads results ever seals it again.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import ResultsError
from bench.plan.records import SCHEMA
from bench.results.store import Store, pretty, read_bytes, read_record

FILE = "manifest.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """SHA-256 of a folder's files, by name.

    Attributes:
        schema: format of the folder.
        raw: of raw files, in the order in which they are checked.
        derived: of files that can be made again from them.
    """

    schema: int = SCHEMA
    raw: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Discrepancy:
    """Something in a results folder that is not as it was written, or does not follow.

    Attributes:
        file: where.
        field: of the file; None where that cannot be told.
        message: what is wrong, with both values where they are known.
        is_raw: whether it is about raw records, so that no figure counts.
    """

    file: str
    field: str | None = None
    message: str
    is_raw: bool = False

    def __str__(self) -> str:
        where = f"{self.file}, {self.field}" if self.field else self.file
        return f"{where}: {self.message}"


def seal(folder: Path, raw: Iterable[str], derived: Iterable[str]) -> None:
    """Seal a folder's raw files that are not sealed yet, and its derived files anew."""
    known = read(folder) or Manifest()
    sealed = {
        name: known.raw.get(name) or digest(folder / name)
        for name in raw
        if name in known.raw or (folder / name).is_file()
    }
    made = known.derived | {name: digest(folder / name) for name in derived}
    Store(folder).write(FILE, pretty(Manifest(raw=sealed, derived=dict(sorted(made.items())))))


def unseal(folder: Path, names: Iterable[str], hint: str) -> None:
    """Unseal raw files to which more records will be appended.

    Raises:
        ResultsError: one of them is not what was written; `hint` says what to do.
    """
    known = read(folder)
    if known is None:
        return
    names = set(names)
    for discrepancy in changed(folder, known):
        if discrepancy.file in names:
            raise ResultsError(f"{folder}: {discrepancy}", hint)
    raw = {name: sealed for name, sealed in known.raw.items() if name not in names}
    Store(folder).write(FILE, pretty(Manifest(raw=raw, derived=known.derived)))


def read(folder: Path) -> Manifest | None:
    """A folder's manifest; None if it has none."""
    return read_record(folder / FILE, Manifest) if (folder / FILE).exists() else None


def changed(folder: Path, manifest: Manifest) -> Iterator[Discrepancy]:
    """Every file that has changed since it was sealed, raw files first."""
    for name, sealed in (*manifest.raw.items(), *manifest.derived.items()):
        path, is_raw = folder / name, name in manifest.raw
        if ".." in Path(name).parts or Path(name).is_absolute():
            yield Discrepancy(file=FILE, field=name, message="is no file of this folder", is_raw=is_raw)
        elif not path.is_file():
            yield Discrepancy(file=name, message="is missing", is_raw=is_raw)
        elif digest(path) != sealed:
            yield Discrepancy(file=name, message="is not what was written", is_raw=is_raw)


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
