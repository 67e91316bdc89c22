"""Burns CPU on demand: `python -S burner.py`; a line holds how many nanoseconds, the answer is a line.

The control of an application that cannot burn a known cost itself. It runs inside the instance's
group, so that it proves clocks, attribution and statistics.
"""

import sys
import time


def burn(cpu_ns: int) -> None:
    """Use so much CPU time."""
    end = time.process_time_ns() + cpu_ns
    while time.process_time_ns() < end:
        pass


if __name__ == "__main__":
    for line in sys.stdin:
        burn(int(line))
        sys.stdout.write("\n")
        sys.stdout.flush()
