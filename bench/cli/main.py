"""`tracing-overhead`: parse, call, print. Results go to stdout, progress to stderr.

Exit codes: 0 every figure counts; 1 a gate's threshold is exceeded; 2 the command line or a file of
the user's is wrong; 3 a process of the run failed; 4 the run is complete and must not be believed;
5 a results folder cannot be written or read; 70 a defect of this program; 130 Ctrl-C.
"""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from cyclopts import App, CycloptsError, Parameter, ValidationError

from bench.cli.display import complain
from bench.cli.invocation import spelled_here
from bench.errors import INTERRUPTED_EXIT_CODE, BenchError, ResultsError, UsageError
from bench.testbed.machine import version

COMMANDS = {
    "run": ("run:run", "Measure, and report: the main job."),
    "report": ("run:report", "Make figures and report again from a folder's raw records."),
    "init": ("init:init", "Write the app file of your service, and try it."),
    "check": ("init:check", "Try an app file: is it asked, traced and told apart?"),
    "doctor": ("tools:doctor", "Is this machine fit to measure, and what to expect."),
    "setups": ("tools:setups", "List the tracing setups."),
    "shutdown": ("shutdown:shutdown", "Which server stacks keep their spans when they are stopped?"),
    "faults": ("faults:faults", "What do clients feel when the backend of tracing fails?"),
    "soak": ("soak:soak", "Does anything grow under load for long?"),
    "applications": ("applications:applications", "The runs of several applications in one table."),
    "compare": ("compare:compare", "What changed between two or more results."),
    "gate": ("gate:gate", "Pass or fail a run by thresholds, for CI."),
    "verify": ("verify:verify", "Make every figure of a folder again from its raw records, and compare."),
    "history": ("history:history", "All results of a folder as a trend per setup."),
    "trace": ("trace:trace", "One request's journey through the services, as a waterfall."),
    "web": ("tools:web", "Explore the setups by hand in Locust's web UI."),
    "predict": ("predict:predict", "What tracing would cost you, from a run's cost per span."),
    "micro": ("micro:micro", "Time the operations of tracing with pyperf."),
    "spec": ("spec:spec", "The report that the specification asks of an SDK."),
    "accuracy": ("accuracy:accuracy", "Known costs, measured again and again."),
    "backends": ("backends:backends", "Get real collectors and trace backends, once."),
    "services": ("tools:services", "Run the built-in example's services, until Ctrl-C."),
}
"""Where each command is; it is imported when it is called."""
EXAMPLES = {
    "run": (
        "`tracing-overhead run --budget quick`: a first answer for the built-in example.",
        "`tracing-overhead run --app my.toml`: your own service; `tracing-overhead init` writes the file.",
        "`tracing-overhead run --setups batch,ratio-10 --dry-run`: what it would do, and how long it takes.",
    ),
    "gate": ("`tracing-overhead gate results/DIR --max-overhead batch=80%`: fail above 80 % more CPU.",),
    "init": ('`tracing-overhead init --command "gunicorn mysite.wsgi -b 127.0.0.1:{port}" --path /polls/`',),
}


def _app() -> App:
    app = App(
        name="tracing-overhead",
        help="What does tracing cost your service?",
        help_epilogue=(__doc__ or "").partition("\n\n")[2],
        version=version,
        default_parameter=Parameter(negative=(), show_default=_shown),
        result_action="return_value",
    )
    for order, (name, (place, sentence)) in enumerate(COMMANDS.items()):
        examples = "\n\n".join(map(spelled_here, EXAMPLES.get(name, ())))
        app.command(
            f"bench.cli.{place}", name=name, help=sentence, sort_key=order, help_epilogue=examples or None
        )
    app.register_install_completion_command(add_to_startup=False)
    return app


def _sentence(error: CycloptsError) -> str:
    """What is wrong; a value that a check of ours refused is not repeated, because it may be a key."""
    if isinstance(error, ValidationError) and error.argument:
        return f"Invalid value for {error.argument.name}: {error.exception_message}"
    return str(error)


def _shown(default: object) -> str | None:
    """A default that says something; of a switch or a list nobody needs to hear that it is off."""
    return str(default) if default else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # A command's module is imported while Ctrl-C still ends the process at once.
    for place, _ in (COMMANDS[word] for word in words[:1] if word in COMMANDS):
        import_module(f"bench.cli.{place.partition(':')[0]}")
    # Explicitly: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # A terminal that is closed; `nohup` has it ignored.
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        return int(_app()(words, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        command = next((f" {word}" for word in words if word in COMMANDS), "")
        return complain(UsageError(_sentence(error), f"`tracing-overhead{command} --help`"))
    except BenchError as error:
        return complain(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED_EXIT_CODE


def concluded(code: int, error: OSError | None) -> int:
    """The exit code of a command whose output could, or could not, be written.

    Args:
        code: of the command.
        error: why standard output took no more; None if it did.
    """
    sys.stdout.flush()
    if error is None or isinstance(error, BrokenPipeError):
        # The reader of our output (`| head`) has enough; what the command found is as true.
        return code
    said = complain(ResultsError(f"cannot write to standard output: {error.strerror}", "write it elsewhere"))
    return code or said


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
