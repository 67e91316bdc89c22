"""Tries server stacks: the same requests, ended in every way, and what of them arrives."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from bench.app.records import App, Process, Request, Setup, Stack, Tracing
from bench.errors import ServiceError
from bench.plan.budget import without_load
from bench.plan.readings import Account
from bench.plan.records import Plan
from bench.receiver.messages import CloseAccounts, Signal
from bench.runner.run import Progress
from bench.studies.shutdown.figures import Stop, Try
from bench.testbed.environ import Place
from bench.testbed.instance import LocalInstance
from bench.testbed.options import Options
from bench.testbed.ports import free_ports
from bench.testbed.testbed import Testbed

REQUESTS = 40
PROCESSORS = ("batch", "simple")
WAYS = tuple(Stop)[1:]
"""In which a server is ended; one that keeps running is counted beside them."""
AT_ONCE = 4
"""Servers at a time: nothing here is timed, and most of it is waiting."""
ALIVE_S = 6.5
"""Longer than the batch processor's delay of 5 s, and than the metrics' interval then."""
STOP_LIMIT_S = 45.0
QUIET_S, QUIET_LIMIT_S = 1.0, 30.0
COUNTER = "shutdown.requests"
LOGGER = "shutdown"


def tries(
    stacks: Sequence[Stack], place: Place, progress: Progress, chosen: Callable[[str], bool]
) -> Iterable[Try]:
    """Try every stack with both processors in every way.

    What arrives is counted once all have ended: some exports come late.

    Args:
        stacks: with their commands.
        place: where they are started from.
        progress: displays what is going on.
        chosen: whether a try of this name is wanted: stack, processor and way.

    Raises:
        ServiceError: a server does not start or answer, or nothing arrived from any of them.
    """
    wanted = _wanted(stacks, chosen)
    with contextlib.ExitStack() as parts:
        testbed = Testbed(_plan(_app(stacks[0]), "batch"), Options(place=place, load=False))
        parts.callback(testbed.close)
        ports = free_ports(len(wanted))

        def attempt(number: int) -> float:
            stack, processor, way = wanted[number]
            progress.say("server stacks", f"{stack.name}, {processor}, {way}")
            return _attempt(testbed, stack, f"try-{number}", processor, way, ports[number])

        pool = parts.enter_context(ThreadPoolExecutor(AT_ONCE))
        # Before the pool is shut down: stopping instances unblocks the pool.
        parts.callback(testbed.stop_instances)
        parts.callback(pool.shutdown, wait=False, cancel_futures=True)
        stops_s = list(pool.map(attempt, range(len(wanted))))
        testbed.receiver.wait_until_quiet(QUIET_S, QUIET_LIMIT_S)
        accounts = testbed.receiver.close_accounts(CloseAccounts(replicate=0))
    names = [f"try-{number}" for number in range(len(wanted))]
    heard = {processor for name, (_, processor, _) in zip(names, wanted, strict=True) if name in accounts}
    for name, (stack, processor, way), stop_s in zip(names, wanted, stops_s, strict=True):
        if processor not in heard:
            raise ServiceError(
                f"nothing of {processor} arrived from any server",
                "the environment of the stacks lacks an instrumentation or exporter: remove the cache folder",
            )
        yield Try(
            stack=stack.name,
            orderly=stack.orderly,
            interface=stack.interface,
            processor=processor,
            way=way,
            requests=REQUESTS,
            received=_received(accounts.get(name, Account())),
            stop_s=stop_s,
        )


def _wanted(stacks: Sequence[Stack], chosen: Callable[[str], bool]) -> list[tuple[Stack, str, Stop]]:
    """What is tried: the chosen ends of each stack, and with any of them one that keeps running."""
    return [
        (stack, processor, way)
        for stack in stacks
        for processor in PROCESSORS
        for way in Stop
        # A loss in the fork shows only beside a server that keeps running.
        if any(chosen(f"{stack.name} {processor} {end}") for end in (WAYS if way is Stop.ALIVE else [way]))
    ]


def _received(account: Account) -> dict[Signal, int]:
    return {
        Signal.TRACES: sum(account.spans.values()) - account.duplicated,
        Signal.METRICS: account.sums.get(COUNTER, 0),
        Signal.LOGS: account.logs.get(LOGGER, 0),
    }


def _attempt(  # noqa: PLR0913, PLR0917 - what makes a try
    testbed: Testbed, stack: Stack, name: str, processor: str, way: Stop, port: int
) -> float:
    """Start a server, send its requests, end it; returns how long the end took."""
    app = _app(stack)
    plan = _plan(app, processor, name, way)
    launch = testbed.launch(plan, plan.setups[0], 0, [port])
    instance = testbed.start_instance(launch)
    testbed.instances.append(instance)
    try:
        _ask(instance)
        if way is Stop.ALIVE:
            # The last export may never come, and nothing announces it.
            time.sleep(ALIVE_S)
            return instance.end(Stop.KILL, STOP_LIMIT_S)
        return instance.end(way, STOP_LIMIT_S)
    finally:
        instance.stop()


def _ask(instance: LocalInstance) -> None:
    # A connection for each request: a server with several workers may use them all.
    with httpx.Client(timeout=10, trust_env=False, headers={"connection": "close"}) as client:
        for _ in range(REQUESTS):
            try:
                client.get(instance.url).raise_for_status()
            except httpx.HTTPError as error:
                raise ServiceError(
                    f"{instance.setup.description} answers with {error}",
                    "start it by hand with the same command",
                ) from None


def _plan(app: App, processor: str, name: str = "try", way: Stop = Stop.TERM) -> Plan:
    env = {"OTEL_CONFIG_FILE": "{dir}/simple.yaml"} if processor == "simple" else {}
    if way is Stop.ALIVE:
        # It is a minute otherwise.
        env["OTEL_METRIC_EXPORT_INTERVAL"] = "3000"
    else:
        # A timer that fires by chance between the last request and the end would hide a loss.
        env |= dict.fromkeys(("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY"), "60000")
    setup = Setup(name=name, description=f"{app.process[0].command}, {processor}", env=env)
    return without_load("shutdown", app, [setup])


def _app(stack: Stack) -> App:
    return App(
        name="shutdown",
        process=[Process(name="web", command=stack.command, ready="/ready", env={"HOME": "{tmp}"})],
        request=[Request(path="/")],
        tracing=Tracing(
            launcher="opentelemetry-instrument",
            env={
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_LOGS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
                "OTEL_PYTHON_EXCLUDED_URLS": "ready",
            },
        ),
    )
