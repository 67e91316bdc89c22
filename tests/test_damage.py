"""Damaged files and hostile inputs: a verdict or a sentence, always; nothing outside a folder is touched."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest

from bench.app.file import parse_app, parse_setups
from bench.cli import drawing, results
from bench.errors import BenchError, ResultsError
from bench.receiver import otlp_json
from bench.receiver.bodies import Bodies
from bench.receiver.decoding import Body
from bench.receiver.messages import CloseAccounts, KeptTrace, Signal
from bench.report import markdown, run, words
from bench.results import manifest
from bench.results.folder import read_run, run_result
from bench.results.store import Store, read_packed, read_raw
from bench.results.verify import verify
from bench.studies import RUN
from bench.testbed import leftovers
from services import frontend, inventory, orders, payments
from services.tracing import NoTracing
from tests import make
from tests.hostile import damaged, damaged_file
from tests.make import trace_of
from tests.test_receiver import body
from tests.test_results import measure

APP_FILE = Path(__file__).parent.parent / "services" / "checkout.toml"
RAW = ("plan.json", "readings.jsonl", "requests.csv.gz", "ending.json", "manifest.json", "summary.json")
NOWHERE = "http://127.0.0.1:9"
LIMIT_S = 20
KILLED = """
import os, subprocess, sys
from bench.testbed import leftovers
run = f"killed-{os.getpid()}"
print(leftovers.make_folder(run), flush=True)
subprocess.Popen(["sleep", "60"], env={**os.environ, "BENCH_RUN": run})
print("ready", flush=True)
sys.stdin.read()
"""
FOLDERS, FILES, BODIES, REQUESTS, OTHERS = 60, 200, 300, 40, 30
"""How many of each are tried; `--fuzz` multiplies them."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a run leaves it."""
    # What a real run writes besides is pages and pictures, which take their time.
    return measure(tmp_path_factory.mktemp("sound") / "run")


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail where something does not come to an end."""

    def late(_signal: int, _frame: object) -> None:
        raise AssertionError(f"it goes on for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_whatever_is_damaged_a_folder_is_read_or_refused_in_a_sentence(
    sound: Path, tmp_path: Path, fuzz: int
) -> None:
    for seed in range(FOLDERS * fuzz):
        chance = random.Random(seed)
        folder = tmp_path / "run"
        shutil.copytree(sound, folder)
        name = chance.choice((*RAW, *RAW[:2]))
        (folder / name).write_bytes(damaged_file(name, (folder / name).read_bytes(), chance))
        if chance.random() < 0.6:
            (folder / "manifest.json").unlink()
            manifest.seal(folder, RUN.raw, [])
        with within(LIMIT_S):
            verify(folder)
            with contextlib.suppress(BenchError):
                markdown.render(run.report(read_run(folder).summary, None))
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "raw", ["shutdown/shutdown.jsonl", "faults/faults.jsonl", "applications/compare.json"]
)
def test_whatever_is_damaged_results_of_other_kinds_are_read_or_refused(
    tmp_path: Path, raw: str, fuzz: int
) -> None:
    source = APP_FILE.parent.parent / "results" / raw
    folder = tmp_path / source.parent.name
    folder.mkdir()
    content = source.read_bytes()
    for seed in range(OTHERS * fuzz):
        (folder / source.name).write_bytes(damaged_file(source.name, content, random.Random(seed)))
        with within(LIMIT_S):
            try:
                text = markdown.render(results.read(folder).document())
            except BenchError as error:
                text = error.hint
        assert text, seed


def test_traces_that_were_kept_are_read_or_refused(tmp_path: Path, fuzz: int) -> None:
    content = (APP_FILE.parent.parent / "results" / "reference" / "traces.jsonl.gz").read_bytes()
    for seed in range(OTHERS * fuzz):
        path = tmp_path / "traces.jsonl.gz"
        path.write_bytes(damaged_file(path.name, content, random.Random(seed)))
        with within(LIMIT_S), contextlib.suppress(BenchError):
            for trace in read_packed(path, KeptTrace):
                assert trace.trace_id
                assert trace.duration_s is not None


def test_what_is_no_regular_file_is_not_waited_for(sound: Path, tmp_path: Path) -> None:
    for name in RAW:
        folder = tmp_path / name
        shutil.copytree(sound, folder)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with within(5):
            assert verify(folder).discrepancies or name == "manifest.json"
            if name not in {"summary.json", "ending.json"}:
                with pytest.raises(ResultsError, match="is not a regular file"):
                    read_run(folder)


def test_links_are_replaced_and_never_followed(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "drawn", lambda _specs: lambda _spec: None)
    outside, folder = tmp_path / "precious", tmp_path / "run"
    outside.write_text("mine", "ascii")
    shutil.copytree(sound, folder)
    for name in ("report.md", ".summary.json.partial"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(outside)
    results.publish(results.read(folder))
    assert outside.read_text("ascii") == "mine"
    shutil.rmtree(folder / "hgrm", ignore_errors=True)
    (folder / "hgrm").symlink_to(tmp_path)
    with pytest.raises(ResultsError, match="leads out of"):
        results.publish(results.read(folder))
    (folder / "readings.jsonl").unlink()
    (folder / "readings.jsonl").symlink_to(outside)
    with pytest.raises(ResultsError, match="cannot write"):
        Store(folder).append_line("readings.jsonl", {})
    assert outside.read_text("ascii") == "mine"


def test_figures_survive_the_removal_of_the_records_that_they_were_made_from(
    sound: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(sound, folder)
    (folder / "readings.jsonl").unlink()
    figures = (folder / "summary.json").read_bytes()
    with pytest.raises(ResultsError, match="is missing, from which figures are made"):
        results.publish(results.read(folder))
    assert (folder / "summary.json").read_bytes() == figures
    assert verify(folder).discrepancies


def test_a_disk_that_fills_up_costs_no_file_that_was_there(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(sound, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
    program = f"{limited}from bench.cli.main import main; raise SystemExit(main(['report', {str(folder)!r}]))"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 5, ended.stderr
    assert "cannot write" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert read_raw(folder).ending.complete


def test_a_chart_that_cannot_be_drawn_costs_the_chart() -> None:
    good = {
        "mark": "bar",
        "data": {"values": [{"a": 1}]},
        "encoding": {"x": {"field": "a", "type": "nominal"}},
    }
    draw = drawing.drawn([good, {"mark": {"type": []}}, {**good, "mark": "point"}])
    assert "<svg" in str(draw(good))
    assert draw({"mark": {"type": []}}) is None
    assert "<svg" in str(draw({**good, "mark": "point"}))


def test_a_terminal_never_gets_an_escape_sequence() -> None:
    hostile = "\x1b[31mRED\x1b]0;pwned\x07 \x9b31m \u202eabc\tend\n"
    assert words.printable(hostile) == "[31mRED]0;pwned 31m abc\tend\n"
    text = APP_FILE.read_text("utf-8") + '\n[[setup]]\nname = "mine"\ndescription = "\\u001b[31mRED [/x]"\n'
    plan = make.plan()
    (setup,) = (setup for setup in parse_app(text, "x").setup if setup.name == "mine")
    setups = (*plan.setups[:-1], msgspec.structs.replace(setup, name=plan.setups[-1].name))
    raw = make.raw(replace(plan, setups=setups))
    assert "\x1b" not in markdown.render(run.report(run_result(raw).summary, None))


def test_whatever_is_no_app_file_ends_in_a_sentence(fuzz: int) -> None:
    text = APP_FILE.read_bytes()
    for seed in range(FILES * fuzz):
        mutant = damaged(text, random.Random(seed)).decode("utf-8", "replace")
        for parse in (lambda text: parse_app(text, "x"), lambda text: parse_setups(text, "x", ())):
            with within(LIMIT_S), contextlib.suppress(BenchError):
                parse(mutant)
    for mutant in (f"x = {'9' * 5000}", f"x = {'[' * 2000}", 'x = "\0"', "x = 1e999999"):
        with pytest.raises(BenchError):
            parse_app(mutant, "x")


def test_whatever_is_sent_to_the_receiver_is_counted(fuzz: int) -> None:
    sent = body("batch", trace_of(0))
    for seed in range(BODIES * fuzz):
        chance = random.Random(seed)
        receiver = Bodies()
        content = damaged(sent, chance)
        for signal_ in Signal:
            receiver.keep(signal_, Body(content, chance.choice(["", "gzip", "deflate", "br"])))
        with within(LIMIT_S):
            receiver.peek()
            receiver.spans()
            accounts = receiver.close(CloseAccounts(replicate=0, learn=True))
            receiver.kept()
            msgspec.json.encode(accounts)
        assert accounts, seed


def test_whatever_claims_to_be_otlp_in_json_is_read_or_refused(fuzz: int) -> None:
    document = msgspec.json.encode(
        {
            "resourceSpans": [
                {"scopeSpans": [{"spans": [{"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "x"}]}]}
            ]
        }
    )
    for seed in range(BODIES * fuzz):
        mutant = damaged_file("x.json", document, random.Random(seed))
        try:
            spans = otlp_json.decode(msgspec.json.decode(mutant))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        assert all(len(span.trace_id) % 2 == 0 for span in spans), seed


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (frontend.build(NoTracing(), order_url=NOWHERE), "/checkout"),
        (
            orders.build(NoTracing(), payment_url=NOWHERE, inventory_url=NOWHERE),
            "/orders",
        ),
        (payments.build(NoTracing()), "/payments"),
        (inventory.build(NoTracing()), "/reservations"),
    ],
    ids=["frontend-app", "order-service", "payment-service", "inventory-service"],
)
def test_whatever_is_posted_to_a_service_is_answered(app: object, path: str, fuzz: int) -> None:
    sent = (
        b'{"items":[{"sku":"keyboard","quantity":1}],"amount":4999,"currency":"EUR",'
        b'"payment_token":"tok_visa","order_id":"0b0e4d6e-9c1c-4c53-8d24-d15a1b1a1d55"}'
    )

    async def check() -> None:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            for content in (b'{"currency":"\xff\xfe"}', b"[" * 60_000, b'"\\ud800"', b"1" * 60_000):
                answer = await client.post(path, content=content)
                assert (answer.status_code, bool(answer.json()["field"])) == (422, True), content[:20]
            for seed in range(REQUESTS * fuzz):
                answer = await client.post(path, content=damaged(sent, random.Random(seed)))
                assert answer.status_code in {201, 402, 409, 422, 502}, (seed, answer.text)

    with within(LIMIT_S * fuzz):
        asyncio.run(check())


def test_what_a_killed_run_left_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout
    assert killed.stdin
    folder = Path(killed.stdout.readline().strip())
    killed.stdout.readline()
    mine = leftovers.make_folder()
    assert leftovers.remove() == [], "both are alive"
    killed.kill()
    killed.wait()
    (sentence,) = leftovers.remove()
    assert f"had left: {folder}, processes: 1" in sentence
    assert not folder.exists()
    assert mine.exists()
    assert leftovers.remove() == []
    killed.stdin.close()
    killed.stdout.close()
