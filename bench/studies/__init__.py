"""Questions that the harness answers by measuring; each one is a folder here and a line in `STUDIES`.

The code of a study is in its `parts` module, not in `__init__`: programs that are timed live in the same
folder, and must not load it.

The command line, the nox sessions, manifests, `report`, `verify` and the CI formats are derived from the
list. Only the standard library is imported here, so that the list can be read without installing anything.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """The description of a study, readable without importing the study's code.

    Attributes:
        name: the command, the nox session, and the default name of its results folders.
        summary: one sentence.
        raw: names of the raw files that it may write; the first one marks a results folder as its own.
        derived: name of the file that holds its figures.
        takes_app: whether it measures an application that the user names by an app file.
        examples: commands with what they do.
    """

    name: str
    summary: str
    raw: tuple[str, ...]
    derived: str
    takes_app: bool = False
    examples: tuple[str, ...] = ()


RUN = Study(
    name="run",
    summary="Measure what tracing costs, and report: the main job.",
    raw=("plan.json", "machine.json", "learned.json", "readings.jsonl", "requests.csv.gz", "ending.json",
         "traces.jsonl.gz", "micro-run.json", "micro.json", "app.toml"),
    derived="summary.json",
    takes_app=True,
    examples=(
        "`tracing-overhead run --budget quick`: a first answer for the built-in example.",
        "`tracing-overhead run my.toml`: your own service; `tracing-overhead init` writes the file.",
        '`tracing-overhead run --command "gunicorn shop:app -b 127.0.0.1:{port}" --path /items`: no file.',
        "`tracing-overhead run --setups batch,ratio-10 --dry-run`: what it would do, and how long it takes.",
    ),
)  # fmt: skip
MICRO = Study(
    name="micro",
    summary="Time single operations of tracing with pyperf.",
    raw=("micro-run.json", "micro.json", "machine.json"),
    derived="micro-summary.json",
    examples=("`tracing-overhead micro --only 'span/*'`: the operations on spans alone.",),
)
SPEC = Study(
    name="spec",
    summary="Make the report that OpenTelemetry's performance-benchmark document asks of an SDK.",
    raw=("iterations.jsonl", "machine.json"),
    derived="spec.json",
)
S001 = Study(
    name="s001",
    summary="Time scenario S001 of OpenTelemetry's cross-language benchmarks.",
    raw=("s001.json", "machine.json"),
    derived="benchmark.json",
)
ACCURACY = Study(
    name="accuracy",
    summary="Measure injected costs repeatedly: how accurate is the harness on this machine?",
    raw=("runs.jsonl.gz", "trials.jsonl.gz", "machine.json"),
    derived="accuracy.json",
    examples=(
        "`tracing-overhead accuracy --resume results/accuracy --replicates 60`: add runs to a series.",
    ),
)
SHUTDOWN = Study(
    name="shutdown",
    summary="Which server stacks keep their spans when they are stopped?",
    raw=("shutdown.jsonl", "machine.json"),
    derived="shutdown.json",
    examples=('`tracing-overhead shutdown --only "uvicorn batch SIGTERM"`: a single case.',),
)
FAULTS = Study(
    name="faults",
    summary="What do clients notice when the tracing backend fails?",
    raw=("faults.jsonl", "machine.json"),
    derived="faults.json",
    takes_app=True,
    examples=("`tracing-overhead faults my.toml --only 503,nothing-listens`: two faults, your own service.",),
)
SOAK = Study(
    name="soak",
    summary="Does anything grow under load for a long time?",
    raw=("soak.jsonl", "machine.json"),
    derived="soak.json",
    takes_app=True,
    examples=("`tracing-overhead soak my.toml --duration 2h`: your own service, for two hours.",),
)
STUDIES = (RUN, MICRO, SPEC, S001, ACCURACY, SHUTDOWN, FAULTS, SOAK)
"""Every study, in reading order."""


def study_of(files: set[str]) -> Study | None:
    """The study whose folder holds these files; None if it is no study's."""
    return next((study for study in STUDIES if study.raw[0] in files or study.derived in files), None)
