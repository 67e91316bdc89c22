"""The ledger against known losses: each is found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bench.findings import Ledger
from bench.ledger import Span, account, balance, ledger_of, total
from bench.model import Account, FleetReading
from bench.setups import BY_NAME, SHAPES
from tests.make import CHECKOUT as SHAPE
from tests.make import SPANS_PER_CHECKOUT as PER_TRACE
from tests.make import trace_of as trace


def traces(count: int) -> list[Span]:
    return [span for number in range(count) for span in trace(number)]


def books(spans: Sequence[Span], checkouts: int, ratio: float = 1.0, failed: int = 0) -> Ledger:
    return balance(account(spans, SHAPE), checkouts=checkouts, failed=failed, ratio=ratio, shape=SHAPE)


def test_complete_traces_balance() -> None:
    ledger = books(traces(5), 5)
    assert ledger.balanced
    assert (ledger.spans_expected, ledger.spans_received, ledger.lost) == (35, 35, 0)
    assert ledger.traces_whole == 5
    assert ledger.services["order-service"] == (15, 15)


@given(st.sets(st.integers(0, 5 * PER_TRACE - 1), min_size=1))
def test_any_lost_span_is_found_and_counted(lost: set[int]) -> None:
    spans = [span for at, span in enumerate(traces(5)) if at not in lost]
    ledger = books(spans, 5)
    assert not ledger.balanced
    assert ledger.lost == len(lost)


@given(st.lists(st.integers(0, 5 * PER_TRACE - 1), min_size=1, max_size=20))
def test_any_duplicated_span_is_found_and_counted(again: list[int]) -> None:
    spans = traces(5)
    ledger = books([*spans, *(spans[at] for at in again)], 5)
    assert not ledger.balanced
    assert ledger.duplicated == len(again)
    assert ledger.lost == 0


def test_a_trace_cut_in_two_is_found() -> None:
    cut = [span for span in traces(3) if span.span != (1 * 100 + 4).to_bytes(8)]
    ledger = books(cut, 3)
    assert (ledger.orphaned, ledger.traces_broken, ledger.lost) == (1, 1, 1)
    assert "1 spans missing in order-service" in ledger.problems[0]
    assert not ledger.balanced


def test_a_service_that_starts_its_own_trace_is_found() -> None:
    alone = [
        Span(span.service, b"other".ljust(16), span.span, b"")
        if span.service == "inventory-service"
        else span
        for span in trace(0)
    ]
    assert not books(alone, 1).balanced


def test_a_checkout_too_many_is_found() -> None:
    assert "where 4 were due" in books(traces(5), 4).problems[0]


def test_the_baseline_must_be_silent() -> None:
    assert books([], 5, ratio=0.0).balanced
    assert not books(trace(0), 5, ratio=0.0).balanced


def test_a_ratio_must_lie_in_its_range() -> None:
    # 1,000 checkouts at 10 %: 70 to 132 traces in 99.9 % of healthy runs.
    assert books(traces(70), 1000, ratio=0.1).balanced
    assert books(traces(132), 1000, ratio=0.1).balanced
    few = books(traces(69), 1000, ratio=0.1)
    assert not few.balanced
    assert few.lost == PER_TRACE
    assert not books(traces(133), 1000, ratio=0.1).balanced


def test_a_sampled_trace_must_be_whole() -> None:
    ledger = books(traces(100)[:-1], 1000, ratio=0.1)
    assert not ledger.balanced
    assert ledger.lost == 1


def test_a_failed_checkout_explains_one_broken_trace_and_no_more() -> None:
    spans = traces(4) + trace(4)[:3]
    assert books(spans, 4, failed=1).balanced
    assert not books(spans + trace(5)[:3], 4, failed=1).balanced


def test_accounts_add_up() -> None:
    one, other = (
        account(traces(2), SHAPE, exports=1, size_bytes=10),
        account(traces(3), SHAPE, exports=2, size_bytes=5),
    )
    both = total([one, other])
    assert (both.whole, both.exports, both.bytes) == (5, 3, 15)
    assert both.spans["order-service"] == 15


# ---------------------------------------------------------------- exporters to nowhere, and metrics


def reading(account: Account, completed: int = 5, failed: int = 0) -> FleetReading:
    return FleetReading(setup="x", cpu_ns={}, completed=completed, failed=failed, account=account)


def discarded(per_checkout: Mapping[str, int], checkouts: int) -> Account:
    return Account(discarded={service: count * checkouts for service, count in per_checkout.items()})


def test_what_an_exporter_to_nowhere_counted_must_be_what_was_made() -> None:
    setup = BY_NAME["layer-encode"]
    exact = ledger_of(setup, [reading(discarded(SHAPES["lean"], 5))])
    assert exact.balanced, exact.problems
    assert (exact.spans_expected, exact.spans_received, exact.lost) == (50, 50, 0)
    short = ledger_of(setup, [reading(discarded(SHAPES["lean"], 4))])
    assert not short.balanced
    assert short.lost == 10
    assert "the exporter of frontend-app got 8 spans where 10 were due" in short.problems
    assert not ledger_of(setup, [reading(discarded(SHAPES["lean"], 6))]).balanced
    assert ledger_of(setup, [reading(discarded(SHAPES["lean"], 6), failed=1)]).balanced


def test_an_exporter_to_nowhere_must_send_nothing() -> None:
    account = replace(discarded(SHAPES["lean"], 5), spans={"frontend-app": 2}, broken=1)
    assert not ledger_of(BY_NAME["layer-discard"], [reading(account)]).balanced


def test_a_set_up_with_metrics_must_send_some() -> None:
    setup = BY_NAME["batch-metrics"]
    spans = {service: 5 * count for service, count in SHAPES["auto"].items()}
    silent = Account(spans=spans, whole=5)
    assert ledger_of(setup, [reading(silent)]).problems == ("no metrics came, and the set-up exports them",)
    assert ledger_of(setup, [reading(replace(silent, metrics=1))]).balanced
    assert ledger_of(BY_NAME["batch"], [reading(silent)]).balanced
