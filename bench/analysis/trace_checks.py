"""Validity checks of what was traced: spans that are accounted for, instrumentations that loaded."""

from collections.abc import Iterator

from bench.analysis.accounting import DAMAGES, Accounting
from bench.analysis.checks import invalid
from bench.analysis.claims import Caveat
from bench.app.records import Setup
from bench.app.setups import EVERYTHING, is_partly_instrumented, sampling_ratio
from bench.plan.readings import InstanceReading, Raw
from bench.plan.records import Kind
from bench.plan.schedule import LEARN_REQUESTS


def accounting(setup: Setup, account: Accounting) -> Iterator[Caveat]:
    """Whether every span is accounted for, and a loss of all of them would be seen."""
    name = setup.name
    if account.problems and setup.may_lose and account.lost and not account.duplicated:
        yield Caveat(
            code="loss",
            message=f"{name} lost {account.lost:,} of {account.spans_expected or 0:,} spans",
            advice="that is a result; its CPU excludes the spans that were dropped",
            setup=name,
        )
    elif account.problems:
        yield invalid(
            "accounting",
            f"the span accounting of {name} is incomplete: {account.problems[0]}",
            _advice(account),
            "its span accounting is incomplete",
            name,
        )
    elif account.complete is None:
        yield Caveat(
            code="varies",
            message=f"traces of {name} differ from request to request: {account.spans_received} spans "
            "were received, and the expected number is unknown",
            advice="send requests that do the same work each time",
            setup=name,
        )
    if account.traces.joined and not account.problems:
        yield Caveat(
            code="joined",
            message=f"{account.traces.joined:,} of {account.traces.received:,} traces of {name} hold several "
            "requests, one after another",
            advice="the context outlives its request, as that of a connection does; costs are right, read "
            "such traces with care",
            setup=name,
        )
    if account.background and not account.problems:
        yield Caveat(
            code="background",
            message=f"{account.traces.background:,} of {account.traces.received:,} traces of {name} were "
            f"begun by no request ({account.background:,} spans)",
            advice="background work is traced, too; its spans are in no figure for a request",
            setup=name,
        )
    if account.traces.expected_high > 0 == account.traces.expected_low:
        yield Caveat(
            code="accounting-blind",
            message=f"of {account.requests} requests {name} may sample none, "
            "so a loss of all its traces would not be seen",
            advice="measure for longer, or with a larger ratio",
            setup=name,
        )


ACCOUNTING_ADVICE = {
    "lost": "the CPU of lost spans is missing from its figure: look for a full queue or a failing exporter "
    "in the logs of its processes",
    "mixed": "context leaks between concurrent requests; these traces cannot be trusted",
    "split": "context is lost inside a request: look for a client, thread or task that is not instrumented",
    "orphaned": "a span names a parent that was never exported: look for a process that exports elsewhere",
    "duplicated": "an exporter sends again what has arrived: look for timeouts in the logs of its processes",
    "excess": "it samples or creates more than its configuration says: look at its sampler, and for work "
    "after the answer",
    "": "its figure is not that of the setup: find the cause before you use it",
}
"""What to do about an incomplete account, the gravest first."""


def _advice(account: Accounting) -> str:
    counts: dict[str, int] = {word: getattr(account.traces, word) for word in DAMAGES}
    counts |= {word: getattr(account, word) for word in ("lost", "duplicated", "excess")}
    advice = next(advice for word, advice in ACCOUNTING_ADVICE.items() if counts.get(word) or not word)
    if account.lost and account.failures:
        line, count = next(iter(account.failures.items()))
        return f'{advice}. It says, {count:,} times in all: "{line}"'
    return advice


def learned(raw: Raw) -> Iterator[Caveat]:
    """Whether traces were learned from as many requests as planned."""
    planned = LEARN_REQUESTS * len(raw.plan.app.request)
    for look in (reading.instances for reading in raw.readings if reading.kind is Kind.LEARN):
        for instance in look:
            if instance.discarded_requests and instance.completed < planned:
                yield Caveat(
                    code="learned-few",
                    message=f"the traces of {instance.setup} were learned from {instance.completed} requests "
                    f"instead of {planned}: it is slow",
                    advice="a rare kind of trace may be unknown, and count as damaged",
                    setup=instance.setup,
                )


def fewer_spans(raw: Raw) -> Iterator[Caveat]:
    """Whether setups that should trace alike have the same spans in a request, by instrumentation scope."""
    alike = {
        setup.name: setup
        for setup in raw.plan.setups
        if sampling_ratio(setup) == 1.0
        and not (setup.may_lose or setup.has_packages or is_partly_instrumented(setup))
    }
    looks = {
        instance.setup: instance
        for reading in raw.readings
        if reading.kind is Kind.LEARN
        for instance in reading.instances
        # One that sends no span at all discards them, or stops the run.
        if instance.setup in alike and instance.account and instance.account.spans and instance.completed
    }
    ranked = sorted(looks, key=lambda name: (alike[name].tracing != "simple", name != EVERYTHING))
    for name in ranked[1:]:
        reference = next((other for other in ranked if alike[other].spans == alike[name].spans), name)
        ours, theirs = (_scopes_of(looks[setup]) for setup in (name, reference))
        lacking = [
            f"{ours.get(scope, 0.0):g} instead of {count:g} of {scope}"
            for scope, count in theirs.items()
            if ours.get(scope, 0.0) < count
        ]
        if lacking:
            yield Caveat(
                code="fewer-spans",
                message=f"a request of {name} has fewer spans than one of {reference}: {', '.join(lacking)}",
                advice="look for an instrumentation that is missing there: it costs less as it does less",
                setup=name,
            )


def _scopes_of(look: InstanceReading) -> dict[str, float]:
    """Spans of a request by instrumentation scope, to a tenth."""
    scopes = look.account.scopes if look.account else {}
    return {scope: round(count / look.completed, 1) for scope, count in scopes.items()}


def not_loaded(raw: Raw) -> Iterator[Caveat]:
    """Whether every instrumentation loaded that a setup asks for."""
    looks = [reading.instances for reading in raw.readings if reading.kind is Kind.LEARN]
    lines = ((instance.setup, line) for look in looks for instance in look for line in instance.not_loaded)
    for setup, line in dict.fromkeys(lines):
        yield Caveat(
            code="not-loaded",
            message=f'an instrumentation of {setup} did not load: "{line}"',
            advice="install releases that fit each other, or uninstall it; without its spans tracing looks "
            "cheap",
            setup=setup,
        )
