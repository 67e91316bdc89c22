"""Other tracers' protocols: their spans are read by setup, and whatever is no such body is counted."""

import gzip
import json
import zlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.readings import Account
from bench.receiver.bodies import Bodies
from bench.receiver.decoding import Body, parts_of
from bench.receiver.intakes import format_of
from bench.receiver.messages import CloseAccounts, Format, Signal

TAGS = {"bench.setup": "mine", "bench.replicate": "3"}


def datadog_span(number: int, parent: int, *, service: str = "web", keep: int = 1) -> dict[str, object]:
    """A span as Datadog's tracer sends it to its agent."""
    return {
        "service": service, "name": "starlette.request", "resource": "POST /buy", "trace_id": 7,
        "span_id": number, "parent_id": parent, "start": 1, "duration": 2, "error": 0, "type": "web",
        "meta": TAGS | {"component": "starlette", "span.kind": "server"},
        "metrics": {"_sampling_priority_v1": keep} if not parent else {},
    }  # fmt: skip


def datadog_04(*, keep: int = 1) -> bytes:
    chunks = [[datadog_span(1, 0, keep=keep), datadog_span(2, 1)], [datadog_span(3, 2, service="stock")]]
    return msgspec.msgpack.encode(chunks if keep > 0 else chunks[:1])


def datadog_05(*, keep: int = 1) -> bytes:
    words = [""]

    def word(text: object) -> int:
        if text not in words:
            words.append(str(text))
        return words.index(str(text))

    chunks = msgspec.msgpack.decode(datadog_04(keep=keep))
    spelled = [
        [
            [
                word(span["service"]), word(span["name"]), word(span["resource"]),
                span["trace_id"], span["span_id"], span["parent_id"], 1, 2, 0,
                {word(key): word(value) for key, value in span["meta"].items()},
                {word(key): value for key, value in span["metrics"].items()},
                word("web"),
            ]
            for span in chunk
        ]
        for chunk in chunks
    ]  # fmt: skip
    return msgspec.msgpack.encode([words, spelled])


def elastic(*, keep: int = 1) -> bytes:
    labels = {name.replace(".", "_"): value for name, value in TAGS.items()}
    lines: list[object] = []
    for service, ids, parents in (("web", ("1", "2"), (None, "1")), ("stock", ("3",), ("2",))):
        metadata = {"service": {"name": service}, "labels": labels}
        lines += [{"metadata": metadata}] if not lines else []
        kinds = ("transaction", "span") if service == "web" else ("transaction",)
        for kind, number, parent in zip(kinds, ids, parents, strict=True):
            event = {"id": number, "trace_id": "7", "name": "x", "type": "request"}
            event |= {"parent_id": parent} if parent else {}
            lines.append({kind: event | ({"sampled": keep > 0} if kind == "transaction" else {})})
    return "\n".join(json.dumps(line) for line in (lines if keep > 0 else lines[:2])).encode()


def sentry(*, keep: int = 1) -> bytes:
    def transaction(number: str, parent: str | None, spans: list[dict[str, str]]) -> bytes:
        event = {
            "type": "transaction", "transaction": "/buy", "server_name": "web", "tags": TAGS, "spans": spans,
            "contexts": {"trace": {"trace_id": "7", "span_id": number, "parent_span_id": parent}},
        }  # fmt: skip
        text = json.dumps(event).encode()
        return json.dumps({"type": "transaction", "length": len(text)}).encode() + b"\n" + text + b"\n"

    session = b'{"type":"sessions"}\n{"aggregates":[]}\n'
    if keep <= 0:
        return b"{}\n" + session
    child = {"span_id": "2", "parent_span_id": "1", "op": "http.client"}
    return b"{}\n" + session + transaction("1", None, [child]) + transaction("3", "2", [])


BODIES: dict[Format, Callable[..., bytes]] = {
    Format.DATADOG_04: datadog_04,
    Format.DATADOG_05: datadog_05,
    Format.ELASTIC: elastic,
    Format.SENTRY: sentry,
}


def account_of(*bodies: Body, replicate: int = 3) -> dict[str, Account]:
    kept = Bodies()
    for body in bodies:
        kept.keep(Signal.TRACES, body)
    return kept.close(CloseAccounts(replicate=replicate, learn=True))


@pytest.mark.parametrize("format_", BODIES)
def test_a_trace_of_three_spans_is_one_tree_of_its_setup(format_: Format) -> None:
    accounts = account_of(Body(BODIES[format_](), format=format_))
    assert set(accounts) == {"mine"}
    account = accounts["mine"]
    assert sum(account.spans.values()) == 3
    assert (account.orphaned, account.late, account.undecodable) == (0, 0, 0)
    assert account.whole + account.damaged == 1
    assert account.bytes == len(BODIES[format_]())


@pytest.mark.parametrize("format_", BODIES)
def test_spans_of_an_earlier_replicate_are_late(format_: Format) -> None:
    assert account_of(Body(BODIES[format_](), format=format_), replicate=4)["mine"].late == 3


@pytest.mark.parametrize("format_", BODIES)
def test_what_is_not_to_be_kept_is_no_span(format_: Format) -> None:
    accounts = account_of(Body(BODIES[format_](keep=0), format=format_))
    assert sum(sum(account.spans.values()) for account in accounts.values()) == 0
    # Its bytes have come all the same, where it says whose they are.
    assert set(accounts) <= {"mine"}


@pytest.mark.parametrize("pack", [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_packed_bodies_are_unpacked(pack: tuple[Callable[[bytes], bytes], str]) -> None:
    compress, encoding = pack
    accounts = account_of(Body(compress(elastic()), encoding, Format.ELASTIC))
    assert sum(accounts["mine"].spans.values()) == 3


@given(st.sampled_from(list(BODIES)), st.binary(max_size=200), st.integers(0, 400), st.integers(0, 400))
def test_whatever_comes_is_read_or_counted(format_: Format, junk: bytes, start: int, end: int) -> None:
    whole = BODIES[format_]()
    for content in (junk, whole[:start] + junk + whole[end:]):
        parts, failed = parts_of(Body(content, format=format_))
        if failed:
            assert [(part.setup, part.spans, part.size_bytes) for part in parts] == [("", [], len(content))]


@pytest.mark.parametrize(
    ("method", "path", "format_"),
    [
        ("PUT", "/v0.5/traces", Format.DATADOG_05),
        ("POST", "/v0.4/traces", Format.DATADOG_04),
        ("POST", "/intake/v2/events", Format.ELASTIC),
        ("POST", "/api/1/envelope/", Format.SENTRY),
        ("GET", "/v0.5/traces", None),
        ("POST", "/v1/traces", None),
        ("POST", "/api/1/store/", None),
        ("POST", "/account", None),
    ],
)
def test_each_protocol_has_its_paths(method: str, path: str, format_: Format | None) -> None:
    assert format_of(method, path) == format_
