"""Ports of this machine: which are free, and who answers on one."""

import http.client
import os
import socket

from bench.app.records import NOWHERE
from bench.errors import ServiceError

UNSAMPLED = {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00"}
"""Headers of readiness requests, which a parent-based sampler then does not sample."""
FIRST_PORT, LAST_PORT = 18000, 31999
"""Below the ports that the kernel gives to outgoing connections."""


def free_ports(count: int, taken: set[int] | None = None) -> list[int]:
    """`count` free ports, other than those `taken`; added to these.

    Raises:
        ServiceError: there are too few.
    """
    ports: list[int] = []
    taken = set() if taken is None else taken
    size = LAST_PORT - FIRST_PORT + 1
    # Every harness begins elsewhere: two that start at once must not choose the same port.
    begin = os.getpid() * 97 % size
    for place in range(size):
        port = FIRST_PORT + (begin + place) % size
        if len(ports) == count:
            break
        if port not in taken and _is_free(port):
            ports.append(port)
            taken.add(port)
    if len(ports) < count:
        raise ServiceError(
            f"no port from {FIRST_PORT} to {LAST_PORT} is free", "end the programs that use them"
        )
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


READY_BELOW = 500


def answer_of(port: int, ready: str) -> int:
    """The status of a process's ready path; 200 for an accepted connection, 0 without an answer."""
    if ready == NOWHERE:
        return 200
    if ready == "tcp":
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            return 0
        return 200
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", ready, headers=UNSAMPLED)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
