"""What a service notes in a file while it runs, so that it is known however the service ends.

`BENCH_USAGE_FILE` names the file; without it nothing is noted, and it costs nothing. Three numbers of eight
bytes, in the machine's order: spans that ended and were sampled; the longest stall of the event loop in
nanoseconds since somebody has set it to 0; and when the loop was last awake, by the monotonic clock, because
a stall that still goes on has not been noted.
"""

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span

VARIABLE = "BENCH_USAGE_FILE"
TICK_S = 0.001
NUMBERS = struct.Struct("qqq")
SPANS, STALL, AWAKE = 0, 8, 16


class UsageFile:
    """The file, mapped into memory: the kernel keeps what is in it, whatever happens to this process."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, NUMBERS.size)
            self._memory = mmap.mmap(descriptor, NUMBERS.size)
        finally:
            os.close(descriptor)
        self.spans = 0

    def add_span(self) -> None:
        """One more span has ended."""
        self.spans += 1
        struct.pack_into("q", self._memory, SPANS, self.spans)

    async def watch_the_loop(self) -> None:
        """Ask to be woken every millisecond, and note how late that was at worst."""
        while True:
            due_ns = time.monotonic_ns() + int(TICK_S * 1e9)
            await asyncio.sleep(TICK_S)
            now_ns = time.monotonic_ns()
            struct.pack_into("q", self._memory, AWAKE, now_ns)
            late_ns = now_ns - due_ns
            if late_ns > struct.unpack_from("q", self._memory, STALL)[0]:
                struct.pack_into("q", self._memory, STALL, late_ns)


class SpanCounter:
    """A span processor that tells a usage_file of every span that ends, and does nothing else."""

    def __init__(self, usage_file: UsageFile) -> None:
        self._usage_file = usage_file

    def on_start(self, span: "Span", parent_context: object = None) -> None:
        """Nothing."""

    def _on_ending(self, span: object) -> None:
        """Nothing."""

    def on_end(self, span: "ReadableSpan") -> None:
        """Count it, if it is to be exported."""
        context = span.context
        if context is not None and context.trace_flags.sampled:
            self._usage_file.add_span()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the interface's
        """Nothing waits here."""
        return True

    def shutdown(self) -> None:
        """Nothing to let go of."""


def usage_file_of(environ: Mapping[str, str] = os.environ) -> UsageFile | None:
    """The usage_file that the environment asks for."""
    path = environ.get(VARIABLE)
    return UsageFile(path) if path else None
