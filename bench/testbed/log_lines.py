"""What exporters and instrumentations wrote about failures, in the logs of an instance's processes."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

MAX_BYTES = 2**20
"""How much of the end of a log is read."""
MAX_LINES = 3
"""How many different lines are quoted of an instance."""
MAX_CHARACTERS = 160
EXPORT = re.compile(r"export|otlp|\bspans?\b|\bqueue\b", re.IGNORECASE)
FAILURE = re.compile(
    r"fail|error|refused|timeout|timed out|exceeded|dropp|\bfull\b|unavailable|exhausted|too large"
    r"|\b(413|429|5\d\d)\b",
    re.IGNORECASE,
)
"""OpenTelemetry's SDKs for Python, Node.js, Java, Go, .NET and Ruby name what they do and how it failed."""
NOT_LOADED = re.compile(
    r"DependencyConflict|dependency conflict|nothing can be instrumented"
    r"|(Importing|Instrumenting|Configuration) of \S+ failed"
    r"|instrumentation.*(unsupported|not supported|failed to load)|Failed to auto initialize",
    re.IGNORECASE,
)
"""OpenTelemetry's agents for Python and Node.js write such a line, and go on."""
STAMP = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ][\d:.,]*Z?|^\W+")
CREDENTIALS = re.compile(r"//[^/@\s]+@")
NUMBER = re.compile(r"\d+")


def failed_exports(logs: Iterable[tuple[str, Path]]) -> dict[str, int]:
    """Lines about failed exports, the most frequent first, and how many there are like each.

    Args:
        logs: by process.
    """
    return _lines(logs, lambda line: bool(EXPORT.search(line) and FAILURE.search(line)))


def failed_instrumentations(logs: Iterable[tuple[str, Path]]) -> dict[str, int]:
    """Lines about instrumentations that did not load, as `failed_exports` has its own.

    Args:
        logs: by process.
    """
    return _lines(logs, lambda line: bool(NOT_LOADED.search(line)))


def _lines(logs: Iterable[tuple[str, Path]], is_wanted: Callable[[str], bool]) -> dict[str, int]:
    """Lines that differ in numbers alone are alike; the first one is quoted, without its time."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for process, path in logs:
        for line in filter(is_wanted, _end_of(path).splitlines()):
            text = f"{process}: {_without_time(line)[:MAX_CHARACTERS]}"
            kind = NUMBER.sub("#", text)
            first.setdefault(kind, text)
            counts[kind] = counts.get(kind, 0) + 1
    frequent = sorted(counts, key=lambda kind: -counts[kind])[:MAX_LINES]
    return {first[kind]: counts[kind] for kind in frequent}


def _without_time(line: str) -> str:
    """A line without its time, and without a password in an address."""
    return CREDENTIALS.sub("//", STAMP.sub("", STAMP.sub("", line))).strip()


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - MAX_BYTES, 0))
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        # A log that cannot be read explains nothing, and must not end a run.
        return ""
