"""`python -m bench`: parses, calls, prints. Results go to stdout, progress to stderr.

Exit codes: 0 every figure counts; 1 a gate's budget is exceeded; 2 the command line or a set-ups
file is wrong; 3 a process of the run failed; 4 the run is complete and must not be believed;
5 a results folder cannot be written or read; 130 Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bench import machine
from bench.cli import (
    backends,
    calibrate,
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


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
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
        prog="python -m bench",
        description="What does tracing cost a real checkout?",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=machine.version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (
        run,
        micro,
        predict,
        spec,
        calibrate,
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
