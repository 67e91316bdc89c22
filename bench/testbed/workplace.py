"""Where something is measured that is not a run: a folder, CPUs, a sink."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.testbed import leftovers
from bench.testbed.machine import Cpus, split_cpus
from bench.testbed.sink import Sink


@dataclass(frozen=True, kw_only=True, slots=True)
class Workplace:
    """A temporary folder and a sink, with this process on the CPUs beside those that are measured.

    Attributes:
        logs: the folder.
        cpus: who may use which.
        sink: the OTLP receiver.
        parts: what is closed with it, last things first.
    """

    logs: Path
    cpus: Cpus
    sink: Sink
    parts: contextlib.ExitStack


@contextlib.contextmanager
def workplace() -> Iterator[Workplace]:
    """A workplace that leaves nothing behind.

    Raises:
        ServiceError: the sink does not start.
    """
    cpus = split_cpus(pinned=True)
    with contextlib.ExitStack() as parts:
        logs = parts.enter_context(leftovers.temporary_folder())
        parts.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        if cpus.others:
            os.sched_setaffinity(0, cpus.others)
        sink = Sink(logs)
        parts.callback(sink.stop)
        yield Workplace(logs=logs, cpus=cpus, sink=sink, parts=parts)
