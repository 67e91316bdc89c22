"""Temporary folders that say whose they are, so that what a killed run left can be found and removed.

A run's keeper cleans up after it. Where that was killed, too, the next run does.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil

from bench.testbed import keeper
from bench.testbed.process import plain_environ

PREFIX = "bench-"
OWNER = "owner.json"


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a folder is.

    Attributes:
        pid: of the harness.
        started_s: when that process began, because process ids are given again; seconds since 1970.
        user: who ran it.
        run: identifies its processes; empty without any.
        group: its control groups; empty without any.
    """

    pid: int
    started_s: float
    user: int
    run: str = ""
    group: str = ""


def make_folder(run: str = "", group: str = "") -> Path:
    """A temporary folder of this process."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    process = psutil.Process()
    owner = Owner(pid=process.pid, started_s=process.create_time(), user=os.getuid(), run=run, group=group)
    (folder / OWNER).write_bytes(msgspec.json.encode(owner))
    return folder


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder of this process, for a while."""
    folder = make_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def kept_folder(run: str, group: str = "") -> Iterator[Path]:
    """A temporary folder of this process, for a while, with a keeper beside it.

    The keeper ends the run's processes, and removes the folder and the control groups, however this
    process ends.

    Args:
        run: identifies the processes: each has it in `RUN_VARIABLE`.
        group: the run's control groups; empty without any.
    """
    folder = make_folder(run, group)
    words = [sys.executable, "-P", keeper.__file__, run, str(folder), *([group] if group else [])]
    with subprocess.Popen(words, env=plain_environ(), stdin=subprocess.PIPE, start_new_session=True):
        yield folder


def remove() -> list[str]:
    """End what killed runs of this user left; returns a sentence for each."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            owner = msgspec.json.decode((folder / OWNER).read_bytes(), type=Owner)
            if owner.user == os.getuid() and not _is_alive(owner):
                left = len(keeper.processes_of(owner.run)) if owner.run else 0
                keeper.clean_up(owner.run, str(folder), owner.group)
                removed.append(f"removed what a killed run had left: {folder}, processes: {left}")
    return removed


def _is_alive(owner: Owner) -> bool:
    try:
        return abs(psutil.Process(owner.pid).create_time() - owner.started_s) < 1.0
    except psutil.NoSuchProcess:
        return False
