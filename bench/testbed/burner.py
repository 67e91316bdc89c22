"""Burns CPU on demand: `python -S burner.py [JOIN LEAVE]`; a line says how many nanoseconds, and is answered.

The injected cost of a run. It burns inside the instance's group, so that it proves clocks, attribution and
statistics, and leaves the group in between: pausing and waking one more process in every time slice has
an unknown cost. JOIN and LEAVE are the files through which it comes and goes.
"""

import sys
import time


def burn(cpu_ns: int) -> None:
    """Use so much CPU time."""
    end = time.process_time_ns() + cpu_ns
    while time.process_time_ns() < end:
        pass


def move(to: str) -> None:
    """Become a member of a control group."""
    with open(to, "w", encoding="ascii") as file:  # noqa: PTH123 - nothing is imported that is not needed
        file.write("0")


if __name__ == "__main__":
    join, leave = sys.argv[1:] or ("", "")
    for line in sys.stdin:
        if join:
            move(join)
        burn(int(line))
        if leave:
            move(leave)
        sys.stdout.write("\n")
        sys.stdout.flush()
