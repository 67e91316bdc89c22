"""The load against real services: a stall shows, workers share exactly, and a dead one is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.blocks import latencies_s, service_times_s
from bench.fleet import Fleet, environ_of
from bench.load import Crew, Load
from bench.model import DROPPED, LOST, Arrival, Plan, Request
from bench.plan import slice_arrivals
from bench.process import ROOT
from bench.setups import BY_NAME
from tests import make

RATE = 40.0
STALL_S = 1.0


def plan() -> Plan:
    return replace(make.plan(), seed=3)


def arrivals(length_s: float) -> tuple[Arrival, ...]:
    return slice_arrivals(plan(), 0, 0, "none", rate_per_s=RATE, length_s=length_s)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The four services of the baseline."""
    environ = environ_of(BY_NAME["none"], hash_seed=1, endpoints={})
    running = Fleet(BY_NAME["none"], environ, tmp_path, ("--upstream-timeout", "5", "--connections", "2"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop(time.monotonic() + 3)


@pytest.fixture
def load(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Load]:
    """The load generator, or several."""
    running = Load(tmp_path, getattr(request, "param", None))
    yield running
    running.stop()


def sent(load: Load, fleet: Fleet, length_s: float, in_flight: int = 256) -> tuple[Request, ...]:
    return load.run(
        arrivals(length_s), {"none": fleet.url}, epoch=0, window=0, in_flight=in_flight, timeout_s=10.0
    )


def stalled(load: Load, fleet: Fleet, in_flight: int) -> tuple[Request, ...]:
    """Four seconds of load, in whose middle payment-service does nothing for one second."""
    sent(load, fleet, 1.0)
    payment = fleet.children["payment-service"]
    started = time.monotonic()

    def stall() -> None:
        while time.monotonic() < started + 1.5:
            time.sleep(0.01)
        payment.pause()
        while time.monotonic() < started + 1.5 + STALL_S:
            time.sleep(0.01)
        payment.resume()

    from threading import Thread

    thread = Thread(target=stall)
    thread.start()
    rows = sent(load, fleet, 4.0, in_flight)
    thread.join()
    return rows


def planned_in_the_stall(rows: tuple[Request, ...]) -> list[Request]:
    """Those that were to be sent in the first eight tenths of it; the order starts 50 ms later."""
    return [row for row in rows if 1.5e9 < row.planned_ns + 0.05e9 < 1.5e9 + 0.8 * STALL_S * 1e9]


def test_a_stall_shows_in_the_latency_of_every_arrival_planned_during_it(load: Load, fleet: Fleet) -> None:
    rows = stalled(load, fleet, in_flight=256)
    assert len(rows) == 4 * RATE
    assert all(row.status == 201 for row in rows)
    affected = planned_in_the_stall(rows)
    assert len(affected) > 0.6 * RATE
    for row in affected:
        end_ns = (1.5 + STALL_S - 0.05) * 1e9
        assert row.done_ns - row.planned_ns > 0.95 * (end_ns - row.planned_ns)
    assert 0.8 < np.quantile(latencies_s(rows, 10.0), 0.99) < 1.3


def test_a_user_who_waits_for_each_answer_hides_the_stall_from_service_time_alone(
    load: Load, fleet: Fleet
) -> None:
    rows = stalled(load, fleet, in_flight=1)
    assert all(row.status == 201 for row in rows)
    service, latency = service_times_s(rows), latencies_s(rows, 10.0)
    # One request met the stall; all others that were due then were sent when it was over.
    assert np.sum(service > 0.5) == 1
    assert np.quantile(service, 0.99) < 0.25
    assert 0.8 < np.quantile(latency, 0.99) < 1.6
    assert np.sum(latency > 0.25) > 0.6 * RATE


def test_arrivals_that_cannot_be_sent_are_counted_and_none_is_left_out(load: Load, fleet: Fleet) -> None:
    fleet.children["payment-service"].pause()
    try:
        rows = load.run(arrivals(1.0), {"none": fleet.url}, epoch=0, window=0, in_flight=1, timeout_s=1.0)
    finally:
        fleet.children["payment-service"].resume()
    assert len(rows) == RATE
    assert [row.planned_ns for row in rows] == [arrival.offset_ns for arrival in arrivals(1.0)]
    dropped = [row for row in rows if row.status == DROPPED]
    assert len(dropped) > 0.5 * RATE
    assert all(row.sent_ns - row.planned_ns > 0.9e9 for row in dropped)
    assert latencies_s(rows, 1.0).min() >= 1.0


@pytest.mark.parametrize("load", [Crew(local=2)], indirect=True)
def test_two_workers_share_the_arrivals_exactly(load: Load, fleet: Fleet) -> None:
    rows = sent(load, fleet, 2.0)
    assert [row.planned_ns for row in rows] == [arrival.offset_ns for arrival in arrivals(2.0)]
    assert [row.worker for row in rows] == [number % 2 for number in range(len(rows))]
    assert all(row.status == 201 for row in rows)
    assert np.median([row.sent_ns - row.planned_ns for row in rows]) < 5e6
    closed = load.run(
        (), {"none": fleet.url}, epoch=0, window=1, in_flight=256, timeout_s=10.0, users=4, length_s=1.0
    )
    assert {row.worker for row in closed} == {0, 1}


@pytest.mark.parametrize("load", [Crew(local=2)], indirect=True)
def test_a_killed_workers_arrivals_are_lost_and_the_other_goes_on(load: Load, fleet: Fleet) -> None:
    sent(load, fleet, 0.5)
    os.kill(load.workers[1].pid, signal.SIGKILL)
    rows = sent(load, fleet, 2.0)
    assert load.lost == 1
    assert len(rows) == 2 * RATE
    lost = [row for row in rows if row.status == LOST]
    assert len(lost) == RATE
    assert {row.worker for row in lost} != {row.worker for row in rows if row.status == 201}
    again = sent(load, fleet, 1.0)
    assert load.lost == 0
    assert all(row.status == 201 for row in again)


CLOCKS = """
import time
from types import SimpleNamespace
from locustfiles.desk import Master

AHEAD_NS = 5_000_000_000

class Runner:
    clients = {}
    def register_message(self, name, listener):
        setattr(self, name.replace("-", "_"), listener)
    def send_message(self, name, data, worker):
        assert name == "ping"
        now = time.monotonic_ns() + AHEAD_NS
        self.pong(msg=SimpleNamespace(node_id=worker, data={"now_ns": now}))

runner = Runner()
master = Master(runner, None, 1)
runner.at_work(msg=SimpleNamespace(node_id="elsewhere", data={"boot_id": "another machine"}))
print(abs(master._offset_ns("elsewhere") - AHEAD_NS))
"""


def test_a_worker_on_another_machine_is_told_the_start_in_its_own_clock() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CLOCKS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert int(ended.stdout) < 1_000_000
