"""Does anything grow under load for a long time?"""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bench.app.setups import EVERYTHING, choose
from bench.plan.budget import without_load
from bench.results.store import Store, read_lines
from bench.runner.run import Progress
from bench.studies import SOAK
from bench.studies.options import AppOptions, StudyOptions, between, read_as
from bench.studies.soak import document
from bench.studies.soak.figures import Sample, Soak, soak
from bench.studies.soak.measure import samples
from bench.studies.study import Measurement, Parts
from bench.testbed.app_files import load

START_S = 30.0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options(AppOptions, StudyOptions):
    """What `tracing-overhead soak` understands.

    Attributes:
        duration: Under load, such as 30m, at half of the capacity.
        setups: Setups side by side, as A,B, with the untraced one beside them; by default batch alone.
    """

    duration: Annotated[
        float,
        Parameter(converter=read_as(between(5, 24 * 3600)), show_default=lambda _: "30m", metavar="DURATION"),
    ] = 1800.0
    setups: str | None = None


def prepare(options: Options) -> Measurement:
    """The load that options ask for.

    Raises:
        UsageError: the app file is wrong.
    """
    loaded = load(options.app, options.setups_file)
    names = options.setups.split(",") if options.setups else [EVERYTHING]
    setups = choose(loaded.app, names, loaded.own)
    plan = without_load("soak", loaded.app, setups if options.setups else setups[1:])

    def measure(log: Store, progress: Progress) -> None:
        for sample in samples(plan, loaded.place, options.duration, progress):
            log.append_line(SOAK.raw[0], sample)

    return Measurement(duration_s=options.duration + START_S, measure=measure)


PARTS = Parts(
    options=Options,
    prepare=prepare,
    figures=lambda folder: soak(read_lines(folder / SOAK.raw[0], Sample)),
    record=Soak,
    document=document.report,
    is_valid=lambda figures: figures.sound,
)
