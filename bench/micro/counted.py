"""An operation done so many times and nothing else, to be run under valgrind: `... NAME LOOPS`.

With 0 loops it prints how many are enough for a count.
"""

import gc
import random
import sys

from bench.micro.operations import BY_NAME
from bench.micro.subject import build

ENOUGH_S = 0.05
"""Some hundred million instructions: two starts of an interpreter differ by about a thousand."""


def main() -> None:
    """Does it."""
    name, loops = sys.argv[1:]
    # When a collection falls depends on every allocation since the start: a step in the count.
    gc.disable()
    # Trace and span ids: how many digits they have is work, too.
    random.seed(0)
    subject = build(BY_NAME[name])
    if int(loops):
        subject.time(int(loops))
        subject.check(int(loops))
    else:
        enough = 1
        while subject.time(enough) < ENOUGH_S:
            enough *= 2
        sys.stdout.write(f"{enough}\n")
    subject.close()


if __name__ == "__main__":
    main()
