"""Every command: its name, where it is, and a sentence. Only the standard library is imported here."""

from dataclasses import dataclass

from bench.studies import RUN, STUDIES, Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command.

    Attributes:
        name: on the command line and of its nox session.
        place: module and function, imported when it is called.
        summary: one sentence.
        examples: commands with what they do.
    """

    name: str
    place: str
    summary: str
    examples: tuple[str, ...] = ()


def _measures(study: Study) -> Command:
    return Command(
        name=study.name,
        place=f"bench.cli.studies:{study.name}",
        summary=study.summary,
        examples=study.examples,
    )


COMMANDS = {
    command.name: command
    for command in (
        _measures(RUN),
        Command(
            name="report",
            place="bench.cli.results:report",
            summary="Make figures and report again from a folder's raw records.",
            examples=("`tracing-overhead report results/DIR --format md`: Markdown on standard output.",),
        ),
        Command(
            name="init",
            place="bench.cli.init:init",
            summary="Write the app file of your service, and try it.",
            examples=(
                '`tracing-overhead init --command "gunicorn mysite.wsgi -b 127.0.0.1:{port}" --path /polls/`',
            ),
        ),
        Command(
            name="check",
            place="bench.cli.init:check",
            summary="Try an app file: does it start, answer and trace?",
        ),
        Command(
            name="doctor",
            place="bench.cli.doctor:doctor",
            summary="Is this machine fit to measure, and what precision to expect?",
        ),
        Command(
            name="setups",
            place="bench.cli.setups:setups",
            summary="List the setups and what is in each preset.",
        ),
        Command(
            name="compare",
            place="bench.cli.compare:compare",
            summary="Compare several results: what changed, or one table of several applications.",
            examples=("`tracing-overhead compare results/BEFORE results/AFTER --fail-on-change`",),
        ),
        Command(
            name="gate",
            place="bench.cli.gate:gate",
            summary="Pass or fail a run in CI: by thresholds, or against an earlier result.",
            examples=(
                "`tracing-overhead gate results/DIR --max-overhead batch=80%`: fail above 80 % more CPU.",
                "`tracing-overhead gate results/DIR --against results/BEFORE`: fail if it got worse.",
            ),
        ),
        Command(
            name="verify",
            place="bench.cli.results:verify",
            summary="Check that every figure of a folder follows from its raw records.",
        ),
        Command(
            name="history",
            place="bench.cli.history:history",
            summary="Show all results of a folder as a history of each setup.",
        ),
        Command(
            name="trace",
            place="bench.cli.trace:trace",
            summary="Show one request's trace through the services as a waterfall.",
        ),
        Command(
            name="web",
            place="bench.cli.web:web",
            summary="Explore the setups by hand in Locust's web UI.",
        ),
        Command(
            name="predict",
            place="bench.cli.predict:predict",
            summary="Predict what tracing would cost you, from a run's cost per span.",
            examples=("`tracing-overhead predict --rps 500 --spans 22 --ratio 10%`",),
        ),
        *(_measures(study) for study in STUDIES if study is not RUN),
        Command(
            name="backends",
            place="bench.cli.backends:backends",
            summary="Install collectors and trace backends.",
        ),
        Command(
            name="services",
            place="bench.cli.web:services",
            summary="Run the built-in example's services until Ctrl-C.",
        ),
    )
}
"""In the order of the help."""
EXIT_CODES = {
    0: "every figure counts; a gate passes, or is inconclusive without --strict",
    1: "a gate or --fail-on-change says no",
    2: "the command line or a file of yours is wrong",
    3: "a process failed",
    4: "completed, but failed its validity checks",
    5: "a results folder cannot be written or read",
    70: "a defect of this program",
    130: "interrupted by Ctrl-C",
}
