"""A run in the background, and what became of it."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 180.0
COMMAND = (sys.executable, "-m", "bench.cli")
SHORT = ("--budget", "smoke", "--setups", "always-off,batch")


class Run:
    """A run in the background."""

    def __init__(self, out: Path, *arguments: str, command: str = "run", prefix: Sequence[str] = ()) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, command, "-o", str(out), *arguments],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.children: set[psutil.Process] = set()

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, once it gives something."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)
        raise AssertionError(f"nothing came in {PATIENCE_S:g} s: {self.text()}")

    def wait_for_step(self, kind: str) -> None:
        """Return when a step of this kind is on disk."""
        path = self.out / "readings.jsonl"
        self.wait_for(lambda: path.exists() and f'"kind":"{kind}"' in path.read_text())
        self.look()

    def look(self) -> None:
        """Remember the children that it has now."""
        self.children |= set(psutil.Process(self.process.pid).children(recursive=True))

    def looked(self) -> set[psutil.Process]:
        """The children so far, those that it has now among them."""
        self.look()
        return self.children

    def child(self, *words: str) -> psutil.Process:
        """The first child whose command line has all these words."""
        for child in self.children:
            # Others of them may have ended by now.
            with contextlib.suppress(psutil.NoSuchProcess):
                if all(word in child.cmdline() for word in words):
                    return child
        raise AssertionError(f"no child was started with {words}")

    def end(self) -> int:
        """The exit code."""
        return self.process.wait(2 * PATIENCE_S)

    def text(self) -> str:
        return self.log.read_text()

    def summary(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return loaded

    def survivors(self) -> list[psutil.Process]:
        """Children that are left after a few seconds."""
        _, alive = psutil.wait_procs(self.children, timeout=10)
        return [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def command(*arguments: str, limit_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=False
    )


def invalid(summary: dict[str, Any]) -> set[str]:
    return {caveat["code"] for caveat in summary["caveats"] if caveat.get("severity") == "invalid"}


def setup_of(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(setup for setup in summary["setups"] if setup["name"] == name)
