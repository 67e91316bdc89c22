"""Locust's web UI over one set-up's services at a time: `python -m bench web` starts it.

The start form has the set-ups and the delays; start brings the chosen fleet up, stop takes it
down, and the tab "Tracing overhead" shows all runs so far side by side.

Rule 1: all customers buy what is there, so that the spans of a checkout are known and losses seen.
"""

from typing import Any

import gevent
from locust import events, task
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

from bench.setups import BY_NAME
from locustfiles.checkout import Shopper
from locustfiles.lab import Lab
from locustfiles.tab import add_tab

READ_EVERY_S = 1.0
DELAYS = ("0", "20ms", "50ms", "150ms", "500ms")


class Buyer(Shopper):
    """Somebody who gets what they ask for."""

    host = "http://127.0.0.1"

    @task
    def buy(self) -> None:
        """A checkout that goes through."""
        self.checkout("checkout", 201)


# Locust imports this file; one process is one lab.
_labs: list[Lab] = []


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_fields(parser: Any) -> None:  # noqa: ANN401
    """The fields of the start form."""
    parser.add_argument(
        "--setup", choices=list(BY_NAME), default="none", help="Tracing set-up whose services are started"
    )
    parser.add_argument("--payment-delay", choices=DELAYS, default="0", help="Delay of the card network")
    parser.add_argument("--inventory-delay", choices=DELAYS, default="0", help="Delay of the warehouse")


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Opens the lab, and its tab."""
    lab = Lab()
    _labs.append(lab)
    if environment.web_ui:
        add_tab(environment.web_ui, lab)
    gevent.spawn(_read, lab)


def _read(lab: Lab) -> None:
    while True:
        gevent.sleep(READ_EVERY_S)
        lab.read()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def on_start(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Brings the chosen fleet up before the first customer comes."""
    options = environment.parsed_options
    setup = BY_NAME.get(options.setup)
    if setup is None:
        _labs[0].error = f"there is no set-up named {options.setup!r} - the start form lists those that exist"
        url = None
    else:
        url = _labs[0].start(setup, options.payment_delay, options.inventory_delay)
    if url is None:
        # Nothing to send to: the tab says why.
        gevent.spawn(environment.runner.stop)
    environment.host = url or Buyer.host


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def on_stop(**_rest: object) -> None:
    """Takes the fleet down after its last flush."""
    _labs[0].stop()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def on_quitting(environment: Any, **_rest: object) -> None:  # noqa: ANN401
    """Leaves no process behind."""
    if environment.runner.state not in {STATE_STOPPED, STATE_STOPPING, STATE_CLEANUP}:
        environment.runner.stop()
    for lab in _labs:
        lab.close()


@events.request.add_listener  # type: ignore[untyped-decorator]
def on_request(response_time: float, exception: object, **_rest: object) -> None:
    """One checkout."""
    _labs[0].note(response_time / 1e3, completed=exception is None)
