"""Gets the tools from the registries that they are published in: Go modules, Maven, npm, PyPI.

A tool is built in a folder of its own beside the one that it will have, and moved there once
it is complete: an interrupted build is never found there.
Registries and caches are those that a person's go, mvn, npm and pip are set up for.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from bench.errors import ResultsError, ServiceError, UsageError
from bench.testbed.process import leashed, undone_on_failure
from bench.traces.catalogue import CORE, FOLDER, Tool

Say = Callable[[str], None]
LAST_LINES = 4


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


class _Workshop:
    """A folder in which a tool is built, with a log.

    Args:
        tool: which one.
        say: called with each step that begins.
    """

    def __init__(self, tool: Tool, say: Say) -> None:
        self.tool = tool
        self.folder = FOLDER / f"{tool.name}.part"
        self.log = FOLDER / f"{tool.name}.log"
        self._say = say

    def run(
        self,
        what: str,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What a program printed.

        Raises:
            ServiceError: it failed.
        """
        self._say(f"{self.tool.name} {self.tool.version}: {what}")
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                # A build takes minutes: it must not go on without us.
                [sys.executable, *leashed(*map(str, command))],
                cwd=cwd or self.folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
            # A compiler has children of its own.
            with undone_on_failure(lambda: _end_group(started)):
                printed, _ = started.communicate()
            log.write(printed)
        if started.returncode:
            raise ServiceError(
                f"installing {self.tool.name} {self.tool.version} failed: {Path(command[0]).name} ended "
                f"with code {started.returncode}: {self._last_output()}",
                f"all of it is in {FOLDER.name}/{self.log.name}; {self.tool.container}",
            )
        return printed.decode("utf-8", "replace")

    def _last_output(self) -> str:
        lines = [line.strip() for line in self.log.read_text("utf-8", "replace").splitlines()]
        return " | ".join([line for line in lines if line][-LAST_LINES:])


def get(tool: Tool, say: Say) -> None:
    """The tool stands in its folder.

    Raises:
        UsageError: a program that the installation needs is missing.
        ServiceError: the installation failed.
        ResultsError: its folder cannot be written.
    """
    lacking = [program for program in tool.build if shutil.which(program) is None]
    if lacking:
        raise UsageError(
            f"installing {tool.name} needs {', '.join(lacking)}, which is not here", tool.advice(lacking)
        )
    workshop = _Workshop(tool, say)
    try:
        FOLDER.mkdir(exist_ok=True)
        with (FOLDER / f"{tool.name}.lock").open("w") as lock:
            _build(workshop, lock)
    except OSError as error:
        raise ResultsError(
            f"cannot write {workshop.folder}: {error.strerror or error}",
            "make room, or look at its permissions",
        ) from None


def _build(workshop: _Workshop, lock: IO[str]) -> None:
    """Builds a tool and moves it to its place, unless somebody else is at it."""
    tool = workshop.tool
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another `backends` is installing {tool.name} at the moment", "wait until that has ended"
        ) from None
    try:
        _remove(workshop.folder)
        workshop.folder.mkdir()
        workshop.log.unlink(missing_ok=True)
        _RECIPES[tool.name](workshop)
        (workshop.folder / "version").write_text(tool.stamp, "utf-8")
        _remove(tool.folder)
        workshop.folder.rename(tool.folder)
    finally:
        _remove(workshop.folder)


def _remove(folder: Path) -> None:
    """Remove a folder if it exists; Go's sources are read-only."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    if folder.exists():
        shutil.rmtree(folder)


def _otelcol(workshop: _Workshop) -> None:
    version, source = workshop.tool.version, workshop.folder / "source"
    manifest = {
        "dist": {"name": "otelcol", "output_path": str(source)},
        **{
            f"{kind}s": [
                {"gomod": f"{part} v{version}"} for part in workshop.tool.parts if f"/{kind}/" in part
            ]
            for kind in ("receiver", "processor", "exporter")
        },
    }
    # JSON is YAML.
    (workshop.folder / "builder.yaml").write_text(json.dumps(manifest), "utf-8")
    bin_ = {"GOBIN": str(workshop.folder)}
    workshop.run("its builder", ["go", "install", f"{CORE}/cmd/builder@v{version}"], env=bin_)
    workshop.run(
        "building it, ten minutes or more", [workshop.folder / "builder", "--config", "builder.yaml"]
    )
    (source / "otelcol").rename(workshop.tool.program_in(workshop.folder))
    _remove(source)
    (workshop.folder / "builder").unlink()


def _jaeger(workshop: _Workshop) -> None:
    # `go install` refuses a module with replacements: it has to be the main module.
    module = f"github.com/jaegertracing/jaeger@v{workshop.tool.version}"
    answer = json.loads(workshop.run("its sources", ["go", "mod", "download", "-json", module]))
    source = workshop.folder / "source"
    shutil.copytree(answer["Dir"], source)
    target = workshop.tool.program_in(workshop.folder)
    build: list[str | Path] = ["go", "build", "-mod=mod", "-ldflags=-s -w", "-o", target, "./cmd/jaeger"]
    for folder in (source, *source.rglob("*")):
        folder.chmod(0o755)
    workshop.run("building it, ten minutes or more", build, cwd=source)
    _remove(source)


def _zipkin(workshop: _Workshop) -> None:
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
    artifact = f"-Dartifact=io.zipkin:zipkin-server:{workshop.tool.version}:jar:exec"
    target = f"-DoutputDirectory={workshop.folder}"
    workshop.run("its jar", ["mvn", "-B", plugin, artifact, target])
    jar = next(workshop.folder.glob("zipkin-server-*.jar"))
    jar.rename(workshop.tool.program_in(workshop.folder))


def _aspire(workshop: _Workshop) -> None:
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    package = f"@microsoft/aspire-cli-linux-{machine}"
    install: list[str | Path] = ["npm", "install", "--no-audit", "--no-fund", "--prefix", workshop.folder]
    workshop.run("its package", [*install, f"{package}@{workshop.tool.version}"])
    # It keeps settings in HOME, and would report its use to its makers.
    quiet = {"HOME": str(workshop.folder), "ASPIRE_CLI_TELEMETRY_OPTOUT": "true"}
    cli = workshop.folder / "node_modules" / package / "bin" / "aspire"
    workshop.run("unpacking it", [cli, "setup", "--non-interactive", "--nologo"], env=quiet)
    # The dashboard alone, without the command line around it that looks for newer versions.
    managed = next((cli.parent.parent / "versions").glob("*/managed/aspire-managed"))
    workshop.tool.program_in(workshop.folder).symlink_to(managed.relative_to(workshop.folder))
    cli.unlink()


def _rotel(workshop: _Workshop) -> None:
    # Its program is linked against this very Python's library.
    requirement = f"rotel=={workshop.tool.version}"
    pip: list[str | Path] = ["python3.11", "-m", "pip", "install", "--quiet"]
    if shutil.which("uv"):
        pip = ["uv", "pip", "install", "--quiet", "--python", "python3.11"]
    workshop.run("its wheel", [*pip, "--no-deps", "--target", workshop.folder, requirement])
    where = "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"
    libdir = workshop.run("its Python", ["python3.11", "-c", where])
    workshop.tool.program_in(workshop.folder).chmod(0o755)
    (workshop.folder / "libdir").write_text(libdir, "utf-8")


_RECIPES = {"otelcol": _otelcol, "rotel": _rotel, "jaeger": _jaeger, "zipkin": _zipkin, "aspire": _aspire}
