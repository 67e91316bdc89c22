"""`trace`: one request's journey through the services, as its trace tells it."""

import argparse
import contextlib
import re
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import msgspec
from rich.text import Text

from bench.cli import display
from bench.cli.options import add_app, read_subject
from bench.cli.shared import Commands, relative
from bench.errors import ResultsError, ServiceError, UsageError
from bench.report import html, terminal
from bench.results.store import TRACES, SlowestTrace, read_packed
from bench.sink.messages import Forwarding, TraceSpan
from bench.testbed import machine
from bench.testbed.options import Options
from bench.testbed.sink import Sink
from bench.testbed.testbed import Testbed
from bench.traces import otlp_json
from bench.traces import report as trace_report
from bench.traces.backend import Backend
from bench.traces.backend import begin as begin_backend
from bench.traces.catalogue import BACKENDS, TOOLS
from bench.traces.collector import fan_out
from bench.traces.journey import diagnosis, rows, traces
from bench.traces.story import STORIES, everything_sampled, plan_of, staged, tell

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""
LOOK_S = 0.5


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
    spans: tuple[TraceSpan, ...]
    cpu_s: dict[str, float]
    how: str


def add(commands: Commands) -> None:
    """`trace`."""
    trace = commands.add_parser("trace", help="one request's journey through the services, as a waterfall")
    trace.set_defaults(call=_trace)
    add_app(trace)
    trace.add_argument(
        "--story",
        choices=tuple(STORIES),
        help="of the built-in example: "
        + "; ".join(f"{story.name}: {story.sentence}" for story in STORIES.values()),
    )
    trace.add_argument(
        "--spans", metavar="WORD", help="a set-up's `spans`: for the example auto, lean, manual or native"
    )
    trace.add_argument(
        "--without-propagation",
        action="store_true",
        help="no context is passed on: as many traces as services",
    )
    trace.add_argument(
        "--from", dest="source", nargs="+", metavar=("DIR", "TRACE_ID"),
        help="no new request: a trace that a run has kept, the slowest one unless you name another",
    )  # fmt: skip
    trace.add_argument("--html", type=Path, metavar="FILE", help="write the waterfall as a page, too")
    trace.add_argument("--json", action="store_true", help="print the spans as OTLP JSON, and nothing else")
    where = trace.add_mutually_exclusive_group()
    where.add_argument(
        "--backend", choices=BACKENDS,
        help="show the same request in a real trace backend, too, until Ctrl-C: "
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
    with _stage(args, backend) as (testbed, running):
        shown = _told(args, testbed)
        _deliver(shown, args)
        if args.endpoint:
            _forward(testbed.sink, args.endpoint, dict(args.header))
        if running is not None:
            if not running.exporters:
                _forward(testbed.sink, f"{running.otlp}/v1/traces", {}, direct=True)
            running.wait_for(shown.spans)
            _stay(running, shown, sys.stderr if args.json else sys.stdout, browser=args.ui)
    return 0


# ---------------------------------------------------------------- a new request


@contextlib.contextmanager
def _stage(args: argparse.Namespace, backend: str | None) -> Iterator[tuple[Testbed, Backend | None]]:
    """The processes of one request, and a trace backend if one is wanted."""
    subject = read_subject(args)
    app = subject.app
    if args.story or args.app is None:
        app = staged(app, STORIES[args.story or "ok"])
    plan = plan_of(app, everything_sampled(args.spans or "", propagated=not args.without_propagation))
    with contextlib.ExitStack() as stack:
        running = None
        if backend:
            sys.stderr.write(f"starting {backend}\n")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            running = begin_backend(backend, folder)
            stack.callback(running.stop)
        exporters = running.exporters if running else None
        testbed = Testbed(
            plan,
            Options(
                place=subject.place,
                load=False,
                collector=(lambda sink, logs: fan_out(sink, exporters, logs)) if exporters else None,
            ),
        )
        stack.callback(testbed.close)
        args.plan = plan
        args.first = read_subject(args).app.request[0]
        yield testbed, running


def _told(args: argparse.Namespace, testbed: Testbed) -> Shown:
    """A request that is sent now."""
    journey = tell(testbed, args.plan, args.first)
    app = args.plan.app
    story = STORIES[args.story or "ok"] if args.story or args.app is None else None
    words = ["tracing-overhead trace"]
    words += [f"--story {story.name}"] if story else [f"--app {args.app}"]
    words += [f"--spans {args.spans}"] if args.spans else []
    words += ["--without-propagation"] if args.without_propagation else []
    return Shown(
        title=f"The journey of one {app.unit}" + (f": {story.name}" if story else f" of {app.name}"),
        sentence=f"{story.sentence} ({story.name})" if story else f"{app.request[0].label} of {app.name}",
        spans=journey.spans,
        cpu_s=journey.cpu_s,
        how=f"`{' '.join(words)}`.",
    )


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
        raise UsageError("--from shows a trace that was kept", "leave out what is about a new request")
    folder = Path(args.source[0])
    if not folder.is_dir():
        raise ResultsError(f"there is no folder {folder}", "name that of a run, such as results/reference")
    kept = read_packed(folder / TRACES, SlowestTrace)
    if not kept:
        raise ResultsError(
            f"{folder} has kept no traces",
            "a run keeps the slowest one of every set-up and epoch; name its folder",
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
            trace_report.slowest_table(kept),
            f"The slowest traces that {relative(folder)} has kept",
            display.console(),
        )
    return Shown(
        title=f"A request of {chosen.setup}",
        sentence=f"A request of {chosen.setup} in epoch {chosen.epoch}",
        spans=chosen.spans,
        cpu_s={},
        how=f"`tracing-overhead trace --from {relative(folder)} {chosen.trace_id}`.",
    )


def _slowest(kept: Sequence[SlowestTrace]) -> SlowestTrace:
    return max(kept, key=lambda each: each.duration_s)


# ---------------------------------------------------------------- what is shown


def _deliver(shown: Shown, args: argparse.Namespace) -> None:
    """The trace in the terminal or as JSON, and as a page if one is wanted."""
    if args.json:
        sys.stdout.write(msgspec.json.encode(otlp_json.encode(shown.spans)).decode() + "\n")
    else:
        _show(shown)
    if args.html:
        page = html.render(trace_report.report(shown.title, shown.spans, shown.cpu_s, shown.how))
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
    terminal.show_table(trace_report.table(ordered, trace_report.NARROW), shown.sentence, console)
    for line in trace_report.events(ordered):
        console.print(Text(line, "yellow"))
    if shown.cpu_s:
        terminal.show_table(trace_report.cpu_table(shown.spans, shown.cpu_s), "CPU beside wall time", console)
    failed = any(row.span.failed for row in ordered)
    console.print(Text(diagnosis(shown.spans), "bold red" if failed else "bold green"))
