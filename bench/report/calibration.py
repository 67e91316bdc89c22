"""The harness's data sheet as people read it: tables and sentences."""

from bench.calibration import Calibration, Rate, targets
from bench.report.words import Table, microseconds, percent

TITLE = "What this harness finds of a cost that is known"


def target_table(found: Calibration) -> Table:
    """What is asked of the harness, and what it reaches."""
    asked = targets(found)
    return Table(
        heads=("asked", "reached", "found"),
        right=(False, False, False),
        rows=tuple((each.what, "yes" if each.reached else "NO", each.value) for each in asked),
        red=frozenset(at for at, each in enumerate(asked) if not each.reached),
    )


def weight_table(found: Calibration) -> Table:
    """Each known cost: true against recovered."""
    return Table(
        heads=(
            "added %", "added us", "found us (mean)", "error us (rms)", "intervals that cover",
            "found in", "95 % interval %",
        ),
        right=(True,) * 7,
        rows=tuple(
            (
                percent(weight.share, sign=False, decimals=0),
                microseconds(weight.added_s),
                microseconds(weight.found_s, sign=True),
                microseconds(weight.error_s),
                _of(weight.coverage),
                _of(weight.detected),
                f"[{weight.detected.low * 100:.0f}, {weight.detected.high * 100:.0f}]",
            )
            for weight in found.weights
        ),
        red=frozenset(),
    )  # fmt: skip


def _of(found: Rate) -> str:
    return f"{found.count} of {found.trials}"


def lines(found: Calibration) -> tuple[str, ...]:
    """What else there is to say, a sentence each."""
    smallest = (
        "No weight was found in 80 % of the runs."
        if found.smallest is None
        else f"Smallest cost found in 80 % of the runs: {found.smallest * 100:.1f} % of a checkout "
        f"(interpolated); the runs themselves say {found.mde * 100:.1f} % (median MDE)."
    )
    said = [
        (
            f"{found.trials} runs of {found.measuring_s:g} s of load over {len(found.weights) + 2} fleets, "
            f"fresh processes in each; {found.spoiled} of them invalid by a gate, and counted here all the "
            "same."
        ),
        smallest,
    ]
    if found.error is not None and found.sequential_error is not None:
        said.append(
            f"Error of an overhead (rms): {found.error * 100:.2f} % by rotation, "
            f"{found.sequential_error * 100:.2f} % one after the other, same fleets, same number of "
            "checkouts, same time."
        )
    return tuple(said)
