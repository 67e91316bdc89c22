"""Reads app files and setup files; every error names the file, the line and the key."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from bench.app.otel_names import is_known, nearest
from bench.app.records import (
    App,
    Environment,
    Injected,
    Process,
    Request,
    Setup,
    SetupsFile,
    Stack,
    StacksFile,
    Tracing,
)
from bench.app.setups import TABLE
from bench.errors import UsageError

T = TypeVar("T", App, SetupsFile, StacksFile)

PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::([A-Za-z0-9._-]+))?\}")
PLACEHOLDERS = ("port", "url", "tmp", "dir", "python", "npm", "tracing", "spans", "cpu_us", "when")
MAX_FILE_BYTES = 1_000_000
DECIDING = {"traceparent", "tracestate", "b3", "uber-trace-id", "x-amzn-trace-id", "x-cloud-trace-context"}
"""Headers with a parent's decision whether to sample."""
OUR_KEYS = {"BENCH_TRACING": "tracing", "BENCH_SPANS": "spans"}
"""Variables of the harness that a setup has as a key instead."""
RENAMED = {
    "control": "injected",
    "kept": "collector_sampling",
    "none-again": "none-aa",
    "dapper-16": "ratio-1-in-16",
}
"""Keys and setups of earlier versions of the file, with their names of today."""
_TABLES: dict[str, type[msgspec.Struct]] = {
    "process": Process,
    "request": Request,
    "tracing": Tracing,
    "setup": Setup,
    "stack": Stack,
    "environment": Environment,
    "injected": Injected,
}
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`")
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAMPLERS = ("always_on", "always_off", "traceidratio")


class _Source:
    """The text of a file, to find lines in.

    Attributes:
        name: of the file, for messages.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines = text.splitlines()

    def error(self, path: str, key: str, problem: str, hint: str = "") -> UsageError:
        """The error about a key of the table at `path` (as msgspec writes it, `$.process[0]`)."""
        line = self._line(path, key)
        return UsageError(
            f"{self.name}, line {line}: `{key}` {problem}", hint or "docs/REFERENCE.md explains every key"
        )

    def _line(self, path: str, key: str) -> int:
        """Line of a key; of its table's head where it has no line of its own.

        tomllib keeps no positions, so a key is found again by its text.
        """
        tables = re.findall(r"([A-Za-z_]+)(?:\[(\d+)\])?", path.removeprefix("$"))
        name, number = (tables[0][0], int(tables[0][1] or 0)) if tables else ("", 0)
        first, last = 1, len(self._lines)
        if name in _TABLES:
            head = re.compile(rf"\s*\[\[?\s*{name}\b")
            heads = [at for at, line in enumerate(self._lines, 1) if head.match(line)]
            if number < len(heads):
                first = heads[number]
                last = next(
                    (
                        at - 1
                        for at in range(first + 1, last + 1)
                        if self._lines[at - 1].lstrip().startswith("[")
                    ),
                    last,
                )
        pattern = re.compile(
            rf"(^|[\s{{,.\"'])[\"']?{re.escape(key)}[\"']?\s*=|^\s*\[\[?\s*{re.escape(key)}\b"
        )
        for at in range(first, last + 1):
            if pattern.search(self._lines[at - 1]):
                return at
        return first


def parse_app(text: str, name: str) -> App:
    """The application of an app file.

    Args:
        text: what the file holds.
        name: of the file, for messages.

    Raises:
        UsageError: with line and key.
    """
    source = _Source(text, name)
    app = _decode(text, source, App)
    _check_unique(source, "process", [process.name for process in app.process])
    for at, request in enumerate(app.request):
        lower = [header.lower() for header in request.headers]
        twice = next((header for header in request.headers if lower.count(header.lower()) > 1), None)
        if twice is not None:
            raise source.error(
                f"$.request[{at}].headers", twice, "stands twice, in other letters", "leave one of them out"
            )
        for header in request.headers:
            if header.lower() in DECIDING or header.lower().startswith("x-b3-"):
                raise source.error(
                    f"$.request[{at}].headers", header, "would decide what is sampled", "leave the header out"
                )
        if request.json is not None and request.body:
            raise source.error(f"$.request[{at}]", "body", "and `json` exclude each other")
    _check_placeholders(app, source)
    _check_setups(app.setup, source, [setup.name for setup in TABLE])
    known = {setup.name for setup in (*TABLE, *app.setup)}
    for preset, names in app.preset.items():
        for setup in names:
            if setup not in known:
                renamed = RENAMED.get(setup)
                hint = f"rename it to {renamed!r}" if renamed else ""
                raise source.error("$.preset", preset, f"names {setup!r}, which is not a known setup", hint)
    return app


def parse_setups(text: str, name: str, taken: Sequence[str]) -> tuple[Setup, ...]:
    """The setups of a setups file.

    Args:
        text: what the file holds.
        name: of the file, for messages.
        taken: names that exist already.

    Raises:
        UsageError: with line and key.
    """
    source = _Source(text, name)
    setups = _decode(text, source, SetupsFile).setup
    _check_setups(setups, source, taken)
    return tuple(setups)


def parse_stacks(text: str, name: str) -> StacksFile:
    """The server stacks of a file, and what they need.

    Raises:
        UsageError: with line and key.
    """
    return _decode(text, _Source(text, name), StacksFile)


def warnings(setups: Sequence[Setup]) -> Iterator[str]:
    """A sentence for every unknown OTEL_* variable: a typo must not read as "tracing is free"."""
    for setup in setups:
        for variable in setup.env:
            if variable.startswith("OTEL_") and not is_known(variable):
                meant = f"; the nearest name is {name}" if (name := nearest(variable)) else ""
                yield f"{variable} in the setup {setup.name} is not known to OpenTelemetry{meant}"


def _decode(text: str, source: _Source, kind: type[T]) -> T:
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{source.name} has more than {MAX_FILE_BYTES:,} characters", "name a TOML file")
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise _explained(str(error), source, kind) from None
        raise UsageError(
            f"{source.name} is not TOML: {error}", "docs/REFERENCE.md shows an app file"
        ) from None


def _explained(message: str, source: _Source, kind: type[msgspec.Struct]) -> UsageError:
    """Convert a msgspec message to an error with line, key and the nearest valid key."""
    match = _WHERE.match(message)
    problem, path = (match["what"], match["path"] or "$") if match else (message, "$")
    unknown, missing = _UNKNOWN.search(problem), _MISSING.search(problem)
    if unknown:
        fields = _fields(path, kind)
        if kind is SetupsFile and unknown["key"] in _fields("$", App):
            hint = "name an app file as the argument of the command, without --setups-file"
            return source.error(path, unknown["key"], "is not a key of a setups file", hint)
        close = difflib.get_close_matches(unknown["key"], fields, 1, 0.5)
        renamed = RENAMED.get(unknown["key"])
        if renamed in fields:
            return source.error(path, unknown["key"], f"is now `{renamed}`", f"rename it to `{renamed}`")
        hint = f"write `{close[0]}`" if close else f"write one of {', '.join(fields)}"
        return source.error(path, unknown["key"], "is not known here", hint)
    if missing:
        return source.error(path, missing["key"], "is missing")
    table, _, key = path.rpartition(".")
    if path.endswith("[...]"):
        table, _, key = path.removesuffix("[...]").rpartition(".")
    return source.error(table, key.partition("[")[0] or "file", f"is wrong: {problem}")


def _fields(path: str, kind: type[msgspec.Struct]) -> list[str]:
    """Keys of the table at a path of a file of this kind."""
    name = re.sub(r"\[\d*\]|^\$\.?", "", path).partition(".")[0]
    kind = _TABLES.get(name, kind)
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _check_unique(source: _Source, table: str, names: Sequence[str]) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            raise source.error(f"$.{table}[{at}]", "name", f"{name!r} is taken; choose another")


def _check_placeholders(app: App, source: _Source) -> None:
    processes = [process.name for process in app.process]
    for text in app.words:
        for match in PLACEHOLDER.finditer(text):
            word, argument = match[1], match[2]
            if word not in PLACEHOLDERS:
                close = difflib.get_close_matches(word, PLACEHOLDERS, 1)
                words = close or PLACEHOLDERS
                raise UsageError(
                    f"{source.name}: {match[0]} in {text!r} is not a placeholder",
                    f"write {' or '.join(f'{{{known}}}' for known in words)}",
                )
            if argument and (word not in {"port", "url"} or argument not in processes):
                raise UsageError(
                    f"{source.name}: {match[0]} in {text!r} names no process",
                    f"the processes are {', '.join(processes)}",
                )
    for at, process in enumerate(app.process):
        if process.listens_nowhere:
            if not at:
                raise source.error(
                    "$.process[0]",
                    "ready",
                    "says that it listens nowhere, and the first process gets the requests",
                    "put the process that answers them first",
                )
            continue
        command = process.command if isinstance(process.command, str) else " ".join(process.command)
        if "{port" not in command + " ".join(process.env.values()):
            raise source.error(
                f"$.process[{at}]",
                "command",
                "names no {port}: instances run side by side, each on ports of its own",
                "write {port} where the command or `env` has the port",
            )


def _check_setups(setups: Sequence[Setup], source: _Source, taken: Sequence[str]) -> None:
    names = [*taken]
    for at, setup in enumerate(setups):
        path = f"$.setup[{at}]"
        if setup.name in names:
            raise source.error(path, "name", f"{setup.name!r} is taken; choose another")
        names.append(setup.name)
        _check_variables(setup.env, source, path)


def _check_variables(env: Mapping[str, str], source: _Source, path: str) -> None:
    for variable, value in env.items():
        if variable.startswith("BENCH_"):
            key = OUR_KEYS.get(variable)
            hint = f"write the key `{key} = {value!r}` instead" if key else "leave it out"
            raise source.error(path, variable, "is a variable of the harness", hint)
        if not _VARIABLE.fullmatch(variable) or "\0" in value:
            raise source.error(path, variable, "is not a possible environment variable")
    sampler = env.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if sampler and sampler.removeprefix("parentbased_") not in _SAMPLERS:
        choices = ", ".join([*_SAMPLERS, *(f"parentbased_{name}" for name in _SAMPLERS)])
        raise source.error(path, "OTEL_TRACES_SAMPLER", f"is {sampler!r}; use one of {choices}")
    if sampler.endswith("traceidratio"):
        argument = env.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
        try:
            valid = 0.0 <= float(argument) <= 1.0
        except ValueError:
            valid = False
        if not valid:
            raise source.error(path, "OTEL_TRACES_SAMPLER_ARG", f"is {argument!r}; use a number from 0 to 1")
