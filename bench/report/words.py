"""Numbers as people read them: one function a kind of figure, one row a set-up.

Rule 1: no decimals that the interval does not support.
"""

import re
from dataclasses import dataclass

from bench.findings import Caveat, CollectorSummary, Overhead, SetupSummary, Severity, Summary
from bench.model import BASELINE, Machine

ABSENT = "-"
MINUS = "−"  # noqa: RUF001 - a minus sign, as wide as a plus


def microseconds(seconds: float | None, *, sign: bool = False) -> str:
    """Microseconds, whole."""
    if seconds is None:
        return ABSENT
    return signed(seconds * 1e6, 0, sign=sign)


def milliseconds(seconds: float | None) -> str:
    """Milliseconds with two decimals."""
    return ABSENT if seconds is None else f"{seconds * 1e3:.2f}"


def percent(ratio: float | None, *, sign: bool = True, decimals: int = 1) -> str:
    """A ratio in percent, with its sign."""
    return ABSENT if ratio is None else signed(ratio * 100, decimals, sign=sign)


def signed(value: float, decimals: int, *, sign: bool = True) -> str:
    """A number with its sign, and a minus as wide as the plus."""
    text = f"{value:+,.{decimals}f}" if sign else f"{value:,.{decimals}f}"
    return text.replace("-", MINUS)


def megabytes(size: float | None) -> str:
    """Megabytes, whole."""
    return ABSENT if size is None else f"{size / 1e6:.0f}"


def count(number: int) -> str:
    """A count with thousands apart."""
    return f"{number:,}"


def interval(overhead: Overhead) -> str:
    """The interval of an overhead in percent."""
    return f"[{percent(overhead.low)}, {percent(overhead.high)}]"


def interval_us(overhead: Overhead) -> str:
    """The interval of an overhead in microseconds."""
    low = microseconds(overhead.cpu_low_s, sign=True)
    return f"[{low}, {microseconds(overhead.cpu_high_s, sign=True)}]"


def span_cost(overhead: Overhead | None) -> str:
    """Microseconds per span with one decimal."""
    if overhead is None or overhead.cpu_per_span_s is None:
        return ABSENT
    return f"{overhead.cpu_per_span_s * 1e6:.1f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table: its heads, which columns are numbers, and its rows.

    Attributes:
        heads: one a column.
        right: whether a column is aligned to the right.
        rows: cells as text.
        red: numbers of the rows that must not be believed.
        drawn: number of a column that draws what a chart shows as well; absent without one.
    """

    heads: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    red: frozenset[int] = frozenset()
    drawn: int | None = None


def overhead_table(summary: Summary) -> Table:
    """What each set-up costs."""
    return Table(
        heads=(
            "set-up", "CPU us per checkout", "extra us", "95 % interval", "us per span",
            "overhead %", "95 % interval %", "verdict",
        ),
        right=(False, True, True, True, True, True, True, False),
        rows=tuple(_overhead_row(setup) for setup in summary.setups),
        red=_red(summary),
    )  # fmt: skip


def _overhead_row(setup: SetupSummary) -> tuple[str, ...]:
    overhead = setup.overhead
    level = microseconds(setup.cpu_per_checkout_s)
    if overhead is None:
        return (setup.name, level, *([ABSENT] * 5), setup.verdict)
    return (
        setup.name,
        level,
        microseconds(overhead.cpu_s, sign=True),
        interval_us(overhead),
        span_cost(overhead),
        percent(overhead.ratio),
        interval(overhead),
        setup.verdict,
    )


def pair_table(summary: Summary) -> Table:
    """Each set-up against the next cheaper one."""
    red = {setup.name for setup in summary.setups if setup.invalid}
    return Table(
        heads=("set-up", "against", "extra us", "difference %", "95 % interval %"),
        right=(False, False, True, True, True),
        rows=tuple(
            (
                pair.setup,
                pair.against,
                microseconds(pair.cpu_s, sign=True),
                percent(pair.ratio),
                f"[{percent(pair.low)}, {percent(pair.high)}]",
            )
            for pair in summary.pairs
        ),
        red=frozenset(at for at, pair in enumerate(summary.pairs) if {pair.setup, pair.against} & red),
    )


def ledger_table(summary: Summary) -> Table:
    """Where the spans went."""
    rows = []
    for setup in summary.setups:
        ledger = setup.ledger
        rows.append(
            (
                setup.name,
                count(ledger.checkouts),
                count(ledger.spans_expected),
                count(ledger.spans_received),
                count(ledger.lost),
                count(ledger.duplicated),
                count(ledger.orphaned),
                _traces(ledger.traces_whole, ledger.traces_broken, ledger.traces_low, ledger.traces_high),
                count(ledger.exports),
                count(round(ledger.bytes / max(ledger.checkouts, 1))),
                "balanced" if ledger.balanced else "DOES NOT BALANCE",
            )
        )
    return Table(
        heads=(
            "set-up", "checkouts", "spans expected", "received", "lost", "duplicated", "orphaned",
            "whole traces (due)", "exports", "bytes per checkout", "ledger",
        ),
        right=(False, *([True] * 9), False),
        rows=tuple(rows),
        red=frozenset(at for at, setup in enumerate(summary.setups) if not setup.ledger.balanced),
    )  # fmt: skip


def _traces(whole: int, broken: int, low: int, high: int) -> str:
    due = f"{low:,}" if low == high else f"{low:,}-{high:,}"
    bad = f" + {broken:,} broken" if broken else ""
    return f"{whole:,}{bad} ({due})"


def memory_table(summary: Summary) -> Table:
    """What else differs: median latency at light load, and memory."""
    base = next(setup for setup in summary.setups if setup.name == BASELINE)
    rows = []
    for setup in summary.setups:
        p50, reference = setup.latency_s.p50, base.latency_s.p50
        delta = None if p50 is None or reference is None else p50 - reference
        memory = setup.memory_bytes
        rows.append(
            (
                setup.name,
                milliseconds(p50),
                ABSENT if delta is None or setup is base else signed(delta * 1e3, 2),
                megabytes(memory.pss),
                megabytes(memory.uss),
                megabytes(memory.peak_rss),
            )
        )
    return Table(
        heads=("set-up", "p50 ms", "against none ms", "PSS MB", "USS MB", "peak RSS MB"),
        right=(False, True, True, True, True, True),
        rows=tuple(rows),
        red=_red(summary),
    )


def _red(summary: Summary) -> frozenset[int]:
    return frozenset(at for at, setup in enumerate(summary.setups) if setup.invalid)


def headline(summary: Summary) -> str:
    """Whether the run may be believed, in one sentence."""
    if summary.valid:
        return f"All gates passed: {_extent(summary)}."
    reasons = sorted({caveat.code for caveat in summary.caveats if caveat.severity is Severity.INVALID})
    return f"INVALID ({', '.join(reasons)}): figures marked invalid must not be used; {_extent(summary)}."


def _extent(summary: Summary) -> str:
    plan = summary.plan
    done = _plural(summary.epochs, "epoch")
    if not summary.complete:
        done = f"{summary.epochs} of {_plural(plan.epochs, 'epoch')}"
    windows = f"{_plural(plan.windows, 'window')} of {plan.window_s:g} s"
    if not plan.windows:
        blocks = summary.solo.blocks if summary.solo else 0
        return f"{blocks} of {_plural(plan.epochs, 'block')} of the solo phase"
    return f"{done} of {windows}, {count(summary.load.requests)} checkouts"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def noise_floor(summary: Summary) -> str:
    """The noise floor in one sentence."""
    if summary.noise_floor is None:
        return "The noise floor is not known: the run has no twin of the baseline."
    return (
        "Noise floor: two identical set-ups cannot be told apart here below "
        f"{percent(summary.noise_floor, sign=False)} % (the end of the twin's interval)."
    )


def load_line(summary: Summary) -> str:
    """How the load went, in one sentence."""
    load = summary.load
    p99 = "not known (too few requests)" if load.lag_p99_s is None else f"{milliseconds(load.lag_p99_s)} ms"
    lag = f"lag p50 {milliseconds(load.lag_p50_s)} ms, p99 {p99}"
    return _spaced(
        f"Load: {load.rate_per_s:.1f} checkouts/s planned over all fleets, open loop; services' CPU "
        f"{load.utilisation:.0%} busy, load generator {load.load_utilisation:.0%}; {lag}; "
        f"{count(load.failed)} failed, {count(load.dropped)} dropped; "
        f"steal {load.steal:.1%}, other programs {load.foreign:.1%} of a core; "
        f"{load.set_aside} of {_plural(summary.plan.spare, 'spare window')} used because of steal."
    )


ABOUT_COLLECTOR = (
    "What a collector between services and sink needed itself; it is in no figure above. CPU per span is "
    "without what it burns at rest; it depends on how many spans an export holds (`simple` sends them one by "
    "one), and holds what metrics cost it where set-ups export them. It is one process for the whole run and "
    "an absolute figure, so its interval is that of this hour and says nothing of another. Bytes and exports "
    "in the ledger are those that it sent."
)


def collector_table(found: CollectorSummary) -> Table:
    """What a collector needed."""
    ends = (found.cpu_per_span_low_s, found.cpu_per_span_high_s)
    low, high = (ABSENT if end is None else f"{end * 1e6:.1f}" for end in ends)
    cost = ABSENT if found.cpu_per_span_s is None else f"{found.cpu_per_span_s * 1e6:.1f}"
    return Table(
        heads=(
            "collector",
            "spans",
            "CPU us per span",
            "95 % interval",
            "% of a core",
            "PSS MB",
            "peak RSS MB",
        ),
        right=(False, True, True, True, True, True, True),
        rows=(
            (
                found.name,
                count(found.spans),
                cost,
                f"[{low}, {high}]" if None not in ends else ABSENT,
                percent(found.cpu_share, sign=False),
                megabytes(found.pss_bytes),
                megabytes(found.peak_rss_bytes),
            ),
        ),
    )


def micro_headline(rounds: int, operations: int, *, valid: bool) -> str:
    """What a microbenchmark did, in one sentence."""
    proof = "every operation proved what it is" if valid else "NOT every operation could prove what it is"
    return f"{_plural(operations, 'operation')} in {_plural(rounds, 'round')}; {proof}."


def machine_table(machine: Machine) -> Table:
    """What the run was measured on."""
    pinned = ", ".join(map(str, machine.services_cpus)) or "not pinned"
    rows = {
        "measured": machine.started[:19].replace("T", " ") + " UTC" if machine.started else ABSENT,
        "CPU": machine.cpu,
        "CPUs usable": f"{machine.cpus_usable} (services on: {pinned})",
        "memory": f"{machine.memory_bytes / 2**30:.1f} GiB",
        "virtual": "yes" if machine.hypervisor else "no",
        "governor": machine.governor or "not told",
        "system": f"{machine.system} {machine.kernel}, {machine.architecture}, {machine.libc}",
        "Python": f"{machine.python_implementation} {machine.python}",
        **({"collector": machine.collector} if machine.collector else {}),
    }
    return Table(heads=("", "found"), right=(False, False), rows=tuple(rows.items()))


def workers_table(summary: Summary) -> Table:
    """How late each load worker sent."""
    return Table(
        heads=("load worker", "arrivals", "lag p50 ms", "lag p99 ms"),
        right=(False, True, True, True),
        rows=tuple(
            (
                str(each.worker + 1),
                count(each.arrivals),
                milliseconds(each.lag_p50_s),
                milliseconds(each.lag_p99_s),
            )
            for each in summary.load.workers
        ),
    )


def _spaced(text: str) -> str:
    """A space before every percent sign."""
    return re.sub(r"(?<=\d)%", " %", text)


def caveat_line(caveat: Caveat) -> str:
    """A caveat as one sentence and its advice."""
    return _spaced(f"{caveat.code}: {caveat.message} - {caveat.advice}.")
