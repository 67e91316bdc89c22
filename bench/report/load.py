"""Latency and throughput under load as people read them: the solo phase's tables and sentences."""

from bench.findings import Change, LevelSummary, SoloSetup, SoloSummary, Summary
from bench.model import BASELINE, Solo
from bench.report.words import ABSENT, Table, count, milliseconds, percent, signed
from bench.setups import BY_NAME, sampling_ratio
from bench.stats import samples_for

SATURATED = "saturated"
DAPPER = "dapper-"
HOW_TO_READ = (
    "Latency counts from the moment at which a request was *planned*, not from the one at which it was sent. "
    "When a service stalls, a tool that waits for its answers sends nothing meanwhile, and the requests "
    "that a customer would have sent then are missing from its percentiles (coordinated omission). "
    "Here they are sent or wait for their turn, and what they waited counts; one that could not be sent "
    "within the timeout counts as dropped and as the whole timeout."
)
ABOUT_CHANGES = (
    "Changes are against the baseline's two fleets together (`none` and `none-again`; the twin itself is "
    "against `none`), so they are not the differences of two rows. Each interval holds for its own figure; "
    "there are many of them, and one in twenty misses. What the identical twin differs by is what such a "
    "change is worth here."
)
ABOUT_RATES = (
    "The levels are shares of the baseline's capacity as a closed loop found it before the first block. A "
    "rate is *held* if at most one arrival in a hundred took longer than the limit and the set-up kept up, "
    "its exports included: where a queue begins to grow, that fails before the limit does. Without an answer "
    "(-) the set-up held no rate in some block. Throughputs are means over blocks."
)
ABOUT_SATURATION = (
    "*saturated*: the set-up completed less than 95 % of what was planned, on average over the blocks. Its "
    "queue grows for as long as one looks, so it has no percentiles, and saturated set-ups are not ranked by "
    "latency."
)


def title(solo: Solo, level: float) -> str:
    """What a level's table shows."""
    rate = f"{level * solo.capacity_per_s:.1f} checkouts/s"
    share = f"{level:.0%} of the baseline's {solo.capacity_per_s:.1f}/s"
    return f"Latency at {rate} ({share})".replace("%", " %")


def level_table(summary: SoloSummary, at: int) -> Table:
    """Latency at one rate, for every percentile that some set-up has samples for."""
    levels = [setup.levels[at] for setup in summary.setups]
    shown = sorted({each.q for level in levels for each in level.percentiles if each.value_s is not None})
    heads = ["set-up", "achieved/s", "CPU busy"]
    for q in shown:
        heads += [f"{quantile_name(q)} ms", "change [95 %]"]
    rows = []
    for setup, level in zip(summary.setups, levels, strict=True):
        row = [setup.name, f"{level.achieved_per_s:.1f}", _busy(level)]
        for q in shown:
            row += _cells(level, q)
        rows.append(tuple(row))
    return Table(
        heads=tuple(heads),
        right=(False, *([True] * (len(heads) - 1))),
        rows=tuple(rows),
        red=_red(summary),
    )


def _busy(level: LevelSummary) -> str:
    return f"{level.utilisation * 100:.0f} %"


def _cells(level: LevelSummary, q: float) -> list[str]:
    if level.saturated:
        return [SATURATED, ABSENT]
    found = next((each for each in level.percentiles if each.q == q), None)
    if found is None or found.value_s is None:
        return [ABSENT, ABSENT]
    value = milliseconds(found.value_s)
    if found.change is None or found.base_s is None:
        return [value, ABSENT]
    change, base = found.change, found.base_s * 1e3
    ends = f"[{signed(change.low * base, 2)}, {signed(change.high * base, 2)}]"
    return [value, f"{signed(change.ratio * base, 2)} ms {ends}\n{change_percent(change)}"]


def change_percent(change: Change | None) -> str:
    """A relative change with its interval, in percent."""
    if change is None:
        return ABSENT
    ends = f"[{percent(change.low)}, {percent(change.high)}]"
    return f"{percent(change.ratio)} % {ends}"


def quantile_name(q: float) -> str:
    """p50, p90, p99, p99.9."""
    return f"p{q * 100:g}"


def too_few(summary: SoloSummary, at: int, *, is_long: bool = False) -> str:
    """Which percentiles a level's table lacks, and what they need; empty if none."""
    sound = [setup.levels[at] for setup in summary.setups if not setup.levels[at].saturated]
    if not sound:
        return "Every set-up is saturated at this rate."
    most = max(level.arrivals for level in sound)
    lacking = [
        q for level in sound[:1] for q in (each.q for each in level.percentiles) if samples_for(q) > most
    ]
    if not lacking:
        return ""
    needs = ", ".join(f"{quantile_name(q)} needs {count(samples_for(q))}" for q in lacking)
    more = "" if is_long else " `--budget long` has more."
    return f"{needs} requests per set-up and rate; this run has {count(most)}.{more}"


def throughput_table(summary: SoloSummary, solo: Solo) -> Table:
    """What each set-up can do at most, and under the latency limit."""
    limit = limit_name(solo)
    return Table(
        heads=(
            "set-up", "at saturation/s\n(closed loop)", "change [95 %]",
            f"highest rate/s held\nwith p99 under {limit}", "change [95 %] ",
        ),
        right=(False, True, True, True, True),
        rows=tuple(
            (
                setup.name,
                _rate(setup.capacity.per_s),
                change_percent(setup.capacity.change),
                _rate(setup.under_limit.per_s),
                change_percent(setup.under_limit.change),
            )
            for setup in summary.setups
        ),
        red=_red(summary),
    )  # fmt: skip


def limit_name(solo: Solo) -> str:
    """The latency limit as a person writes it."""
    return f"{solo.latency_limit_s * 1e3:g} ms"


def _rate(per_s: float | None) -> str:
    return ABSENT if per_s is None else f"{per_s:.1f}"


def dapper_table(summary: SoloSummary) -> Table | None:
    """Sampling ratio against latency and throughput, as in table 2 of Dapper; absent without its set-ups.

    Source: Sigelman and others, Dapper, a Large-Scale Distributed Systems Tracing
    Infrastructure, 2010. Theirs was one workload with averages; ours has medians and intervals.
    """
    mine = [setup for setup in summary.setups if setup.name.startswith(DAPPER)]
    if not mine:
        return None
    return Table(
        heads=(
            "sampling ratio", "p50 latency, change", "p90 latency, change",
            "throughput (closed loop), change", "highest rate under the limit, change",
        ),
        right=(False, True, True, True, True),
        rows=tuple(
            (
                _ratio(setup),
                _change_at(setup, 0.5),
                _change_at(setup, 0.9),
                change_percent(setup.capacity.change),
                change_percent(setup.under_limit.change),
            )
            for setup in mine
        ),
        red=frozenset(at for at, setup in enumerate(mine) if setup.invalid),
    )  # fmt: skip


def _ratio(setup: SoloSetup) -> str:
    return f"1/{round(1 / sampling_ratio(BY_NAME[setup.name])):,}"


def _change_at(setup: SoloSetup, q: float) -> str:
    """The change at the lowest rate, which the most set-ups can hold."""
    lowest = min(setup.levels, key=lambda level: level.level)
    if lowest.saturated:
        return SATURATED
    return change_percent(next((each.change for each in lowest.percentiles if each.q == q), None))


def load_line(summary: Summary) -> str:
    """How the solo phase went, in one sentence."""
    solo, plan = summary.solo, summary.plan.solo
    if solo is None or plan is None:
        return ""
    p99 = "not known (too few requests)" if solo.lag_p99_s is None else f"{milliseconds(solo.lag_p99_s)} ms"
    text = (
        f"Solo phase: {solo.blocks} of {summary.plan.epochs} blocks, one fleet at a time, "
        f"{'all others left alone' if summary.plan.targets else 'all others stopped'}; "
        f"capacity of {BASELINE} before the first block {plan.capacity_per_s:.1f} checkouts/s; "
        f"lag p50 {milliseconds(solo.lag_p50_s)} ms, p99 {p99}; "
        f"steal {solo.steal:.1%}, other programs {solo.foreign:.1%} of a core."
    )
    return text.replace("%", " %")


def _red(summary: SoloSummary) -> frozenset[int]:
    return frozenset(at for at, setup in enumerate(summary.setups) if setup.invalid)
