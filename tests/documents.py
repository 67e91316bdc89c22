"""Write the tables of README and documents again, from committed results.

A block stands between two comments, the first of which holds the command that prints it.
"""

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

from bench.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(?P<begin><!-- begin: tracing-overhead (?P<command>[^>]+?) -->\n)(?P<content>.*?)(?P<end><!-- end -->)",
    re.DOTALL,
)


def committed() -> tuple[Path, ...]:
    """Results folders whose reports are committed."""
    return tuple(sorted(path.parent for path in (ROOT / "results").glob("*/report.md")))


def documents() -> tuple[Path, ...]:
    """Everything that people read and no run has written."""
    return (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "results").glob("**/README.md")),
    )


def generated(text: str) -> str:
    """A document with its blocks as their commands print them."""
    return BLOCK.sub(_block, text)


def _block(match: re.Match[str]) -> str:
    arguments = shlex.split(match["command"])
    content = printed(arguments)
    markdown = "--section" in arguments or "md" in arguments
    body = f"\n{content.strip()}\n\n" if markdown else f"```\n{content}```\n"
    return f"{match['begin']}{body}{match['end']}"


def printed(arguments: list[str]) -> str:
    """What a command prints, without blanks at the ends of lines."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.chdir(ROOT):
        code = main(arguments)
    # A result may say no (4), and is shown all the same.
    if code not in {0, 4}:
        raise SystemExit(f"tracing-overhead {shlex.join(arguments)} ended with code {code}")
    lines = [line.rstrip() for line in output.getvalue().strip("\n").splitlines()]
    # A picture lies beside the report, and its figures stand in the table below it.
    return "\n".join(line for line in lines if not line.startswith("![")).lstrip("\n") + "\n"


def write() -> None:
    """Write every report and document again, and tell which documents have changed."""
    for folder in committed():
        printed(["report", str(folder.relative_to(ROOT))])
    for path in documents():
        before = path.read_text("utf-8")
        after = generated(before)
        if after != before:
            path.write_text(after, "utf-8")
            sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    # Documents have one width, whatever the terminal's.
    os.environ.pop("COLUMNS", None)
    write()
