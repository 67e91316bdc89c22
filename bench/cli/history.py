"""`history`: all results of a folder as a trend per setup."""

import sys
from pathlib import Path

from bench.cli import display, drawing
from bench.cli.shared import relative
from bench.report import history as history_report
from bench.report import html, markdown
from bench.results.history import past
from bench.results.store import Store, pretty


def history(folder: Path, /) -> int:
    """All results of a folder as a trend per setup.

    Args:
        folder: A folder of results folders.
    """
    trends = past(folder)
    report = history_report.report(trends)
    display.show(report)
    store = Store(folder)
    store.write("history.json", pretty(trends))
    store.write("history.md", markdown.render(report).encode())
    store.write("history.html", html.render(report, drawing.drawn(list(html.specs(report)))).encode())
    sys.stdout.write(f"\nHistory: {relative(folder / 'history.html')}, and history.md beside it\n")
    return 0
