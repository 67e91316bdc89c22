"""What several commands need."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from bench.analysis.summary import Predict
from bench.cli import ci, display, drawing
from bench.cli.invocation import spelled_here
from bench.cli.options import Format
from bench.errors import MeasurementError
from bench.micro import predictions, record
from bench.micro import report as micro_report
from bench.plan.budget import duration_s
from bench.plan.records import Plan
from bench.report import document, histograms, html, markdown, run, terminal
from bench.report.ci import benchmark, junit
from bench.results import manifest
from bench.results.folder import SUMMARY, RunResult, read_run
from bench.results.store import Store, folder_name, pretty, read_machine

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def new_folder(out: Path | None, name: str) -> Store:
    """The results folder to measure into: the one that was asked for, or `results/<UTC>-<name>`."""
    return Store.create(out or Path("results") / folder_name(datetime.now(UTC), name))


def predictor(folder: Path) -> Predict | None:
    """Predicts layers from a folder's microbenchmarks; None where it has none."""
    if not record.exists(folder):
        return None
    return predictions.predictor(record.read(folder).prices)


def run_document(folder: Path, result: RunResult) -> document.Document:
    """The report of a run, with that of its microbenchmarks."""
    more = micro_report.sections(record.read(folder)) if record.exists(folder) else ()
    made = run.report(result.summary, read_machine(folder), *more)
    if not result.faults:
        return made
    text = f"CHANGED SINCE IT WAS MEASURED: {result.faults[0]}; no figure counts."
    return document.document(made.title, [document.Text(text=text, red=True), *made.lead], *made.sections)


def publish_run(folder: Path, result: RunResult) -> None:
    """Write and seal the derived files of a run: figures, distributions, Markdown, a page, a picture."""
    logs = histograms.render(result.raw)
    files = {SUMMARY: pretty(result.summary)}
    files |= {f"{histograms.FOLDER}/{name}": content for name, content in logs.items()}
    if record.exists(folder):
        files[record.SUMMARY] = pretty(record.read(folder))
    publish(folder, files, run_document(folder, result))


def publish(folder: Path, files: dict[str, bytes], report: document.Document) -> None:
    """Write and seal derived files and a report."""
    store = Store(folder)
    for name, content in files.items():
        store.write(name, content)
    files = dict(files)
    # What cannot fail for want of memory first: a chart that cannot be drawn costs the chart.
    files["report.md"] = markdown.render(report).encode()
    store.write("report.md", files["report.md"])
    draw = drawing.drawn(list(html.specs(report)))
    files["report.html"] = html.render(report, draw).encode()
    for chart in (part for section in report.sections for part in section.parts):
        if isinstance(chart, document.Chart) and chart.image and (drawn := draw(chart.spec)):
            files[chart.image] = html.picture(drawn).encode()
    for name in files.keys() - {"report.md"}:
        store.write(name, files[name])
    manifest.seal(folder, files)


def print_as(form: Format, report: document.Document, figures: object) -> None:
    """A report, or the figures that it is made of, on standard output."""
    match form:
        case "text":
            display.show(report)
        case "md":
            sys.stdout.write(markdown.render(report))
        case "html":
            sys.stdout.write(html.render(report, drawing.drawn(list(html.specs(report)))))
        case "json":
            sys.stdout.write(pretty(figures).decode())
        case "junit":
            sys.stdout.write(junit(report.title, "figures", ci.cases(figures)).decode())
        case "github-action-benchmark":
            sys.stdout.write(benchmark(ci.points(figures)).decode())


def show_run(folder: Path, result: RunResult, *, full: bool) -> None:
    """The answer in the terminal, or the whole report."""
    if full:
        display.show(run_document(folder, result))
    else:
        terminal.show_run(
            result.summary,
            display.console(),
            spelled_here,
            full=f"`tracing-overhead report {relative(folder)} --full` shows more",
        )


def conclude_run(folder: Path, *, full: bool = False) -> int:
    """Make a run's report, show it, and return the exit code: whether every figure counts."""
    result = read_run(folder, predictor(folder))
    publish_run(folder, result)
    show_run(folder, result, full=full)
    for fault in result.faults:
        display.console().print(Text(f"INVALID: changed since it was measured: {fault}", "bold red"))
    show_place(folder)
    return 0 if result.valid else MeasurementError.exit_code


def show_place(folder: Path) -> None:
    """Tell where the results are."""
    sys.stdout.write(f"\nResults: {relative(folder)} (report.html is the page to send)\n")


def minutes(plan: Plan) -> str:
    """How long a run takes, without and with all the blocks that it may repeat."""
    least, most = duration_s(plan), duration_s(plan, repeated=plan.spare)
    return f"about {clock(least)}, at most {clock(most)}" if plan.spare else f"about {clock(least)}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def relative(path: Path) -> str:
    """A path as seen from here."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Tell, where a person ends a measurement early, that what was measured can be read."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(
            spelled_here(f"what was measured is kept: `tracing-overhead report {relative(folder)}`\n")
        )
        raise


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not keep the processes from being stopped."""
    before = [signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS]
    try:
        yield
    finally:
        for number, handler in zip(INTERRUPTS, before, strict=True):
            signal.signal(number, handler)
