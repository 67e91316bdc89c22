"""`trace`: one checkout's journey through the services, as its trace tells it."""

import argparse
import contextlib
import re
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import msgspec
from rich.text import Text

from bench import display, machine, otlp
from bench.backends.backend import Backend
from bench.backends.backend import begin as begin_backend
from bench.backends.catalogue import BACKENDS, TOOLS
from bench.backends.collector import fan_out
from bench.commands.shared import Commands, relative
from bench.errors import ResultsError, ServiceError, UsageError
from bench.journey import Exemplar, Told, diagnosis, rows, traces
from bench.model import Setup
from bench.report import html, terminal
from bench.report import journey as said
from bench.setups import BY_NAME
from bench.sink import Forwarding, Sink
from bench.store import EXEMPLARS, read_packed
from bench.story import STORIES, tell

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""
LOOK_S = 0.5
MODES = ("auto", "lean", "manual", "native")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What is shown, wherever it comes from.

    Attributes:
        title: of the page.
        sentence: what goes on.
        spans: of it.
        cpu_s: CPU seconds by service; empty where nobody read them.
        how: how to see it again.
    """

    title: str
    sentence: str
    spans: tuple[Told, ...]
    cpu_s: dict[str, float]
    how: str


def add(commands: Commands) -> None:
    """`trace`."""
    trace = commands.add_parser("trace", help="one checkout's journey through the services, as a waterfall")
    trace.set_defaults(call=_trace)
    trace.add_argument(
        "--story",
        choices=tuple(STORIES),
        help="; ".join(f"{story.name}: {story.sentence}" for story in STORIES.values()) + " (default: ok)",
    )
    trace.add_argument("--spans", choices=MODES, help="who makes the spans (default: auto)")
    trace.add_argument(
        "--without-propagation",
        action="store_true",
        help="no context is passed on: as many traces as services",
    )
    trace.add_argument(
        "--from", dest="source", nargs="+", metavar=("DIR", "TRACE_ID"),
        help="no new checkout: a trace that a run has kept, the slowest one unless you name another",
    )  # fmt: skip
    trace.add_argument("--html", type=Path, metavar="FILE", help="write the waterfall as a page, too")
    trace.add_argument("--json", action="store_true", help="print the spans as OTLP JSON, and nothing else")
    where = trace.add_mutually_exclusive_group()
    where.add_argument(
        "--backend", choices=BACKENDS,
        help="show the same checkout in a real trace backend, too, until Ctrl-C: "
        + "; ".join(f"{name}: {TOOLS[name].what}" for name in BACKENDS),
    )  # fmt: skip
    where.add_argument("--ui", action="store_true", help="--backend aspire, opened in your browser")
    where.add_argument(
        "--endpoint",
        type=_endpoint,
        metavar="URL",
        help="send the spans to this backend's address for OTLP over http, too",
    )
    trace.add_argument(
        "--header", type=_header, action="append", default=[], metavar="K=V",
        help="with --endpoint: sent along, as an API key; repeat it",
    )  # fmt: skip


def _endpoint(text: str) -> str:
    wrong = argparse.ArgumentTypeError("that is no address like https://otlp.example.com")
    try:
        at = urlsplit(text)
        wrong_port = at.port == 0
    except ValueError:
        raise wrong from None
    if at.scheme not in {"http", "https"} or not at.hostname or wrong_port:
        raise wrong
    if at.username or at.password:
        raise argparse.ArgumentTypeError("an address is printed: send user and password with --header")
    path = at.path.rstrip("/")
    # As the exporters do it: an address without the signal's path gets it.
    return at._replace(path=path if path.endswith("/v1/traces") else f"{path}/v1/traces").geturl()


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    # What was typed is not repeated: it may be a key.
    if not equals or not _TOKEN.fullmatch(name.strip()) or not (value.isascii() and value.isprintable()):
        raise argparse.ArgumentTypeError("a header is written NAME=VALUE, such as api-key=...")
    return name.strip(), value.strip()


def _trace(args: argparse.Namespace) -> int:
    if args.header and not args.endpoint:
        raise UsageError("--header goes with --endpoint", "a backend started here asks for no key")
    if args.html and not args.html.absolute().parent.is_dir():
        raise ResultsError(f"there is no folder {args.html.parent}", "name another file with --html")
    if args.source:
        _deliver(_kept(args), args)
        return 0
    machine.require_linux()
    backend = "aspire" if args.ui else args.backend
    with _stage(backend) as (logs, sink, running):
        shown = _told(args, logs, sink, running)
        _deliver(shown, args)
        if args.endpoint:
            _forward(sink, args.endpoint, dict(args.header))
        if running is not None:
            if not running.exporters:
                _forward(sink, f"{running.otlp}/v1/traces", {}, direct=True)
            running.wait_for(shown.spans)
            _stay(running, shown, sys.stderr if args.json else sys.stdout, browser=args.ui)
    return 0


# ---------------------------------------------------------------- a new checkout


@contextlib.contextmanager
def _stage(backend: str | None) -> Iterator[tuple[Path, Sink, Backend | None]]:
    """A folder for logs, a sink, and a trace backend if one is wanted."""
    with contextlib.ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        running = None
        if backend:
            sys.stderr.write(f"starting {backend}\n")
            running = begin_backend(backend, logs)
            stack.callback(running.stop)
        sink = Sink(logs)
        stack.callback(sink.stop)
        yield logs, sink, running


def _told(args: argparse.Namespace, logs: Path, sink: Sink, backend: Backend | None) -> Shown:
    """A checkout that is sent now."""
    story, mode = STORIES[args.story or "ok"], args.spans or "auto"
    setup = _setup(mode, propagated=not args.without_propagation)
    with contextlib.ExitStack() as stack:
        endpoints = sink.endpoints
        if backend is not None and backend.exporters:
            collector = fan_out(sink, backend.exporters, logs)
            stack.callback(collector.stop)
            endpoints = collector.endpoints
        journey = tell(story, setup, sink, endpoints, logs)
    how = f"`python -m bench trace --story {story.name} --spans {mode}`"
    return Shown(
        title=f"The journey of one checkout: {story.name}",
        sentence=f"{story.sentence} ({story.name})",
        spans=journey.spans,
        cpu_s=journey.cpu_s,
        how=how + (" with `--without-propagation`." if args.without_propagation else "."),
    )


def _setup(mode: str, *, propagated: bool) -> Setup:
    """Everything sampled, in batches; without propagation only baggage is passed on, and there is none."""
    batch = BY_NAME["batch"]
    more = {"BENCH_SPANS": mode} | ({} if propagated else {"OTEL_PROPAGATORS": "baggage"})
    return replace(batch, name="trace", env={**batch.env, **more})


def _forward(sink: Sink, url: str, headers: dict[str, str], *, direct: bool = False) -> None:
    """Sends what the sink got on to somebody else."""
    done = sink.forward(Forwarding(url=url, headers=headers, direct=direct))
    if done.refused:
        raise ServiceError(
            f"{url} did not take the spans: {done.refused}",
            "look at the address, and at --header if it wants a key",
        )
    sys.stderr.write(f"sent {done.exports} exports to {url}, which took all of them\n")


def _stay(backend: Backend, shown: Shown, out: TextIO, *, browser: bool) -> None:
    """Says where the trace is to be seen, and waits for Ctrl-C."""
    for trace_id, mine in traces(shown.spans).items():
        page = backend.page or backend.api
        url = page.format(trace_id)
        out.write(f"\n{backend.name} has the same tree of {len(mine)} spans: {url}\n")
        if browser:
            webbrowser.open(url)
    out.write("Ctrl-C ends it.\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            backend.child.check()
            time.sleep(LOOK_S)
    # Whoever started us (nox, a shell) may pass Ctrl-C on once more while everything is being stopped.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


# ---------------------------------------------------------------- a trace that was kept


def _kept(args: argparse.Namespace) -> Shown:
    """The slowest trace of a results folder, or the one that was named."""
    if len(args.source) > 2:
        raise UsageError("--from takes a folder and one trace", "leave out the others")
    if args.backend or args.ui or args.endpoint or args.story or args.spans or args.without_propagation:
        raise UsageError("--from shows a trace that was kept", "leave out what is about a new checkout")
    folder = Path(args.source[0])
    if not folder.is_dir():
        raise ResultsError(f"there is no folder {folder}", "name that of a run, such as results/reference")
    kept = read_packed(folder / EXEMPLARS, Exemplar)
    if not kept:
        raise ResultsError(
            f"{folder} has kept no traces",
            "a run keeps the slowest one of every set-up and window of its rotation; name its folder",
        )
    found = [each for each in kept if len(args.source) == 1 or each.trace_id.startswith(args.source[1])]
    if not found:
        raise ResultsError(
            f"{folder} has no trace {args.source[1]}",
            f"the slowest one is {_slowest(kept).trace_id}; leave the id out to see it and those beside it",
        )
    chosen = _slowest(found)
    if len(args.source) == 1 and not args.json:
        terminal.show_table(
            said.exemplar_table(kept),
            f"The slowest traces that {relative(folder)} has kept",
            display.console(),
        )
    return Shown(
        title=f"A checkout of {chosen.setup}",
        sentence=f"A checkout of {chosen.setup} in epoch {chosen.epoch}, window {chosen.window}",
        spans=chosen.spans,
        cpu_s={},
        how=f"`python -m bench trace --from {relative(folder)} {chosen.trace_id}`.",
    )


def _slowest(kept: tuple[Exemplar, ...] | list[Exemplar]) -> Exemplar:
    return max(kept, key=lambda each: each.duration_s)


# ---------------------------------------------------------------- what is shown


def _deliver(shown: Shown, args: argparse.Namespace) -> None:
    """The trace in the terminal or as JSON, and as a page if one is wanted."""
    if args.json:
        sys.stdout.write(msgspec.json.encode(otlp.encode(shown.spans)).decode() + "\n")
    else:
        _show(shown)
    if args.html:
        page = html.render(said.report(shown.title, shown.spans, shown.cpu_s, shown.how))
        try:
            args.html.write_text(page, "utf-8")
        except OSError as error:
            raise ResultsError(
                f"cannot write {args.html}: {error.strerror or error}", "name another file with --html"
            ) from None
        sys.stderr.write(f"written: {relative(args.html)}\n")


def _show(shown: Shown) -> None:
    console = display.console()
    ordered = rows(shown.spans)
    terminal.show_table(said.table(ordered, said.NARROW), shown.sentence, console)
    for line in said.events(ordered):
        console.print(Text(line, "yellow"))
    if shown.cpu_s:
        terminal.show_table(said.cpu_table(shown.spans, shown.cpu_s), "CPU beside wall time", console)
    failed = any(row.span.failed for row in ordered)
    console.print(Text(diagnosis(shown.spans), "bold red" if failed else "bold green"))
