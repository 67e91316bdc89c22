"""What a service knows of tracing, and tracing that does nothing.

Nothing of OpenTelemetry is imported here.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp


class Step(Protocol):
    """A part of a checkout that a hand-written span may cover."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send along so that the next service continues this step's trace."""

    def event(self, name: str, /, **attributes: str | int) -> None:
        """Something happened."""

    def succeed(self) -> None:
        """The step reached its end (status OK)."""

    def fail(self, reason: str, /) -> None:
        """The step failed in an expected way (status ERROR, no exception)."""


class Tracing(Protocol):
    """What a service needs to know of tracing: almost nothing."""

    def instrument(self, app: "Starlette", /) -> "ASGIApp":
        """The application as it is to be served."""

    def connect(self, path: str, /) -> sqlite3.Connection:
        """A SQLite connection, traced where the setup traces databases."""

    def serve(self, name: str, headers: Mapping[str, str], /) -> AbstractContextManager[Step]:
        """A SERVER span that continues the caller's trace, made current."""

    def step(self, name: str, /) -> AbstractContextManager[Step]:
        """A CLIENT span below the current one, made current."""

    def detached(self, name: str, /) -> AbstractContextManager[Step]:
        """A CLIENT span that is *not* made current: its context travels by hand."""

    def flush(self) -> None:
        """Everything recorded so far leaves the process."""

    def shutdown(self) -> None:
        """Flush, and let go of threads and sockets."""

    @property
    def discarded(self) -> int:
        """Spans that were exported to nowhere, so that no receiver can count them."""

    @property
    def sampled_roots(self) -> int | None:
        """Sampled traces that began here, counted where they are made; None where they are not counted."""


class NoTracing:
    """Tracing that does nothing: the baseline, and all setups whose spans are not hand-written.

    It is its own span: entering, leaving and naming it cost one method call, in every setup alike.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    discarded = 0
    sampled_roots: int | None = 0

    def instrument(self, app: "Starlette") -> "ASGIApp":
        return app

    def connect(self, path: str) -> sqlite3.Connection:
        return sqlite3.connect(path)

    def serve(self, _name: str, _headers: Mapping[str, str], /) -> AbstractContextManager[Step]:
        return self

    def step(self, _name: str, /) -> AbstractContextManager[Step]:
        return self

    def detached(self, _name: str, /) -> AbstractContextManager[Step]:
        return self

    def event(self, _name: str, /, **_attributes: str | int) -> None:
        return None

    def succeed(self) -> None:
        return None

    def fail(self, _reason: str, /) -> None:
        return None

    def flush(self) -> None:
        return None

    def shutdown(self) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        return None
