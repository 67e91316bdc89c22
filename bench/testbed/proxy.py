"""A TCP proxy in front of a backend, which can be cut, blocked and slowed down.

The receiver itself simulates wrong answers (`Answering`); faults below HTTP are simulated
here.
"""

import contextlib
import selectors
import socket
import threading
import time
from enum import StrEnum

CHUNK_BYTES = 65536
LOOK_S = 0.05
BACKLOG = 128


class LinkState(StrEnum):
    """What becomes of a connection."""

    OPEN = "open"
    """Bytes pass."""
    CUT = "cut"
    """Nothing listens, and connections that were there are closed."""
    MUTE = "mute"
    """Connections and their bytes are accepted, but nothing comes back."""
    DRIP = "drip"
    """Answers pass at one byte a second."""


class Proxy:
    """Listens on a port of its own and passes everything on to another.

    Attributes:
        port: its own.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._way = LinkState.OPEN
        self._listener = _bound(0)
        self._listener.listen(BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_over = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def become(self, way: LinkState) -> None:
        """Set the state of all connections, including existing ones."""
        before, self._way = self._way, way
        if way is LinkState.CUT:
            self._close_listener()
            self._close_connections()
            # Bound and not listening: connections are refused, and no other program gets the port meanwhile.
            self._listener = _bound(self.port)
        elif before is LinkState.CUT:
            self._listener.listen(BACKLOG)
            self._accepting = threading.Thread(target=self._accept, daemon=True)
            self._accepting.start()

    def close(self) -> None:
        """Stop."""
        self._is_over = True
        self._close_listener()
        self._close_connections()

    def _close_listener(self) -> None:
        # A thread that waits in accept() is not woken by close() alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def _close_connections(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for side in (client, server):
                # Else a request in two packets waits 40 ms for the first one's acknowledgement.
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((client, server))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Move bytes between two sockets until one of them ends."""
        waiting = bytearray()
        next_drop_s = 0.0
        with client, server, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            for side in (client, server):
                ready.register(side, selectors.EVENT_READ)
            while not self._is_over:
                for key, _ in ready.select(LOOK_S):
                    side = client if key.fileobj is client else server
                    data = side.recv(CHUNK_BYTES)
                    if not data:
                        return
                    if side is server:
                        waiting += data
                    elif self._way is not LinkState.MUTE:
                        server.sendall(data)
                if self._way is LinkState.OPEN:
                    client.sendall(waiting)
                    waiting.clear()
                elif self._way is LinkState.DRIP and waiting and time.monotonic() >= next_drop_s:
                    client.sendall(waiting[:1])
                    del waiting[:1]
                    next_drop_s = time.monotonic() + 1.0


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener
