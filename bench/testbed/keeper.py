"""Cleans up after a harness that was killed: `python -P keeper.py RUN FOLDER [CONTROL_GROUP]`.

It waits for the end of its standard input, which the harness holds open. Whatever the run then left
is ended by force, stopped or not, and its temporary folder is removed. A harness that ended in
order has left nothing. No module of the project is imported: a keeper must be small and start fast.
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

LIMIT_S = 5.0


def processes_of(run: str) -> list[int]:
    """Processes whose environment names the run."""
    wanted = f"BENCH_RUN={run}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    pids.append(int(entry.name))
    return pids


def clean_up(run: str, folder: str, group: str = "") -> None:
    """End what a run left, and remove its folder and its control groups."""
    deadline = time.monotonic() + LIMIT_S
    while run and (pids := processes_of(run)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if group and Path(group).is_dir():
        for path in (*(path for path in Path(group).iterdir() if path.is_dir()), Path(group)):
            while path.exists() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    (path / "cgroup.kill").write_text("1", "ascii")
                with contextlib.suppress(OSError):
                    path.rmdir()
                time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    # Ignore signals to the process group: the keeper ends after the harness.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean_up(*sys.argv[1:])
