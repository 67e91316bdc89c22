"""What arrives and what breaks, seen with real servers, real exporters and a backend that fails."""

from pathlib import Path

import msgspec

from tests.e2e.runs import command


def test_a_server_that_loses_its_spans_is_told_from_one_that_keeps_them(tmp_path: Path) -> None:
    ended = command(
        "delivery", "--only", "uvicorn batch SIGTERM", "--out", str(tmp_path / "out"), limit_s=300
    )
    assert ended.returncode == 0, ended.stderr
    tries = msgspec.json.decode((tmp_path / "out" / "delivery.json").read_bytes())
    spans = {one["stack"]: one["received"]["traces"] for one in tries if one["way"] == "SIGTERM"}
    assert spans["uvicorn"] == spans["gunicorn uvicorn worker"] == 0
    assert spans["uvicorn, lifespan"] == 120
    assert "loses spans, metrics and log records at SIGTERM" in ended.stdout
    assert command("report", str(tmp_path / "out")).returncode == 0
