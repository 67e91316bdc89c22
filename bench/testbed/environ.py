"""The environment and the commands of an instance's processes.

Nothing differs between setups but the declared factor: the caller's OTEL_* variables are removed,
and environments are padded to the same size, because where a program's stack begins depends on how
large its environment is, and its speed on that (Mytkowicz and others, 2009).
"""

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.app.file import PLACEHOLDER
from bench.app.records import BASELINE, App, Command, Process, Setup
from bench.app.setups import protocol
from bench.errors import UsageError
from bench.plan.records import Burn
from bench.receiver.messages import REPLICATE_ATTRIBUTE, SETUP_ATTRIBUTE
from bench.testbed.process import RUN_VARIABLE, plain_environ

USAGE_FILE_VARIABLE, PADDING_VARIABLE = "BENCH_USAGE_FILE", "BENCH_PADDING"
PADDED_BYTES = 6144
"""How much larger than the caller's environment every process's is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an application is started from, the same for all its instances.

    Attributes:
        folder: of the app file.
        path: folders that lead PATH.
        environ: further variables that an installed environment needs.
        python: interpreter that `{python}` stands for.
        npm: folder of installed Node.js packages that `{npm}` stands for; empty without any.
    """

    folder: Path
    path: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    npm: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What an instance's commands and variables depend on.

    Attributes:
        app: what is started.
        place: where from.
        setup: how it is traced.
        ports: of every process.
        tmp: folder of this instance alone.
        endpoints: the receiver's addresses by OTLP protocol.
        replicate: number that its spans carry.
        hash_seed: PYTHONHASHSEED.
        run: identifies the run's processes.
        timers: factor of the batch processor's delay.
        burn_us: CPU that it is to burn per request beyond the application's own.
        burn: where and when the application burns it; None if it burns nothing.
        has_usage_files: whether processes that can write their spans and event-loop stalls to a file
            should do so.
    """

    app: App
    place: Place
    setup: Setup
    ports: Mapping[str, int]
    tmp: Path
    endpoints: Mapping[str, str]
    replicate: int = 0
    hash_seed: int = 0
    run: str = ""
    timers: int = 1
    burn_us: int = 0
    burn: Burn | None = None
    has_usage_files: bool = False

    def usage_file(self, process: Process) -> Path:
        """The file in which a process notes what it does, if it can; it lies beside the instance's folder."""
        return self.tmp.with_name(f"{self.tmp.name}-{process.name}.usage")

    @property
    def is_traced(self) -> bool:
        """True unless the application is started plainly."""
        return self.setup.tracing != "none"

    def url(self, process: str) -> str:
        """Address of a process."""
        return f"http://127.0.0.1:{self.ports[process]}"

    def fill(self, text: str, process: Process) -> str:
        """A text of the app file with its placeholders filled in."""
        words: dict[str, Callable[[str], str]] = {
            "port": lambda name: str(self.ports[name or process.name]),
            "url": lambda name: self.url(name or process.name),
            "tmp": lambda _: str(self.tmp),
            "dir": lambda _: str(self.place.folder),
            "python": lambda _: self.place.python,
            "npm": lambda _: self.place.npm,
            "tracing": lambda _: self.setup.tracing,
            "spans": lambda _: self.setup.spans or default_spans(self.app),
            "cpu_us": lambda _: f"{self.burn_us / max(len(self._burning), 1):g}",
            "when": lambda _: self.burn.when if self.burn else "",
        }
        return PLACEHOLDER.sub(lambda match: words[match[1]](match[2] or ""), text)

    def words(self, command: Command, process: Process) -> list[str]:
        """A command as its words.

        Raises:
            UsageError: its quotes do not match.
        """
        try:
            parts = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise UsageError(
                f"the command of {process.name} cannot be split: {error}", "write it as a list of words"
            ) from None
        return [self.fill(part, process) for part in parts]

    def command(self, process: Process) -> list[str]:
        """How the process is started: with the launcher if it is traced."""
        launcher = self.app.tracing.launcher if self.is_traced and process.traced else ""
        return [*self.words(launcher, process), *self.words(process.command, process)]

    def environ(self, process: Process, caller: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The whole environment of a process, of the same size in every setup.

        Raises:
            UsageError: its variables do not fit.
        """
        environ = plain_environ(caller)
        size = stack_bytes(environ) + PADDED_BYTES
        path = os.pathsep.join([*self.place.path, environ.get("PATH", os.defpath)])
        environ |= {"PATH": path, "PYTHONHASHSEED": str(self.hash_seed).zfill(10), RUN_VARIABLE: self.run}
        if self.tmp.name:
            # Removed with the run, however its processes end.
            environ["TMPDIR"] = str(self.tmp)
        environ |= self._exporting()
        environ |= dict(self.place.environ)
        environ |= {name: self.fill(value, process) for name, value in process.env.items()}
        if self.is_traced and process.traced:
            environ |= self._tracing(process)
        elif process.traced:
            environ |= {name: self.fill(value, process) for name, value in self.setup.env.items()}
        if self.has_usage_files:
            environ[USAGE_FILE_VARIABLE] = str(self.usage_file(process))
        burns = self.burn and not self.burns_apart and process.name in (self._burning or (process.name,))
        if self.app.injected and burns:
            environ |= {name: self.fill(value, process) for name, value in self.app.injected.env.items()}
        padding = size - stack_bytes(environ) - stack_bytes({PADDING_VARIABLE: ""})
        if padding < 0:
            raise UsageError(
                f"the environment of {process.name} in {self.setup.name} is {-padding} bytes too large",
                "shorten the values in its env",
            )
        environ[PADDING_VARIABLE] = "x" * padding
        return environ

    @property
    def burns_apart(self) -> bool:
        """True if what is burnt is burnt by a process beside the application's."""
        apart = self.app.injected is None or (self.burn is not None and self.burn.when == "apart")
        return bool(self.burn_us) and apart

    @property
    def _burning(self) -> tuple[str, ...]:
        """Processes that share the injected cost; empty: all receive the variables and decide themselves."""
        if self.burn is None or self.app.injected is None:
            return ()
        own = (self.app.injected.process,) if self.app.injected.process else ()
        return self.burn.processes or own

    def _exporting(self) -> dict[str, str]:
        """Where spans go; untraced processes get these variables, too, so that unexpected spans are seen.

        Every setup without tracing has the baseline's name: its environment is the baseline's.
        """
        setup = self.setup.name if self.is_traced else BASELINE
        return {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoints.get("http/protobuf", ""),
            "OTEL_RESOURCE_ATTRIBUTES": f"{SETUP_ATTRIBUTE}={setup},{REPLICATE_ATTRIBUTE}={self.replicate}",
        }

    def _tracing(self, process: Process) -> dict[str, str]:
        environ = {
            "OTEL_SERVICE_NAME": process.name,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        environ |= {name: self.fill(value, process) for name, value in self.app.tracing.env.items()}
        environ |= {name: self.fill(value, process) for name, value in self.setup.env.items()}
        environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", self.endpoints.get(protocol(self.setup), ""))
        if self.timers > 1:
            delay = environ.get("OTEL_BSP_SCHEDULE_DELAY", "5000")
            environ["OTEL_BSP_SCHEDULE_DELAY"] = str(int(delay) * self.timers)
        given = environ.get("OTEL_RESOURCE_ATTRIBUTES")
        labels = f"{SETUP_ATTRIBUTE}={self.setup.name},{REPLICATE_ATTRIBUTE}={self.replicate}"
        environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{given},{labels}" if given else labels
        return environ


def default_spans(app: App) -> str:
    """The word that `{spans}` stands for where a setup has none: the app file's first one."""
    return next((word for word, count in app.tracing.spans.items() if isinstance(count, dict)), "")


def shown_variables(launch: Launch) -> dict[str, str]:
    """The variables that configure tracing in the first process, for the record."""
    environ = launch.environ(launch.app.process[0])
    return {
        name: value
        for name, value in sorted(environ.items())
        if name.startswith(("OTEL_", "BENCH_", "NODE_OPTIONS"))
        and name not in {PADDING_VARIABLE, RUN_VARIABLE}
    }


def stack_bytes(environ: Mapping[str, str]) -> int:
    """Bytes that an environment takes on a new process's stack."""
    return sum(len(os.fsencode(name)) + len(os.fsencode(value)) + 2 for name, value in environ.items())
