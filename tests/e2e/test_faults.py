"""What arrives and what breaks, seen with real servers, real exporters and a backend that fails."""

from pathlib import Path

import msgspec

from tests.e2e.runs import command


def test_a_server_that_loses_its_spans_is_reported_from_one_that_keeps_them(tmp_path: Path) -> None:
    ended = command("shutdown", "--only", "uvicorn batch SIGTERM", "-o", str(tmp_path / "out"), limit_s=300)
    assert ended.returncode == 0, ended.stderr
    lines = (tmp_path / "out" / "shutdown.jsonl").read_bytes().splitlines()
    tries = [msgspec.json.decode(line) for line in lines]
    spans = {one["stack"]: one["received"]["traces"] for one in tries if one["way"] == "SIGTERM"}
    assert spans["uvicorn"] == spans["gunicorn uvicorn worker"] == 0
    assert spans["uvicorn, lifespan"] == 120
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "loses everything at SIGTERM; SIGINT not tried" in text
    assert command("report", str(tmp_path / "out")).returncode == 0


def test_what_a_failing_backend_costs_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = command("faults", "--only", "500", "-o", str(out), limit_s=300)
    assert ended.returncode == 0, ended.stderr
    lines = (out / "faults.jsonl").read_bytes().splitlines()
    cells = {(cell["fault"], cell["setup"]): cell for cell in map(msgspec.json.decode, lines)}
    assert len(cells) == 2 * 5
    for (fault, setup), cell in cells.items():
        assert len(cell["latencies_s"]) + cell["failed"] == 60
        if setup == "none":
            assert cell["made"] == cell["received"] == 0
            continue
        assert cell["made"] == 60 * 22, "what came before the fault is in no count"
        assert cell["received"] == (60 * 22 if fault == "healthy" else 0), "what is refused once is lost"
        assert cell["rejected"] == cell["made"] - cell["received"]
        assert cell["stall_s"] > 0
    assert "1,320 of 1,320 spans lost (refused by the backend)" in (out / "report.md").read_text("utf-8")
    assert command("verify", str(out)).returncode == 0


def test_a_short_soak_is_exact(tmp_path: Path) -> None:
    ended = command("soak", "--duration", "24s", "-o", str(tmp_path / "out"), limit_s=300)
    assert ended.returncode in {0, 4}, ended.stderr
    assert " 0 failed, 0 of " in " ".join(ended.stdout.split())
    soak = msgspec.json.decode((tmp_path / "out" / "soak.json").read_bytes())
    assert soak["spans"] == soak["spans_expected"] == soak["completed"] * 22
    assert soak["files"][0] == soak["files"][1]
    assert [growth["name"] for growth in soak["growths"]][-3:] == ["receiver", "load", "harness"]
