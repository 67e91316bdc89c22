"""A microbenchmark's files: pyperf's `micro.json` and `micro-run.json` are raw, the rest is derived."""

from pathlib import Path

import pyperf

from bench.errors import ResultsError
from bench.results.store import read_record
from bench.studies.micro.figures import MicroRun, MicroSummary, WorkerReading, summarise
from bench.studies.micro.operations import TABLE

FILE = "micro.json"
RUN = "micro-run.json"
SUMMARY = "micro-summary.json"


def exists(folder: Path) -> bool:
    """Whether a folder holds a microbenchmark."""
    return (folder / RUN).exists()


def read(folder: Path) -> MicroSummary:
    """What a folder's microbenchmark found.

    Raises:
        ResultsError: a file is not there or not what it should be.
    """
    run = read_record(folder / RUN, MicroRun)
    path = folder / FILE
    readings: list[WorkerReading] = []
    if path.exists():
        try:
            suite = pyperf.BenchmarkSuite.load(str(path))
        except (OSError, ValueError, KeyError) as error:
            raise ResultsError(
                f"{path} cannot be read: {error}", "restore pyperf's file of this run, or measure again"
            ) from None
        readings = [
            WorkerReading(
                name=benchmark.get_name(),
                replicate=int(run_.get_metadata()["replicate"]),
                values_s=run_.values,
                references_s=tuple(map(float, run_.get_metadata()["reference_s"].split())),
                cold_s=run_.get_metadata().get("cold_s"),
            )
            for benchmark in suite
            for run_ in benchmark.get_runs()
        ]
    return summarise(run, readings, {operation.name: operation.sentence for operation in TABLE})
