"""`shutdown`: which server stacks keep their spans?"""

from bench.app.file import parse_stacks
from bench.cli import display
from bench.cli.folders import KINDS
from bench.cli.options import Out
from bench.cli.shared import new_folder, uninterrupted
from bench.errors import UsageError
from bench.report import shutdown as shutdown_report
from bench.results.store import MACHINE, pretty
from bench.runner import shutdown as runner
from bench.testbed import install, leftovers, machine
from bench.testbed.process import ROOT

STACKS = ROOT / "services" / "shutdown" / "stacks.toml"
TRY_S = 2.0
"""About how long a try takes, with those beside it."""


def shutdown(*, only: str = "", out: Out = None) -> int:
    """Which server stacks keep their spans, metrics and log records when they are stopped?

    Args:
        only: Tries whose name holds this text: stack, processor and signal, such as "uvicorn batch SIGTERM".
        out: The results folder; without it, results/UTC-shutdown.
    """
    machine.require_linux()
    file = parse_stacks(STACKS.read_text("utf-8"), STACKS.name)
    words = only.lower().split()

    def is_chosen(name: str) -> bool:
        return all(word in name.lower() for word in words)

    names = [
        f"{stack.name} {processor} {way}"
        for stack in file.stack
        for processor in runner.PROCESSORS
        for way in runner.WAYS
    ]
    count = sum(map(is_chosen, names))
    if not count:
        raise UsageError(f"no try's name holds {only!r}", f"there are tries such as {names[0]!r}")
    for sentence in leftovers.remove():
        display.warn(sentence)
    place = install.environment(file.environment, STACKS.parent)
    store = new_folder(out, "shutdown")
    done = None
    with display.progress(count * TRY_S) as progress:
        try:
            done = tuple(runner.tries(file.stack, place, progress, is_chosen))
        finally:
            if done is None:
                store.discard()
    with uninterrupted():
        store.write(MACHINE, pretty(machine.describe(machine.split_cpus(pinned=False))))
        store.write(shutdown_report.FILE, pretty(done))
        return KINDS["shutdown"].report(store.folder)
