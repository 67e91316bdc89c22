"""`history`: all results of a folder as a history of each setup."""

import sys
from pathlib import Path

from bench.cli import display, drawing
from bench.cli.display import relative
from bench.compare import history_document
from bench.compare.history import past
from bench.report import html, markdown
from bench.results.store import Store, pretty


def history(folder: Path, /) -> int:
    """All results of a folder as a history of each setup.

    Args:
        folder: A folder of results folders.
    """
    histories = past(folder)
    report = history_document.report(histories)
    display.show(report)
    store = Store(folder)
    store.write("history.json", pretty(histories))
    store.write("history.md", markdown.render(report).encode())
    store.write("history.html", html.render(report, drawing.drawn(list(html.specs(report)))).encode())
    sys.stdout.write(f"\nHistory: {relative(folder / 'history.html')}, and history.md beside it\n")
    return 0
