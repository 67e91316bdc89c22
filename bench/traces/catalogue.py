"""The collectors and trace backends: their versions, and where they are installed.

Exact versions: what was measured is known. A test holds `compose.yaml` against them.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.testbed.process import ROOT

FOLDER = ROOT / ".backends"
CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
CORE = "go.opentelemetry.io/collector"
COLLECTOR_PARTS = (
    f"{CORE}/receiver/otlpreceiver",
    f"{CORE}/processor/batchprocessor",
    f"{CORE}/processor/memorylimiterprocessor",
    f"{CONTRIB}/processor/tailsamplingprocessor",
    f"{CORE}/exporter/otlphttpexporter",
    f"{CORE}/exporter/debugexporter",
    f"{CONTRIB}/exporter/zipkinexporter",
    f"{CONTRIB}/exporter/fileexporter",
)
"""Modules that the Collector is built of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A program that somebody else wrote.

    Attributes:
        name: how it is called.
        what: one sentence.
        version: to install.
        program: its file, below its folder.
        build: programs that the installation needs.
        parts: modules that it is built of.
        run: programs that running it needs.
        image: of a container that does the same, as `compose.yaml` has it; empty where there is none.
    """

    name: str
    what: str
    version: str
    program: str
    build: tuple[str, ...]
    parts: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    image: str = ""

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return FOLDER / self.name

    @property
    def path(self) -> Path:
        """Its file, whether or not it is there."""
        return self.program_in(self.folder)

    def program_in(self, folder: Path) -> Path:
        """Its file, were the tool in this folder."""
        return folder / self.program

    @property
    def stamp(self) -> str:
        """The text that identifies a build: version and parts."""
        return "".join(f"{line}\n" for line in (self.version, *self.parts))

    def is_here(self) -> bool:
        """Whether it is installed, in this version and with these parts."""
        stamp = self.folder / "version"
        return self.path.exists() and stamp.exists() and stamp.read_text("utf-8") == self.stamp

    def require(self) -> Path:
        """Its file.

        Raises:
            UsageError: it is not installed, or a program that runs it is missing.
        """
        lacking = [program for program in self.run if shutil.which(program) is None]
        if lacking:
            raise UsageError(
                f"{self.name} runs with {', '.join(lacking)}, which is not here", self.advice(lacking)
            )
        if not self.is_here():
            raise UsageError(
                f"{self.name} {self.version} is not in {FOLDER.name}/",
                f"get it once with `tracing-overhead backends {self.name}`",
            )
        return self.path

    def advice(self, lacking: Sequence[str]) -> str:
        """What a person can do where programs are missing."""
        return f"install {' and '.join(lacking)}; {self.container}"

    @property
    def container(self) -> str:
        """What to do where it cannot be installed."""
        if not self.image:
            return "there is no container of it"
        return f"or run it in a container: `docker compose up {self.name}`"


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(name="otelcol", version="0.161.0", what="OpenTelemetry's Collector, built with its own builder",
             program="otelcol", build=("go",), parts=COLLECTOR_PARTS,
             image="otel/opentelemetry-collector-contrib:0.161.0"),
        Tool(name="rotel", version="0.0.1a15", what="a small collector, written in Rust",
             program="rotel/rotel-agent", build=("python3.11",), run=("python3.11",)),
        Tool(name="jaeger", version="1.76.0", what="keeps traces and answers for them, without web pages",
             program="jaeger", build=("go",), image="jaegertracing/jaeger:2.13.0"),
        Tool(name="zipkin", version="3.6.1", what="keeps traces and shows them",
             program="zipkin.jar", build=("mvn", "java"), run=("java",), image="openzipkin/zipkin:3.6.1"),
        Tool(name="aspire", version="13.5.4", what="the Aspire dashboard: shows traces as they come",
             program="dashboard", build=("npm",), image="mcr.microsoft.com/dotnet/aspire-dashboard:13.5.4"),
    )
}  # fmt: skip
COLLECTORS = ("otelcol", "rotel")
BACKENDS = ("jaeger", "zipkin", "aspire")
