"""Locust's web UI over one setup's instance at a time: `tracing-overhead web` starts it.

The start form has the setups; start brings the chosen instance up, stop takes it down, and the tab
"Tracing overhead" shows all runs so far side by side.
"""

import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
import psutil
from locust import FastHttpUser, between, events, task
from locust.runners import STATE_CLEANUP, STATE_SPAWNING, STATE_STOPPED, STATE_STOPPING

from bench.app.setups import TABLE
from bench.testbed.app_files import load
from bench.traces.scenario import DELAYS
from locustfiles.explorer import Explorer
from locustfiles.guard import keep_out_strangers
from locustfiles.tab import add_tab

READ_EVERY_S = 1.0
DELAY_CHOICES = ("0", "20ms", "50ms", "150ms", "500ms")
APP_FILE = os.environ.get("BENCH_APP")
SETUPS_FILES = os.environ.get("BENCH_SETUPS_FILES", "")
LOADED = load(
    Path(APP_FILE) if APP_FILE else None, [Path(file) for file in SETUPS_FILES.split(os.pathsep) if file]
)
APP = LOADED.app
# A setup with packages of its own, or that needs a collector, is measured, not explored.
SETUPS = {
    setup.name: setup
    for setup in (*TABLE, *APP.setup, *LOADED.own)
    if setup.tracing in APP.modes and not setup.has_packages and setup.collector_sampling == 1
}
DELAYED = [process.name for process in APP.process if process.name in DELAYS]


class Client(FastHttpUser):
    """A user who sends the requests of the app file, by weight."""

    host = "http://127.0.0.1"
    wait_time = between(0.5, 2.0)

    @task
    def ask(self) -> None:
        """One request; anything but an expected status is a failure."""
        request = random.choices(APP.request, [request.weight for request in APP.request])[0]
        with self.client.request(
            request.method,
            request.path,
            data=request.content or None,
            headers=request.all_headers,
            name=request.label,
            catch_response=True,
        ) as response:
            if response.status_code in request.statuses:
                response.success()
            else:
                response.failure(f"answered {response.status_code}")


# Locust imports this file; one process is one explorer.
_explorers: list[Explorer] = []


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_fields(parser: Any) -> None:  # noqa: ANN401
    """The fields of the start form."""
    parser.add_argument(
        "--setup",
        choices=list(SETUPS),
        default="none",
        help="how the application is traced",
    )
    for process in DELAYED:
        parser.add_argument(
            f"--{process}-delay", choices=DELAY_CHOICES, default="0", help=f"Delay of {process}"
        )


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Open the explorer, and its tab."""
    # Python's own way would raise KeyboardInterrupt in whatever greenlet runs: one that answers a browser,
    # with a traceback, or one that starts a process.
    gevent.signal_handler(signal.SIGINT, os.kill, os.getpid(), signal.SIGTERM)
    explorer = Explorer(APP, LOADED.place)
    _explorers.append(explorer)
    if environment.web_ui:
        keep_out_strangers(environment.web_ui.app)
        add_tab(environment.web_ui, explorer, SETUPS.values())
    gevent.spawn(_read, explorer, starters())


def _read(explorer: Explorer, parents: Sequence[psutil.Process]) -> None:
    while True:
        gevent.sleep(READ_EVERY_S)
        explorer.read()
        if not all(parent.is_running() for parent in parents):
            # Who kills `uvx nox -s web` means the web UI, and the signal does not get here.
            os.kill(os.getpid(), signal.SIGTERM)
            return


def starters() -> list[psutil.Process]:
    """The processes of nox and uvx that have started this one."""
    return [
        parent
        for parent in psutil.Process().parents()
        if {"nox", "uv", "uvx"} & {Path(word).name for word in parent.cmdline()[:2]}
    ]


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def on_start(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Bring the chosen instance up before the first client comes."""
    # Before the instance is there: the page looks at it once, and a stop is heard in this state alone.
    environment.runner.update_state(STATE_SPAWNING)
    options = environment.parsed_options
    setup = SETUPS.get(options.setup)
    if setup is None:
        _explorers[
            0
        ].error = f"there is no setup named {options.setup!r} - the start form lists those that exist"
        url = None
    else:
        delays = {process: getattr(options, f"{process.replace('-', '_')}_delay") for process in DELAYED}
        # In a greenlet of its own, because a stop kills this one.
        url = gevent.spawn(_explorers[0].start, setup, delays).get()
    if url is None:
        # Nothing to send to: the tab says why.
        gevent.spawn(environment.runner.stop)
    environment.host = url or Client.host


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def on_stop(**_rest: object) -> None:
    """Take the instance down after its last flush."""
    _explorers[0].stop()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def on_quitting(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Leave no process behind."""
    if environment.runner.state not in {STATE_STOPPED, STATE_STOPPING, STATE_CLEANUP}:
        environment.runner.stop()
    for explorer in _explorers:
        explorer.close()


@events.request.add_listener  # type: ignore[untyped-decorator]
def on_request(response_time: float, exception: object, **_rest: object) -> None:
    """One request."""
    _explorers[0].note(response_time / 1e3, completed=exception is None)
