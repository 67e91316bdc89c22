"""`manifest.json`: what a folder's files held when they were written, line by line.

Rule 1: a raw file is sealed once; nothing that reads results ever seals it again.
Rule 2: a line has two bytes of checksum, which say where a file was changed, and the file has a
SHA-256, which says that it was: one changed digit in 65,536 would leave its line's checksum as it was.
"""

import gzip
import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import ResultsError
from bench.model import SCHEMA
from bench.store import EXEMPLARS, ITERATIONS, TRIALS, Store, pretty, read_record

FILE = "manifest.json"
RAW = (
    "plan.json", "machine.json", "windows.jsonl", "requests.csv.gz", "slices.jsonl", "solo.csv.gz",
    "ending.json", "micro.json", "micro-run.json", ITERATIONS, TRIALS, EXEMPLARS,
)  # fmt: skip
"""Raw files, in the order in which they are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What a file held.

    Attributes:
        sha256: of its bytes.
        lines: two bytes of CRC-32 of every line, of what was packed where it is; base64.
    """

    sha256: str
    lines: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a folder's files held.

    Attributes:
        schema: format of the folder.
        files: raw and derived ones, by name.
    """

    schema: int = SCHEMA
    files: dict[str, Seal] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that is not as it should be.

    Attributes:
        file: where.
        line: number of the first line that differs, from 1; absent where there is no such line.
        field: of it; absent where that cannot be told.
        message: what is wrong, with both values where they are known.
    """

    file: str
    line: int | None = None
    field: str | None = None
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"

    @property
    def where(self) -> str:
        """File, line and field."""
        line = f", line {self.line}" if self.line else ""
        return f"{self.file}{line}{f', {self.field}' if self.field else ''}"


def seal(folder: Path, derived: Iterable[str]) -> None:
    """Seals a folder's raw files that are not sealed yet, and its derived files anew.

    Raises:
        ResultsError: a file cannot be read or written.
    """
    known = read(folder) or Manifest()
    files = dict(known.files)
    files |= {name: _sealed(folder / name) for name in RAW if name not in files and (folder / name).is_file()}
    files |= {name: _sealed(folder / name) for name in derived}
    Store(folder).write(FILE, pretty(Manifest(files=dict(sorted(files.items())))))


def read(folder: Path) -> Manifest | None:
    """A folder's manifest; absent if it has none.

    Raises:
        ResultsError: it cannot be read.
    """
    return read_record(folder / FILE, Manifest) if (folder / FILE).exists() else None


def changed(folder: Path, manifest: Manifest) -> Iterator[Fault]:
    """Every file that is not what it was, raw ones first."""
    if manifest.schema != SCHEMA:
        yield Fault(file=FILE, field="schema", message=f"is {manifest.schema}, not {SCHEMA}")
    order = [*(name for name in RAW if name in manifest.files), *sorted(set(manifest.files) - set(RAW))]
    for name in order:
        path = folder / name
        if not path.is_file():
            yield Fault(file=name, message="is missing")
            continue
        fault = _changed(path, manifest.files[name])
        if fault is not None:
            yield fault


def _changed(path: Path, was: Seal) -> Fault | None:
    now = _sealed(path)
    if now == was:
        return None
    if now.sha256 == was.sha256:
        return Fault(
            file=FILE, field=path.name, message="the file is what was written, and its checksums are not"
        )
    lines, before = (_decoded(each.lines) for each in (now, was))
    for at in range(0, max(len(lines), len(before)), 2):
        if lines[at : at + 2] != before[at : at + 2]:
            return Fault(file=path.name, line=at // 2 + 1, message="is not what was written")
    return Fault(file=path.name, message="is not what was written")


def _decoded(lines: str) -> bytes:
    try:
        return b64decode(lines, validate=True)
    except ValueError:
        return b""


def _sealed(path: Path) -> Seal:
    content = _bytes(path)
    try:
        lines = _checksums(path, content)
    except (OSError, EOFError, zlib.error):
        lines = b""  # its last member was cut short; the rest is still what it is
    return Seal(sha256=hashlib.sha256(content).hexdigest(), lines=b64encode(lines).decode())


def _checksums(path: Path, content: bytes) -> bytes:
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return b"".join((zlib.crc32(line) & 0xFFFF).to_bytes(2, "little") for line in text.split(b"\n"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(
            f"cannot read {path}: {error.strerror or error}", "check its permissions"
        ) from None
