"""What several end-to-end tests start."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.runs import PATIENCE_S, Run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs, and stops what a failed test leaves behind."""
    runs: list[Run] = []

    def begin(*arguments: str, prefix: Sequence[str] = ()) -> Run:
        runs.append(Run(tmp_path / f"run{len(runs)}", *arguments, prefix=prefix))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.wait(PATIENCE_S)
