"""`setups`: the setups, and what is in each preset."""

import shlex
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from bench.app.presets import DERIVED_PRESETS, PRESETS
from bench.app.setups import TABLE, choose
from bench.cli import display
from bench.receiver.messages import SETUP_ATTRIBUTE
from bench.report.words import printable
from bench.studies.options import AppOptions
from bench.testbed.app_files import LoadedApp, load
from bench.testbed.environ import default_spans

MADE_FOR = {
    "instrumentors": "every instrumentation of the application left out, and every one alone",
    "batching": "queue, batch size and delay of the batch processor, in all combinations",
}
"""Presets whose setups are made for the application."""


def setups(file: Path | None = None, /, options: AppOptions | None = None, *, env: str | None = None) -> int:
    """List the setups and what is in each preset.

    Args:
        file: The app file of your service; the built-in example by default.
        options: Further setups.
        env: Print this setup's environment alone, to start a --target with.
    """
    options = options or AppOptions()
    loaded = load(file, options.setups_file, installed=False)
    if env:
        sys.stdout.writelines(f"{name}={shlex.quote(value)}\n" for name, value in _environ(loaded, env))
        return 0
    console = display.console()
    table = Table(box=None, pad_edge=False)
    for head in ("setup", "tracing", "what it is"):
        table.add_column(head, overflow="fold")
    every = (*TABLE, *loaded.app.setup, *loaded.own)
    for setup in every:
        if setup.tracing in loaded.app.modes:
            table.add_row(Text(setup.name, "bold"), setup.tracing, Text(printable(setup.description)))
    console.print(table)
    others = [setup.name for setup in every if setup.tracing not in loaded.app.modes]
    if others:
        console.print(f"Not with {loaded.app.name}, which has no switch for them: {', '.join(others)}")
    presets = Table(box=None, pad_edge=False)
    for head in ("\npreset", "\nits setups"):
        presets.add_column(head, overflow="fold")
    for name, names in (PRESETS | loaded.app.preset).items():
        presets.add_row(Text(name, "bold"), Text(", ".join(names)))
    for name in DERIVED_PRESETS:
        presets.add_row(Text(name, "bold"), Text(MADE_FOR[name]))
    console.print(presets)
    return 0


def _environ(loaded: LoadedApp, name: str) -> list[tuple[str, str]]:
    """The variables that a setup gives to the application's processes."""
    setup = choose(loaded.app, [name], loaded.own)[-1]
    tracing = loaded.app.tracing.env if setup.tracing != "none" else {}
    spans = setup.spans or default_spans(loaded.app)
    environ = {
        name: value.replace("{tracing}", setup.tracing).replace("{spans}", spans)
        for name, value in (tracing | setup.env).items()
    }
    given = setup.env.get("OTEL_RESOURCE_ATTRIBUTES")
    label = f"{SETUP_ATTRIBUTE}={setup.name}"
    environ["OTEL_RESOURCE_ATTRIBUTES"] = f"{given},{label}" if given else label
    return list(environ.items())
