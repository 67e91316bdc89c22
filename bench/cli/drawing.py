"""Draws charts in a process of its own: `python -m bench.cli.drawing` reads specs and prints SVG.

The chart engine is a JavaScript engine that ends its process where memory is short. A chart that cannot be
drawn must not prevent the report.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence

import msgspec

from bench.report.html import Draw, svg
from bench.testbed.process import ROOT, plain_environ

LIMIT_S = 60.0


def drawn(specs: Sequence[Mapping[str, object]]) -> Draw:
    """Draw charts; the returned function gives a spec's SVG, or None if it could not be drawn."""
    pictures: dict[bytes, str | None] = {}
    left = list(dict.fromkeys(map(msgspec.json.encode, specs)))
    while left:
        made = _draw(left)
        # The chart after the last one drawn made the process abort: it stays undrawn.
        pictures |= dict(zip(left, [*made, None], strict=False))
        left = left[len(made) + 1 :]
    return lambda spec: pictures.get(msgspec.json.encode(spec))


def _draw(specs: Sequence[bytes]) -> list[str]:
    """Pictures of the specs, as many as the process managed to draw."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli.drawing"],
            input=b"".join(spec + b"\n" for spec in specs),
            env=plain_environ() | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [msgspec.json.decode(line, type=str) for line in done.stdout.split(b"\n")[:-1]]


def main() -> None:
    """Draw what standard input holds."""
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(svg(msgspec.json.decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
