"""The harness's own child processes: receiver, load and tools that somebody else wrote.

A child has a session of its own, so that Ctrl-C reaches the harness alone, which then ends the run
in order. It ends with its standard input, and the keeper ends what does not.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.errors import ServiceError
from bench.plan.machine import UNKNOWN

ROOT = Path(__file__).resolve().parent.parent.parent
"""Where `services` and `locustfiles` are."""
LAST_LINES, LOOKED_AT = 5, 200
EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b( \[\w+\])?: ")
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy"})
UV_CACHES = ("archive-v", "environments-v")
"""Folders of uv's cache that hold the environments of `uvx`."""
RUN_VARIABLE = "BENCH_RUN"
"""Every process of a run has it, so that what a killed run left can be found."""


@contextlib.contextmanager
def undone_on_failure(undo: Callable[[], object]) -> Iterator[None]:
    """Call `undo` if what is done meanwhile fails or is interrupted."""
    with contextlib.ExitStack() as stack:
        stack.callback(undo)
        yield
        stack.pop_all()


def leashed(*command: str) -> list[str]:
    """Arguments with which Python runs another program so that it ends with the harness."""
    return ["-P", str(Path(__file__).with_name("leash.py")), str(os.getpid()), *command]


class Child:
    """A process of the harness's own.

    Attributes:
        name: for messages.
        pid: process id.
    """

    def __init__(  # noqa: PLR0913 - a process is what it is started with
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        log: Path,
        pass_fds: Iterable[int] = (),
        stdout: int | None = None,
        cwd: Path = ROOT,
    ) -> None:
        """Start it.

        Args:
            name: for messages.
            arguments: of this Python.
            environ: its whole environment.
            log: where its output goes.
            pass_fds: file descriptors that it inherits.
            stdout: where its standard output goes instead.
            cwd: its working directory.
        """
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=output if stdout is None else stdout,
                stderr=output,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def read_line(self) -> bytes:
        """A line of its standard output; empty at the end."""
        return b"" if self._popen.stdout is None else self._popen.stdout.readline()

    def write_line(self) -> None:
        """Write an empty line to its standard input: a sign to go on."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write(b"\n")
                self._popen.stdin.flush()

    def is_running(self) -> bool:
        """True until it has ended."""
        return self._popen.poll() is None

    def check(self) -> None:
        """Raise ServiceError with its last output if it has ended."""
        if not self.is_running():
            raise self.death()

    def death(self) -> ServiceError:
        """The error that says how it ended."""
        return death_of(self.name, self._popen.poll(), self._log)

    def ask_to_stop(self) -> None:
        """Tell it to stop, without waiting."""
        if self.is_running():
            self._popen.terminate()
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()

    def stop(self, limit_s: float) -> None:
        """Stop it, by force after `limit_s`."""
        self.ask_to_stop()
        try:
            self._popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()


def death_of(name: str, code: int | None, log: Path) -> ServiceError:
    """The error that says how a process ended, with its last output.

    Args:
        name: of the process.
        code: its return code; None while it runs and does not answer.
        log: where its output went.
    """
    if code is None:
        how = "does not answer"
    elif code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"ended with code {code}"
    return ServiceError(f"{name} {how}", last_output(log))


def last_output(log: Path) -> str:
    """The last lines of a log in one line; before them its last exception, which may stand higher up."""
    try:
        text = log.read_text("utf-8", "replace")
    except OSError:
        text = ""
    every = [line.strip() for line in text.splitlines() if line.strip()]
    lines = every[-LAST_LINES:]
    raised = [line for line in every[-LOOKED_AT:] if EXCEPTION.match(line)]
    if raised and raised[-1] not in lines:
        lines = [raised[-1], *lines[1:]]
    if not lines:
        return "it left no message: look for the out-of-memory killer in `dmesg`"
    return "its last output: " + " | ".join(lines)


def plain_environ(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The caller's environment without what would configure OpenTelemetry, Python, Locust or a proxy.

    A proxy would get the application's exports. Of Python's own variables one is a trap: with
    PYTHONDONTWRITEBYTECODE (common in containers) every process compiles all that it imports, and
    a replicate starts three times slower. PATH omits the harness's own programs: those of the application
    are meant.
    """
    ours = ("OTEL_", "BENCH_", "LOCUST_", "PYTHON")
    plain = {
        name: value
        for name, value in environ.items()
        if not name.startswith(ours) and name.lower() not in PROXIES
    }
    return plain | {"PATH": path_of_the_caller(environ)}


def path_of_the_caller(environ: Mapping[str, str] = os.environ) -> str:
    """PATH without what uvx or nox has put in front of it: the harness's own Python, Flask and agent.

    An active virtual environment leads it again: a uvx that pyenv starts puts pyenv's own Python before it.
    """
    path = environ.get("PATH", os.defpath)
    if not is_ephemeral(environ):
        return path
    folders = [
        folder for folder in path.split(os.pathsep) if folder.rstrip("/") != str(Path(sys.prefix) / "bin")
    ]
    active = str(Path(environ.get("VIRTUAL_ENV", sys.prefix)) / "bin")
    leading = [folder for folder in folders if folder.rstrip("/") == active]
    return os.pathsep.join([*leading, *(folder for folder in folders if folder not in leading)])


def is_ephemeral(environ: Mapping[str, str] = os.environ) -> bool:
    """True if uvx or nox has made the environment of this program, which the user has not activated."""
    return "NOX_CURRENT_SESSION" in environ or is_of_uvx()


def is_of_uvx() -> bool:
    """True if this program runs from uv's cache."""
    return any(part.startswith(UV_CACHES) for part in Path(sys.prefix).parts)


def run_to_end(
    command: Sequence[str], environ: Mapping[str, str], limit_s: float
) -> subprocess.CompletedProcess[str]:
    """What a command of the harness's own printed.

    Raises:
        ServiceError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=dict(environ), capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceError(
            f"it took longer than {limit_s:g} s", "close other programs and try again"
        ) from None
    if done.returncode:
        # Lines of valgrind's own begin with its process id.
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("==")]
        raise ServiceError(lines[-1] if lines else "it printed nothing", f"`{' '.join(command)}` shows why")
    return done


def last_line_of(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> str:
    """The last line that a short command prints; `UNKNOWN` and the reason if it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(environ), capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{UNKNOWN} ({error})"
    lines = (done.stdout or done.stderr).decode("utf-8", "replace").strip().splitlines()
    last = lines[-1][:200] if lines else ""
    if done.returncode:
        return f"{UNKNOWN} ({last or f'code {done.returncode}'})"
    return last or UNKNOWN
