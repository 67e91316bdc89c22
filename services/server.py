"""Serves one application with uvicorn: uvloop, httptools, one worker, no access log.

An idle service burns nothing. uvicorn wakes ten times a second to renew the
Date header and to look whether it should stop; four of them cost 9 ms of CPU a second,
a quarter of what a lightly loaded baseline needs. Here it sleeps until it is told to stop,
and sends no Date header.
SIGTERM, SIGINT and (with `stop_on_eof`) the end of standard input stop it in order,
through the lifespan. The last one lets a service end with the program that started it,
however that program ended.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from services.usage_file import UsageFile
from services.web import KEEP_ALIVE_S


class _Server(uvicorn.Server):
    """uvicorn's server without its ten wake-ups a second."""

    def __init__(
        self, config: uvicorn.Config, *, stop_on_eof: bool, usage_file: UsageFile | None = None
    ) -> None:
        super().__init__(config)
        self._usage_file = usage_file
        self._stop_on_eof = stop_on_eof
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_on_eof:
            self._loop.add_reader(sys.stdin.fileno(), self._read_stdin)
        watching = asyncio.create_task(self._usage_file.watch_the_loop()) if self._usage_file else None
        if not self.should_exit:
            await self._stop.wait()
        if watching is not None:
            watching.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def _read_stdin(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096) and self._loop is not None:
            self._loop.remove_reader(sys.stdin.fileno())
            self.stop()

    def stop(self) -> None:
        """Ends in order."""
        self.should_exit = True
        self._stop.set()


def bind(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket, on 127.0.0.1 unless told otherwise; port 0 picks a free one.

    Raises:
        OSError: the port is in use.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(1024)
    return listener


PR_SET_PDEATHSIG = 1


def _wake_when_the_parent_dies() -> None:
    """Asks the kernel for SIGCONT when the parent ends (Linux).

    A service that is stopped by SIGSTOP cannot see the end of its input; it would stay for ever.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGCONT))


def _server(app: ASGIApp, *, stop_on_eof: bool = False, usage_file: UsageFile | None = None) -> _Server:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
    )
    return _Server(config, stop_on_eof=stop_on_eof, usage_file=usage_file)


@contextlib.asynccontextmanager
async def running(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """The application served on the running event loop, beside others."""
    server = _server(app)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    # uvicorn says only by a flag that it has started.
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0)
    try:
        yield
    finally:
        server.stop()
        await task


def serve(
    app: ASGIApp, listener: socket.socket, *, stop_on_eof: bool = False, usage_file: UsageFile | None = None
) -> None:
    """The application served until it is told to stop; a usage_file is told of the event loop's stalls."""
    if stop_on_eof and sys.platform == "linux":
        _wake_when_the_parent_dies()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # uvicorn raises the signal again after an orderly shutdown; the orderly part is done.
    with contextlib.suppress(KeyboardInterrupt):
        _server(app, stop_on_eof=stop_on_eof, usage_file=usage_file).run(sockets=[listener])
