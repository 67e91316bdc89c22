"""`python -m bench.cli` is `tracing-overhead`."""

import os
import signal
import sys
from collections.abc import Callable
from io import TextIOWrapper
from types import FrameType, TracebackType
from typing import TextIO

INTERNAL_EXIT_CODE = 70
"""A defect of ours (EX_SOFTWARE). Python's own is 1, which is a gate's verdict."""


class Output:
    """An output stream that ignores a closed pipe, so that the command still ends normally.

    Attributes:
        error: error of the first write that failed; None without one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, unless an earlier write failed."""
        return self._try(lambda: self._stream.write(text)) or len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines, unless an earlier write failed."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, unless an earlier write failed."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], int | None]) -> int | None:
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
                # Python flushes the rest of the buffer at exit: send it to /dev/null.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return None

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def run() -> int:
    """Run a command; Ctrl-C during its imports ends the process, too."""
    # An interrupted import looks like a broken one: until imports end, Ctrl-C ends the process at once.
    signal.signal(signal.SIGINT, _leave)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed by the shell (`>&-`): output without a reader is discarded. The lowest free
            # descriptor is taken, so that no file of ours gets the number of a closed one.
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        # A terminal of ASCII gets a question mark instead of a minus sign.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    output = sys.stdout = Output(sys.stdout)
    # Errors on stderr are ignored.
    sys.stderr = Output(sys.stderr)
    sys.excepthook = _tell_defect
    from bench.cli.main import concluded, main

    return concluded(main(), output.error)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


def _tell_defect(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, traceback)
    sys.stderr.write("this is a defect of tracing-overhead: please report it\n")
    sys.stderr.flush()
    os._exit(INTERNAL_EXIT_CODE)


if __name__ == "__main__":
    sys.exit(run())
