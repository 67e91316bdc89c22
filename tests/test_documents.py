"""README and documents: links lead somewhere, figures are what committed results say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import results
from bench.cli.commands import COMMANDS
from bench.report import markdown
from tests.documents import BLOCK, ROOT, committed, documents, generated
from tests.test_damage import BODIES, FILES, FOLDERS, OTHERS, REQUESTS

LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)")
MOST_LINES = 100


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    text = path.read_text("utf-8")
    broken = [target for target, _ in LINK.findall(text) if not (path.parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_are_those_of_committed_results(path: Path) -> None:
    text = path.read_text("utf-8")
    assert generated(text) == text, "`uvx nox -s documents` writes them again"


@pytest.mark.parametrize("folder", committed(), ids=lambda folder: folder.name)
def test_committed_reports_are_what_this_version_writes(folder: Path) -> None:
    assert (folder / "report.md").read_text("utf-8") == markdown.render(results.read(folder).document())


@pytest.mark.parametrize("folder", committed(), ids=lambda folder: folder.name)
def test_committed_folders_are_verified(folder: Path) -> None:
    found = results.verified(folder)
    assert found.sealed
    assert not found.discrepancies


def test_a_changed_figure_is_found() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    block = BLOCK.search(text)
    assert block
    changed = text.replace(block["content"], block["content"].replace("checkout", "check-out"))
    assert generated(changed) == text != changed


def test_the_readme_is_short() -> None:
    text = BLOCK.sub("", (ROOT / "README.md").read_text("utf-8"))
    assert len(text.splitlines()) <= MOST_LINES


def test_commands_that_documents_name_exist() -> None:
    named = {
        name
        for path in documents()
        for name in re.findall(r"tracing-overhead ([a-z]+)\b", path.read_text("utf-8"))
    }
    assert named <= set(COMMANDS)


def test_the_example_workflow_is_one() -> None:
    workflow = ROOT / "docs" / "github-workflow.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    ended = subprocess.run([*command, str(workflow)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_counts_of_the_contributing_page_are_those_of_the_tests() -> None:
    text = (ROOT / "docs" / "CONTRIBUTING.md").read_text("utf-8")
    counts = (FOLDERS, OTHERS, OTHERS, FILES, BODIES, BODIES, REQUESTS)
    row = next(line for line in text.splitlines() if "tests/test_damage.py" in line)
    cell = row.split("|")[3]
    assert [int(number) for number in re.findall(r"\d+", cell)] == list(counts)
