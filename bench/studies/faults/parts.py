"""What do clients notice when the tracing backend fails?"""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bench.app.records import BASELINE
from bench.app.setups import choose
from bench.errors import UsageError
from bench.plan.budget import without_load
from bench.results.store import Store, read_lines
from bench.runner.run import Progress
from bench.studies import FAULTS
from bench.studies.faults import document
from bench.studies.faults.figures import WORDS, Fault, FaultResult
from bench.studies.faults.measure import RATE_PER_S, SETUPS, results
from bench.studies.options import AppOptions, StudyOptions, number
from bench.studies.study import Measurement, Parts
from bench.testbed.app_files import load

FAULT_S = 45.0
"""About how long a fault takes."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(AppOptions, StudyOptions):
    """What `tracing-overhead faults` understands.

    Attributes:
        only: These faults, as A,B; the healthy backend is always measured.
        rate: Requests per second to each setup.
    """

    only: str = ""
    rate: Annotated[float, Parameter(validator=number(0.1, 30))] = RATE_PER_S


def prepare(options: Options) -> Measurement:
    """The faults that options ask for.

    Raises:
        UsageError: there is no such fault, or the app file is wrong.
    """
    faults = _chosen(options.only)
    loaded = load(options.app, options.setups_file)
    names = [name for name in SETUPS if name == BASELINE or name.partition("-")[0] in loaded.app.modes]
    plan = without_load("faults", loaded.app, choose(loaded.app, names, loaded.own))

    def measure(log: Store, progress: Progress) -> None:
        for result in results(plan, loaded.place, faults, options.rate, progress):
            log.append_line(FAULTS.raw[0], result)

    return Measurement(duration_s=len(faults) * FAULT_S, measure=measure)


def _chosen(only: str) -> list[Fault]:
    """The faults of these names, the healthy backend first."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = next((name for name in names if name not in set(Fault)), None)
    if unknown:
        raise UsageError(
            f"there is no fault named {unknown!r}", f"choose from {', '.join(fault for fault in WORDS)}"
        )
    return [
        Fault.NONE,
        *(fault for fault in Fault if fault is not Fault.NONE and (not names or fault in names)),
    ]


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=lambda folder: read_lines(folder / FAULTS.raw[0], FaultResult),
    record=tuple[FaultResult, ...],
    document=document.report,
)
