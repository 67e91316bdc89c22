"""What server stacks lose: made, received, and where the rest went, in words."""

from collections.abc import Mapping

import pytest

from bench.app.file import parse_stacks
from bench.receiver.messages import Signal
from bench.report import markdown
from bench.studies.shutdown import document
from bench.studies.shutdown.figures import LostAt, StackResult, Stop, Try, stack_results
from bench.studies.shutdown.parts import STACKS

ALL = {Signal.TRACES: 120, Signal.METRICS: 40, Signal.LOGS: 40}
NOTHING = dict.fromkeys(Signal, 0)


def tried(way: Stop, received: Mapping[Signal, int], stack: str = "uvicorn", *, orderly: bool = False) -> Try:
    return Try(
        stack=stack, orderly=orderly, interface="asgi", processor="batch", way=way,
        requests=40, received=dict(received), stop_s=0.2,
    )  # fmt: skip


def row(**received: Mapping[Signal, int]) -> StackResult:
    reference = tried(Stop.ALIVE, ALL, "reference")
    return stack_results([*(tried(Stop[way], counts) for way, counts in received.items()), reference])[0]


@pytest.mark.parametrize(
    ("received", "where"),
    [
        ({"ALIVE": ALL, "TERM": NOTHING}, LostAt.SHUTDOWN),
        ({"ALIVE": ALL, "KILL": NOTHING}, LostAt.QUEUE),
        ({"ALIVE": NOTHING, "TERM": NOTHING}, LostAt.FORK),
        ({"TERM": NOTHING}, LostAt.SHUTDOWN),
        ({"TERM": ALL}, None),
    ],
)
def test_where_something_was_lost_follows_from_how_it_ended(
    received: Mapping[str, Mapping[Signal, int]], where: LostAt | None
) -> None:
    losses = list(row(**received).losses.values())[-1]
    assert {loss.where for loss in losses.values()} == {where}
    assert losses[Signal.TRACES].made == 120
    assert losses[Signal.TRACES].lost == (0 if where is None else 120)


def test_the_verdict_is_in_words() -> None:
    lossy = row(ALIVE=ALL, TERM=NOTHING, INT=ALL, KILL=NOTHING)
    assert document.verdict(lossy) == "loses everything at SIGTERM"
    kept = row(ALIVE=ALL, TERM=ALL, INT=ALL)
    assert document.verdict(kept) == "keeps everything"
    assert document.verdict(row(ALIVE=ALL, KILL=NOTHING)) == "SIGTERM and SIGINT not tried"
    assert document.verdict(row(ALIVE=ALL, INT=ALL)) == "SIGTERM not tried"
    assert document.verdict(row(ALIVE={**ALL, Signal.TRACES: 119}, TERM=ALL, INT=ALL)) == "keeps everything"
    orderly = [tried(way, ALL, "uvicorn, lifespan", orderly=True) for way in (Stop.TERM, Stop.INT)]
    text = markdown.render(
        document.report(stack_results([tried(Stop.TERM, NOTHING), tried(Stop.INT, ALL), *orderly]))
    )
    assert "Of 2 stacks 1 lost nothing when they were stopped." in text
    assert "shut down the providers in the lifespan" in text


def test_the_committed_stacks_have_what_is_needed() -> None:
    stacks = parse_stacks(STACKS.read_text("utf-8"), STACKS.name).stack
    assert len({stack.name for stack in stacks}) == len(stacks)
    assert {stack.interface for stack in stacks} == {"asgi", "wsgi"}
    assert all("{port}" in stack.command for stack in stacks)


def test_one_try_that_got_too_much_changes_no_other() -> None:
    doubled = tried(Stop.INT, {**ALL, Signal.TRACES: 142}, "granian")
    others = [tried(way, ALL, f"stack-{number}") for number in range(3) for way in (Stop.TERM, Stop.INT)]
    assert [found.keeps for found in stack_results([doubled, *others])] == [None, True, True, True]
