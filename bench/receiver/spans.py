"""What an account needs of a received span, and what a trace's spans are called."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench.plan.records import Shape

_PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")


@dataclass(frozen=True, slots=True)
class Span:
    """A received span.

    Attributes:
        service: `service.name` of its resource.
        trace: id of its trace.
        span: its own id.
        parent: its parent's id; empty for a root.
        scope: instrumentation scope.
        kind: server, client, internal, producer or consumer.
        name: of the span.
        replicate: number that its resource carries; None without one.
        start_ns: when it began, by the wall clock; 0 where that is not known.
        end_ns: when it ended.
    """

    service: str
    trace: bytes
    span: bytes
    parent: bytes
    scope: str = ""
    kind: str = ""
    name: str = ""
    replicate: int | None = None
    start_ns: int = 0
    end_ns: int = 0


def full_name(span: Span) -> str:
    """A span's process, kind and name."""
    return f"{span.service}\t{span.kind}\t{_without_port(span.name)}"


def _without_port(name: str) -> str:
    """A span's name without the port of a process, which is another one in every instance."""
    return _PORT.sub(r"\1", name) if ":" in name else name


def shape_of(spans: Iterable[Span], *, detailed: bool) -> Shape:
    """How many spans a trace has by process; detailed: by process, kind and name."""
    return counted(full_name(span) if detailed else span.service for span in spans)


def counted(words: Iterable[str]) -> dict[str, int]:
    """How often each word comes, in the order of words."""
    return dict(sorted(Counter(words).items()))
