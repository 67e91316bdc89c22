"""Scenario S001 of OpenTelemetry's cross-language benchmarks, timed by pyperf in processes of its own."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pyperf
from cyclopts import Parameter

from bench.errors import ResultsError
from bench.plan.machine import Machine
from bench.report.ci import Metric
from bench.report.document import Document, Section, document, section
from bench.report.words import Table
from bench.results.store import Store, read_machine
from bench.runner.run import Progress
from bench.studies import S001
from bench.studies.micro.measure import shareable
from bench.studies.options import Budget, StudyOptions
from bench.studies.study import Measurement, Parts
from bench.testbed import machine
from bench.testbed.process import ROOT, leashed, plain_environ, run_to_end

TIMED = ROOT / "bench" / "studies" / "s001" / "timed.py"
LENGTH_S, QUICK_S, LIMIT_S = 35.0, 18.0, 300.0
ABOUT = (
    "A counter of the OpenTelemetry API alone, three attributes, no SDK behind it. `tracing-overhead "
    "report DIR --format github-action-benchmark` prints the JSON that OpenTelemetry's dashboard reads; "
    "`python -m pyperf stats s001.json` has every value."
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """What `tracing-overhead s001` understands.

    Attributes:
        budget: quick: fewer processes, for a try.
    """

    budget: Budget = "default"


def prepare(options: Options) -> Measurement:
    """The scenario, timed."""
    quick = options.budget == "quick"

    def measure(log: Store, progress: Progress) -> None:
        cpus = machine.split_cpus(pinned=True)
        file = log.folder / S001.raw[0]
        command = [sys.executable, *leashed(sys.executable, str(TIMED)), "--quiet", "-o", str(file)]
        command += ["--affinity", ",".join(map(str, cpus.services))] if cpus.services else []
        command += ["--fast"] if quick else []
        progress.say("timing S001")
        run_to_end(command, plain_environ(), LIMIT_S)
        whole = pyperf.Benchmark.load(str(file))
        timed = pyperf.Benchmark([shareable(run) for run in whole.get_runs() if run.values])
        timed.dump(str(file), replace=True)

    return Measurement(duration_s=QUICK_S if quick else LENGTH_S, measure=measure, pinned=True)


def figures(folder: Path) -> tuple[Metric, ...]:
    """The median, with what the dashboard wants to know of the machine.

    Raises:
        ResultsError: the file cannot be read.
    """
    path = folder / S001.raw[0]
    try:
        timed = pyperf.Benchmark.load(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(f"{path} cannot be read: {error}", "measure again") from None
    here = read_machine(folder) or Machine()
    about = {
        "runner": here.architecture,
        "runtime": f"{here.python_implementation} {here.python}",
        "cpu": here.cpu,
        "kernel": here.kernel,
        "framework": f"pyperf {here.packages.get('pyperf', 'unknown')}",
        "bytes held by a call": timed.get_metadata()["bytes_at_once"],
        "opentelemetry-api": here.packages.get("opentelemetry-api", "unknown"),
    }
    return (
        Metric(
            name="S001: counter add, API only",
            unit="ns/op",
            value=round(timed.median() * 1e9, 2),
            range=f"± {timed.median_abs_dev() * 1e9:.2f}",
            extra="\n".join(f"{name}={value}" for name, value in about.items()),
        ),
    )


def report(metrics: tuple[Metric, ...], *more: Section) -> Document:
    """The report, which ends with further sections."""
    rows = tuple((metric.name, f"{metric.value:g}", metric.range, metric.unit) for metric in metrics)
    return document(
        "OpenTelemetry's scenario S001",
        [ABOUT],
        section("What it takes", Table(heads=("scenario", "median", "spread", "unit"), rows=rows)),
        *more,
    )


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=figures,
    record=tuple[Metric, ...],
    document=report,
    metrics=lambda metrics: metrics,
)
