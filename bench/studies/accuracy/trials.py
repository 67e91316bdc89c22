"""What a run of the series compares, setups whose cost is known; and the records that it leaves."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import msgspec

from bench.app.records import AA, BASELINE, App, Setup
from bench.app.setups import TABLE
from bench.plan.readings import Ending, Raw, RequestRow, StepReading
from bench.plan.records import Burn, Learned, Plan

Beside: TypeAlias = Literal["", "busy", "random"]
When: TypeAlias = Literal["before", "after", "waited"]
SHARES = (0.0, 0.01, 0.02, 0.05, 0.10)
"""Injected costs as shares of a baseline request's CPU: burnt after the answer, in one process."""
APART = {"apart-2": 0.02, "apart-10": 0.10}
"""The same, burnt by a process of the instance for which no request waits. What is burnt in a service is
known, and what that does to the work around it is not: caches cool meanwhile, and where a service is at
saturation its
requests wait for each other. Only here the true cost is known to the microsecond."""
PATCHED, SAME = "patched", "weight-0"
"""They have the hook and inject nothing. The hook itself costs CPU, so a cost injected in a service is
the difference between two setups with the hook."""
INSIDE: dict[str, tuple[int, When, float]] = {
    "inside-one": (1, "before", 0.02),
    "inside-two": (2, "after", 0.05),
    "inside-all": (0, "before", 0.05),
}
"""Burnt inside of requests: in how many processes (0: in all), when, and what share in all."""
DELAYS: dict[str, tuple[int, When, float]] = {
    "delay-burnt": (1, "before", 0.4),
    "delay-waited": (1, "waited", 0.4),
}
"""Setups that delay every answer: by burning CPU, or by a timer, which runs on while an instance is
stopped. The effect on a percentile depends on how long requests wait for each other and is not known;
so it is compared with what the same instances show alone."""
TRACED = ("always-off", "batch")
"""Unknown costs, in time slices and alone: does the design itself change what it measures?"""
SOUGHT = "apart-2"
"""The cost that a run of two minutes has to detect."""


def name_of(share: float) -> str:
    """The setup that burns a share after the answer."""
    return f"weight-{share * 100:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Setups that one trial compares; trials take the panels in turn.

    Attributes:
        name: of its plan.
        setups: compared with the baseline and its A/A setup.
        replicates: number of replicates.
        light_s: active seconds of an instance under light load in a replicate.
        saturation_s: active seconds at saturation in a replicate.
    """

    name: str
    setups: tuple[str, ...]
    replicates: int
    light_s: float
    saturation_s: float


WEIGHTS = Panel(
    name="weights",
    setups=(*map(name_of, SHARES), *APART, TRACED[0]),
    replicates=4,
    light_s=1.1,
    saturation_s=0.4,
)
BURNING = Panel(
    name="inside",
    setups=(SAME, TRACED[1], PATCHED, *INSIDE, *DELAYS),
    replicates=4,
    light_s=1.1,
    saturation_s=0.4,
)
TWO_MINUTES = Panel(
    name="two-minutes",
    setups=(SOUGHT,),
    replicates=8,
    light_s=2.7,
    saturation_s=0.6,
)
"""The most sensitive design for two minutes. Over 8 starts of five identical setups, a start with 3 s of
light load scattered by 0.97 %, its requests alone by 0.93: processes differ by less than requests do, so
seconds of load are worth more than replicates, of which every one costs 5 s besides."""
PANELS = (WEIGHTS, BURNING, TWO_MINUTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The raw records of one run of the series; a line of `trials.jsonl.gz`.

    Attributes:
        number: of the run, from 0.
        plan: as it was decided.
        learned: what its first replicate measured.
        readings: of all steps.
        rows: requests of every step with time slices: replicate, number of the step, requests.
        alone: of every replicate, by figure and setup, what the same instances showed afterwards, one
            after the other; empty in runs without that.
        beside: what another program on the machine did meanwhile.
    """

    number: int
    plan: Plan
    learned: Learned
    readings: tuple[StepReading, ...]
    rows: tuple[tuple[int, int, tuple[RequestRow, ...]], ...]
    alone: tuple[dict[str, dict[str, float]], ...] = ()
    beside: Beside = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFigures:
    """The figures of one run per replicate; a line of `runs.jsonl.gz`, from which everything else follows.

    Attributes:
        plan: of the run.
        values: by figure and setup, one value per replicate; None where a replicate has none.
        light_requests: requests at light load, by setup.
        invalid: reasons of the checks that invalidate the run; empty for a valid one.
        alone: as in `Trial`.
        beside: as in `Trial`.
    """

    plan: Plan
    values: dict[str, dict[str, tuple[float | None, ...]]]
    light_requests: dict[str, int]
    invalid: tuple[str, ...] = ()
    alone: tuple[dict[str, dict[str, float]], ...] = ()
    beside: Beside = ""


def shares() -> dict[str, float]:
    """What every setup with an injected cost burns, of what a request of the baseline costs."""
    return {
        **{name_of(share): share for share in SHARES},
        **APART,
        PATCHED: 0.0,
        **{name: share for name, (_, _, share) in INSIDE.items()},
    }


def burns(app: App) -> dict[str, Burn]:
    """Where and when every setup burns."""
    processes = tuple(process.name for process in app.process if process.traced)
    return {
        **{name_of(share): Burn(when="answered") for share in SHARES},
        **{name: Burn(when="apart") for name in APART},
        PATCHED: Burn(processes=processes, when="before"),
        **{
            name: Burn(processes=processes[: count or None], when=when)
            for name, (count, when, _) in (INSIDE | DELAYS).items()
        },
    }


def compared_with(name: str) -> str:
    """The reference: a setup with the same hook that burns nothing; empty if it is the baseline."""
    if name in INSIDE or name in DELAYS:
        return PATCHED
    return SAME if name != SAME and name in map(name_of, SHARES) else ""


def setups(panel: Panel) -> tuple[Setup, ...]:
    """The baseline, the A/A setup, and the setups of a panel."""
    return tuple(setup for setup in _setups() if setup.name in {BASELINE, AA, *panel.setups})


def _setups() -> tuple[Setup, ...]:
    def plain(name: str, description: str) -> Setup:
        return Setup(name=name, tracing="none", description=description, against=compared_with(name))

    apart = (
        plain(name, f"The baseline plus {share:.0%} of its CPU in a process apart.")
        for name, share in APART.items()
    )
    answered = (plain(name_of(share), f"The baseline plus {share:.0%} of its CPU.") for share in SHARES)
    inside = (
        plain(name, f"{share:.0%} of a request's CPU, {when} the calls of {count or 'all'} processes.")
        for name, (count, when, share) in INSIDE.items()
    )
    delays = (
        plain(name, f"Every answer later by {share:.0%} of a request's CPU, {when}.")
        for name, (_, when, share) in DELAYS.items()
    )
    return (
        plain(BASELINE, "The baseline."),
        plain(AA, "The baseline once more."),
        *answered,
        *apart,
        *(setup for setup in TABLE if setup.name in TRACED),
        plain(PATCHED, "Able to burn inside of requests, and burns nothing."),
        *inside,
        *delays,
    )


def burns_s(baseline_s: float) -> dict[str, float]:
    """CPU seconds per request that every setup burns, or seconds that it waits.

    Args:
        baseline_s: CPU seconds of a request without any.
    """
    delays = {name: share for name, (_, _, share) in DELAYS.items()}
    return {name: round(share * baseline_s, 6) for name, share in (shares() | delays).items()}


def is_exact(name: str) -> bool:
    """True if the truth about a setup is known exactly: it costs nothing, or is burnt apart."""
    return name in {AA, SAME, *APART}


def rate_shares() -> dict[str, float]:
    """Light rates at which every injected cost leaves utilisation as in the baseline.

    At the baseline's rate a cost would keep the CPU awake for longer, and whatever runs on a CPU that is
    awake is cheaper: the measured cost would differ from the injected one.
    """
    return {
        name: round(1 / (1 + share), 4) for name, share in shares().items() if share and name not in APART
    }


def raw_of(trial: Trial) -> Raw:
    """The raw records of a trial; its setups get today's references, also in older trials."""
    rows = {(replicate, number): rows for replicate, number, rows in trial.rows}
    compared = tuple(
        msgspec.structs.replace(setup, against=compared_with(setup.name)) for setup in trial.plan.setups
    )
    return Raw(
        plan=replace(trial.plan, setups=compared),
        learned=trial.learned,
        readings=trial.readings,
        rows=rows,
        ending=Ending(complete=True),
    )
