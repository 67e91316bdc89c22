"""Where something is measured that is not a run: a folder, CPUs, a receiver."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.testbed import leftovers
from bench.testbed.machine import Cpus, split_cpus
from bench.testbed.receiver import Receiver


@dataclass(frozen=True, kw_only=True, slots=True)
class Workplace:
    """A temporary folder and a receiver, with this process on the CPUs beside those that are measured.

    Attributes:
        run: identifies the processes.
        logs: the folder.
        cpus: who may use which.
        receiver: the OTLP receiver.
        parts: closed with it, in reverse order.
    """

    run: str
    logs: Path
    cpus: Cpus
    receiver: Receiver
    parts: contextlib.ExitStack


@contextlib.contextmanager
def workplace() -> Iterator[Workplace]:
    """A workplace that leaves nothing behind.

    Raises:
        ServiceError: the receiver does not start.
    """
    cpus, run = split_cpus(pinned=True), secrets.token_hex(8)
    with contextlib.ExitStack() as parts:
        logs = parts.enter_context(leftovers.kept_folder(run))
        parts.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        if cpus.others:
            os.sched_setaffinity(0, cpus.others)
        receiver = Receiver(logs, run)
        parts.callback(receiver.stop)
        yield Workplace(run=run, logs=logs, cpus=cpus, receiver=receiver, parts=parts)
