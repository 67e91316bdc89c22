"""The results folder: what is written can be read, and nothing is lost with its end."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ResultsError
from bench.model import Plan, Request, Window
from bench.store import Store, folder_name, pretty, read_plan, read_raw
from tests import make
from tests.test_overhead import COSTS


def read_windows_of(folder: Path) -> tuple[Window, ...]:
    (folder / "plan.json").write_bytes(pretty(make.plan()))
    return read_raw(folder).windows


def read_requests_of(folder: Path) -> tuple[Request, ...]:
    (folder / "plan.json").write_bytes(pretty(make.plan()))
    return read_raw(folder).requests


def two_windows() -> tuple[Window, Window]:
    plan = make.plan()
    return make.work(plan, COSTS, 0, 0), make.work(plan, COSTS, 0, 1)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run")
    first, second = two_windows()
    rows = (make.request(), make.request("batch", status=0))
    store.write_plan(make.plan())
    for window in (first, second):
        store.append_window(window)
        store.append_requests(rows)
    assert read_plan(store.folder) == make.plan()
    assert read_windows_of(store.folder) == (first, second)
    assert read_requests_of(store.folder) == rows * 2


integers = st.integers(-1, 2**53)


@given(
    st.builds(
        Request,
        epoch=integers, window=integers, setup=st.sampled_from(["none", "batch"]),
        planned_ns=integers, sent_ns=integers, done_ns=integers, status=integers,
    )
)  # fmt: skip
def test_any_request_survives_json(request: Request) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run")
    first, second = two_windows()
    store.append_window(first)
    store.append_window(second)
    path = store.folder / "windows.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert read_windows_of(store.folder) == (first,)


def test_rows_that_were_cut_short_are_left_out(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "run")
    store.append_requests([make.request()] * 100)
    whole = (store.folder / "requests.csv.gz").stat().st_size
    store.append_requests([make.request("batch")] * 100)
    path = store.folder / "requests.csv.gz"
    path.write_bytes(path.read_bytes()[: whole + 15])
    assert read_requests_of(store.folder)[:100] == (make.request(),) * 100


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ResultsError, match="not empty"):
        Store.create(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="cannot make"):
        Store.create(tmp_path / "file" / "run")


def test_a_full_disk_is_said_and_what_was_written_stays() -> None:
    store = Store(Path("/dev"))
    with pytest.raises(ResultsError, match="No space left") as caught:
        store.write("full", b"x")
    assert "kept" in caught.value.hint


def test_another_schema_is_refused(tmp_path: Path) -> None:
    plan = msgspec.to_builtins(make.plan()) | {"schema": 99}
    (tmp_path / "plan.json").write_bytes(pretty(plan))
    with pytest.raises(ResultsError, match="schema 99"):
        read_plan(tmp_path)


def test_a_folder_without_a_plan_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"plan\.json"):
        read_plan(tmp_path)


def test_folders_sort_by_time() -> None:
    assert folder_name(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "x") == "20260304T050607Z-x"


def test_a_plan_is_decoded_strictly() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(make.plan()).replace(b'"seed":1', b'"seed":"1"'), type=Plan)
