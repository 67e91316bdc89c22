"""Another program on the machine: `python disturber.py busy` keeps a CPU busy, `random` wakes up at random.

`accuracy --beside` uses it to measure under disturbance.
"""

import random
import sys
import time

WORK_S, REST_S = 0.02, 0.02
"""Mean lengths of work and rest for `random`, which draws each length anew: half of a CPU."""


def work(seconds: float) -> None:
    """Use a CPU for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def disturb(how: str) -> None:
    """Do so until the process is ended."""
    lengths = random.Random()
    while True:
        work(lengths.expovariate(1 / WORK_S))
        if how == "random":
            time.sleep(lengths.expovariate(1 / REST_S))


if __name__ == "__main__":
    disturb(sys.argv[1])
