"""Keeps an application at half of its capacity for a long time, and samples what every process holds."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.app.setups import declared_spans
from bench.errors import MeasurementError, ServiceError
from bench.plan.readings import RequestRow
from bench.plan.records import Plan
from bench.receiver.messages import CloseAccounts
from bench.runner.run import Progress
from bench.studies.soak.figures import Sample, Use
from bench.testbed.environ import Place
from bench.testbed.instance import LocalInstance
from bench.testbed.options import Options
from bench.testbed.orders import FullLoad, Steady, order_without_slices
from bench.testbed.pids import dirty_bytes_of
from bench.testbed.ports import free_ports
from bench.testbed.testbed import Testbed

INTERVAL_S = 10.0
"""Between two samples."""
CAPACITY_S, USERS = 5.0, 4
CROWD_S, CROWD = 5.0, 48
"""The load generator keeps its connections, and opens one more whenever more requests are under way than ever
before. At half of the capacity that happens for hours, ever more rarely, and looks like growth. A crowd of
users therefore opens more of them beforehand; a server may close those that are idle."""
HALF = 0.5
TIMEOUT_S = 10.0
QUIET_S, QUIET_LIMIT_S = 7.0, 60.0
"""Longer than the batch processor's delay."""


def samples(plan: Plan, place: Place, seconds: float, progress: Progress) -> Iterator[Sample]:
    """Sample every process: before the load, every few seconds under it, and after everything was exported.

    Args:
        plan: with the application and the one setup.
        place: where it is started from.
        seconds: under load.
        progress: displays what is going on.

    Raises:
        ServiceError: a process ended.
        MeasurementError: nothing was answered.
    """
    with contextlib.ExitStack() as stack:
        progress.say("fresh processes")
        testbed = Testbed(plan, Options(place=place))
        stack.callback(testbed.close)
        launch = testbed.launch(plan, plan.setups[0], 0, free_ports(len(plan.app.process)))
        instance = testbed.start_instance(launch)
        testbed.instances.append(instance)
        soaking = _Soaking(plan, testbed, instance)
        progress.say("capacity")
        rate_per_s = soaking.capacity() * HALF
        started = time.monotonic()
        yield soaking.sample(0.0)
        while (now_s := time.monotonic() - started) < seconds:
            progress.say("at half of its capacity", f"{now_s / 60:.0f} of {seconds / 60:.0f} minutes")
            soaking.load(rate_per_s)
            yield soaking.sample(time.monotonic() - started)
        progress.say("exporting")
        instance.flush()
        instance.let_go()
        testbed.receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)
        yield soaking.sample(time.monotonic() - started, final=True)


class _Soaking:
    """One instance under load."""

    def __init__(self, plan: Plan, testbed: Testbed, instance: LocalInstance) -> None:
        self._plan = plan
        self._testbed = testbed
        self._instance = instance
        declared = declared_spans(plan.app, plan.setups[0])
        self._spans_each = sum(declared.values()) if declared else None
        self._intervals = self._completed = self._failed = self._spans = 0
        self._processes = [
            *((name, psutil.Process(pid)) for name, pid in instance.started().items()),
            ("receiver", psutil.Process(testbed.receiver.child.pid)),
            ("load", psutil.Process(testbed.load.child.pid)),
            ("harness", psutil.Process(os.getpid())),
        ]

    def capacity(self) -> float:
        """Requests per second of a closed loop.

        Raises:
            MeasurementError: none was answered.
        """
        self._send(FullLoad(seconds=CROWD_S, users=CROWD))
        good, _ = self._send(FullLoad(seconds=CAPACITY_S, users=USERS))
        if not good:
            raise MeasurementError(
                "no request was answered as expected", "`tracing-overhead check FILE` says why"
            )
        self._instance.flush()
        self._instance.let_go()
        self._testbed.receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)
        self._testbed.receiver.close_accounts(CloseAccounts(replicate=0))
        return good / CAPACITY_S

    def load(self, rate_per_s: float) -> None:
        """An interval of load."""
        self._intervals += 1
        good, bad = self._send(Steady(seconds=INTERVAL_S, rate_per_s=rate_per_s, seed=self._intervals))
        self._completed += good
        self._failed += bad
        self._instance.check()

    def _send(self, kind: Steady | FullLoad) -> tuple[int, int]:
        """Requests answered as expected, and others."""
        targets = {self._plan.app.name: self._instance.url}
        order = order_without_slices(self._plan, self._testbed.load, targets, TIMEOUT_S, kind)
        self._testbed.load.send(order)
        rows = self._testbed.load.rows()
        good = sum(map(self._is_good, rows))
        return good, len(rows) - good

    def _is_good(self, row: RequestRow) -> bool:
        return row.status in self._plan.app.request[row.request].statuses

    def sample(self, at_s: float, *, final: bool = False) -> Sample:
        """What every process holds now; the receiver forgets what it has counted."""
        accounts = self._testbed.receiver.close_accounts(CloseAccounts(replicate=0))
        self._spans += sum(sum(account.spans.values()) - account.duplicated for account in accounts.values())
        return Sample(
            at_s=at_s,
            uses=tuple(_use(name, process) for name, process in self._processes),
            files=_files(self._testbed.folder),
            completed=self._completed,
            failed=self._failed,
            spans=self._spans,
            spans_expected=None if self._spans_each is None else self._spans_each * self._completed,
            final=final,
        )


def _use(name: str, process: psutil.Process) -> Use:
    """What a process and its workers hold.

    Raises:
        ServiceError: it has ended.
    """
    dirty_bytes = threads = descriptors = 0
    try:
        # The processes that the harness has started are listed by themselves.
        workers = process.children(recursive=True) if process.pid != os.getpid() else []
        for one in (process, *workers):
            dirty_bytes += dirty_bytes_of(one.pid)
            threads += one.num_threads()
            descriptors += one.num_fds()
    except (psutil.Error, OSError) as error:
        raise ServiceError(
            f"{name} cannot be read: {error}", "it or one of its workers has ended: see its output"
        ) from None
    return Use(name=name, dirty_bytes=dirty_bytes, threads=threads, descriptors=descriptors)


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))
