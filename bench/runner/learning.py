"""Learn the application before anything is measured: does it start, answer and trace?

A typo in a variable must never read as "tracing is free": a setup that should trace every request and
sends no span stops the run here, and so does a baseline that sends one.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

import httpx
import msgspec

from bench.app.guess import ESM_LOADER
from bench.app.records import Request, Setup
from bench.app.setups import declared_spans, is_partly_instrumented, sampling_ratio
from bench.errors import MeasurementError, ServiceError
from bench.plan.readings import Account, InstanceReading, StepReading
from bench.plan.records import NOTHING_LEARNED, Footprint, Learned, Plan, Shape, Step
from bench.plan.schedule import LEARN_REQUESTS
from bench.testbed.instance import Instance, LocalInstance
from bench.testbed.ports import free_ports
from bench.testbed.testbed import Testbed

FEW_REQUESTS = 2
"""Requests of every kind to a setup of which no shapes are learned."""
DISCARDED_REQUESTS = 20
"""Requests of every kind before those that are learned from: first ones compile, connect and fill caches."""
LEARN_LIMIT_S = 10.0
"""How long a setup's requests are learned from, and a third of that how long they are discarded."""
ANSWER_CHARACTERS = 160
MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
ADVICE = {
    400: (
        "if it refuses the host 127.0.0.1, allow it (Django's ALLOWED_HOSTS), or give the request "
        '`headers = { host = "..." }`; else correct the request in the app file'
    ),
    401: "give the request its credentials in `headers`",
    429: "a rate limiter stops the requests: switch it off in `env`, or raise its limit",
}
OVER_GRPC = 'it exports over grpc: say `OTEL_EXPORTER_OTLP_PROTOCOL = "grpc"` in the `env` of [tracing]'
LEARNER = "learner"
ENDPOINT = re.compile(r"OTEL_EXPORTER_OTLP_(TRACES_)?ENDPOINT")


class LearningTestbed(Testbed):
    """A testbed whose application can be learned."""

    def learn(self, plan: Plan, step: Step) -> StepReading:
        """Learn the application, as a step of a run.

        Raises:
            ServiceError: a process of the run failed.
            MeasurementError: an answer is not the expected one, a setup that should trace every request sent
                no span, or the baseline sent one.
        """
        watch = self.watch()
        reading = self.reading(step, watch, learn(self, plan, self.read(watch)))
        self.check()
        return reading


def learn(testbed: Testbed, plan: Plan, readings: Sequence[InstanceReading]) -> list[InstanceReading]:
    """Readings with accounts that hold the shapes of all traces.

    Raises:
        MeasurementError: see `LearningTestbed.learn`.
    """
    starts = _with_starts(testbed, plan, NOTHING_LEARNED)
    sizes = []
    discarded, since_ns = [], dict[str, int]()
    for instance in testbed.instances:
        full = sampling_ratio(instance.setup) == 1.0
        # What runs elsewhere has another clock, and was warm before.
        is_new = full and isinstance(instance, LocalInstance)
        discarded.append(sum(map(len, _warmed(plan, instance))) if is_new else 0)
        since_ns[instance.setup.name] = time.time_ns() if is_new else 0
        sizes.append(ask(plan, instance, LEARN_REQUESTS if full else FEW_REQUESTS, LEARN_LIMIT_S))
    testbed.settle(plan)
    accounts = testbed.accounts(starts, 0, learn=True, since_ns=since_ns)
    for instance in testbed.instances:
        _check(plan, instance, accounts.get(instance.setup.name, Account()))
    accounts |= _learned_apart(testbed, plan, starts, accounts)
    testbed.forget_counts()
    return [
        replace(
            reading,
            completed=sum(map(len, of_kinds)),
            discarded_requests=before,
            account=replace(accounts.get(reading.setup, Account()), start_shapes=starts.start_shapes),
            not_loaded=instance.not_loaded() if isinstance(instance, LocalInstance) else (),
            answer_bytes=tuple(round(median(of_kind)) for of_kind in of_kinds),
        )
        for reading, of_kinds, instance, before in zip(
            readings, sizes, testbed.instances, discarded, strict=True
        )
    ]


def _with_starts(testbed: Testbed, plan: Plan, learned: Learned) -> Learned:
    """The learned data, extended by the shapes of traces from starts, which belong to no request."""
    testbed.settle(plan)
    accounts = testbed.accounts(learned, 0, learn=True)
    for instance in testbed.instances:
        _check_plain(instance.setup, accounts.get(instance.setup.name, Account()))
    starts = [account.shapes for setup, account in accounts.items() if setup]
    shapes = [*learned.start_shapes, *(shape for shapes in starts for shape in shapes)]
    return replace(learned, start_shapes=tuple({str(shape): shape for shape in shapes}.values()))


def learned_from(plan: Plan, readings: Sequence[InstanceReading]) -> Learned:
    """The shapes of all setups, and the setups whose traces differ from request to request.

    Shapes are those that the app file declares, else those that were seen. Each kind of
    request may have one shape per trace; with more shapes, traces differ from request to request.
    """
    accounts = {instance.setup: instance.account for instance in readings if instance.account}
    seen_by_setup = {setup: account.shapes for setup, account in accounts.items()}
    starts = next((account.start_shapes for account in accounts.values()), ())
    shapes: dict[str, tuple[Shape, ...]] = {}
    varies = []
    requests = {instance.setup: (instance.completed, instance.discarded_requests) for instance in readings}
    footprints = {}
    for setup in plan.setups:
        if not sampling_ratio(setup) and setup.env.get("OTEL_TRACES_EXPORTER") is None:
            continue
        declared = declared_spans(plan.app, setup)
        # A setup that may lose spans may have lost some here, too.
        seen = () if setup.may_lose else seen_by_setup.get(setup.name, ())
        if sampling_ratio(setup) < 1.0 or not seen:
            # A few sampled requests may not show every kind of request.
            both = (*seen, *_of_relatives(plan, setup, seen_by_setup))
            seen = tuple({str(shape): shape for shape in both}.values())
        seen = _with_all_arrivals(plan, setup, seen, seen_by_setup)
        shapes[setup.name] = (declared,) if declared else seen
        if sampling_ratio(setup) == 1.0 and setup.name in accounts:
            footprints[setup.name] = _footprint(plan, setup, accounts[setup.name], *requests[setup.name])
        traces = footprints[setup.name].traces if setup.name in footprints else 1
        if not declared and len(seen) > len(plan.app.request) * (traces or 1):
            varies.append(setup.name)
    return Learned(shapes=shapes, start_shapes=starts, varies=tuple(varies), footprints=footprints)


def _footprint(plan: Plan, setup: Setup, account: Account, requests: int, discarded: int) -> Footprint:
    """What a request of a setup that samples every request left; log records are those of all requests."""
    every = requests + discarded
    logs = {logger: count // every for logger, count in account.logs.items() if not count % every}
    if not is_partly_instrumented(setup):
        return Footprint(traces=1, logs=logs)
    # Trace context may not be propagated between processes. With several kinds of request it is
    # unknown how many traces and spans each kind leaves.
    traces, spans = account.whole + account.damaged, sum(account.spans.values())
    if len(plan.app.request) > 1 or traces % requests or spans % requests:
        return Footprint(logs=logs)
    return Footprint(traces=traces // requests, spans=spans // requests, logs=logs)


def _with_all_arrivals(
    plan: Plan, setup: Setup, seen: tuple[Shape, ...], seen_by_setup: Mapping[str, tuple[Shape, ...]]
) -> tuple[Shape, ...]:
    """The shapes of a setup, or those of its reference if that shows processes or arrivals that it lacks.

    A setup that loses the spans of a whole process, such as a worker that ends before its batch is
    exported, would else teach its own loss as normal. The reference exports each span as it ends, or traces
    like `batch`.
    """
    if not seen or is_partly_instrumented(setup) or setup.has_packages:
        return seen
    others = [
        other
        for other in plan.setups
        if other.name != setup.name
        and other.spans == setup.spans
        and sampling_ratio(other) == 1.0
        and not (other.may_lose or other.has_packages or is_partly_instrumented(other))
        and seen_by_setup.get(other.name)
    ]
    others.sort(key=lambda other: (other.tracing != "simple", other.name != "batch"))
    reference = seen_by_setup[others[0].name] if others else ()
    return reference if _arrivals(reference) - _arrivals(seen) else seen


def _arrivals(shapes: Sequence[Shape]) -> set[str]:
    """The processes of traces, and where they receive requests or messages."""
    keys = [key.split("\t") for shape in shapes for key in shape]
    return {key[0] for key in keys} | {
        "\t".join(key[:2]) for key in keys if len(key) > 1 and key[1] in {"server", "consumer"}
    }


def _of_relatives(plan: Plan, setup: Setup, seen: Mapping[str, tuple[Shape, ...]]) -> tuple[Shape, ...]:
    """Shapes seen in a setup that traces the same way and samples everything."""
    for other in plan.setups:
        is_whole = sampling_ratio(other) == 1.0 and not other.may_lose and not is_partly_instrumented(other)
        if other.spans == setup.spans and is_whole and seen.get(other.name):
            return seen[other.name]
    return ()


def _warmed(plan: Plan, instance: Instance) -> list[list[int]]:
    """What the first requests of an instance were answered with."""
    return ask(plan, instance, DISCARDED_REQUESTS, LEARN_LIMIT_S / 3)


def ask(plan: Plan, instance: Instance, count: int, limit_s: float = math.inf) -> list[list[int]]:
    """Send `count` requests of every kind in turn; returns the sizes of their answers, by kind.

    Args:
        plan: of the run.
        instance: that is asked.
        count: requests of every kind, if the time is long enough.
        limit_s: no round of requests begins later; one of every kind is always sent.

    Raises:
        MeasurementError: an answer is not the expected one.
    """
    sizes: list[list[int]] = [[] for _ in plan.app.request]
    deadline = time.monotonic() + limit_s
    with httpx.Client(timeout=plan.timeout_s, trust_env=False) as client:
        for number in range(count):
            if number and time.monotonic() > deadline:
                break
            for of_kind, request in zip(sizes, plan.app.request, strict=True):
                of_kind.append(_send(client, instance, request))
    return sizes


def _send(client: httpx.Client, instance: Instance, request: Request) -> int:
    """The size of an answer's content."""
    name = f"{request.label} of {instance.setup.name}"
    try:
        answer = client.request(
            request.method,
            instance.url + request.path,
            content=request.content or None,
            headers=request.all_headers,
        )
    except httpx.HTTPError as error:
        instance.check()
        raise ServiceError(
            f"{name} was not answered: {str(error) or type(error).__name__}",
            "send it by hand and look at the process's output",
        ) from None
    if answer.status_code not in request.statuses:
        expected = " or ".join(map(str, sorted(request.statuses)))
        body = " ".join(MARKUP.sub(" ", answer.text).split())[:ANSWER_CHARACTERS] or "(an empty body)"
        advice = ADVICE.get(answer.status_code, "correct the request in the app file, or its `expect`")
        raise MeasurementError(f"{name} was answered {answer.status_code}, not {expected}: {body}", advice)
    return len(answer.content)


def _check(plan: Plan, instance: Instance, account: Account) -> None:
    setup = instance.setup
    spans = sum(account.spans.values())
    _check_plain(setup, account)
    if not spans and sampling_ratio(setup) == 1.0 and not is_partly_instrumented(setup):
        raise MeasurementError(
            f"{setup.name} should trace every request but sent no spans", _why_no_span(plan, instance)
        )
    declared = declared_spans(plan.app, setup)
    if declared and not setup.may_lose and account.damaged + account.whole and not _fits(declared, account):
        raise MeasurementError(
            f"a trace of {setup.name} has the spans {_shown(account.shapes)}, and the app file says "
            f"{_shown([declared])}",
            "correct `spans` in the app file's [tracing] table, or leave it out",
        )


def _check_plain(setup: Setup, account: Account) -> None:
    spans = sum(account.spans.values())
    if spans and setup.tracing == "none":
        raise MeasurementError(
            f"{setup.name} should not be traced but sent {spans} spans",
            "the application traces itself: leave out `launcher`, and switch its tracing off with "
            '`env = { OTEL_SDK_DISABLED = "true" }` of its process and on with '
            '`env = { OTEL_SDK_DISABLED = "false" }` in [tracing]',
        )


def _why_no_span(plan: Plan, instance: Instance) -> str:
    """What to look at: an address that is not the receiver's, or the exporter's error message."""
    app, setup = plan.app, instance.setup
    places = [app.tracing.env, setup.env, *(process.env for process in app.process)]
    for variable in (name for env in places for name in env if ENDPOINT.fullmatch(name)):
        return f"{variable} in its variables sends the spans elsewhere: leave it out"
    if isinstance(instance, LocalInstance):
        for process in plan.app.process:
            for line in instance.log_of(process.name).splitlines():
                if "export" in line.lower() and "rror" in line:
                    said = f"{process.name} says: {line.strip()[:ANSWER_CHARACTERS]}"
                    return f"{said} - {OVER_GRPC}" if "StatusCode" in line else said
    if "--require" in app.tracing.env.get("NODE_OPTIONS", ""):
        return (
            "nothing traced it: `--require` hooks no ES modules; if it is made of them, add "
            f"`{ESM_LOADER}` to NODE_OPTIONS"
        )
    return (
        "nothing traced it: install the instrumentation of its framework and version into its "
        "environment, such as opentelemetry-instrumentation-flask (`opentelemetry-bootstrap -a install` "
        "gets all that fit; without pip, `opentelemetry-bootstrap -a requirements | uv pip install -r "
        "-`), then check `launcher` and `env` in the app file's [tracing] table"
    )


def _fits(declared: Shape, account: Account) -> bool:
    return all(_by_process(shape) == declared for shape in account.shapes)


def _by_process(shape: Shape) -> Shape:
    counts: Shape = {}
    for key, count in shape.items():
        process = key.partition("\t")[0]
        counts[process] = counts.get(process, 0) + count
    return counts


def _shown(shapes: Sequence[Shape]) -> str:
    def words() -> Iterator[str]:
        for shape in shapes:
            yield ", ".join(f"{count} of {name}" for name, count in _by_process(shape).items())

    return " or ".join(dict.fromkeys(words())) or "none in one tree"


def _learned_apart(
    testbed: Testbed, plan: Plan, learned: Learned, accounts: Mapping[str, Account]
) -> dict[str, Account]:
    """Accounts of setups that sample a part, where no other setup of the run shows their shapes."""
    seen = {name: account.shapes for name, account in accounts.items()}
    apart = {}
    for setup in plan.setups:
        if not 0.0 < sampling_ratio(setup) < 1.0 or plan.targets:
            continue
        if declared_spans(plan.app, setup) or _of_relatives(plan, setup, seen):
            continue
        env = {name: value for name, value in setup.env.items() if name != "OTEL_TRACES_SAMPLER_ARG"}
        env["OTEL_TRACES_SAMPLER"] = "parentbased_always_on"
        learner = msgspec.structs.replace(setup, env=env)
        ports = free_ports(len(plan.app.process))
        instance = testbed.start_instance(testbed.launch(plan, learner, 0, ports, LEARNER))
        testbed.instances.append(instance)
        try:
            learned = _with_starts(testbed, plan, learned)
            _warmed(plan, instance)
            since_ns = {setup.name: time.time_ns()}
            ask(plan, instance, LEARN_REQUESTS, LEARN_LIMIT_S)
            testbed.settle(plan)
        finally:
            testbed.instances.remove(instance)
            instance.stop()
        account = testbed.accounts(learned, 0, learn=True, since_ns=since_ns).get(setup.name, Account())
        _check(plan, instance, account)
        apart[setup.name] = account
        seen[setup.name] = account.shapes
    return apart
