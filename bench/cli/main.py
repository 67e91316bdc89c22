"""`tracing-overhead`: parse, call, print. Results go to stdout, progress to stderr."""

import re
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import Any

from cyclopts import (
    App,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from bench.cli.commands import COMMANDS, EXIT_CODES, Command
from bench.cli.display import complain
from bench.cli.invocation import spelled_here
from bench.errors import INTERRUPTED_EXIT_CODE, BenchError, ResultsError, UsageError
from bench.testbed.machine import version

HOW_LONG = "choose the length with --budget quick, default or long, or with --light 10s --saturation 5s"
HOW_MUCH = (
    "choose the light rate with --rate; at saturation the harness sends as many requests as are answered"
)
HABITS = {
    **dict.fromkeys(("--duration", "--run-time", "-t", "-d", "-z", "--time", "--length"), HOW_LONG),
    **dict.fromkeys(("--requests", "-n", "--iterations", "-i"), HOW_LONG),
    **dict.fromkeys(
        ("--users", "-u", "--vus", "--concurrency", "-c", "--connections", "--spawn-rate", "-r"), HOW_MUCH
    ),
    **dict.fromkeys(("--rps", "--qps", "-q", "-R", "--throughput"), HOW_MUCH),
    **dict.fromkeys(("--host", "-H", "--url"), "name instances that run elsewhere with --target SETUP=URL"),
}
"""Options of other load generators, each with a hint that names the option to use here."""
RENAMED = {
    **dict.fromkeys(
        ("--app", "--file", "-f", "--config"), "name the app file alone: `tracing-overhead {command} FILE`"
    ),
    **dict.fromkeys(("--epochs", "--trials", "--rounds", "--repeats"), "the option is --replicates"),
    "--minutes": "the option is --duration, such as --duration 5m",
    "--fast": "the option is --budget quick",
    "--json": "the option is --format json",
}
"""Options of other tools and of earlier versions, of any command."""


def _load(command: Command) -> Callable[..., Any]:
    module, _, name = command.place.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), name)
    return loaded


def _unloaded() -> None:
    """Stand in for a listed command that is not called, so that its module need not be imported."""


def _app(words: Sequence[str]) -> App:
    codes = "\n".join(f"{code:>4}  {meaning}" for code, meaning in EXIT_CODES.items())
    exits = f"Exit codes\n{codes}"
    app = App(
        name="tracing-overhead",
        help="What does tracing cost your service?",
        help_epilogue=exits,
        help_format="plaintext",
        version=version,
        default_parameter=Parameter(negative=(), show_default=_shown),
        result_action="return_value",
    )
    called = words[0] if words else ""
    # All of them only where their options are needed: for a shell's completion.
    every = called.startswith("--install-completion")
    for order, (name, command) in enumerate(COMMANDS.items()):
        examples = "\n".join(map(spelled_here, command.examples))
        app.command(
            _load(command) if every or name == called else _unloaded,
            name=name,
            help=command.summary,
            sort_key=order,
            help_epilogue=f"{examples}\n\n{exits}" if examples else exits,
        )
    app.register_install_completion_command(add_to_startup=False)
    return app


def _usage_error(error: CycloptsError, command: str) -> UsageError:
    message = _what_is_wrong(error)
    hint = f"`tracing-overhead {command} --help`".replace("  ", " ")
    if isinstance(error, UnknownOptionError):
        word = next(iter(re.findall(r"--?[A-Za-z][\w-]*", message)), "")
        known = RENAMED | (HABITS if command == "run" else {})
        if word in known:
            hint = known[word].format(command=command)
            # A guess by spelling would contradict it.
            message = message.partition(" Did you mean")[0]
    return UsageError(message, hint)


def _what_is_wrong(error: CycloptsError) -> str:
    """The error in one sentence, without the rejected value, which may be an API key."""
    match error:
        case ValidationError(argument=argument, exception_message=reason) if argument:
            return f"Invalid value for {argument.name}: {reason}"
        case ValidationError(group=group) if group:
            return re.sub(
                r"Mutually exclusive arguments: \{(.*), (.*)\}", r"\1 and \2 exclude each other", str(error)
            )
        case UnusedCliTokensError(unused_tokens=words) if words:
            return f"unexpected argument: {' '.join(words)}"
        case MissingArgumentError(argument=argument, keyword=option) if argument:
            named = next((token.keyword for token in argument.tokens if token.keyword), option)
            return f"{named} needs a value" if named else f"{argument.name} is missing"
        case _:
            return str(error)


def _shown(default: object) -> str | None:
    """The default as help text; None for a switch that is off or an empty list."""
    return str(default) if default else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # The called command is imported while Ctrl-C still ends the process at once.
    app = _app(words)
    # Explicitly: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # A terminal that is closed; `nohup` ignores it.
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        return int(app(words, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        return complain(_usage_error(error, next((word for word in words if word in COMMANDS), "")))
    except BenchError as error:
        return complain(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED_EXIT_CODE


def concluded(code: int, error: OSError | None) -> int:
    """The exit code of a command, whether or not its output could be written.

    Args:
        code: of the command.
        error: why writing to standard output failed; None if it did not fail.
    """
    sys.stdout.flush()
    if error is None or isinstance(error, BrokenPipeError):
        # The reader of our output (`| head`) has enough; the command's verdict stands.
        return code
    said = complain(
        ResultsError(f"cannot write to standard output: {error.strerror}", "redirect it to another place")
    )
    return code or said


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
