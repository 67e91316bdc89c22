"""Span accounting: traces against shapes, and requests against traces."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.accounting import DAMAGES, Traffic, accounting_of, balance
from bench.app.records import Setup
from bench.app.setups import TABLE, sampling_ratio
from bench.plan.readings import Account
from bench.plan.records import Footprint, Learned
from bench.receiver.accounting import account, total
from tests import make
from tests.make import SHAPE, trace_of

BY_NAME = {setup.name: setup for setup in TABLE}
LEARNED = Learned(shapes={"batch": (SHAPE,), "ratio-10": (SHAPE,)})


def traffic(found: Account, completed: int, *, failed: int = 0, sampled: int | None = None) -> Traffic:
    return Traffic(account=found, completed=completed, failed=failed, sampled=sampled, discarded=0)


def test_complete_traces_are_a_complete_accounting() -> None:
    spans = [span for number in range(5) for span in trace_of(number)]
    found = account(spans, [SHAPE])
    assert (found.whole, found.damaged, found.missing, found.orphaned) == (5, 0, 0, 0)
    accounting = balance(LEARNED, BY_NAME["batch"], traffic(found, 5))
    assert accounting.complete
    assert accounting.spans_expected == accounting.spans_received == 15


@given(st.integers(1, 12), st.randoms())
def test_any_lost_span_is_seen(count: int, chance: random.Random) -> None:
    spans = [span for number in range(count) for span in trace_of(number)]
    chance.shuffle(spans)
    spans.pop()
    accounting = balance(LEARNED, BY_NAME["batch"], traffic(account(spans, [SHAPE]), count))
    assert not accounting.complete
    assert accounting.lost >= 1


@given(st.integers(1, 12), st.integers(0, 35))
def test_any_duplicate_is_seen(count: int, place: int) -> None:
    spans = [span for number in range(count) for span in trace_of(number)]
    spans.append(spans[place % len(spans)])
    accounting = balance(LEARNED, BY_NAME["batch"], traffic(account(spans, [SHAPE]), count))
    assert not accounting.complete
    assert accounting.duplicated == 1


def test_a_failed_request_explains_one_trace_that_is_not_whole() -> None:
    spans = [*trace_of(0), *trace_of(1)[:2]]
    found = account(spans, [SHAPE])
    assert balance(LEARNED, BY_NAME["batch"], traffic(found, 1, failed=1)).complete
    assert not balance(LEARNED, BY_NAME["batch"], traffic(found, 2)).complete


def test_a_baseline_must_send_nothing() -> None:
    assert balance(LEARNED, BY_NAME["none"], traffic(Account(), 100)).complete
    assert not balance(LEARNED, BY_NAME["none"], traffic(account(trace_of(0), []), 100)).complete


def test_a_ratio_must_be_what_the_application_counted() -> None:
    setup = BY_NAME["ratio-10"]
    assert balance(LEARNED, setup, traffic(make.whole(12), 100, sampled=12)).complete
    assert not balance(LEARNED, setup, traffic(make.whole(11), 100, sampled=12)).complete
    # Without such a count it has to lie in its binomial range.
    assert balance(LEARNED, setup, traffic(make.whole(12), 100)).complete
    assert not balance(LEARNED, setup, traffic(make.whole(40), 100)).complete


def test_spans_of_another_replicate_are_late_without_any_clock() -> None:
    spans = [replace(span, replicate=1) for span in trace_of(0)] + [
        replace(span, replicate=0) for span in trace_of(1)
    ]
    found = account(spans, [SHAPE], replicate=1)
    assert found.late == 3
    assert not balance(LEARNED, BY_NAME["batch"], traffic(found, 2)).complete


def test_shapes_are_learned_with_kinds_and_names() -> None:
    spans = [replace(span, kind="server", name="GET /") for span in trace_of(0)]
    found = account(spans, [], learn=True)
    assert found.shapes == ({"stock\tserver\tGET /": 1, "web\tserver\tGET /": 2},)
    again = account(spans, found.shapes)
    assert again.whole == 1
    renamed = [replace(span, name="GET /other") for span in spans]
    assert account(renamed, found.shapes).damaged == 1


def test_traces_of_a_start_belong_to_no_request() -> None:
    start = [replace(span, kind="client", name="connect") for span in trace_of(7, {"web": 1})]
    shapes = account(start, [], learn=True).shapes
    found = account([*trace_of(0), *start], [SHAPE], start_shapes=shapes)
    assert (found.whole, found.damaged, found.at_start) == (1, 0, 1)
    assert found.spans == SHAPE
    assert balance(LEARNED, BY_NAME["batch"], traffic(found, 1)).complete
    # An unknown trace is not excused.
    assert not balance(
        LEARNED, BY_NAME["batch"], traffic(account([*trace_of(0), *start], [SHAPE]), 1)
    ).complete


def test_a_port_in_a_span_name_makes_no_new_shape() -> None:
    spans = [
        [replace(trace_of(number)[0], name=f"GET http://127.0.0.1:{port}/a")]
        for number, port in ((0, 1), (1, 2))
    ]
    shapes = account(spans[0], [], learn=True).shapes
    assert account(spans[1], shapes).whole == 1


def test_no_count_is_expected_of_traces_that_vary() -> None:
    learned = replace(LEARNED, varies=("batch",))
    spans = [*trace_of(0), *trace_of(1, {"web": 1})]
    accounting = balance(learned, BY_NAME["batch"], traffic(account(spans, [SHAPE]), 2))
    assert accounting.complete is None
    assert accounting.problems == ()
    assert not any(getattr(accounting.traces, word) for word in DAMAGES)


def test_a_problem_of_one_replicate_is_found_in_the_sum() -> None:
    # One trace too few in one replicate and one too many in the other add up to nothing.
    accounting = accounting_of(
        LEARNED, BY_NAME["batch"], [traffic(make.whole(9), 10), traffic(make.whole(11), 10)]
    )
    assert accounting.complete is False
    assert "in replicate 1" in accounting.problems[0]


def test_a_sum_of_accounts_adds_everything() -> None:
    found = total([make.whole(2), make.whole(3), Account(late=1, undecodable=2)])
    assert (found.whole, found.late, found.undecodable, found.exports) == (5, 1, 2, 5)
    assert found.spans == {"web": 10, "stock": 5}


@pytest.mark.parametrize("ratio", ["0.1", "0.5"])
def test_a_ratio_is_read_from_the_variables(ratio: str) -> None:
    env = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    assert sampling_ratio(Setup(name="x", env=env)) == float(ratio)


# ---------------------------------------------------------------- footprints


def leaves(footprint: Footprint) -> Learned:
    return replace(LEARNED, footprints={"batch": footprint})


def separate(count: int, requests: int) -> Account:
    """`count` traces of one span for each request."""
    return Account(spans={"web": count * requests}, whole=count * requests)


def test_a_request_may_leave_several_traces_and_all_are_expected() -> None:
    learned = leaves(Footprint(traces=4, spans=4))
    whole = balance(learned, BY_NAME["batch"], traffic(separate(4, 10), 10))
    assert (whole.complete, whole.spans_expected, whole.lost) == (True, 40, 0)
    short = balance(learned, BY_NAME["batch"], traffic(separate(3, 10), 10))
    assert (short.complete, short.lost) == (False, 10)


def test_a_request_may_leave_nothing() -> None:
    learned = leaves(Footprint(traces=0, spans=0))
    assert balance(learned, BY_NAME["batch"], traffic(Account(), 10)).complete
    assert not balance(learned, BY_NAME["batch"], traffic(separate(1, 1), 10)).complete


def test_no_count_is_expected_of_an_unknown_footprint() -> None:
    accounting = balance(leaves(Footprint()), BY_NAME["batch"], traffic(separate(3, 10), 10))
    assert accounting.complete is None


@pytest.mark.parametrize(("records", "complete"), [(40, True), (39, False), (41, False)])
def test_log_records_are_expected_as_spans_are(records: int, complete: bool) -> None:  # noqa: FBT001
    setup = Setup(name="batch", env={"OTEL_LOGS_EXPORTER": "otlp"})
    learned = leaves(Footprint(traces=1, logs={"shop": 4}))
    accounting = balance(learned, setup, traffic(replace(make.whole(10), logs={"shop": records}), 10))
    assert accounting.complete is complete
    assert accounting.logs == records


def test_a_setup_that_exports_log_records_has_to_send_some() -> None:
    setup = Setup(name="batch", env={"OTEL_LOGS_EXPORTER": "otlp"})
    assert "no log records" in balance(LEARNED, setup, traffic(make.whole(10), 10)).problems[0]


def test_a_share_is_expected_of_what_a_collector_samples() -> None:
    setup = Setup(name="batch", collector_sampling=0.1)
    assert balance(LEARNED, setup, traffic(make.whole(100), 1000)).complete
    assert not balance(LEARNED, setup, traffic(make.whole(1000), 1000)).complete
    assert not balance(LEARNED, setup, traffic(make.whole(10), 1000)).complete
