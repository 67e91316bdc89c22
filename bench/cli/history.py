"""`history`: all results of a folder as a trend per set-up."""

import sys
from pathlib import Path

from rich.text import Text

from bench.cli import display
from bench.cli.shared import relative
from bench.report import history as history_report
from bench.report import html, markdown, terminal
from bench.results.history import past
from bench.results.store import Store, pretty


def history(folder: Path, /) -> int:
    """All results of a folder as a trend per set-up.

    Args:
        folder: A folder of results folders.
    """
    found = past(folder)
    shown = history_report.report(found)
    console = display.console()
    for group in found.groups:
        console.print(Text(f"{group.what}: {group.results} runs", "bold"))
        for trend in group.trends:
            terminal.show_table(history_report.table(trend), trend.setup, console)
    for name, why in found.skipped.items():
        console.print(Text(f"skipped {name}: {why}", "yellow"))
    store = Store(folder)
    store.write("history.json", pretty(found))
    store.write("history.md", markdown.render(shown).encode())
    store.write("history.html", html.render(shown).encode())
    sys.stdout.write(f"\nHistory: {relative(folder / 'history.html')}, and history.md beside it\n")
    return 0
