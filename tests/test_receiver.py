"""The receiver: what came is kept as it is, and read by setup, whatever way it came."""

import asyncio
import gzip
import math
import zlib
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bench.plan.readings import Account
from bench.receiver.bodies import Bodies
from bench.receiver.decoding import Body, decode, marker, rejected_spans
from bench.receiver.messages import CloseAccounts, Signal, TraceSpan
from bench.receiver.spans import Span
from tests.make import SHAPE, trace_of

SETUPS = ("batch", "lean", "simple")
CLOSE = CloseAccounts(replicate=0, shapes=dict.fromkeys(SETUPS, (SHAPE,)))


def body(setup: str, spans: Sequence[Span], *, length_ns: int = 0) -> bytes:
    """An export request as OpenTelemetry sends it, one service at a time."""
    message = ExportTraceServiceRequest()
    for service in dict.fromkeys(span.service for span in spans):
        resource_spans = message.resource_spans.add()
        for key, value in (("service.name", service), ("bench.setup", setup)):
            attribute = resource_spans.resource.attributes.add()
            attribute.key, attribute.value.string_value = key, value
        scope_spans = resource_spans.scope_spans.add()
        for span in spans:
            if span.service == service:
                sent = scope_spans.spans.add()
                sent.trace_id, sent.span_id, sent.parent_span_id = span.trace, span.span, span.parent
                sent.end_time_unix_nano = length_ns
    return bytes(message.SerializeToString())


def received(bodies: Sequence[Body]) -> dict[str, Account]:
    receiver = Bodies()
    for each in bodies:
        receiver.keep(Signal.TRACES, each)
    return receiver.close(CLOSE)


def test_it_reads_what_it_kept_compressed_or_not() -> None:
    accounts = received(
        [
            Body(body("batch", trace_of(0))),
            Body(gzip.compress(body("batch", trace_of(1))), "gzip"),
            Body(zlib.compress(body("batch", trace_of(2))), "deflate"),
        ]
    )
    assert accounts["batch"].whole == 3
    assert accounts["batch"].exports == 3
    assert accounts["batch"].bytes > 0
    assert accounts["batch"].undecodable == 0


def test_it_forgets_what_it_has_accounted_for() -> None:
    receiver = Bodies()
    receiver.keep(Signal.TRACES, Body(body("batch", trace_of(0))))
    assert receiver.close(CLOSE)
    assert receiver.close(CLOSE) == {}


@pytest.mark.parametrize("damage", ["drop", "twice", "cut"])
def test_a_dropped_a_doubled_and_a_cut_body_do_not_balance(damage: str) -> None:
    bodies = [Body(body("batch", trace_of(number))) for number in range(4)]
    if damage == "drop":
        del bodies[2]
    elif damage == "twice":
        bodies.append(bodies[2])
    else:
        bodies[2] = Body(body("batch", trace_of(2)[:2]))
    accounts = received(bodies)
    found = accounts["batch"]
    assert (found.whole, found.damaged, found.duplicated) != (4, 0, 0)


def test_garbage_is_counted_and_belongs_to_nobody() -> None:
    accounts = received([Body(b"\xff\xff\xff"), Body(b"not gzip", "gzip")])
    assert accounts[""].undecodable == 2
    assert accounts[""].exports == 2


def test_a_span_belongs_to_the_setup_that_its_resource_names() -> None:
    (part,) = decode(Body(body("mine", trace_of(0))))
    assert part.setup == "mine"


@given(st.lists(st.sampled_from(SETUPS), min_size=1, max_size=12), st.booleans())
def test_what_a_collector_puts_together_is_taken_apart_again(setups: list[str], packed: bool) -> None:  # noqa: FBT001
    # Two messages of protobuf, one after the other, are their union: what a batch processor makes.
    joined = b"".join(body(setup, trace_of(number)) for number, setup in enumerate(setups))
    whole = Body(gzip.compress(joined), "gzip") if packed else Body(joined)
    accounts = received([whole])
    assert {setup: each.whole for setup, each in accounts.items()} == {
        setup: setups.count(setup) for setup in set(setups)
    }
    assert sum(each.bytes for each in accounts.values()) == len(whole.content)
    assert all(each.exports == 1 and not each.damaged for each in accounts.values())


def test_it_counts_metrics_apart() -> None:
    receiver = Bodies()
    request = ExportMetricsServiceRequest()
    for setup in ("batch-metrics", "metrics-too"):
        attribute = request.resource_metrics.add().resource.attributes.add()
        attribute.key, attribute.value.string_value = "bench.setup", setup
    receiver.keep(Signal.METRICS, Body(gzip.compress(request.SerializeToString()), "gzip"))
    receiver.keep(Signal.METRICS, Body(request.SerializeToString()))
    found = receiver.close(CloseAccounts(replicate=0))
    assert set(found) == {"batch-metrics", "metrics-too"}
    assert (found["batch-metrics"].metrics, found["batch-metrics"].exports) == (2, 0)
    assert found["metrics-too"].bytes > 0
    receiver.keep(Signal.METRICS, Body(b"garbage"))
    assert receiver.close(CloseAccounts(replicate=0))[""].undecodable == 1


def test_the_slowest_trace_of_a_setup_comes_with_all_its_spans() -> None:
    receiver = Bodies()
    for number, length_ns in ((0, 5), (1, 9), (2, 7)):
        spans = trace_of(number)
        for part in (spans[:2], spans[2:]):
            receiver.keep(
                Signal.TRACES, Body(gzip.compress(body("batch", part, length_ns=length_ns)), "gzip")
            )
    receiver.keep(Signal.TRACES, Body(body("lean", trace_of(3), length_ns=1)))
    # Its calls may take longer than a request: one that nobody waits for.
    receiver.keep(Signal.TRACES, Body(body("lean", trace_of(5)[1:], length_ns=50)))
    receiver.keep(Signal.TRACES, Body(body("", trace_of(4), length_ns=99)))
    assert receiver.kept() == [], "before any account there is none"
    receiver.close(CloseAccounts(replicate=0))
    found = {kept.setup: kept.spans for kept in receiver.kept() if not kept.damage}
    assert set(found) == {"batch", "lean"}
    assert {told.trace_id for told in found["batch"]} == {(1).to_bytes(16).hex()}
    assert {told.trace_id for told in found["lean"]} == {(3).to_bytes(16).hex()}
    assert len(found["batch"]) == len(found["lean"]) == len(trace_of(1))
    receiver.close(CloseAccounts(replicate=0))
    assert receiver.kept() == []


def test_one_trace_of_each_damage_is_kept() -> None:
    receiver = Bodies()
    for number in range(3):
        receiver.keep(Signal.TRACES, Body(body("batch", trace_of(number))))
    for number in (3, 4):
        receiver.keep(Signal.TRACES, Body(body("batch", trace_of(number)[:-1])))
    found = receiver.close(CloseAccounts(replicate=0, shapes={"batch": (SHAPE,)}))["batch"]
    assert found.examples == {"short": (3).to_bytes(16).hex()}
    (kept,) = [trace for trace in receiver.kept() if trace.damage]
    assert (kept.setup, kept.damage, kept.trace_id) == ("batch", "short", found.examples["short"])
    assert len(kept.spans) == len(trace_of(3)) - 1


def test_spans_of_another_replicates_processes_are_late() -> None:
    request = ExportTraceServiceRequest.FromString(body("batch", trace_of(0)))
    for resource_spans in request.resource_spans:
        attribute = resource_spans.resource.attributes.add()
        attribute.key, attribute.value.string_value = "bench.replicate", "4"
    for replicate, late in ((4, 0), (5, len(trace_of(0)))):
        receiver = Bodies()
        receiver.keep(Signal.TRACES, Body(request.SerializeToString()))
        assert receiver.close(CloseAccounts(replicate=replicate, shapes=CLOSE.shapes))["batch"].late == late


def test_numbers_that_json_has_not_and_kinds_that_nobody_knows_end_no_run() -> None:
    request = ExportTraceServiceRequest.FromString(body("batch", trace_of(0)))
    first = request.resource_spans[0].scope_spans[0].spans[0]
    attribute = first.attributes.add()
    attribute.key, attribute.value.double_value = "ratio", math.nan
    first.kind = 9
    receiver = Bodies()
    receiver.keep(Signal.TRACES, Body(request.SerializeToString()))
    told = msgspec.json.decode(msgspec.json.encode(receiver.spans()), type=list[TraceSpan])[0]
    assert (told.kind, told.attributes) == ("unspecified", {"ratio": "nan"})


def test_spans_that_a_receiver_did_not_take_are_counted() -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 22
    assert rejected_spans(answer.SerializeToString(), "application/x-protobuf; charset=x") == 22
    assert rejected_spans(answer.SerializeToString(), "text/html") == 0
    assert rejected_spans(b"\xff", "application/x-protobuf") == 0


def test_a_marker_shows_how_far_a_collector_came_and_is_in_no_account() -> None:
    async def check() -> None:
        receiver, (content, trace) = Bodies(), marker()
        assert not await receiver.wait_for_marker(trace, 0.01, 0.02)
        waiting = asyncio.create_task(receiver.wait_for_marker(trace, 0.02, 5.0))
        await asyncio.sleep(0)
        receiver.keep(Signal.TRACES, Body(body("batch", trace_of(0))))
        await asyncio.sleep(0)
        assert not waiting.done()
        receiver.keep(Signal.TRACES, Body(gzip.compress(content), "gzip"))
        assert await waiting
        assert set(receiver.close(CLOSE)) == {"batch"}

    asyncio.run(check())
