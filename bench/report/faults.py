"""What clients feel when the backend of tracing fails: a table, a verdict in words, advice."""

from collections.abc import Sequence

from bench.analysis.faults import (
    WORDS,
    Cell,
    Fault,
    clients,
    is_harmful,
    spans,
    verdict,
)
from bench.app.records import BASELINE
from bench.report.document import Document, Section, document, section
from bench.report.words import ABSENT, Table, milliseconds, plural

FILE = "faults.jsonl"
ABOUT = (
    "Clients come at planned times, whatever becomes of those before them (an open loop), {count} to each "
    "setup and more where the backend comes back, and give up after 8 s. All setups of a fault run side "
    "by side on the same CPUs; where all of them are slower, the untraced one (`none`) shows by how much. "
    "Latencies count from the planned send; the 99th percentile of so few requests is nearly the longest of "
    "them. A stall is the longest time for which an event loop did not answer a timer of 1 ms, the untraced "
    "one's as well. Spans are counted where they end and where they arrive, from before the fault on. Then "
    "the whole application gets SIGTERM, the fault still there, and is killed if it has not ended after 35 s."
)
ADVICE = {
    Fault.CUT: "A Collector on the same machine is there when the backend is not.",
    Fault.MUTE: "Only a time limit ends it: OTEL_EXPORTER_OTLP_TIMEOUT, 10 s by default.",
    Fault.UNAVAILABLE: "The exporter tries again until its time limit; a shutdown waits for the attempt.",
    Fault.LATER: "It does not wait that long; spans refused this way are lost at once.",
    Fault.ERROR: "Never tried again: spans refused this way are lost at once.",
    Fault.SLOW: "`simple` makes every span wait for the backend; `batch` does not.",
    Fault.DRIP: "Over http no time limit ends an answer that drips: it counts the time between two bytes.",
    Fault.GONE: "What is exported meanwhile is lost; the queue holds what comes after.",
    Fault.OVERFLOW: "OTEL_BSP_MAX_QUEUE_SIZE has to hold what comes within OTEL_BSP_SCHEDULE_DELAY.",
    Fault.TERM: "Spans arrive if the application ends its provider when it is told to stop.",
    Fault.KILL: "Whatever is queued dies with the process; shorten OTEL_BSP_SCHEDULE_DELAY.",
}
OF_THE_BACKEND = frozenset(Fault) - {Fault.NONE, Fault.OVERFLOW, Fault.TERM, Fault.KILL}


def report(cells: Sequence[Cell], *more: Section) -> Document:
    """The whole report, which ends with further sections."""
    faults = list(dict.fromkeys(cell.fault for cell in cells))
    count = max((cell.requests for cell in cells if cell.fault is Fault.NONE), default=0)
    return document(
        "What do clients feel when the backend of tracing fails?",
        [*_answer(cells), ABOUT.format(count=count)],
        *(_of(fault, cells) for fault in faults),
        section("Every figure", figures(cells), folded=True),
        *more,
    )


def _traced(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.setup != BASELINE and cell.fault is not Fault.NONE]


def _answer(cells: Sequence[Cell]) -> list[str]:
    """For each span processor, in how many faults of the backend clients feel something."""
    sentences = []
    of_backend = [cell for cell in _traced(cells) if cell.fault in OF_THE_BACKEND]
    for processor in ("batch", "simple"):
        own = [cell for cell in of_backend if cell.setup.startswith(processor)]
        if not own:
            continue
        felt = [cell for cell in own if is_harmful(cell, cells)]
        killed = sum(cell.stop_s >= cell.stop_limit_s for cell in own)
        slow = max((cell.stop_s for cell in own if cell.stop_s < cell.stop_limit_s), default=0.0)
        stopping = f"{killed} times it did not stop" if killed else f"at worst it takes {slow:.0f} s to stop"
        faults = len({cell.fault for cell in own})
        sentences.append(
            f"**`{processor}`**: {plural(faults, 'failure')} of the backend, over "
            f"{plural(len(own) // faults, 'protocol')}: clients feel {len(felt)} of {len(own)}; {stopping}."
        )
    return sentences


def _of(fault: Fault, cells: Sequence[Cell]) -> Section:
    own = [cell for cell in cells if cell.fault is fault]
    return section(WORDS[fault][0].upper() + WORDS[fault][1:], table(own, cells), ADVICE.get(fault))


def table(own: Sequence[Cell], cells: Sequence[Cell]) -> Table:
    """The setups under one fault."""
    return Table(
        heads=("setup", "p50 ms", "p99 ms", "max ms", "failed", "stall ms", "time to stop, s", "verdict"),
        left=(0, 7),
        rows=tuple(
            (
                cell.setup,
                milliseconds(cell.quantile_s(0.5), decimals=1),
                milliseconds(cell.quantile_s(0.99), decimals=0),
                milliseconds(cell.max_s, decimals=0),
                f"{cell.failed} of {cell.requests}",
                milliseconds(cell.stall_s, decimals=0),
                f"{cell.stop_s:.1f}",
                verdict(cell, cells),
            )
            for cell in own
        ),
        red=frozenset(
            number
            for number, cell in enumerate(own)
            if cell.fault is not Fault.NONE and is_harmful(cell, cells)
        ),
    )


def figures(cells: Sequence[Cell]) -> Table:
    """Every figure of every cell."""
    return Table(
        heads=(
            "fault", "setup", "per s", "memory MB", "made", "received", "lost", "twice", "where lost",
            "clients", "spans",
        ),
        keys=2,
        left=(0, 1, 8, 9, 10),
        rows=tuple(
            (
                cell.fault,
                cell.setup,
                f"{cell.per_s:.1f}",
                f"{cell.growth_bytes / 2**20:+.1f}",
                ABSENT if cell.made is None else str(cell.made),
                str(cell.received),
                ABSENT if cell.lost is None else str(cell.lost),
                str(cell.duplicated),
                cell.where or "",
                clients(cell, cells),
                spans(cell),
            )
            for cell in cells
        ),
    )  # fmt: skip
