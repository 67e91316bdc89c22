"""CPU that a service burns, or time that it waits, for every request: known, so it has to be found."""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CPU_US, WHEN = "BENCH_INJECTED_CPU_US", "BENCH_INJECTED_WHEN"
BEFORE, AFTER, ANSWERED, WAITED = "before", "after", "answered", "waited"


def burning(app: "ASGIApp", environ: Mapping[str, str] = os.environ) -> "ASGIApp":
    """The application as it is, or one that burns what the environment asks for in every request.

    - `before`: before the application sees the request, and so before its outgoing calls.
    - `after`: when it has its answer, and so after those.
    - `answered`: after the answer is sent. In the middle of an order the same costs a tenth more than it
      burns, because the caches cool down meanwhile for the work that is still to come.
    - `waited`: as `before`, and nothing is burnt: a timer waits for as long.
    """
    if CPU_US not in environ:
        return app
    return _Burning(app, round(float(environ[CPU_US]) * 1e3), environ.get(WHEN, ANSWERED))


class _Burning:
    """An application that burns CPU at one place of every request."""

    def __init__(self, app: "ASGIApp", cpu_ns: int, when: str) -> None:
        self._app = app
        self._cpu_ns = cpu_ns
        self._when = when

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_after(message: "Message") -> None:
            if message["type"] == "http.response.start":
                burn(self._cpu_ns)
            await send(message)

        if self._when == BEFORE:
            burn(self._cpu_ns)
        elif self._when == WAITED:
            await asyncio.sleep(self._cpu_ns / 1e9)
        await self._app(scope, receive, send_after if self._when == AFTER else send)
        if self._when == ANSWERED:
            burn(self._cpu_ns)


def burn(cpu_ns: int) -> None:
    """CPU time of this thread, spent to the microsecond whatever the machine's speed.

    Counted by the same clock that the harness reads, so the amount is known and not estimated.
    """
    until = time.thread_time_ns() + cpu_ns
    while time.thread_time_ns() < until:
        pass
