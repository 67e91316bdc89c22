"""Keeps an application at half of its capacity for a long time, and samples what every process holds."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from bench.app.setups import declared_spans, sampling_ratio
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
        plan: with the application and the setups that run side by side.
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
        taken: set[int] = set()
        instances = []
        for setup in plan.setups:
            launch = testbed.launch(plan, setup, 0, free_ports(len(plan.app.process), taken))
            instances.append(testbed.start_instance(launch))
            testbed.instances.append(instances[-1])
        soaking = _Soaking(plan, testbed, instances)
        progress.say("capacity")
        rate_per_s = soaking.capacity() * HALF
        started = time.monotonic()
        yield soaking.sample(0.0)
        while (now_s := time.monotonic() - started) < seconds:
            progress.say("at half of its capacity", f"{now_s / 60:.0f} of {seconds / 60:.0f} minutes")
            soaking.load(rate_per_s)
            yield soaking.sample(time.monotonic() - started)
        progress.say("exporting")
        soaking.export()
        yield soaking.sample(time.monotonic() - started, final=True)


class _Soaking:
    """Instances under load, side by side."""

    def __init__(self, plan: Plan, testbed: Testbed, instances: Sequence[LocalInstance]) -> None:
        self._plan = plan
        self._testbed = testbed
        self._instances = instances
        self._intervals = self._completed = self._failed = self._spans = 0
        self._expected: int | None = 0
        self._processes = [
            *(
                (name if len(instances) == 1 else f"{instance.setup.name}: {name}", psutil.Process(pid))
                for instance in instances
                for name, pid in instance.started().items()
            ),
            ("receiver", psutil.Process(testbed.receiver.child.pid)),
            ("load", psutil.Process(testbed.load.child.pid)),
            ("harness", psutil.Process(os.getpid())),
        ]

    def capacity(self) -> float:
        """Requests per second of a closed loop, of each instance where several run.

        Raises:
            MeasurementError: none was answered.
        """
        self._send(FullLoad(seconds=CROWD_S, users=CROWD))
        good = min(self._send(FullLoad(seconds=CAPACITY_S, users=USERS))[0])
        if not good:
            raise MeasurementError(
                "no request was answered as expected", "`tracing-overhead check FILE` says why"
            )
        self.export()
        self._testbed.receiver.close_accounts(CloseAccounts(replicate=0))
        return good / CAPACITY_S

    def export(self) -> None:
        """Have everything exported, and wait until it has arrived."""
        for instance in self._instances:
            instance.flush()
            instance.let_go()
        self._testbed.receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)

    def load(self, rate_per_s: float) -> None:
        """An interval of load."""
        self._intervals += 1
        good, bad = self._send(Steady(seconds=INTERVAL_S, rate_per_s=rate_per_s, seed=self._intervals))
        self._completed += sum(good)
        self._failed += bad
        for instance, completed in zip(self._instances, good, strict=True):
            instance.check()
            spans = self._spans_of(instance, completed)
            self._expected = None if None in {spans, self._expected} else (self._expected or 0) + (spans or 0)

    def _spans_of(self, instance: LocalInstance, completed: int) -> int | None:
        """The spans that requests must have made; None where that cannot be known."""
        ratio, declared = sampling_ratio(instance.setup), declared_spans(self._plan.app, instance.setup)
        if not ratio or not completed:
            return 0
        return sum(declared.values()) * completed if declared and ratio == 1.0 else None

    def _send(self, kind: Steady | FullLoad) -> tuple[list[int], int]:
        """Requests answered as expected, by instance, and all others."""
        targets = {instance.setup.name: instance.url for instance in self._instances}
        order = order_without_slices(self._plan, self._testbed.load, targets, TIMEOUT_S, kind)
        self._testbed.load.send(order)
        rows = self._testbed.load.rows()
        good = [0] * len(self._instances)
        for row in filter(self._is_good, rows):
            good[row.instance] += 1
        return good, len(rows) - sum(good)

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
            spans_expected=self._expected,
            final=final,
            setups=self._plan.names if len(self._instances) > 1 else (),
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
