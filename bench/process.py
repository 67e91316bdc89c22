"""Processes of a run: started apart from the terminal, ended by their id, never left behind.

Rule 1: a child has a session of its own, so that Ctrl-C reaches the harness alone, which
then ends the run in order.
Rule 2: a child reads its standard input and stops when it ends: it cannot outlive the
harness, however that ended. A program that somebody else wrote is kept on a leash for that.
Rule 3: what a child says goes to a file, and its last lines into the error if it dies.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.errors import ServiceError

ROOT = Path(__file__).resolve().parent.parent
"""Where `services` and `locustfiles` stand."""
LAST_LINES = 5


def leashed(*command: str) -> list[str]:
    """Arguments with which Python runs another program so that it ends with the harness."""
    return ["-P", str(ROOT / "bench" / "leash.py"), str(os.getpid()), *command]


class Child:
    """One process of a run.

    Attributes:
        name: how messages call it.
        pid: its process id.
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
    ) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
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
        if self._popen.stdout is None:
            return b""
        return self._popen.stdout.readline()

    def write_line(self) -> None:
        """An empty line to its standard input: a sign to go on."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.write(b"\n")
                self._popen.stdin.flush()

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def check(self) -> None:
        """Nothing, while it runs.

        Raises:
            ServiceError: it has ended, with its last words.
        """
        if not self.is_running():
            raise self.death()

    def death(self) -> ServiceError:
        """The error that says how it ended."""
        code = self._popen.poll()
        how = "does not answer" if code is None else _how(code)
        return ServiceError(f"{self.name} {how}", self._last_words())

    def _last_words(self) -> str:
        text = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
        lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
        if not lines:
            return "it left no message; was it killed, or is memory short?"
        return "its last words: " + " | ".join(lines)

    def pause(self) -> None:
        """Stops it from running until `resume`; it keeps its memory and its sockets."""
        if self.is_running():
            self._popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it run again."""
        if self.is_running():
            self._popen.send_signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """Tells it to stop in order, without waiting."""
        if self.is_running():
            self._popen.terminate()
            # A paused process would find out only when it runs again.
            self.resume()
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._popen.stdin.close()

    def stop(self, limit_s: float) -> None:
        """Stops it, at the latest after `limit_s`, by force if need be."""
        self.ask_to_stop()
        try:
            self._popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()


def _how(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with code {code}"


def plain_environ(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The caller's environment without anything that would configure OpenTelemetry, Python or us.

    Of Python's own variables one is a trap: with PYTHONDONTWRITEBYTECODE (common in
    containers) every process compiles all it imports, and an epoch starts three times slower.
    """
    ours = ("OTEL_", "BENCH_", "LOCUST_", "PYTHON")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}
