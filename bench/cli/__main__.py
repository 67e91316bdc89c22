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
    """An output without a reader: a closed pipe does not end a command.

    Attributes:
        error: why nothing is written any more; None while it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write, as long as somebody reads."""
        return self._try(lambda: self._stream.write(text)) or len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines, as long as somebody reads."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as long as somebody reads."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], int | None]) -> int | None:
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
                # What is in the buffer still, and is written at exit, goes nowhere, too.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return None

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def run() -> int:
    """Run a command; Ctrl-C while it is still being imported is Ctrl-C, too."""
    # Half an import cannot be told from a broken one: until all is there, Ctrl-C ends the process at once.
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
