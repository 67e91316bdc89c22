"""The rooms and what they may import: broken rules are found in the syntax trees."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    ("errors",),
    ("app",),
    ("plan",),
    ("receiver",),
    ("testbed", "analysis"),
    ("runner", "results"),
    ("report",),
    ("compare", "traces"),
    ("studies",),
    ("cli",),
)
"""Packages from the bottom up; a module imports only from layers below its own, and from its package."""
MOST_ENTRIES = 14
PURE = ("errors", "app", "plan", "analysis", "report")
"""Packages that read no clock, no file and no socket."""
TIMED = {f"bench/studies/micro/{name}.py" for name in ("spans", "context", "otlp", "web")} | {
    "bench/studies/spec/emitter.py",
    "bench/studies/s001/timed.py",
}
"""What is timed is OpenTelemetry itself, in a worker process of its own."""
IMPURE = {
    "os",
    "time",
    "random",
    "socket",
    "subprocess",
    "datetime",
    "pathlib",
    "tempfile",
    "psutil",
    "httpx",
    "sys",
}
OF_THE_EXAMPLE = re.compile(
    r"checkout(?!\.toml)|frontend-app|order-service|payment-service|inventory-service|/orders|\b201\b|tok_visa"
)
"""What only the built-in example's app file may say."""


def modules(package: str) -> list[Path]:
    return sorted(
        path
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" or path.parent != ROOT / package
    )


def room(path: Path) -> str:
    """The name of a module's room: its file, or the folder it stands in."""
    relative = path.relative_to(ROOT / "bench")
    return relative.parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imports(path: Path) -> tuple[tuple[ast.stmt, str, bool], ...]:
    """Every import: its statement, the imported module, and whether it stands inside a function."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[ast.stmt, str, bool]]:
    tree = tree_of(path)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    checked = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, id(node) in inside or id(node) in checked
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}", id(node) in inside or id(node) in checked


def everything(*packages: str) -> list[Path]:
    return [path for package in packages for path in modules(package)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_only_go_down() -> None:
    level = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    for path in modules("bench"):
        own = room(path)
        for _, imported, _ in imports(path):
            parts = imported.split(".")
            if parts[0] == "bench" and len(parts) > 1 and parts[1] != own:
                assert level[parts[1]] < level[own], f"{name(path)} imports {imported}"


def test_every_package_has_a_layer_and_there_are_few() -> None:
    packages = {room(path) for path in modules("bench")}
    assert packages == {package for layer in LAYERS for package in layer}
    entries = [entry for entry in (ROOT / "bench").iterdir() if entry.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, sorted(entry.name for entry in entries)
    assert len(LAYERS) <= 10


def test_nothing_in_the_harness_knows_the_built_in_example() -> None:
    for path in everything("bench", "locustfiles"):
        # The scenarios are the example's own.
        if name(path) in {"bench/traces/scenario.py", "locustfiles/explorer.py", "locustfiles/explore.py"}:
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert not OF_THE_EXAMPLE.search(line), f"{name(path)}:{number}: {line.strip()}"


def test_pure_rooms_know_no_clock_no_file_and_no_socket() -> None:
    for path in modules("bench"):
        if room(path) not in PURE:
            continue
        assert not {imported.split(".")[0] for _, imported, _ in imports(path)} & IMPURE, name(path)
        names = {
            node.func.id
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not names & {"open", "print", "input"}, name(path)


@pytest.mark.parametrize(("package", "other"), [("bench", "services"), ("services", "bench")])
def test_harness_and_services_do_not_know_each_other(package: str, other: str) -> None:
    for path in everything(package):
        assert all(imported.split(".")[0] != other for _, imported, _ in imports(path)), name(path)


def test_only_telemetry_imports_opentelemetry_and_only_inside_functions() -> None:
    for path in everything("services"):
        if path.parent.name == "shutdown":
            continue  # an application of its own, always under the agent, in an environment of its own
        for _, imported, deferred in imports(path):
            if imported.split(".")[0] == "opentelemetry":
                assert path.name in {"telemetry.py", "counting.py", "usage_file.py"}, name(path)
                assert deferred, f"{imported} at the top of {name(path)}"


def test_of_the_harness_only_the_receiver_and_what_is_timed_import_opentelemetry() -> None:
    for path in everything("bench", "locustfiles"):
        for _, imported, _ in imports(path):
            if imported.split(".")[0] == "opentelemetry" and name(path) not in TIMED:
                assert name(path) in {"bench/receiver/decoding.py", "bench/receiver/otlp_json.py"}
                assert imported.startswith("opentelemetry.proto.")


def test_only_a_worker_imports_what_is_timed() -> None:
    timed = tuple(f"{file.removesuffix('.py').replace('/', '.')}." for file in TIMED)
    for path in everything("bench", "locustfiles"):
        of_them = [imported for _, imported, _ in imports(path) if imported.startswith(timed)]
        assert not of_them or name(path) in {*TIMED, "bench/studies/micro/worker.py"}, name(path)


@pytest.mark.parametrize(
    "program", ["bench.studies.micro.worker", "bench.studies.micro.counted", "bench.studies.spec.emitter"]
)
def test_what_is_timed_loads_nothing_of_what_judges_it(program: str) -> None:
    """NumPy's threads alone moved counts of instructions by millions."""
    code = f"import sys, {program}; print(*{{name.split('.')[0] for name in sys.modules}}, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert program in loaded
    assert not loaded & {"numpy", "scipy", "httpx", "bench.analysis", "bench.report", "bench.testbed"}


def test_only_locustfiles_import_locust() -> None:
    for path in everything("bench", "services"):
        assert not {imported.split(".")[0] for _, imported, _ in imports(path)} & {"locust", "gevent"}, name(
            path
        )


def test_no_error_is_swallowed_whole() -> None:
    for path in everything("bench", "services", "locustfiles"):
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            swallows = not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            whole = caught in {"everything", "Exception", "BaseException"}
            assert not (whole and swallows), f"{name(path)}:{node.lineno}"


def test_rooms_do_not_get_crowded() -> None:
    for path in everything("bench", "services", "locustfiles"):
        assert len(path.read_text("utf-8").splitlines()) <= 450, name(path)
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno <= 60, f"{name(path)}: {node.name}"
