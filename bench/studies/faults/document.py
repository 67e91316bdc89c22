"""What clients notice when the tracing backend fails: a table, a verdict in words, advice."""

from collections.abc import Sequence

from bench.app.records import BASELINE
from bench.report.document import Document, Section, document, section
from bench.report.words import ABSENT, Table, milliseconds, plural
from bench.studies.faults.figures import (
    WORDS,
    Fault,
    FaultResult,
    clients,
    is_harmful,
    spans,
    verdict,
)

ABOUT = (
    "Requests are sent at planned times (open model) and time out after 8 s: {count} to each setup, and more "
    "where the backend comes back. All setups of a fault run at the same time on the same CPUs; the untraced "
    "one (`none`) shows what that alone costs. Latencies count from the planned send; with so few requests "
    "the 99th percentile is nearly the maximum. A stall is the longest time for which an event loop did not "
    "run a timer of 1 ms. Spans are counted where they end and where they arrive, from before the fault "
    "begins. Then, with the fault still present, the application gets SIGTERM, and SIGKILL if it has not "
    "stopped after 35 s."
)
ADVICE = {
    Fault.CUT: "A Collector on the same machine accepts spans while the backend is down.",
    Fault.MUTE: "An export ends at OTEL_EXPORTER_OTLP_TIMEOUT, 10 s by default.",
    Fault.UNAVAILABLE: "The exporter retries until its time limit; a shutdown waits for the attempt.",
    Fault.LATER: "The exporter does not wait that long; spans refused this way are lost at once.",
    Fault.ERROR: "The exporter does not retry: spans refused this way are lost at once.",
    Fault.SLOW: "`simple` makes every span wait for the backend; `batch` does not.",
    Fault.DRIP: "Over HTTP the time limit is one between two bytes, and such a response never reaches it.",
    Fault.GONE: "What is exported meanwhile is lost; the queue holds the spans that end later.",
    Fault.OVERFLOW: "OTEL_BSP_MAX_QUEUE_SIZE must hold all spans that end within OTEL_BSP_SCHEDULE_DELAY.",
    Fault.TERM: "Spans arrive if the application shuts down its tracer provider when it is stopped.",
    Fault.KILL: "Queued spans are lost with the process; shorten OTEL_BSP_SCHEDULE_DELAY.",
}
OF_THE_BACKEND = frozenset(Fault) - {Fault.NONE, Fault.OVERFLOW, Fault.TERM, Fault.KILL}


def report(results: Sequence[FaultResult], *more: Section) -> Document:
    """The whole report, which ends with further sections."""
    faults = list(dict.fromkeys(result.fault for result in results))
    count = max((result.requests for result in results if result.fault is Fault.NONE), default=0)
    return document(
        "What do clients notice when the tracing backend fails?",
        [*_answer(results), ABOUT.format(count=count)],
        *(_of(fault, results) for fault in faults),
        section("Every figure", figures(results), folded=True),
        *more,
    )


def _traced(results: Sequence[FaultResult]) -> list[FaultResult]:
    return [result for result in results if result.setup != BASELINE and result.fault is not Fault.NONE]


def _answer(results: Sequence[FaultResult]) -> list[str]:
    """For each span processor, in how many faults of the backend clients notice something."""
    sentences = []
    of_backend = [result for result in _traced(results) if result.fault in OF_THE_BACKEND]
    for processor in ("batch", "simple"):
        own = [result for result in of_backend if result.setup.startswith(processor)]
        if not own:
            continue
        noticed = [result for result in own if is_harmful(result, results)]
        killed = sum(result.stop_s >= result.stop_limit_s for result in own)
        slow = max((result.stop_s for result in own if result.stop_s < result.stop_limit_s), default=0.0)
        stopping = f"{killed} times it did not stop" if killed else f"at worst it takes {slow:.0f} s to stop"
        faults = len({result.fault for result in own})
        sentences.append(
            f"**`{processor}`**: {plural(faults, 'failure')} of the backend, over "
            f"{plural(len(own) // faults, 'protocol')}: clients notice {len(noticed)} of {len(own)}; "
            f"{stopping}."
        )
    return sentences


def _of(fault: Fault, results: Sequence[FaultResult]) -> Section:
    own = [result for result in results if result.fault is fault]
    return section(WORDS[fault][0].upper() + WORDS[fault][1:], table(own, results), ADVICE.get(fault))


def table(own: Sequence[FaultResult], results: Sequence[FaultResult]) -> Table:
    """The setups under one fault."""
    return Table(
        heads=("setup", "p50 ms", "p99 ms", "max ms", "failed", "stall ms", "time to stop, s", "verdict"),
        left=(0, 7),
        rows=tuple(
            (
                result.setup,
                milliseconds(result.quantile_s(0.5), decimals=1),
                milliseconds(result.quantile_s(0.99), decimals=0),
                milliseconds(result.max_s, decimals=0),
                f"{result.failed} of {result.requests}",
                milliseconds(result.stall_s, decimals=0),
                f"{result.stop_s:.1f}",
                verdict(result, results),
            )
            for result in own
        ),
        red=frozenset(
            number
            for number, result in enumerate(own)
            if result.fault is not Fault.NONE and is_harmful(result, results)
        ),
    )


def figures(results: Sequence[FaultResult]) -> Table:
    """Every figure of every result."""
    return Table(
        heads=(
            "fault", "setup", "per s", "memory MB", "made", "received", "lost", "twice", "where lost",
            "clients", "spans",
        ),
        keys=2,
        left=(0, 1, 8, 9, 10),
        rows=tuple(
            (
                result.fault,
                result.setup,
                f"{result.per_s:.1f}",
                f"{result.growth_bytes / 2**20:+.1f}",
                ABSENT if result.made is None else str(result.made),
                str(result.received),
                ABSENT if result.lost is None else str(result.lost),
                str(result.duplicated),
                result.where or "",
                clients(result, results),
                spans(result),
            )
            for result in results
        ),
    )  # fmt: skip
