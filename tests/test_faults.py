"""A backend that fails: the way to it on the wire, and what a cell says in words."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import httpx
import pytest

from bench.report import markdown
from bench.studies.faults import document
from bench.studies.faults.figures import (
    NO_EFFECT,
    WORDS,
    Fault,
    FaultResult,
    clients,
    is_harmful,
    spans,
    verdict,
)
from bench.studies.faults.measure import IMPOSED
from bench.testbed.proxy import LinkState, Proxy
from services.usage_file import NUMBERS, UsageFile


class _Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    seen: ClassVar[int] = 0

    def do_GET(self) -> None:
        _Backend.seen += 1
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made = Proxy(server.server_port)
    try:
        yield made
    finally:
        made.close()
        server.shutdown()
        thread.join()
        server.server_close()


def ask(proxy: Proxy, timeout_s: float = 5.0) -> str:
    return httpx.get(proxy.url, timeout=timeout_s, trust_env=False).text


def test_an_open_way_passes_everything_on_without_delay(proxy: Proxy) -> None:
    with httpx.Client(trust_env=False) as client:
        assert client.get(proxy.url).text == "ok"
        began = time.monotonic()
        assert {client.get(proxy.url).text for _ in range(10)} == {"ok"}
        # Nagle's algorithm would take 40 ms for each.
        assert time.monotonic() - began < 0.3


def test_nothing_listens_at_a_cut_way_and_it_comes_back(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as before:
        before.settimeout(5)
        proxy.become(LinkState.CUT)
        with contextlib.suppress(ConnectionResetError):
            assert before.recv(1) == b"", "connections that were there are closed"
    with pytest.raises(httpx.ConnectError):
        ask(proxy)
    proxy.become(LinkState.OPEN)
    assert ask(proxy) == "ok"


def test_a_mute_way_takes_a_request_and_never_answers(proxy: Proxy) -> None:
    proxy.become(LinkState.MUTE)
    before = _Backend.seen
    with pytest.raises(httpx.ReadTimeout):
        ask(proxy, 0.3)
    assert _Backend.seen == before, "the backend never hears of it"


def test_an_answer_drips(proxy: Proxy) -> None:
    proxy.become(LinkState.DRIP)
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        client.settimeout(5)
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        began = time.monotonic()
        assert (client.recv(100), client.recv(100)) == (b"H", b"T")
        assert 0.8 < time.monotonic() - began < 3


def test_every_fault_is_imposed_and_explained() -> None:
    assert set(IMPOSED) == set(WORDS) == set(Fault)
    assert set(document.ADVICE) == set(Fault) - {Fault.NONE}


def test_a_stall_that_goes_on_can_be_read_from_a_usage_file(tmp_path: object) -> None:
    import asyncio

    path = f"{tmp_path}/x.usage"

    async def stall() -> None:
        usage_file = UsageFile(path)
        watching = asyncio.create_task(usage_file.watch_the_loop())
        await asyncio.sleep(0.02)
        time.sleep(0.1)  # noqa: ASYNC251 - this is the stall
        await asyncio.sleep(0.02)
        usage_file.add_span()
        watching.cancel()

    asyncio.run(stall())
    with open(path, "rb") as file:  # noqa: PTH123
        made, stall_ns, awake_ns = NUMBERS.unpack(file.read())
    assert made == 1
    assert 90e6 < stall_ns < 5e9
    assert 0 <= time.monotonic_ns() - awake_ns < 5e9


HEALTHY = FaultResult(
    fault=Fault.NONE, setup="batch", latencies_s=(0.02,) * 60, failed=0, duration_s=10.0, stall_s=0.01,
    growth_bytes=0, made=1320, received=1320, duplicated=0, rejected=0, stop_s=0.2, stop_limit_s=35.0,
)  # fmt: skip
PLAIN = replace(HEALTHY, setup="none", made=0, received=0, latencies_s=(0.01,) * 60)


def cell(fault: Fault, **changes: object) -> FaultResult:
    return replace(HEALTHY, fault=fault, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, f"{NO_EFFECT}; no span lost"),
        (
            {"received": 0, "rejected": 1320},
            f"{NO_EFFECT}; 1,320 of 1,320 spans lost (refused by the backend)",
        ),
        ({"received": 1300}, f"{NO_EFFECT}; 20 of 1,320 spans lost (never delivered)"),
        ({"latencies_s": (0.3,) * 60}, "half of them wait 300 ms or more instead of 20 ms; no span lost"),
        ({"latencies_s": (*[0.02] * 59, 4.0)}, "some wait up to 4.0 s; no span lost"),
        ({"latencies_s": (), "failed": 60}, "60 of 60 requests fail; no span lost"),
        ({"stop_s": 10.2}, f"{NO_EFFECT}; no span lost; takes 10 s to stop"),
        ({"stop_s": 35.0}, f"{NO_EFFECT}; no span lost; had not stopped after 35 s and was killed"),
        ({"made": None}, f"{NO_EFFECT}; 1,320 spans arrived, out of an unknown number"),
        ({"growth_bytes": 40 * 2**20}, f"{NO_EFFECT}; no span lost; memory grows by 40 MB"),
    ],
)
def test_a_cell_is_put_into_words(changes: dict[str, object], words: str) -> None:
    found = cell(Fault.UNAVAILABLE, **changes)
    assert verdict(found, [PLAIN, HEALTHY, found]) == words


def test_with_a_healthy_backend_a_setup_is_compared_with_the_untraced_one() -> None:
    slow = replace(HEALTHY, setup="simple", latencies_s=(0.1,) * 60)
    words = "half of them wait 100 ms or more instead of 10 ms without tracing; no span lost"
    assert verdict(slow, [PLAIN, HEALTHY, slow]) == words
    assert verdict(PLAIN, [PLAIN, HEALTHY, slow]) == NO_EFFECT


def test_what_happens_without_tracing_as_well_is_no_effect_of_it() -> None:
    slow = replace(PLAIN, fault=Fault.ERROR, latencies_s=(0.1,) * 60)
    found = cell(Fault.ERROR, latencies_s=(0.2,) * 60)
    assert clients(found, [PLAIN, HEALTHY, slow, found]) == NO_EFFECT, "the machine was ten times as slow"
    broken = replace(PLAIN, fault=Fault.KILL, latencies_s=(0.01,) * 30, failed=30)
    killed = cell(Fault.KILL, latencies_s=(0.02,) * 30, failed=30, received=1300)
    cells = [PLAIN, HEALTHY, broken, killed]
    assert clients(killed, cells) == "30 of 60 requests fail, as without tracing"
    assert not is_harmful(killed, cells)
    assert not is_harmful(broken, cells)
    assert spans(killed) == "20 of 1,320 spans lost (queued when it was killed)"
    assert killed.quantile_s(0.99) is None, "a failed request has no latency"


def test_the_report_says_for_each_processor_what_clients_notice() -> None:
    simple = replace(HEALTHY, setup="simple")
    failing = replace(simple, fault=Fault.MUTE, latencies_s=(), failed=60)
    text = markdown.render(
        document.report([PLAIN, HEALTHY, simple, cell(Fault.MUTE), failing, replace(PLAIN, fault=Fault.MUTE)])
    )
    assert "**`batch`**: 1 failure of the backend, over 1 protocol: clients notice 0 of 1" in text
    assert "**`simple`**: 1 failure of the backend, over 1 protocol: clients notice 1 of 1" in text
    assert "## Accepts and never answers" in text
