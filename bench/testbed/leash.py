"""Runs another program in this process's place, on a leash: `python -P leash.py HARNESS PROGRAM ARGUMENTS`.

When the harness ends, however it ended, the kernel asks the program to stop. A program of our own
reads its standard input for that; one that somebody else wrote does not.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(harness: str, program: str, *arguments: str) -> None:
    """Replace this process with the program, which keeps the process id; never returns.

    Args:
        harness: id of the process that started us; it may have ended by now.
        program: what runs in our place.
        arguments: of it.
    """
    # Survives execve (prctl(2)), and belongs to the thread that started us: the harness's main thread.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(harness):
        sys.exit("the harness ended before the program began")
    os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
