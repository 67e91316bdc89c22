"""The figures of the reference run, digit by digit, for as long as the method stays the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.plan.records import METHOD
from bench.results.folder import read_run
from bench.results.store import pretty

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
GOLDEN = Path(__file__).parent / "golden.json"
DIGITS = 12
"""Another processor may round the last ones differently."""


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every number with its path; a setup, a layer or a row by its name instead of its place."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for at, part in enumerate(value):
            name = part.get("name") or part.get("setup") if isinstance(part, dict) else None
            yield from numbers(part, f"{path}[{name or at}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, f"{value:.{DIGITS}g}"


def figures(folder: Path) -> dict[str, str]:
    """Every figure of a run, made from its raw records; not the plan, which is no figure."""
    summary = json.loads(pretty(read_run(folder).summary))
    return dict(numbers({key: part for key, part in summary.items() if key not in {"schema", "plan"}}))


def test_every_figure_of_the_reference_has_the_digits_it_was_published_with() -> None:
    golden = json.loads(GOLDEN.read_text("utf-8"))
    assert golden["method"] == METHOD, "measure results/reference again, and write golden.json from it"
    assert figures(REFERENCE) == golden["figures"]
    assert len(golden["figures"]) > 500
