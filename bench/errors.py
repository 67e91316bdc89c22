"""Error classes, one per exit code.

The message says what happened in the user's terms, with the value.
The hint says what to do.
"""

from typing import ClassVar


class BenchError(Exception):
    """An error that ends in a sentence and a hint, never in a traceback.

    Attributes:
        exit_code: what the process ends with.
        hint: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(BenchError):
    """The command line or a setups file is wrong."""

    exit_code = 2


class ServiceError(BenchError):
    """A process of the run (a service, the receiver, the load generator) failed."""

    exit_code = 3


class MeasurementError(BenchError):
    """A measurement failed its validity checks, or the application cannot be measured."""

    exit_code = 4


class ResultsError(BenchError):
    """A results folder cannot be written or read."""

    exit_code = 5


INTERRUPTED_EXIT_CODE = 130
"""Ctrl-C: 128 + SIGINT, as shells report it."""
