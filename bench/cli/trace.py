"""`trace`: one request through the services, as its trace shows it."""

import contextlib
import re
import signal
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TextIO
from urllib.parse import urlsplit

import msgspec
from cyclopts import Group, Parameter, validators

from bench.app.records import Request
from bench.cli import display, drawing
from bench.cli.display import relative
from bench.errors import ResultsError, ServiceError, UsageError
from bench.plan.records import Plan
from bench.receiver import otlp_json
from bench.receiver.messages import Forwarding, KeptTrace
from bench.report import html
from bench.results.store import TRACES, read_packed
from bench.studies.options import AppOptions, checked, read_as
from bench.testbed import leftovers, machine
from bench.testbed.app_files import LoadedApp, load
from bench.testbed.options import Options
from bench.testbed.receiver import Receiver
from bench.testbed.testbed import Testbed
from bench.traces import report as trace_report
from bench.traces.backend import Backend
from bench.traces.backend import begin as begin_backend
from bench.traces.collectors import fan_out
from bench.traces.journey import traces
from bench.traces.report import Told
from bench.traces.scenario import SCENARIOS, Scenario, everything_sampled, single_request_plan, staged, tell

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name (RFC 9110, 5.6.2)."""
LOOK_S = 0.5
STOPPED = (
    "Clocks of spans go on while an instance is stopped: most of this time others had their slices, so it "
    "shows the order of events, and not which service was slow."
)


def _scenario(text: str) -> str:
    if text not in SCENARIOS:
        raise ValueError(f"there is no scenario {text!r}; there are {', '.join(SCENARIOS)}")
    return text


def _endpoint(text: str) -> str:
    wrong = ValueError("that is no address like https://otlp.example.com")
    try:
        at = urlsplit(text)
        wrong_port = at.port == 0
    except ValueError:
        raise wrong from None
    if at.scheme not in {"http", "https"} or not at.hostname or wrong_port:
        raise wrong
    if at.username or at.password:
        raise ValueError("an address is printed: send user and password with --header")
    path = at.path.rstrip("/")
    # As the exporters do it: an address without the signal's path gets it.
    return at._replace(path=path if path.endswith("/v1/traces") else f"{path}/v1/traces").geturl()


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    # What was typed is not repeated: it may be a key.
    if not equals or not _TOKEN.fullmatch(name.strip()) or not (value.isascii() and value.isprintable()):
        raise ValueError("a header is written NAME=VALUE, such as api-key=...")
    return name.strip(), value.strip()


BACKEND = Group("A real trace backend", validator=validators.LimitedChoice())


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TraceOptions(AppOptions):
    """What `tracing-overhead trace` understands.

    Attributes:
        scenario: Of the built-in example: what happens to the request.
        spans: A setup's `spans`: for the example auto, lean, manual or native.
        processor: Of the built-in example: simple exports every span as it ends.
        without_propagation: No context is passed on: as many traces as services.
        source: DIR [TRACE_ID]: no new request, but a trace that a run has kept, the slowest one unless
            you name another, such as a damaged one.
        html: Write the waterfall as a page, too.
        format: json: print the spans as OTLP JSON, and nothing else.
        backend: Show the same request in a real trace backend, too, until Ctrl-C.
        ui: The backend aspire, opened in your browser.
        endpoint: Send the spans to this backend's address for OTLP over http, too.
        header: K=V, with --endpoint: sent along, as an API key; repeat it.
    """

    scenario: Annotated[str | None, Parameter(converter=read_as(_scenario))] = None
    spans: str | None = None
    processor: Literal["batch", "simple"] = "batch"
    without_propagation: bool = False
    source: Annotated[tuple[str, ...], Parameter(name="--from", consume_multiple=True)] = ()
    html: Path | None = None
    format: Literal["text", "json"] = "text"
    backend: Annotated[Literal["jaeger", "zipkin", "aspire"] | None, Parameter(group=BACKEND)] = None
    ui: Annotated[bool, Parameter(group=BACKEND)] = False
    endpoint: Annotated[str | None, Parameter(group=BACKEND, converter=read_as(_endpoint))] = None
    header: Annotated[tuple[str, ...], Parameter(validator=checked(_header))] = ()

    @property
    def chosen(self) -> Scenario | None:
        """The scenario; None for an app file without --scenario."""
        return SCENARIOS[self.scenario or "ok"] if self.scenario or self.app is None else None


def trace(file: Path | None = None, /, options: TraceOptions | None = None) -> int:
    """Show one request's trace through the services as a waterfall.

    Args:
        file: The app file of your service; the built-in example by default.
        options: What is traced, and how it is shown.
    """
    options = replace(options or TraceOptions(), app=file)
    if options.header and not options.endpoint:
        raise UsageError("--header goes with --endpoint", "a backend started here asks for no key")
    if options.html and not options.html.absolute().parent.is_dir():
        raise ResultsError(f"there is no folder {options.html.parent}", "name another file with --html")
    if options.source:
        _deliver(_kept(options), options)
        return 0
    machine.require_linux()
    backend = "aspire" if options.ui else options.backend
    loaded = load(options.app, options.setups_file)
    with _stage(options, loaded, backend) as (testbed, plan, running):
        shown = _sent(options, testbed, plan, loaded.app.request[0])
        _deliver(shown, options)
        if options.endpoint:
            _forward(testbed.receiver, options.endpoint, dict(map(_header, options.header)))
        if running is not None:
            if not running.exporters:
                _forward(testbed.receiver, f"{running.otlp}/v1/traces", {}, direct=True)
            running.wait_for(shown.spans)
            _stay(running, shown, sys.stderr if options.format == "json" else sys.stdout, browser=options.ui)
    return 0


# ---------------------------------------------------------------- a new request


@contextlib.contextmanager
def _stage(
    options: TraceOptions, loaded: LoadedApp, backend: str | None
) -> Iterator[tuple[Testbed, Plan, Backend | None]]:
    """The processes of one request, and a trace backend if one is wanted."""
    app = staged(loaded.app, options.chosen) if options.chosen else loaded.app
    if options.processor == "simple" and "simple" not in app.modes:
        raise UsageError(f"{app.name} has no switch for the simple processor", "leave out --processor")
    setup = everything_sampled(
        options.spans or "", propagated=not options.without_propagation, processor=options.processor
    )
    plan = single_request_plan(app, setup)
    with contextlib.ExitStack() as stack:
        running = None
        if backend:
            sys.stderr.write(f"starting {backend}\n")
            folder = stack.enter_context(leftovers.temporary_folder())
            running = begin_backend(backend, folder)
            stack.callback(running.stop)
        exporters = running.exporters if running else None
        testbed = Testbed(
            plan,
            Options(
                place=loaded.place,
                load=False,
                collector=(lambda receiver, logs: fan_out(receiver, exporters, logs)) if exporters else None,
            ),
        )
        stack.callback(testbed.close)
        yield testbed, plan, running


def _sent(options: TraceOptions, testbed: Testbed, plan: Plan, first: Request) -> Told:
    """A request that is sent now."""
    journey = tell(testbed, plan, first)
    app, scenario = plan.app, options.chosen
    words = ["tracing-overhead trace"]
    words += [f"--scenario {scenario.name}"] if scenario else [str(options.app)]
    words += [f"--spans {options.spans}"] if options.spans else []
    words += [f"--processor {options.processor}"] if options.processor != "batch" else []
    words += ["--without-propagation"] if options.without_propagation else []
    return Told(
        title=f"The journey of one {app.unit}" + (f": {scenario.name}" if scenario else f" of {app.name}"),
        sentence=f"{scenario.sentence} ({scenario.name})"
        if scenario
        else f"{app.request[0].label} of {app.name}",
        spans=journey.spans,
        cpu_s=journey.cpu_s,
        how=f"`{' '.join(words)}`.",
        exports_inline=options.processor == "simple",
    )


def _forward(receiver: Receiver, url: str, headers: dict[str, str], *, direct: bool = False) -> None:
    """Forward what the receiver got."""
    done = receiver.forward(Forwarding(url=url, headers=headers, direct=direct))
    if done.refused:
        raise ServiceError(
            f"{url} did not take the spans: {done.refused}",
            "look at the address, and at --header if it wants a key",
        )
    sys.stderr.write(f"sent {done.exports} exports to {url}, which took all of them\n")


def _stay(backend: Backend, shown: Told, out: TextIO, *, browser: bool) -> None:
    """Say where the trace can be seen, and wait for Ctrl-C."""
    for trace_id, spans in traces(shown.spans).items():
        page = backend.page or backend.api
        url = page.format(trace_id)
        out.write(f"\n{backend.name} has the same tree of {len(spans)} spans: {url}\n")
        if browser:
            webbrowser.open(url)
    out.write("Ctrl-C ends it.\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            backend.child.check()
            time.sleep(LOOK_S)
    # The parent process (nox, a shell) may pass Ctrl-C on once more while everything is being stopped.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


# ---------------------------------------------------------------- a trace that was kept


def _kept(options: TraceOptions) -> Told:
    """The slowest trace of a results folder, or the one that was named."""
    if len(options.source) > 2:
        raise UsageError("--from takes a folder and one trace", "leave out the others")
    if replace(options, source=(), html=None, format="text") != TraceOptions():
        raise UsageError("--from shows a trace that was kept", "leave out the options for a new request")
    folder = Path(options.source[0])
    if not folder.is_dir():
        raise ResultsError(
            f"there is no folder {folder}", "name a folder that `tracing-overhead run` has left"
        )
    kept = read_packed(folder / TRACES, KeptTrace)
    if not kept:
        raise ResultsError(
            f"{folder} has kept no traces",
            "a run keeps the slowest one of every setup and replicate, and damaged ones; name its folder",
        )
    named = [
        kept_trace
        for kept_trace in kept
        if len(options.source) == 1 or kept_trace.trace_id.startswith(options.source[1])
    ]
    if not named:
        raise ResultsError(
            f"{folder} has no trace {options.source[1]}",
            f"the slowest one is {_slowest(kept).trace_id}; leave the id out to see it and those beside it",
        )
    chosen = _slowest(named)
    if len(options.source) == 1 and options.format != "json":
        display.show(trace_report.kept_traces(kept, relative(folder)))
    return Told(
        title=f"A request of {chosen.setup}",
        sentence=f"A request of {chosen.setup} in replicate {chosen.replicate}"
        f"{f', {chosen.damage}' if chosen.damage else ''}. {STOPPED}",
        spans=chosen.spans,
        cpu_s={},
        how=f"`tracing-overhead trace --from {relative(folder)} {chosen.trace_id}`.",
        blames=False,
    )


def _slowest(kept: Sequence[KeptTrace]) -> KeptTrace:
    return max(kept, key=lambda kept_trace: kept_trace.duration_s)


# ---------------------------------------------------------------- what is shown


def _deliver(shown: Told, options: TraceOptions) -> None:
    """The trace in the terminal or as JSON, and as a page if one is wanted."""
    if options.format == "json":
        sys.stdout.write(msgspec.json.encode(otlp_json.encode(shown.spans)).decode() + "\n")
    else:
        display.show(trace_report.report(shown, trace_report.NARROW))
    if options.html:
        told = trace_report.report(shown)
        page = html.render(told, drawing.drawn(list(html.specs(told))))
        try:
            options.html.write_text(page, "utf-8")
        except OSError as error:
            raise ResultsError(
                f"cannot write {options.html}: {error.strerror or error}", "name another file with --html"
            ) from None
        sys.stderr.write(f"written: {relative(options.html)}\n")
