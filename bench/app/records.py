"""Applications and setups: the records that app files and setup files are decoded into.

`docs/REFERENCE.md` explains the keys; `services/app.schema.json` is generated from these classes.
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

BASELINE = "none"
AA = "none-aa"
INJECTED = "injected"
CHECKS = frozenset({AA, INJECTED})
"""Setups that check the measurement; they are never an answer."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,39}$")]
ProcessName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
Command: TypeAlias = str | list[str]
Environ: TypeAlias = dict[str, str]
Mode: TypeAlias = Literal["none", "api", "batch", "simple"]
Status = Annotated[int, Meta(ge=100, le=599)]


class _Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of a user's file; a key that it does not have is an error."""


class Environment(_Record, frozen=True, kw_only=True):
    """What to install before the application can start; cached by content.

    Attributes:
        python: version of the interpreter, such as "3.11"; the harness's own version by default.
        pip: requirements for pip.
        npm: packages for npm.
        always: false: only for setups with packages of their own; all others start in the caller's.
    """

    python: str = ""
    pip: list[str] = []
    npm: list[str] = []
    always: bool = True


NOWHERE = "none"
"""Ready path of a process that listens nowhere."""


class ReadyLine(_Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process that listens nowhere writes when it is ready.

    Attributes:
        log: text that stands in its output.
    """

    log: Annotated[str, Meta(min_length=1)]


class Process(_Record, frozen=True, kw_only=True):
    """One process of the application, with all the processes that it starts itself.

    Attributes:
        name: also OTEL_SERVICE_NAME, unless `env` says otherwise.
        command: split as a shell would, or a list; never run by a shell.
        cwd: relative to the app file.
        env: variables of its own.
        ready: path that is asked until it answers below 500; "tcp" for what speaks no HTTP; for what listens
            nowhere the text of a line that it writes, or "none": it is ready as soon as it runs.
        ready_timeout_s: how long it may take.
        prepare: command to run before each start, in the instance's own temporary folder.
        version: command whose output is stored with every result.
        stop: signal that ends it.
        stop_timeout_s: how long it may take to end.
        traced: false for a database, say: metered, never instrumented.
    """

    name: ProcessName
    command: Command
    cwd: str = "."
    env: Environ = {}
    ready: str | ReadyLine = "/"
    ready_timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    prepare: Command = ""
    version: Command = ""
    stop: Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"] = "SIGTERM"
    stop_timeout_s: Annotated[float, Meta(gt=0, le=120)] = 10.0
    traced: bool = True

    @property
    def listens_nowhere(self) -> bool:
        """True for a process that accepts no connections, such as a worker of a queue."""
        return isinstance(self.ready, ReadyLine) or self.ready == NOWHERE


class Request(_Record, frozen=True, kw_only=True):
    """One kind of request, sent to the first process.

    Attributes:
        method: HTTP method.
        path: with its query.
        headers: sent along; no `traceparent`, which would decide the sampling.
        json: body, encoded as JSON.
        body: body as text.
        expect: status or statuses of a completed request; anything else has failed.
        weight: how often it is sent, relative to the others.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    path: Annotated[str, Meta(pattern="^/")]
    headers: Environ = {}
    json: Any = None
    body: str = ""
    expect: Status | list[Status] = 200
    weight: Annotated[float, Meta(gt=0)] = 1.0

    @property
    def statuses(self) -> frozenset[int]:
        """Statuses of a completed request."""
        return frozenset(self.expect if isinstance(self.expect, list) else [self.expect])

    @property
    def content(self) -> str:
        """The body that is sent."""
        return self.body if self.json is None else msgspec.json.encode(self.json).decode()

    @property
    def all_headers(self) -> Environ:
        """The headers that are sent, with the type of a JSON body."""
        types = {} if self.json is None else {"content-type": "application/json"}
        return types | {name.lower(): value for name, value in self.headers.items()}

    @property
    def label(self) -> str:
        """Method and path without its query."""
        return f"{self.method} {self.path.partition('?')[0]}"


class Tracing(_Record, frozen=True, kw_only=True):
    """How a traced setup is started; without it the application reads OTEL_* by itself.

    Attributes:
        launcher: words in front of the command of every traced process.
        env: variables of every traced process.
        flush: path of a POST, for every traced process, that exports everything.
        usage: path of a GET, for every traced process, that tells `cpu_ns`, `memory_bytes`,
            `sampled_roots` and `discarded_spans` as JSON; every key is optional.
        spans: spans of one sampled request by process; or that by the word in a setup's `spans`.
        instrumentors: names of its instrumentations, as in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS; where
            there are none, the launcher's environment is asked.
    """

    launcher: str = ""
    env: Environ = {}
    flush: str = ""
    usage: str = ""
    spans: dict[str, int | dict[str, int]] = {}
    instrumentors: list[str] = []


class Injected(_Record, frozen=True, kw_only=True):
    """How the application burns a known amount of CPU inside of every request, if it can.

    Attributes:
        env: variables of the process that burns it; `{cpu_us}` stands for the microseconds, `{when}` for
            `answered` (after the answer), `before` or `after` its outgoing calls.
        process: that burns it, unless a measurement names others; without a name all receive the variables
            and decide themselves.
    """

    env: Environ
    process: str = ""


class Setup(_Record, frozen=True, kw_only=True):
    """One way to trace the application, and nothing else.

    Attributes:
        name: on the command line and in every table.
        description: one sentence.
        tracing: none (started plainly), api (instrumented, no SDK), batch or simple (span processor).
        spans: a word that only the application understands, `{spans}` in its commands and variables.
        env: variables of OpenTelemetry and others.
        python: version of the interpreter, where it differs from the application's.
        pip: requirements that take the place of the application's own of the same name, or are added.
        npm: likewise, packages for npm.
        against: setup that this one is compared with, besides the baseline.
        layer: what it adds to that one, as a step of a ladder.
        operations: operations of `tracing-overhead micro` that a request of it consists of, for
            predictions of layers; a minus sign takes one away.
        collector_sampling: share of its traces that a collector on the way to the receiver keeps.
        may_lose: true if it should show how many spans it loses: that is a result, not a defect.
    """

    name: Name
    description: str = ""
    tracing: Mode = "batch"
    spans: str = ""
    env: Environ = {}
    python: str = ""
    pip: list[str] = []
    npm: list[str] = []
    against: str = ""
    layer: str = ""
    operations: list[str] = []
    collector_sampling: Annotated[float, Meta(gt=0, le=1)] = 1.0
    may_lose: bool = False

    @property
    def has_packages(self) -> bool:
        """True if it runs in an environment of its own."""
        return bool(self.python or self.pip or self.npm)


class App(_Record, frozen=True, kw_only=True):
    """A whole application.

    Attributes:
        name: of the application.
        unit: what one planned arrival is called in reports.
        environment: what to install first.
        process: one or more, started in this order; the first one gets the requests.
        request: one or more.
        tracing: how a traced setup is started.
        injected: how it burns an injected cost inside requests, for `accuracy`; that of a run burns apart.
        setup: setups of its own, beside the table.
        preset: lists of setups by name.
    """

    name: Name
    unit: str = "request"
    environment: Environment | None = None
    process: Annotated[list[Process], Meta(min_length=1)]
    request: Annotated[list[Request], Meta(min_length=1)]
    tracing: Tracing = msgspec.field(default_factory=Tracing)
    injected: Injected | None = None
    setup: list[Setup] = []
    preset: dict[str, list[str]] = {}

    @property
    def words(self) -> list[str]:
        """Everything in which a placeholder may stand."""
        texts = [self.tracing.launcher, *self.tracing.env.values()]
        for process in self.process:
            for command in (process.command, process.prepare, process.version):
                texts += command if isinstance(command, list) else [command]
            texts += [*process.env.values(), process.cwd]
        return texts + list(self.injected.env.values() if self.injected else [])

    @property
    def statuses(self) -> list[frozenset[int]]:
        """Expected statuses of every kind of request."""
        return [request.statuses for request in self.request]

    @property
    def modes(self) -> frozenset[str]:
        """Values of `tracing` that the application understands."""
        if any("{tracing}" in text for text in self.words):
            return frozenset({"none", "api", "batch", "simple"})
        return frozenset({"none", "batch"})


class Stack(_Record, frozen=True, kw_only=True):
    """A server that is tried for what it loses.

    Attributes:
        name: in the table.
        interface: what the application below it speaks.
        command: split as a shell would.
        orderly: whether the application ends its providers in its lifespan.
    """

    name: str
    interface: Literal["wsgi", "asgi"]
    command: str
    orderly: bool = False


class StacksFile(_Record, frozen=True, kw_only=True):
    """The server stacks of `tracing-overhead shutdown`."""

    environment: Environment
    stack: Annotated[list[Stack], Meta(min_length=1)]


class SetupsFile(_Record, frozen=True, kw_only=True):
    """A file of setups."""

    setup: Annotated[list[Setup], Meta(min_length=1)]
