"""Damaged traces: whole ones, damaged in known ways in any mixture and order; the account says how."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import trace_checks
from bench.analysis.accounting import Accounting, Traffic, balance
from bench.app.setups import TABLE
from bench.plan.readings import Account
from bench.plan.records import Learned, Shape
from bench.receiver.accounting import account, begun_since
from bench.receiver.spans import Span, shape_of

MS = 10**6
BATCH = next(setup for setup in TABLE if setup.name == "batch")
PARTS = (
    # service, kind, name, place of the parent, when it begins and ends in ms
    ("web", "server", "GET /", None, 0, 100),
    ("web", "client", "GET", 0, 10, 90),
    ("stock", "server", "GET /stock", 1, 20, 80),
    ("stock", "internal", "query", 2, 30, 40),
    ("stock", "internal", "query", 2, 50, 60),
)
ROOT, CLIENT, SERVER, LEAF = 0, 1, 2, 3


def request(number: int, start_ms: int = -1) -> list[Span]:
    """The whole trace of a request; each begins when the one before has ended, if nothing else is said."""
    start_ms = number * 200 if start_ms < 0 else start_ms
    ids = [(number * 10 + place + 1).to_bytes(8) for place in range(len(PARTS))]
    return [
        Span(
            service,
            number.to_bytes(16),
            ids[place],
            b"" if parent is None else ids[parent],
            "scope",
            kind,
            name,
            start_ns=(start_ms + begin) * MS,
            end_ns=(start_ms + end) * MS,
        )
        for place, (service, kind, name, parent, begin, end) in enumerate(PARTS)
    ]


SHAPE: Shape = shape_of(request(0), detailed=True)
LEARNED = Learned(shapes={"batch": (SHAPE,)})


@dataclass
class Expected:
    """What the account must say."""

    labels: Counter[str] = field(default_factory=Counter)
    whole: int = 0
    joined: int = 0
    background: int = 0
    background_spans: int = 0
    requests: int = 0
    lost: int = 0
    excess: int = 0
    damaged: int = 0


Damaging = Callable[[int, Expected], list[Span]]


def nothing(number: int, expected: Expected) -> list[Span]:
    expected.requests += 1
    expected.whole += 1
    return request(number)


def lose_a_leaf(number: int, expected: Expected) -> list[Span]:
    expected.requests += 1
    expected.damaged += 1
    expected.lost += 1
    expected.labels["short"] += 1
    return request(number)[:-1]


def lose_a_root(number: int, expected: Expected) -> list[Span]:
    expected.requests += 1
    expected.damaged += 1
    expected.lost += 1
    expected.labels.update(["short", "orphaned"])
    return request(number)[1:]


def lose_a_process(number: int, expected: Expected) -> list[Span]:
    expected.requests += 1
    expected.damaged += 1
    expected.lost += 3
    expected.labels["short"] += 1
    return request(number)[:2]


def mix(number: int, expected: Expected) -> list[Span]:
    """A second request arrives while the first one runs, and becomes its child."""
    first, second = request(number), request(number + 1, number * 200 + 5)
    expected.requests += 2
    expected.damaged += 1
    expected.labels["mixed"] += 1
    second = [replace(span, trace=first[ROOT].trace) for span in second]
    second[ROOT] = replace(second[ROOT], parent=first[CLIENT].span)
    return first + second


def mix_inside(number: int, expected: Expected) -> list[Span]:
    """The second process of one request answers as part of another, concurrent one."""
    first, second = request(number), request(number + 1, number * 200 + 5)
    expected.requests += 2
    expected.damaged += 2
    expected.labels.update(["mixed", "split"])
    moved = [replace(span, trace=first[ROOT].trace) for span in second[SERVER:]]
    moved[0] = replace(moved[0], parent=first[CLIENT].span)
    return first + second[:SERVER] + moved


def mix_what_ends_early(number: int, expected: Expected) -> list[Span]:
    """Entries that do not overlap, each with the inner spans of another request, as a native SDK does."""
    first, second = request(number), request(number + 1)
    expected.requests += 2
    expected.damaged += 1
    expected.labels["mixed"] += 1
    second = [replace(span, trace=first[ROOT].trace) for span in second]
    second[ROOT] = replace(second[ROOT], parent=first[ROOT].span)
    # The second request's inner spans hang below the first one's entry, and the other way round.
    late_ns = second[ROOT].start_ns
    first[CLIENT] = replace(first[CLIENT], parent=second[ROOT].span, start_ns=late_ns)
    second[CLIENT] = replace(second[CLIENT], parent=first[ROOT].span, start_ns=late_ns)
    first[LEAF], second[LEAF] = (
        replace(first[LEAF], parent=second[SERVER].span),
        replace(second[LEAF], parent=second[SERVER].span),
    )
    return first + second


def hold(number: int, expected: Expected) -> list[Span]:
    """A request's inner spans come in the trace of a concurrent one, which keeps its own."""
    first, second = request(number), request(number + 1, number * 200 + 5)
    expected.requests += 2
    expected.damaged += 2
    expected.labels.update(["mixed", "split"])
    moved = [replace(span, trace=first[ROOT].trace, parent=first[SERVER].span) for span in second[LEAF:]]
    return first + second[:LEAF] + moved


def join(number: int, expected: Expected) -> list[Span]:
    """A connection keeps its first request's context for the second one."""
    first, second = request(number), request(number + 1)
    expected.requests += 2
    expected.joined += 1
    second = [replace(span, trace=first[ROOT].trace) for span in second]
    second[ROOT] = replace(second[ROOT], parent=first[ROOT].span)
    return first + second


def split(number: int, expected: Expected) -> list[Span]:
    """A client that propagates nothing: the second process begins a trace of its own."""
    spans = request(number)
    expected.requests += 1
    expected.damaged += 2
    expected.labels["split"] += 2
    apart = [replace(span, trace=(10**9 + number).to_bytes(16)) for span in spans[SERVER:]]
    apart[0] = replace(apart[0], parent=b"")
    return spans[:SERVER] + apart


def split_keeping_the_parent(number: int, expected: Expected) -> list[Span]:
    spans = request(number)
    expected.requests += 1
    expected.damaged += 2
    expected.labels["split"] += 2
    return spans[:SERVER] + [replace(span, trace=(10**9 + number).to_bytes(16)) for span in spans[SERVER:]]


def add(number: int, expected: Expected) -> list[Span]:
    """A task that ends long after the answer."""
    spans = request(number)
    expected.requests += 1
    expected.damaged += 1
    expected.excess += 1
    expected.labels["excess"] += 1
    return [*spans, replace(spans[LEAF], span=b"later", name="later", kind="internal")]


def detach(number: int, expected: Expected) -> list[Span]:
    """All spans are there, and one does not name its parent."""
    spans = request(number)
    expected.requests += 1
    expected.damaged += 1
    expected.labels["orphaned"] += 1
    spans[CLIENT] = replace(spans[CLIENT], parent=b"")
    return spans


def work_in_the_background(number: int, expected: Expected) -> list[Span]:
    expected.background += 1
    expected.background_spans += 2
    root = replace(request(number)[ROOT], kind="internal", name="collect garbage")
    return [root, replace(root, span=b"sweep", parent=root.span, name="sweep")]


KINDS = (
    nothing,
    lose_a_leaf,
    lose_a_root,
    lose_a_process,
    mix,
    mix_inside,
    mix_what_ends_early,
    hold,
    join,
    split,
    split_keeping_the_parent,
    add,
    detach,
    work_in_the_background,
)


def assert_judged(spans: list[Span], expected: Expected) -> tuple[Account, Accounting]:
    found = account(spans, [SHAPE])
    assert found.damages == dict(sorted(expected.labels.items()))
    assert (found.whole, found.damaged, found.joined) == (expected.whole, expected.damaged, expected.joined)
    assert (found.background, found.background_spans) == (expected.background, expected.background_spans)
    assert (found.missing, found.excess, found.requests) == (
        expected.lost,
        expected.excess,
        expected.requests,
    )
    traffic = Traffic(account=found, completed=expected.requests, failed=0, sampled=None, discarded=0)
    return found, balance(LEARNED, BATCH, traffic)


def assert_adds_up(accounting: Accounting) -> None:
    """Both accounts: that of spans, and that of traces."""
    traces = accounting.traces
    assert traces.received == traces.whole + traces.damaged + traces.joined + traces.background
    assert accounting.spans_expected is not None
    came_from = accounting.spans_expected + accounting.excess + accounting.late + accounting.background
    assert came_from == accounting.spans_received - accounting.duplicated + accounting.lost


@pytest.mark.parametrize("damage", KINDS, ids=lambda kind: kind.__name__)
def test_each_damage_has_its_word(damage: Damaging) -> None:
    expected = Expected()
    # Roots of whole traces say what a request begins with.
    spans = nothing(90, expected) + damage(1, expected)
    _, accounting = assert_judged(spans, expected)
    assert_adds_up(accounting)


@pytest.mark.parametrize("damage", [mix, lose_a_leaf, join, detach], ids=lambda kind: kind.__name__)
def test_each_damage_has_its_word_where_no_trace_is_whole(damage: Damaging) -> None:
    expected = Expected()
    assert_judged([*damage(1, expected), *damage(3, expected)], expected)


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), st.randoms(), st.integers(0, 3))
def test_any_mixture_in_any_order_adds_up(
    damages: list[Damaging], chance: random.Random, duplicates: int
) -> None:
    expected = Expected()
    spans = nothing(990, expected)
    for at, damage in enumerate(damages):
        spans += damage(2 * at + 1, expected)
    spans += [spans[chance.randrange(len(spans))] for _ in range(duplicates)]
    chance.shuffle(spans)
    found, accounting = assert_judged(spans, expected)
    assert found.duplicated == duplicates
    assert_adds_up(accounting)


def test_traces_of_first_requests_are_left_out_where_shapes_are_learned() -> None:
    first, later = request(1), request(2)
    unlike_later_ones = replace(first[LEAF], span=b"compiles", name="compile")
    spans = [*first, unlike_later_ones, *later]
    assert len(account(spans, [], learn=True).shapes) == 2
    since_ns = later[ROOT].start_ns
    assert account(begun_since(spans, since_ns), [], learn=True).shapes == (SHAPE,)
    # A tracer that does not say when has no first ones.
    timeless = [replace(span, start_ns=0) for span in spans]
    assert len(account(begun_since(timeless, since_ns), [], learn=True).shapes) == 2


def test_a_setup_that_must_send_nothing_has_no_word_for_what_it_sends() -> None:
    none = next(setup for setup in TABLE if setup.name == "none")
    found = account(request(1), [])
    accounting = balance(
        LEARNED, none, Traffic(account=found, completed=1, failed=0, sampled=None, discarded=0)
    )
    assert accounting.complete is False


def told(spans: list[Span], requests: int) -> str:
    """What the report says of an account, and what to do."""
    found = account(spans, [SHAPE])
    traffic = Traffic(account=found, completed=requests, failed=0, sampled=None, discarded=0)
    return " / ".join(
        str(caveat) for caveat in trace_checks.accounting(BATCH, balance(LEARNED, BATCH, traffic))
    )


def test_mixed_requests_are_no_loss() -> None:
    spans = [span for number in (1, 3, 5) for span in mix(number, Expected())]
    text = told(spans + nothing(90, Expected()), 7)
    assert "all 35 spans arrived, in 4 traces where 7 were expected; 3 of 4 traces mix spans of" in text
    assert "concurrent requests, and 3 requests begin below a span of another one" in text
    assert "context leaks between concurrent requests; these traces cannot be trusted" in text
    assert "lost" not in text


def test_split_requests_are_no_loss() -> None:
    text = told(nothing(90, Expected()) + split(1, Expected()), 2)
    assert "all 10 spans arrived, in 3 traces where 2 were expected; 2 of 3 traces are parts of split" in text
    assert "context is lost inside a request" in text
    assert "spans were lost" not in text


def test_a_loss_comes_first_and_says_where() -> None:
    spans = nothing(90, Expected()) + mix(1, Expected()) + lose_a_process(3, Expected())
    text = told(spans, 5)
    assert "8 spans were lost: 1 of 3 traces lack spans and 1 of 5 traces did not arrive" in text
    assert "look for a full queue or a failing exporter" in text


def test_a_loss_quotes_what_the_exporters_say() -> None:
    found = account(nothing(90, Expected()) + lose_a_leaf(1, Expected()), [SHAPE])
    said = {"web: Failed to export span batch code: 413": 3}
    traffic = Traffic(account=found, completed=2, failed=0, sampled=None, discarded=0, failures=said)
    (caveat,) = trace_checks.accounting(BATCH, balance(LEARNED, BATCH, traffic))
    assert 'It says, 3 times in all: "web: Failed to export span batch code: 413"' in caveat.advice


def test_more_than_was_asked_for_is_excess_and_no_loss() -> None:
    text = told([span for number in range(3) for span in request(number)], 1)
    assert "3 traces arrived where 1 were expected" in text
    assert "look at its sampler" in text
    assert "lost" not in text


def test_joined_traces_and_background_work_are_caveats() -> None:
    spans = nothing(90, Expected()) + join(1, Expected()) + work_in_the_background(4, Expected())
    text = told(spans, 3)
    assert "1 of 3 traces of batch hold several requests, one after another" in text
    assert "1 of 3 traces of batch were begun by no request (2 spans)" in text
    assert "incomplete" not in text


def test_where_a_share_is_sampled_a_loss_is_a_lower_bound() -> None:
    setup = next(setup for setup in TABLE if setup.name == "ratio-10")
    learned = Learned(shapes={"ratio-10": (SHAPE,)})
    expected = Expected()
    spans = [span for number in range(11) for span in nothing(number, expected)]
    found = account(spans + lose_a_leaf(20, expected), [SHAPE])
    traffic = Traffic(account=found, completed=100, failed=0, sampled=None, discarded=0)
    accounting = balance(learned, setup, traffic)
    assert (accounting.lost, accounting.spans_expected) == (1, 60)
    assert accounting.traces.expected_low < 12 < accounting.traces.expected_high
    assert accounting.problems[0] == "at least 1 spans were lost: 1 of 12 traces lack spans"
    assert_adds_up(accounting)
    # Far more than the ratio allows is no loss.
    many = account([span for number in range(60) for span in request(number)], [SHAPE])
    (problem,) = balance(learned, setup, replace(traffic, account=many)).problems
    assert problem.startswith("60 traces arrived where ")
