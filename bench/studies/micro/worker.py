"""One reading of one operation: `python -m bench.studies.micro.worker NAME LOOPS MIN_TIME_S [OPTIONS]`.

It proves that the operation does what its name says, before and after pyperf times it. With
0 loops it first finds how many a value of MIN_TIME_S takes.
"""

import sys
from collections.abc import Callable

import pyperf

from bench.studies.micro.cold import SAMPLES, cold_s, neighbour
from bench.studies.micro.context import reference
from bench.studies.micro.operations import BY_NAME
from bench.studies.micro.timed import Untrue, build

UNTRUE_EXIT_CODE = 4
PROOF_LOOPS = 3
REFERENCES = "reference_s"
"""The metadata that holds the reference's readings, one a value."""
COLD = "cold_s"
"""The metadata that holds what the operation costs with cold caches."""
REFERENCE_LOOPS = 1024
"""Two milliseconds: longer than the clock's noise, shorter than the machine's speed lasts."""
REFERENCE_SUBJECT = reference()


def reference_s() -> float:
    """CPU seconds of the reference operation, now."""
    return REFERENCE_SUBJECT.time(REFERENCE_LOOPS) / REFERENCE_LOOPS


def main() -> int:
    """The exit code: 0, or 4 with a sentence on stderr if the operation is not what its name says."""
    name, wanted, min_time_s, *options = sys.argv[1:]
    operation, done, references = BY_NAME[name], 0, list[float]()
    subject = build(operation)

    def time_func(loops: int) -> float:
        nonlocal done
        done += loops
        before = reference_s()
        value = subject.time(loops)
        references.append((before + reference_s()) / 2)
        return value

    try:
        time_func(PROOF_LOOPS)
        subject.check(done)
        loops = int(wanted) or _loops_for(time_func, float(min_time_s))
        sys.argv[1:] = ["--worker", "--loops", str(loops), *options]
        runner = pyperf.Runner()
        runner.metadata["description"] = f"{operation.sentence}; CPU time of the process"
        timed = runner.bench_time_func(operation.name, time_func)
        # Beside each value, what plain Python cost just before and after it.
        timed.update_metadata({REFERENCES: " ".join(f"{s:.4g}" for s in references[-timed.get_nvalue() :])})
        disturb = neighbour()
        if disturb:
            timed.update_metadata({COLD: cold_s(subject, disturb)})
            done += SAMPLES
        timed.dump(runner.args.output, replace=True)
        subject.check(done)
    except Untrue as untrue:
        sys.stderr.write(f"{untrue}\n")
        return UNTRUE_EXIT_CODE
    finally:
        subject.close()
    return 0


def _loops_for(time_func: Callable[[int], float], min_time_s: float) -> int:
    """The smallest power of two that takes so long."""
    loops = 1
    while time_func(loops) < min_time_s:
        loops *= 2
    return loops


if __name__ == "__main__":
    sys.exit(main())
