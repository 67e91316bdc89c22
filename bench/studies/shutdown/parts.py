"""Which server stacks keep their spans when they are stopped?"""

from dataclasses import dataclass

from cyclopts import Parameter

from bench.app.file import parse_stacks
from bench.errors import UsageError
from bench.results.store import Store, read_lines
from bench.runner.run import Progress
from bench.studies import SHUTDOWN
from bench.studies.options import StudyOptions
from bench.studies.shutdown import document
from bench.studies.shutdown.figures import StackResult, Try, stack_results
from bench.studies.shutdown.measure import PROCESSORS, WAYS, tries
from bench.studies.study import Measurement, Parts
from bench.testbed import environments
from bench.testbed.process import ROOT

STACKS = ROOT / "services" / "shutdown" / "stacks.toml"
TRY_S = 2.0
"""About how long a try takes, with those beside it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(StudyOptions):
    """What `tracing-overhead shutdown` understands.

    Attributes:
        only: Cases whose name holds all these words: stack, processor and signal, such as
            "uvicorn batch SIGTERM".
    """

    only: str = ""


def prepare(options: Options) -> Measurement:
    """The cases that options ask for; what the stacks need is installed.

    Raises:
        UsageError: no case has these words, or something cannot be installed.
    """
    file = parse_stacks(STACKS.read_text("utf-8"), STACKS.name)
    words = options.only.lower().split()

    def is_chosen(name: str) -> bool:
        return all(word in name.lower() for word in words)

    names = [
        f"{stack.name} {processor} {way}" for stack in file.stack for processor in PROCESSORS for way in WAYS
    ]
    count = sum(map(is_chosen, names))
    if not count:
        raise UsageError(f"no case's name holds {options.only!r}", f"name cases such as {names[0]!r}")
    place = environments.environment(file.environment, STACKS.parent)

    def measure(log: Store, progress: Progress) -> None:
        for one in tries(file.stack, place, progress, is_chosen):
            log.append_line(SHUTDOWN.raw[0], one)

    return Measurement(duration_s=count * TRY_S, measure=measure)


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=lambda folder: stack_results(read_lines(folder / SHUTDOWN.raw[0], Try)),
    record=tuple[StackResult, ...],
    document=document.report,
)
