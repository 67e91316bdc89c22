"""CPU instructions of an operation and of a request, counted by valgrind's cachegrind.

A count is the difference of two numbers of loops over the difference of the loops, so that
starting the interpreter is not on it.
Nothing may differ between two counts: no address randomisation, hash seed 0, and an environment that has
nothing of the caller's but PATH, and always the same size.
Operations that talk to another process are not counted: how often they wait differs.
"""

import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeAlias

from bench.errors import ServiceError
from bench.runner.run import Progress
from bench.studies.micro.operations import Operation
from bench.testbed import leftovers
from bench.testbed.environ import PADDING_VARIABLE, Launch, stack_bytes
from bench.testbed.process import RUN_VARIABLE, run_to_end

HOW_TO_GET_IT = (
    "instructions are not counted: valgrind is not installed (`apt-get install valgrind`, or your "
    "system's own way)"
)
FIRST, MORE, SURE = 2, (8, 128, 2048, 32_768), 1e6
"""Loops before a first guess, and the instructions that the guess should take. Eight loops of the
cheapest operations are less than what two starts of an interpreter differ by, and were guessed as nothing."""
WARM, ENOUGH = 2e7, 2e8
"""Instructions before those that count, and of these: two starts of an interpreter differ by about a
thousand."""
FEWEST, WARMEST = 8, 256
"""Loops before those that count: the interpreter specialises a function after eight calls."""
FEW_REQUESTS, MANY_REQUESTS = 40, 140
LIMIT_S = 300.0
STACK_BYTES = 32 * 1024
"""Size of the counted program's environment and arguments. Other sizes moved counts by up to 1 %."""
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


def available() -> bool:
    """Whether valgrind and setarch are there."""
    return shutil.which("valgrind") is not None and shutil.which("setarch") is not None


Count: TypeAlias = tuple[str, float | ServiceError]
"""A name and its instructions, or why there are none."""


def of_operations(operations: Sequence[Operation], run: str, shown: Progress) -> Iterator[Count]:
    """Instructions of doing each operation once, as they are counted.

    One count runs per CPU: counting is slow, and other load does not change the number of instructions.

    Args:
        operations: which.
        run: identifies the processes.
        shown: displays what is going on.
    """

    def one(operation: Operation) -> Count:
        shown.say("counting instructions", operation.name)
        try:
            return operation.name, of_operation(operation.name, run)
        except ServiceError as error:
            return operation.name, error

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            futures = [pool.submit(one, operation) for operation in operations if not operation.network]
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(cancel_futures=True)


def of_operation(name: str, run: str) -> float:
    """Instructions of doing an operation once.

    Args:
        name: of the operation.
        run: identifies the processes.

    Raises:
        ServiceError: valgrind or the operation failed.
    """
    arguments = ["-m", "bench.studies.micro.counted", name]

    def count(loops: int) -> int:
        return _count([*arguments, str(loops)], {**_callers(), RUN_VARIABLE: run})

    def least(loops: int) -> int:
        # Disturbances only add instructions: a thread that waits for the GIL requests it every 5 ms.
        return min(count(loops) for _ in range(2))

    # Use the same number of loops each time: one-time costs, and respecialisation by the adaptive
    # interpreter, are spread over all loops, and another number would change their share. A guess
    # that was disturbed would choose another number, and move the count by up to a thousandth.
    cost = guess(least)
    few = min(max(_power(WARM / cost), FEWEST), WARMEST)
    many = few + max(_power(ENOUGH / cost), FEWEST)
    return (least(many) - least(few)) / (many - few)


def guess(count: Callable[[int], int]) -> float:
    """Instructions of one loop, roughly; at least 1.

    Args:
        count: the instructions of a number of loops, and of starting.
    """
    before, cost = count(FIRST), 1.0
    for loops in MORE:
        instructions = count(FIRST + loops) - before
        cost = max(instructions / loops, 1.0)
        if instructions >= SURE:
            break
    return cost


def _power(value: float) -> int:
    """The power of four that is nearest."""
    return int(4 ** max(round(math.log(value, 4)), 0)) if value > 0 else 1


def of_requests(launches: Sequence[Launch], shown: Progress) -> Iterator[Count]:
    """Instructions of a request by setup, exports included, all processes in one."""
    for launch in launches:
        name = launch.setup.name
        shown.say("counting instructions of a request", name)
        environ = launch.environ(launch.app.process[0], _callers())
        try:
            few, many = (
                # What else the machine does only adds: a loop that wakes up for one socket, not two.
                min(_count(["-m", "services.together", "--requests", str(count)], environ) for _ in range(2))
                for count in (FEW_REQUESTS, MANY_REQUESTS)
            )
        except ServiceError as error:
            yield name, error
        else:
            yield name, (many - few) / (MANY_REQUESTS - FEW_REQUESTS)


def _callers() -> dict[str, str]:
    """What is kept of the caller's environment."""
    return {"PATH": os.environ.get("PATH", os.defpath)}


def padded(environ: Mapping[str, str], arguments: Sequence[str]) -> dict[str, str]:
    """An environment that takes `STACK_BYTES` of a new process's stack together with its arguments.

    Raises:
        ServiceError: they do not fit.
    """
    padded = {**environ, "PYTHONHASHSEED": "0", PADDING_VARIABLE: ""}
    size = stack_bytes(padded) + sum(len(os.fsencode(argument)) + 1 for argument in arguments)
    if size > STACK_BYTES:
        raise ServiceError(
            f"PATH and what is counted take {size} bytes, more than {STACK_BYTES}", "shorten PATH"
        )
    return {**padded, PADDING_VARIABLE: "x" * (STACK_BYTES - size)}


def _count(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """All instructions of a Python process.

    Raises:
        ServiceError: it failed.
    """
    with leftovers.temporary_folder() as folder:
        counted = [sys.executable, *arguments]
        command = [
            "setarch", "-R", "valgrind", "--tool=cachegrind", "--cache-sim=no",
            f"--cachegrind-out-file={folder / 'out'}", *counted,
        ]  # fmt: skip
        done = run_to_end(command, padded(environ, counted), LIMIT_S)
    match = _TOTAL.search(done.stderr)
    if match is None:
        raise ServiceError(
            "valgrind printed no count of instructions", f"`{' '.join(command[2:])}` shows why"
        )
    return int(match[1].replace(",", ""))
