"""`tracing-overhead`: parse, call, print. Results go to stdout, progress to stderr.

Exit codes: 0 every figure counts; 1 a gate's threshold is exceeded; 2 the command line or a file of
the user's is wrong; 3 a process of the run failed; 4 the run is complete and must not be believed;
5 a results folder cannot be written or read; 130 Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bench.cli import (
    accuracy,
    backends,
    compare,
    gate,
    history,
    micro,
    predict,
    run,
    spec,
    tools,
    trace,
    verify,
)
from bench.cli.shared import complain
from bench.errors import INTERRUPTED_EXIT_CODE, BenchError
from bench.testbed.machine import version


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    # Explicitly: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # A terminal that is closed; `nohup` has it ignored.
        signal.signal(signal.SIGHUP, _interrupt)
    args = _parser().parse_args(argv)
    try:
        return int(args.call(args))
    except BenchError as error:
        return complain(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # The reader of our output (`| head`) has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tracing-overhead",
        description="What does tracing cost your service?",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (
        run,
        micro,
        predict,
        spec,
        accuracy,
        compare,
        gate,
        verify,
        history,
        trace,
        backends,
        tools,
    ):
        module.add(commands)
    return parser
