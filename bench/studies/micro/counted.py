"""Does an operation LOOPS times and nothing else, to be run under valgrind: `... NAME LOOPS`."""

import gc
import random
import sys

from bench.studies.micro.operations import BY_NAME
from bench.studies.micro.timed import build


def main() -> None:
    """Does it."""
    name, loops = sys.argv[1:]
    # The time of a collection depends on all earlier allocations, and would add a step to the count.
    gc.disable()
    # Trace and span ids: how many digits they have is work, too.
    random.seed(0)
    subject = build(BY_NAME[name])
    subject.time(int(loops))
    subject.check(int(loops))
    subject.close()


if __name__ == "__main__":
    main()
