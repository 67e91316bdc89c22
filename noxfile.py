"""Every command of the project; `nox -l` lists them. What follows `--` goes to the program behind."""

import sys

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types"]

INTERRUPT_S = 5
"""A terminal's Ctrl-C reaches the program behind by itself; where nox alone got the signal, it passes
it on after so long."""
PATIENCE_S = 60
"""Until the program behind is killed: the harness stops dozens of processes and writes what it measured."""


def _install(session: nox.Session, *groups: str) -> None:
    """The project with pinned dependencies."""
    chosen = [part for group in groups for part in ("--group", group)]
    # Compiled once here, instead of by the first of dozens of processes while they start.
    session.env["UV_COMPILE_BYTECODE"] = "1"
    session.install("-c", "constraints.txt", "-e", ".", *chosen)


def _bench(session: nox.Session, command: str) -> None:
    _install(session)
    session.run(
        "python", "-m", "bench", command, *session.posargs,
        # Results are on stdout, and nothing else: `--json` can be piped.
        stderr=sys.stderr,
        interrupt_timeout=INTERRUPT_S, terminate_timeout=PATIENCE_S,
    )  # fmt: skip


@nox.session
def bench(session: nox.Session) -> None:
    """The main job: what does tracing cost a checkout? (`-- --budget quick` for a first answer)."""
    _bench(session, "run")


@nox.session
def doctor(session: nox.Session) -> None:
    """Is this machine fit to measure, and what to expect of it."""
    _bench(session, "doctor")


@nox.session
def setups(session: nox.Session) -> None:
    """List the tracing set-ups."""
    _bench(session, "setups")


@nox.session
def report(session: nox.Session) -> None:
    """Make the report of a results folder again (`-- DIR`)."""
    _bench(session, "report")


@nox.session
def web(session: nox.Session) -> None:
    """Explore the set-ups by hand in Locust's web UI, until Ctrl-C."""
    _bench(session, "web")


@nox.session
def generator(session: nox.Session) -> None:
    """What the load generator itself costs, beside Locust's own users and wrk."""
    _bench(session, "generator")


@nox.session
def micro(session: nox.Session) -> None:
    """What one operation of tracing costs, timed by pyperf (`-- --only 'span/*'`)."""
    _bench(session, "micro")


@nox.session
def predict(session: nox.Session) -> None:
    """What tracing would cost you (`-- --rps 500 --spans 19 --ratio 0.1`)."""
    _bench(session, "predict")


@nox.session
def calibrate(session: nox.Session) -> None:
    """Weigh known costs: how far the harness can be believed on this machine (45 minutes)."""
    _bench(session, "calibrate")


@nox.session
def compare(session: nox.Session) -> None:
    """What changed between two or more results (`-- DIR_A DIR_B`)."""
    _bench(session, "compare")


@nox.session
def gate(session: nox.Session) -> None:
    """Pass or fail a run by budgets (`-- DIR --max-overhead batch=80%`)."""
    _bench(session, "gate")


@nox.session
def trace(session: nox.Session) -> None:
    """One checkout's journey through the services (`-- --story payment-timeout`)."""
    _bench(session, "trace")


@nox.session
def backends(session: nox.Session) -> None:
    """Get real collectors and trace backends, once: Collector, rotel, Jaeger, Zipkin, Aspire (20 minutes)."""
    _bench(session, "backends")


@nox.session
def verify(session: nox.Session) -> None:
    """Make every figure of a results folder again, and compare (`-- DIR`)."""
    _bench(session, "verify")


@nox.session
def history(session: nox.Session) -> None:
    """All results of a folder as a trend per set-up (`-- results/`)."""
    _bench(session, "history")


@nox.session
def spec(session: nox.Session) -> None:
    """The report that OpenTelemetry's performance-benchmark document asks of an SDK."""
    _bench(session, "spec")


@nox.session
def services(session: nox.Session) -> None:
    """Run the four services for a person, until Ctrl-C."""
    _install(session)
    session.run(
        "python", "-m", "services", "all", *session.posargs,
        interrupt_timeout=INTERRUPT_S, terminate_timeout=PATIENCE_S,
    )  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """All fast tests."""
    _install(session, "dev")
    session.run("pytest", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Whole runs with real processes, and the web UI in a browser: a quarter of an hour."""
    _install(session, "dev", "e2e")
    session.run("pytest", "-o", "addopts=", "tests/e2e", "-v", "-rs", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    _install(session, "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict."""
    _install(session, "dev")
    session.run("mypy")
