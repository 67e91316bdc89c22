"""Tries an application: starts it with and without tracing, sends requests, and looks for its spans."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.app.guess import ESM_LOADER
from bench.app.records import BASELINE, App
from bench.app.setups import choose
from bench.plan.budget import without_load
from bench.plan.readings import Account, InstanceReading
from bench.plan.records import NOTHING_LEARNED, Kind, Learned, Plan, Shape
from bench.plan.schedule import LEARN_REQUESTS, step_of
from bench.runner.learning import LearningTestbed, ask, learned_from
from bench.testbed.ports import free_ports

TRACED = "batch"
REST_S = 1.0
STOP_REQUESTS = 20
"""Requests of every kind before an instance is stopped."""
SAFE = {"GET", "HEAD", "OPTIONS"}
"""Methods that change nothing (RFC 9110, 9.2.1)."""
OF_THE_SERVER = {f"@opentelemetry/instrumentation-{name}" for name in ("http", "net", "dns", "fs", "undici")}
"""Scopes of a Node.js service whose framework is not instrumented."""
WRAPPERS = ("npm", "npx", "yarn", "pnpm")
IDLE_LIMIT = 0.01
"""Share of a CPU above which an application at rest is mentioned."""
ARRIVAL_S, ARRIVAL_LIMIT_S = 1.0, 10.0
"""Quiet time after which the exports of a stopped instance are complete, and the longest wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        text: what was observed, in a sentence.
        advice: what to do about it; empty if there is nothing to do.
    """

    text: str
    advice: str = ""


def check_plan(app: App) -> Plan:
    """The baseline beside a setup that traces everything."""
    return without_load("check", app, choose(app, [TRACED]), REST_S)


def findings(plan: Plan, testbed: LearningTestbed) -> Iterator[Finding]:
    """What is observed of the application, as it happens.

    Raises:
        BenchError: something is wrong with it or its file; nothing could be measured.
    """
    learned = NOTHING_LEARNED
    started, _ = testbed.perform(plan, learned, step_of(plan, learned, 0, 0, Kind.START))
    plain, traced = (instance.ready_s or 0.0 for instance in started.instances)
    yield Finding(text=f"It starts: in {plain:.1f} s plainly, in {traced:.1f} s traced.")
    look = testbed.learn(plan, step_of(plan, learned, 0, 1, Kind.LEARN))
    learned = learned_from(plan, look.instances)
    reading = next(instance for instance in look.instances if instance.setup == TRACED)
    answered = reading.completed + reading.discarded_requests
    few = reading.completed < LEARN_REQUESTS * len(plan.app.request)
    yield Finding(
        text=f"It answered all {answered} requests as expected.",
        advice=f"it is slow: traces were learned from {reading.completed} of them" if few else "",
    )
    yield from _spans(plan, learned, reading)
    changing = [request.label for request in plan.app.request if request.method not in SAFE]
    if changing:
        yield Finding(
            text=f"{', '.join(changing)} may change what later requests do.",
            advice="check that nothing grows without end, or send requests that change nothing",
        )
    rested, _ = testbed.perform(plan, learned, step_of(plan, learned, 0, 2, Kind.REST))
    yield from _rest(rested.instances, rested.duration_s)
    testbed.stop_instances()
    yield _stopped(plan, learned, testbed)


def _spans(plan: Plan, learned: Learned, reading: InstanceReading) -> Iterator[Finding]:
    account = reading.account or Account()
    spans = ", ".join(f"{count / reading.completed:g} of {name}" for name, count in account.spans.items())
    yield Finding(text=f"It is traced: spans of a request: {spans}; without tracing there are none.")
    if account.scopes and all(scope in OF_THE_SERVER for scope in account.scopes):
        yield Finding(
            text="Nothing but the HTTP server of Node.js is traced: no framework was recognised.",
            advice="right for a service without one; else its version is unknown to the instrumentation, or "
            f"it is made of ES modules, which need `{ESM_LOADER}` in NODE_OPTIONS",
        )
    for line in reading.not_loaded:
        yield Finding(
            text=f'An instrumentation did not load: "{line}".',
            advice="install releases that fit each other, or uninstall it; without its spans tracing looks "
            "cheap",
        )
    scopes = ", ".join(
        f"{count / reading.completed:g} of {scope.removeprefix('opentelemetry.instrumentation.')}"
        for scope, count in account.scopes.items()
        if scope
    )
    if scopes:
        yield Finding(text=f"By instrumentation: {scopes}.")
    silent = [
        process.name for process in plan.app.process if process.traced and process.name not in account.spans
    ]
    if silent:
        yield Finding(
            text=f"No span came from {', '.join(silent)}.",
            advice="write `traced = false` for a process that should not be traced, such as a database",
        )
    if TRACED in learned.varies:
        yield Finding(
            text=f"Its traces differ from request to request, so the expected number of spans is unknown: "
            f"{_differences(account.shapes)}.",
            advice="send requests that always do the same work, and check that no span name holds an id",
        )


def _differences(shapes: Sequence[Shape]) -> str:
    """The span in whose number traces differ most, with its numbers."""
    counts = {key: {shape.get(key, 0) for shape in shapes} for shape in shapes for key in shape}
    key = max(counts, key=lambda key: (len(counts[key]), key))
    process, _, name = key.partition("\t")
    numbers = " or ".join(map(str, sorted(counts[key])))
    return f"{numbers} times {name.replace(chr(9), ' ')} of {process}"


def _rest(instances: tuple[InstanceReading, ...], length_s: float) -> Iterator[Finding]:
    idle = next(instance.cpu_ns / 1e9 / length_s for instance in instances if instance.setup == BASELINE)
    text = f"At rest it uses {idle * 100:.1f} % of a CPU."
    advice = "its own background work: it is in every figure alike, and shown as CPU at rest"
    yield Finding(text=text, advice=advice if idle > IDLE_LIMIT else "")


def _stopped(plan: Plan, learned: Learned, testbed: LearningTestbed) -> Finding:
    """Whether it loses spans when it is stopped right after its last answer."""
    setup = plan.setups[plan.names.index(TRACED)]
    launch = testbed.launch(plan, setup, 0, free_ports(len(plan.app.process)), "stopped")
    instance = testbed.start_instance(launch)
    try:
        expected = sum(map(len, ask(plan, instance, STOP_REQUESTS)))
    finally:
        instance.stop()
    testbed.receiver.wait_until_quiet(ARRIVAL_S, ARRIVAL_LIMIT_S)
    account = testbed.accounts(learned, 0).get(TRACED, Account())
    traces = min(account.whole if TRACED not in learned.varies else account.whole + account.damaged, expected)
    if traces == expected:
        return Finding(
            text=f"Stopped after its last answer it loses nothing: {expected} of {expected} traces arrived."
        )
    process = plan.app.process[0]
    command = process.command if isinstance(process.command, str) else " ".join(process.command)
    if command.startswith(WRAPPERS):
        return Finding(
            text=f"Stopped after its last answer it loses spans: {traces} of {expected} traces arrived.",
            advice=f"`{command}` is a wrapper that ends before the service: put the program itself into "
            "`command`",
        )
    signal = process.stop
    return Finding(
        text=f"Stopped by {signal} after its last answer it loses spans: "
        f"{traces} of {expected} traces arrived.",
        advice="a run waits before it stops anything; your deployments do not: shut the provider down",
    )
