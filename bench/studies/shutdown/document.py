"""Which server stacks keep their spans, as a table with a verdict in words."""

from collections.abc import Iterable, Mapping, Sequence

from bench.receiver.messages import Signal
from bench.report.document import Document, Section, document, section
from bench.report.words import Table, plural
from bench.studies.shutdown.figures import Loss, LostAt, StackResult, Stop

WORDS = {Signal.TRACES: "spans", Signal.METRICS: "metrics", Signal.LOGS: "log records"}
PLACES = {
    LostAt.FORK: "never exported, although the server kept running",
    LostAt.QUEUE: "not ended, or queued, when it was killed",
    LostAt.SHUTDOWN: "not exported at the end",
}
ABOUT = (
    "Each server runs the same application under `opentelemetry-instrument`, answers the same requests and "
    "is stopped at once: SIGTERM and SIGINT go to the process that was started, as `docker stop` and `kill "
    "-INT` send them (Ctrl-C in a terminal reaches all processes); SIGKILL goes to all. Made: what arrives "
    "where nothing is lost. Received: what the receiver counted. `batch` is the agent's default, with delays "
    "so long that no timer fires between the requests and the signal; `simple` comes from a file named by "
    "OTEL_CONFIG_FILE. Exports go over HTTP. Each signal is tried once."
)
TERM_ADVICE = (
    "Containers, systemd and process managers stop a server by SIGTERM: what is lost then is lost at every "
    "deployment."
)
LIFESPAN = (
    "Shut down the providers in the application's lifespan (`provider.shutdown()` for traces, metrics and "
    "logs). The rows with *lifespan* do that; nothing else differs."
)
KILLED = (
    "Spans that are queued when a process is killed are lost: give it time to stop (Kubernetes: "
    "`terminationGracePeriodSeconds`), and shorten OTEL_BSP_SCHEDULE_DELAY where that is not enough."
)


def report(results: Sequence[StackResult], *more: Section) -> Document:
    """The whole report, which ends with further sections."""
    keeping = [result for result in results if result.keeps]
    return document(
        "Which server stacks keep their spans?",
        [*_answer(results, keeping), ABOUT],
        section("What arrives", table(results)),
        section("What to do", *_advice(results)),
        section("Every count", counts(results), folded=True),
        *more,
    )


def _answer(results: Sequence[StackResult], keeping: Sequence[StackResult]) -> list[str]:
    tried = [result for result in results if result.keeps is not None]
    kept = ", ".join(dict.fromkeys(f"`{result.stack}`" for result in keeping if result.processor == "batch"))
    losing = ", ".join(dict.fromkeys(f"`{result.stack}`" for result in results if result.lost_at(Stop.TERM)))
    sentences = [f"Of {plural(len(tried), 'stack')} {len(keeping)} lost nothing when they were stopped."]
    if kept:
        sentences.append(f"With the batch processor: {kept}.")
    if losing:
        sentences.append(f"Something is lost at SIGTERM with {losing}.")
    return sentences


def _lost_when_stopped(result: StackResult) -> dict[Signal, Loss]:
    """What is lost while it runs, or when a signal stops it."""
    lost: dict[Signal, Loss] = {}
    for way in (Stop.ALIVE, Stop.TERM, Stop.INT):
        lost |= result.lost_at(way)
    return lost


def table(results: Sequence[StackResult]) -> Table:
    """One row per stack and processor."""
    ways = [
        way for way in (Stop.TERM, Stop.INT, Stop.KILL) if any(way in result.losses for result in results)
    ]
    return Table(
        heads=("stack", "processor", *ways, "time to stop, s", "verdict", "what to do"),
        keys=2,
        left=(*range(2 + len(ways)), 3 + len(ways), 4 + len(ways)),
        rows=tuple(
            (
                result.stack,
                result.processor,
                *(_cell(result.losses.get(way)) for way in ways),
                " / ".join(
                    f"{result.stops_s[way]:.1f}" for way in (Stop.TERM, Stop.INT) if way in result.stops_s
                ),
                verdict(result),
                _remedy(result),
            )
            for result in results
        ),
        red=frozenset(number for number, result in enumerate(results) if result.lost_at(Stop.TERM)),
    )


def _cell(losses: Mapping[Signal, Loss] | None) -> str:
    if losses is None:
        return "not tried"
    none = [WORDS[signal] for signal, loss in losses.items() if not loss.received]
    some = [
        f"{loss.received} of {loss.made} {WORDS[signal]}"
        for signal, loss in losses.items()
        if loss.received and loss.lost
    ]
    if len(none) == len(losses):
        return "nothing"
    return ", ".join([*([f"no {' or '.join(none)}"] if none else []), *some]) or "all"


def verdict(result: StackResult) -> str:
    """What it loses, in words."""
    unheard = [signal for signal, loss in result.losses.get(Stop.ALIVE, {}).items() if not loss.received]
    if unheard:
        return f"exports no {_names(unheard)}, even while it runs"
    ways: dict[str, list[Stop]] = {}
    for way in (Stop.TERM, Stop.INT):
        if lost := result.lost_at(way):
            ways.setdefault(_names(lost), []).append(way)
    losses = [f"loses {names} at {' and '.join(at)}" for names, at in ways.items()]
    untried = [way for way in (Stop.TERM, Stop.INT) if way not in result.losses]
    if untried:
        losses.append(f"{' and '.join(untried)} not tried")
    return "; ".join(losses) or "keeps everything"


def _remedy(result: StackResult) -> str:
    lost = [way for way in (Stop.TERM, Stop.INT) if result.lost_at(way)]
    if result.lost_at(Stop.ALIVE):
        return "start the exporters after the fork"
    if Stop.TERM in lost:
        return "another worker" if result.orderly else "shut down the providers in the lifespan"
    return "stop it by SIGTERM" if lost else ""


def _names(lost: Iterable[Signal]) -> str:
    names = [WORDS[signal] for signal in lost]
    if len(names) == len(WORDS):
        return "everything"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _advice(results: Sequence[StackResult]) -> list[str]:
    advice = []
    if any(result.lost_at(Stop.TERM) for result in results):
        advice.append(TERM_ADVICE)
    orderly = [result for result in results if result.orderly]
    if orderly and not any(_lost_when_stopped(result) for result in orderly):
        advice.append(LIFESPAN)
    elif orderly:
        failing = ", ".join(dict.fromkeys(result.stack for result in orderly if _lost_when_stopped(result)))
        advice.append(f"{LIFESPAN} It is not enough for {failing}.")
    if any(result.lost_at(Stop.KILL) for result in results):
        advice.append(KILLED)
    return advice


def counts(results: Sequence[StackResult]) -> Table:
    """Every count, and where the rest was lost."""
    return Table(
        heads=("stack", "processor", "end", "signal", "made", "received", "lost", "where"),
        keys=4,
        left=(0, 1, 2, 3, 7),
        rows=tuple(
            (
                result.stack,
                result.processor,
                "keeps running" if way is Stop.ALIVE else way,
                WORDS[signal],
                str(loss.made),
                str(loss.received),
                str(loss.lost),
                PLACES[loss.where] if loss.where else "",
            )
            for result in results
            for way, losses in result.losses.items()
            for signal, loss in losses.items()
        ),
    )
