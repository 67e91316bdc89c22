"""Two machines on one: network namespaces, and a link between them that delays and loses packets.

The link is in user space, two TUN devices with a program between: not every kernel has `tc netem`. What it
cannot show is what two real machines have of their own: clocks that drift apart, network cards, other CPUs.
"""

import contextlib
import fcntl
import ipaddress
import os
import queue
import random
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

T = TypeVar("T", "Machines", "Watched")
A, B = "10.77.0.1", "10.77.0.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DELAY_S, LOSS = 0.002, 0.001
"""In each direction: a round trip takes 4 ms, and one packet in a thousand is lost."""


class Link:
    """Two network devices whose packets cross after a while, or never."""

    def __init__(self, names: tuple[str, str]) -> None:
        self._devices = [_tun(name) for name in names]
        self._chance = random.Random(0)
        self.is_cut = False
        self.passed = self.lost = 0
        for source, target in (self._devices, self._devices[::-1]):
            waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            threading.Thread(target=self._read, args=(source, waiting), daemon=True).start()
            threading.Thread(target=self._write, args=(target, waiting), daemon=True).start()

    def _read(self, device: int, waiting: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        with contextlib.suppress(OSError):
            while packet := os.read(device, 65536):
                if self.is_cut or self._chance.random() < LOSS:
                    self.lost += 1
                else:
                    self.passed += 1
                    waiting.put((time.monotonic() + DELAY_S, packet))

    def _write(self, device: int, waiting: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        while True:
            due, packet = waiting.get()
            time.sleep(max(due - time.monotonic(), 0.0))
            # Until a device is up, what is written to it is refused.
            with contextlib.suppress(OSError):
                os.write(device, packet)


class Machines:
    """Two namespaces, named after this process, and the link between them."""

    def __init__(self) -> None:
        self.names = tuple(f"bench-{side}-{os.getpid()}" for side in "ab")
        devices = (f"tun-a-{os.getpid() % 10000}", f"tun-b-{os.getpid() % 10000}")
        for name in self.names:
            _ip("netns", "add", name)
        self.link = Link(devices)
        for name, device, address in zip(self.names, devices, (A, B), strict=True):
            _ip("link", "set", device, "netns", name)
            for words in (
                ("addr", "add", f"{address}/24", "dev", device),
                ("link", "set", device, "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", name, *words)

    def on(self, side: str) -> list[str]:
        """What runs a command on machine `a` or `b`."""
        return ["nsenter", f"--net=/run/netns/{self.names['ab'.index(side)]}"]

    def remove(self) -> None:
        """Leave none of them."""
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class Watched:
    """A namespace from which nothing leads out, and a note of every packet that would have left it.

    Attributes:
        packets: addresses that something was sent to.
    """

    def __init__(self) -> None:
        self.name, device = f"bench-w-{os.getpid()}", f"tun-w-{os.getpid() % 10000}"
        self.packets: list[str] = []
        self._came = threading.Event()
        _ip("netns", "add", self.name)
        self._device = _tun(device)
        _ip("link", "set", device, "netns", self.name)
        for words in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{A}/24", "dev", device),
            ("link", "set", device, "up"),
            ("route", "add", "default", "dev", device),
        ):
            _ip("-n", self.name, *words)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while packet := os.read(self._device, 65536):
                # Of version 6 there is only what the kernel says of the device itself.
                if packet[0] >> 4 == 4:
                    self.packets.append(str(ipaddress.IPv4Address(packet[16:20])))
                    self._came.set()

    @property
    def prefix(self) -> list[str]:
        """What runs a command in it."""
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def run(self, *command: str) -> None:
        """Run a command in it."""
        subprocess.run([*self.prefix, *command], check=True, capture_output=True)

    def wait_for_packet(self) -> None:
        """Return when something was sent; fails where nothing is."""
        assert self._came.wait(10), "nothing was seen"

    def remove(self) -> None:
        """Leave nothing of it."""
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)


@contextlib.contextmanager
def two_machines() -> Iterator[Machines]:
    """Two machines; skips the test where they cannot be made."""
    with _made(Machines) as machines:
        yield machines


@contextlib.contextmanager
def watched() -> Iterator[Watched]:
    """A namespace whose packets are seen; skips the test where it cannot be made."""
    with _made(Watched) as machine:
        yield machine


@contextlib.contextmanager
def _made(kind: Callable[[], T]) -> Iterator[T]:
    missing = [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]
    if missing or os.getuid() or not os.path.exists("/dev/net/tun"):  # noqa: PTH110 - a device
        why = f"{', '.join(missing)} missing" if missing else "it takes root and /dev/net/tun"
        pytest.skip(f"network namespaces cannot be made here: {why}")
    try:
        made = kind()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _tun(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device
