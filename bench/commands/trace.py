"""`trace`: one checkout's journey through the services, as its trace tells it."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.text import Text

from bench import display, machine
from bench.commands.shared import Commands, relative
from bench.errors import ResultsError
from bench.journey import diagnosis, rows
from bench.model import Setup
from bench.report import html, terminal
from bench.report import journey as said
from bench.setups import BY_NAME
from bench.story import STORIES, Journey, Story, tell

MODES = ("auto", "lean", "manual", "native")


def add(commands: Commands) -> None:
    """`trace`."""
    trace = commands.add_parser("trace", help="one checkout's journey through the services, as a waterfall")
    trace.set_defaults(call=_trace)
    trace.add_argument(
        "--story",
        choices=tuple(STORIES),
        default="ok",
        help="; ".join(f"{story.name}: {story.sentence}" for story in STORIES.values()),
    )
    trace.add_argument("--spans", choices=MODES, default="auto", help="who makes the spans (default: auto)")
    trace.add_argument(
        "--without-propagation",
        action="store_true",
        help="no context is passed on: as many traces as services",
    )
    trace.add_argument("--html", type=Path, metavar="FILE", help="write the waterfall as a page, too")
    trace.add_argument("--json", action="store_true", help="print the spans as OTLP JSON, and nothing else")


def _trace(args: argparse.Namespace) -> int:
    machine.require_linux()
    story = STORIES[args.story]
    journey = tell(story, _setup(args.spans, propagated=not args.without_propagation))
    if args.json:
        sys.stdout.write(msgspec.json.encode(said.otlp(journey.spans)).decode() + "\n")
    else:
        _show(story, journey)
    if args.html:
        how = f"`python -m bench trace --story {story.name} --spans {args.spans}`"
        how += " with `--without-propagation`." if args.without_propagation else "."
        page = html.render(said.report(_title(story), journey.spans, journey.cpu_s, how))
        try:
            args.html.write_text(page, "utf-8")
        except OSError as error:
            raise ResultsError(
                f"cannot write {args.html}: {error.strerror or error}", "name another file with --html"
            ) from None
        sys.stderr.write(f"written: {relative(args.html)}\n")
    return 0


def _setup(mode: str, *, propagated: bool) -> Setup:
    """Everything sampled, in batches; without propagation only baggage is passed on, and there is none."""
    batch = BY_NAME["batch"]
    more = {"BENCH_SPANS": mode} | ({} if propagated else {"OTEL_PROPAGATORS": "baggage"})
    return replace(batch, name="trace", env={**batch.env, **more})


def _title(story: Story) -> str:
    return f"The journey of one checkout: {story.name}"


def _show(story: Story, journey: Journey) -> None:
    console = display.console()
    ordered = rows(journey.spans)
    terminal.show_table(said.table(ordered, said.NARROW), f"{story.sentence} ({story.name})", console)
    for line in said.events(ordered):
        console.print(Text(line, "yellow"))
    terminal.show_table(said.cpu_table(journey.spans, journey.cpu_s), "CPU beside wall time", console)
    failed = any(row.span.failed for row in ordered)
    console.print(Text(diagnosis(journey.spans), "bold red" if failed else "bold green"))
