"""An instance: all processes of the application in one setup, started, metered, paused and stopped."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import httpx
import msgspec

from bench.app.records import Process, ReadyLine, Setup
from bench.errors import ServiceError, UsageError
from bench.plan.readings import Memory
from bench.testbed import log_lines
from bench.testbed.environ import Launch
from bench.testbed.pausing import Group
from bench.testbed.pids import listening, memory_of, pin, with_children
from bench.testbed.ports import READY_BELOW, answer_of
from bench.testbed.process import death_of, undone_on_failure

FLUSH_LIMIT_S = 5.0
"""An exporter whose receiver is gone retries for many seconds; its figures are invalid anyway."""
ASK_LIMIT_S = 10.0
PREPARE_LIMIT_S = 120.0
LOOK_S = 0.01
STOP_LIMIT_S = 3.0
"""How long an instance may take to stop: its spans were flushed, nothing is left to do."""


class Usage(msgspec.Struct):
    """What a process says of itself on the app file's usage path.

    Attributes:
        cpu_ns: CPU time so far.
        memory_bytes: with `pss` and `uss`.
        opentelemetry_modules: how many modules of OpenTelemetry are loaded.
        sampled_roots: sampled traces that began in it.
        discarded_spans: spans that its exporter has thrown away.
        upstreams: addresses of the processes that it asks, by name.
    """

    cpu_ns: int | None = None
    memory_bytes: dict[str, int] = {}
    opentelemetry_modules: int | None = None
    sampled_roots: int | None = None
    discarded_spans: int = 0
    upstreams: dict[str, str] = {}


class Instance(Protocol):
    """What a run needs of an instance, wherever it runs."""

    setup: Setup
    url: str
    burns_s: float

    def cpu_ns(self) -> int:
        """CPU time of all its processes so far."""

    def pause(self) -> None:
        """Suspend its processes, by the freezer or SIGSTOP."""

    def resume(self) -> None:
        """Resume its processes."""

    def flush(self) -> tuple[str, ...]:
        """Have everything exported; returns the processes that did not answer in time."""

    def burn(self, cpu_ns: int) -> None:
        """Burn CPU in the process beside the application, where the injected cost burns apart."""

    def usage(self) -> dict[str, Usage]:
        """What its processes say of themselves; empty without a usage path."""

    def memory(self) -> Memory:
        """Memory of all its processes."""

    def failures(self) -> dict[str, int]:
        """What its exporters wrote about failed exports, and how often; empty where no log can be read."""

    def check(self) -> None:
        """Raise ServiceError if one of its processes has ended."""

    def stop(self) -> None:
        """Stop it."""


class LocalInstance:
    """An instance on this machine.

    Attributes:
        setup: how it is traced.
        url: address of its first process.
        burns_s: CPU seconds per request that a process beside the application burns.
        ready_s: how long it took to start.
        start_cpu_ns: CPU time that its start took.
    """

    def __init__(self, launch: Launch, group: Group, cpus: Collection[int]) -> None:
        """Start all processes and wait until they answer.

        Args:
            launch: what is started.
            group: that its processes join.
            cpus: where they run once they answer; empty: anywhere.

        Raises:
            ServiceError: a process ended or does not answer.
            UsageError: a command does not exist.
        """
        self.setup = launch.setup
        self._launch = launch
        self._group = group
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._burner: subprocess.Popen[bytes] | None = None
        self.burns_s = 0.0
        self._is_stopped = False
        self._client = httpx.Client(timeout=ASK_LIMIT_S, trust_env=False)
        self._flushing = [
            process.name for process in launch.app.process if process.traced and launch.is_traced
        ]
        self.url = launch.url(launch.app.process[0].name)
        launch.tmp.mkdir(parents=True, exist_ok=True)
        with undone_on_failure(self.stop):
            started = time.monotonic()
            for process in launch.app.process:
                self._spawn(process)
            for process in launch.app.process:
                self._wait_until_ready(process)
            self.ready_s = time.monotonic() - started
            self.start_cpu_ns = group.cpu_ns()
            if launch.burns_apart:
                self._burner = self._start_burner(tuple(cpus))
                self.burns_s = launch.burn_us * 1e-6
            pin(group.pids(), tuple(cpus))

    def _spawn(self, process: Process) -> None:
        launch = self._launch
        environ = launch.environ(process)
        folder = (launch.place.folder / launch.fill(process.cwd, process)).resolve()
        if process.prepare:
            self._prepare(process, environ, folder)
        command = launch.command(process)
        program = shutil.which(command[0], path=environ["PATH"])
        if program is None:
            raise UsageError(
                f"there is no program {command[0]!r}, with which {process.name} is started",
                "install it, or name it in the app file's [environment]",
            )
        with self._log(process.name).open("ab") as output:
            child = subprocess.Popen(
                [*self._group.prefix, *command],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._group.add(child.pid)
        self._processes[process.name] = child
        # The harness may be pinned; the application is not, until it answers.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(child.pid, range(os.cpu_count() or 1))

    def _prepare(self, process: Process, environ: dict[str, str], folder: Path) -> None:
        words = self._launch.words(process.prepare, process)
        try:
            done = subprocess.run(
                words,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PREPARE_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceError(f"`prepare` of {process.name} failed: {error}", "try it by hand") from None
        if done.returncode:
            lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
            raise ServiceError(
                f"`prepare` of {process.name} ended with code {done.returncode}",
                f"its last output: {' | '.join(lines[-5:])}",
            )

    def _log(self, name: str) -> Path:
        return self._launch.tmp / f"{name}.log"

    def _wait_until_ready(self, process: Process) -> None:
        deadline = time.monotonic() + process.ready_timeout_s
        while not 0 < (status := self._status(process)) < READY_BELOW:
            if self._processes[process.name].poll() is not None:
                raise self._death(process.name)
            if time.monotonic() > deadline:
                raise self._not_ready(process, status)
            time.sleep(LOOK_S)

    def _status(self, process: Process) -> int:
        """What a process answers when asked whether it is ready; 200 if its output says so, 0 for nothing."""
        if isinstance(process.ready, ReadyLine):
            return 200 if process.ready.log in self.log_of(process.name) else 0
        return answer_of(self._launch.ports[process.name], process.ready)

    def _not_ready(self, process: Process, status: int) -> ServiceError:
        """What a process did instead of getting ready."""
        name, words = f"{process.name} (setup {self.setup.name})", self._death(process.name).hint
        within = f"within {process.ready_timeout_s:g} s"
        if isinstance(process.ready, ReadyLine):
            return ServiceError(
                f"{name} did not write {process.ready.log!r} {within}",
                f"name a text that it writes when it is ready; {words}",
            )
        if status:
            return ServiceError(
                f"{name} answered {process.ready} with {status} {within}",
                f"name a path with `ready` that answers below {READY_BELOW}, or look at {words}",
            )
        own = listening(with_children(self._processes[process.name].pid))
        others = own - {self._launch.ports[process.name]}
        if not own and listening(self._group.pids()):
            return ServiceError(
                f"{name} listens on no port, and did not answer {process.ready} {within}",
                'if it should listen nowhere, write `ready = "none"`, or `ready = { log = "TEXT" }` with a '
                f"text that it writes when it is ready; {words}",
            )
        if others:
            return ServiceError(
                f"{name} listens on port {min(others)} and not on the one it was given",
                "put {port} into its `command`, or a variable that it reads into `env`: "
                'env = { PORT = "{port}" }',
            )
        return ServiceError(
            f"{name} did not answer {process.ready} {within}",
            f"let it listen on 127.0.0.1, or give it longer with `ready_timeout_s`; {words}",
        )

    def _death(self, name: str) -> ServiceError:
        child = self._processes[name]
        return death_of(f"{name} (setup {self.setup.name})", child.poll(), self._log(name))

    def _start_burner(self, cpus: Collection[int]) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("burner.py")
        child = subprocess.Popen(
            [sys.executable, "-S", str(program), *self._group.join_and_leave_files],
            env=self._launch.environ(self._launch.app.process[0]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        pin([child.pid], tuple(cpus))
        if not self._group.join_and_leave_files:
            self._group.add(child.pid)
        return child

    def burn(self, cpu_ns: int) -> None:
        if self._burner and self._burner.stdin and self._burner.stdout:
            self._burner.stdin.write(b"%d\n" % cpu_ns)
            self._burner.stdin.flush()
            self._burner.stdout.readline()

    def cpu_ns(self) -> int:
        return self._group.cpu_ns()

    def pause(self) -> None:
        self._group.pause()

    def resume(self) -> None:
        self._group.resume()

    def log_of(self, process: str) -> str:
        """What a process has written so far."""
        return self._log(process).read_text("utf-8", "replace")

    def failures(self) -> dict[str, int]:
        return log_lines.failed_exports((name, self._log(name)) for name in self._processes)

    def not_loaded(self) -> tuple[str, ...]:
        """What its processes wrote about instrumentations that did not load."""
        return tuple(log_lines.failed_instrumentations((name, self._log(name)) for name in self._processes))

    def flush(self) -> tuple[str, ...]:
        path = self._launch.app.tracing.flush
        return flush_all(
            self._client, path, {name: self._launch.url(name) for name in self._flushing}, self.check
        )

    def let_go(self) -> None:
        """Close the connections that flushes and questions have left."""
        self._client.close()
        self._client = httpx.Client(timeout=ASK_LIMIT_S, trust_env=False)

    def usage(self) -> dict[str, Usage]:
        path = self._launch.app.tracing.usage
        if not path:
            return {}
        usages = {}
        for process in self._launch.app.process:
            if process.traced:
                try:
                    answer = self._client.get(self._launch.url(process.name) + path).raise_for_status()
                    usages[process.name] = msgspec.json.decode(answer.content, type=Usage)
                except (httpx.HTTPError, msgspec.DecodeError):
                    raise self._death(process.name) from None
        return usages

    def memory(self) -> Memory:
        return memory_of(self._group.pids())

    def check(self) -> None:
        for name, child in self._processes.items():
            if child.poll() is not None:
                raise self._death(name)

    def started(self) -> dict[str, int]:
        """Process ids of what was started, by process."""
        return {name: child.pid for name, child in self._processes.items()}

    def is_running(self, process: str) -> bool:
        """True until a process has ended."""
        return self._processes[process].poll() is None

    def signal_first(self, how: str) -> None:
        """Send a signal to the process that gets the requests."""
        first = self._processes[self._launch.app.process[0].name]
        first.send_signal(signal.Signals[how])

    def end(self, how: str, limit_s: float) -> float:
        """End it by a signal; returns how many seconds that took. What is left after `limit_s` is killed.

        SIGKILL reaches all its processes, as the end of a container does; any other signal those alone that
        were started, as `docker stop` sends it.
        """
        began = time.monotonic()
        if how == signal.SIGKILL.name:
            self._kill_all()
        else:
            for child in self._processes.values():
                # Nothing happens to one that has ended.
                child.send_signal(signal.Signals[how])
        is_killed = False
        while not self._has_ended():
            if time.monotonic() - began > limit_s and not is_killed:
                is_killed = True
                self._kill_all()
            time.sleep(LOOK_S)
        return time.monotonic() - began

    def _has_ended(self) -> bool:
        # poll() reaps it.
        running = [child for child in self._processes.values() if child.poll() is None]
        return not running and not self._group.pids()

    def _kill_all(self) -> None:
        for pid in self._group.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        # Both its owner and the end of the run may stop it.
        if self._is_stopped:
            return
        self._is_stopped = True
        self._group.resume()
        # Its shutdown is not measured, so it may use all CPUs.
        pin(self._group.pids(), tuple(range(os.cpu_count() or 1)))
        limit_s = STOP_LIMIT_S
        for process in self._launch.app.process:
            child = self._processes.get(process.name)
            if child is not None and child.poll() is None:
                child.send_signal(getattr(signal, process.stop))
                limit_s = min(limit_s, process.stop_timeout_s)
        if self._burner and self._burner.stdin and self._burner.stdout:
            self._burner.stdin.close()
            self._burner.stdout.close()
        deadline = time.monotonic() + limit_s
        children = [*self._processes.values(), *([self._burner] if self._burner else [])]
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(deadline - time.monotonic(), 0.01))
        self._group.kill()
        for child in children:
            # A process beside the application is no member of its group.
            child.kill()
            child.wait()
        self._client.close()
        shutil.rmtree(self._launch.tmp, ignore_errors=True)


def flush_all(
    client: httpx.Client, path: str, urls: dict[str, str], check: Callable[[], None]
) -> tuple[str, ...]:
    """Have processes export everything; returns those that did not answer in time.

    Raises:
        ServiceError: from `check`, where a process has ended.
    """
    failed = []
    for name, url in urls.items() if path else ():
        try:
            client.post(url + path, timeout=FLUSH_LIMIT_S).raise_for_status()
        except httpx.HTTPError:
            check()
            failed.append(name)
    return tuple(failed)
