"""The tracing set-ups: a literal table, the lists made of it, and the user's own from TOML.

Rule 1: a set-up is data: a name, a sentence, an environment. OpenTelemetry is configured
by its own variables; `BENCH_TRACING` and `BENCH_SPANS` exist because it has none for these.
Rule 2: what can be known of a set-up beforehand (how many checkouts it samples, which spans
a checkout makes) is read from its environment here, and the ledger holds it to that.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence

from bench.errors import UsageError
from bench.model import BASELINE, CONTROL, SERVICES, TWIN, Setup

CONTROL_CPU_US = 600
"""CPU that the positive control burns per checkout: small against the effects that people
decide on, and a good multiple of the noise floor."""

_BATCH = {"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "parentbased_always_on"}
_SIMPLE = {"BENCH_TRACING": "simple", "OTEL_TRACES_SAMPLER": "parentbased_always_on"}
_LEAN = {"BENCH_SPANS": "lean"}
_UNPROPAGATED = {"OTEL_PROPAGATORS": "baggage"}
"""No trace context: with `none` OpenTelemetry 1.45.1 extracts no context at all (None), and every
request fails."""
_GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


def _ratio(name: str, description: str, argument: str) -> Setup:
    return Setup(
        name=name,
        description=description,
        env={
            "BENCH_TRACING": "batch",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": argument,
        },
    )


TABLE = (
    Setup(name=BASELINE, description="No tracing: OpenTelemetry is not even imported (the baseline)."),
    Setup(name=TWIN, description="The baseline once more (the twin): its difference is the noise floor."),
    Setup(
        name=CONTROL,
        description=f"The baseline plus {CONTROL_CPU_US} us of CPU per checkout: a cost that must be found.",
        env={"BENCH_CONTROL_CPU_US": str(CONTROL_CPU_US)},
    ),
    Setup(
        name="api-only",
        description="Instrumented, but no SDK: what a library pays where nobody traces.",
        env={"BENCH_TRACING": "api"},
    ),
    Setup(
        name="always-off",
        description="SDK and batch processor, nothing sampled.",
        env={"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
    ),
    _ratio("ratio-1", "One checkout in a hundred sampled, batch processor.", "0.01"),
    _ratio("ratio-10", "One checkout in ten sampled, batch processor.", "0.1"),
    _ratio("ratio-50", "Every second checkout sampled, batch processor.", "0.5"),
    Setup(
        name="batch",
        description="Everything sampled, batch processor, OTLP over http.",
        env=_BATCH,
    ),
    Setup(
        name="batch-lean",
        description="As batch, without the ASGI receive and send spans.",
        env={**_BATCH, **_LEAN},
    ),
    Setup(name="batch-grpc", description="As batch, OTLP over grpc.", env={**_BATCH, **_GRPC}),
    Setup(
        name="batch-gzip",
        description="As batch, bodies compressed with gzip.",
        env={**_BATCH, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
    ),
    Setup(
        name="batch-manual",
        description="As batch, but seven spans written by hand instead of instrumentation.",
        env={**_BATCH, "BENCH_SPANS": "manual"},
    ),
    Setup(
        name="batch-native",
        description="As batch, server spans from Starlette's own middleware.",
        env={**_BATCH, "BENCH_SPANS": "native"},
    ),
    Setup(
        name="simple",
        description="Everything sampled, simple processor: every span is exported as it ends, over http.",
        env=_SIMPLE,
    ),
    Setup(name="simple-grpc", description="As simple, OTLP over grpc.", env={**_SIMPLE, **_GRPC}),
    Setup(
        name="batch-metrics",
        description="As batch, and the metrics of the instrumentations.",
        env={**_BATCH, "OTEL_METRICS_EXPORTER": "otlp"},
    ),
    Setup(
        name="layer-api",
        description="Instrumented (without receive and send spans), no SDK, no trace context propagated.",
        env={"BENCH_TRACING": "api", **_LEAN, **_UNPROPAGATED},
    ),
    Setup(
        name="layer-off",
        description="The SDK behind it, nothing sampled, no trace context propagated.",
        env={"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "always_off", **_LEAN, **_UNPROPAGATED},
    ),
    Setup(
        name="layer-propagate",
        description="The trace context propagated: every parent is there, and not sampled.",
        env={"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "parentbased_always_off", **_LEAN},
    ),
    Setup(
        name="layer-record",
        description="Everything recorded, no span processor.",
        env={**_BATCH, **_LEAN, "OTEL_TRACES_EXPORTER": "none"},
    ),
    Setup(
        name="layer-discard",
        description="Batch processor, the exporter throws the spans away.",
        env={**_BATCH, **_LEAN, "OTEL_TRACES_EXPORTER": "discard"},
    ),
    Setup(
        name="layer-encode",
        description="Batch processor, the exporter encodes the spans and throws the bytes away.",
        env={**_BATCH, **_LEAN, "OTEL_TRACES_EXPORTER": "encode"},
    ),
    _ratio("dapper-1", "Every checkout sampled.", "1.0"),
    _ratio("dapper-2", "One checkout in 2 sampled.", "0.5"),
    _ratio("dapper-4", "One checkout in 4 sampled.", "0.25"),
    _ratio("dapper-8", "One checkout in 8 sampled.", "0.125"),
    _ratio("dapper-16", "One checkout in 16 sampled.", "0.0625"),
    _ratio("dapper-1024", "One checkout in 1,024 sampled.", "0.0009765625"),
)

BY_NAME = {setup.name: setup for setup in TABLE}

DEFAULT = (BASELINE, TWIN, CONTROL, "api-only", "always-off", "ratio-10", "batch", "batch-lean", "simple")
QUICK = (BASELINE, TWIN, CONTROL, "always-off", "ratio-10", "batch", "simple")
PRESETS = {
    "default": DEFAULT,
    "quick": QUICK,
    # A ladder of which each rung adds a layer of tracing, and three rungs beside it.
    "layers": (
        BASELINE, TWIN, CONTROL,
        "layer-api", "layer-off", "layer-propagate", "layer-record", "layer-discard", "layer-encode",
        "batch-lean", "batch", "batch-metrics", "simple", "batch-grpc", "batch-gzip",
    ),
    # The sampling ratios of Dapper's table 2 (Sigelman and others, 2010).
    "dapper": (
        BASELINE, TWIN, CONTROL,
        "dapper-1", "dapper-2", "dapper-4", "dapper-8", "dapper-16", "dapper-1024",
    ),
}  # fmt: skip

SHAPES: dict[str, dict[str, int]] = {
    # A server span, one ASGI receive and two ASGI sends each; a client span per call;
    # in the inventory an UPDATE per item (two) and an INSERT.
    "auto": {"frontend-app": 5, "order-service": 6, "payment-service": 4, "inventory-service": 7},
    "lean": {"frontend-app": 2, "order-service": 3, "payment-service": 1, "inventory-service": 4},
    "native": {"frontend-app": 2, "order-service": 3, "payment-service": 1, "inventory-service": 4},
    "manual": {"frontend-app": 2, "order-service": 3, "payment-service": 1, "inventory-service": 1},
}
"""Spans of one sampled checkout of two items, by span mode and service, counted by hand;
a test counts them again in real processes."""


def sampling_ratio(setup: Setup) -> float:
    """The share of checkouts whose trace must arrive."""
    env = setup.env
    if env.get("BENCH_TRACING", "none") in {"none", "api"}:
        return 0.0
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return 0.0
    if env.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return 0.0
    sampler = env.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
    match sampler.removeprefix("parentbased_"):
        case "always_off":
            return 0.0
        case "traceidratio":
            return float(env.get("OTEL_TRACES_SAMPLER_ARG", "1.0"))
        case _:
            # Also for a name that it does not know the SDK samples everything, with a warning.
            return 1.0


def discards(setup: Setup) -> bool:
    """Whether its spans go to an exporter to nowhere, which counts them itself."""
    env = setup.env
    return (
        env.get("BENCH_TRACING", "none") in {"simple", "batch"}
        and env.get("OTEL_TRACES_EXPORTER", "otlp") in {"discard", "encode"}
        and sampling_ratio(Setup(name="", description="", env={**env, "OTEL_TRACES_EXPORTER": "otlp"})) == 1.0
    )


def measures(setup: Setup) -> bool:
    """Whether it exports the metrics of its instrumentations."""
    env = setup.env
    return (
        env.get("BENCH_TRACING", "none") in {"simple", "batch"}
        and env.get("OTEL_METRICS_EXPORTER", "none") == "otlp"
    )


def protocol(setup: Setup) -> str:
    """The OTLP protocol that its services export over."""
    common = setup.env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return setup.env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)


def shape(setup: Setup) -> dict[str, int]:
    """Spans of one sampled checkout by service."""
    if setup.spans_per_checkout is not None:
        return setup.spans_per_checkout
    return SHAPES[setup.env.get("BENCH_SPANS", "auto")]


def choose(names: Sequence[str], own: Sequence[Setup] = ()) -> tuple[Setup, ...]:
    """The set-ups of these names and the user's own, the baseline first and always there.

    Raises:
        UsageError: a name that does not exist.
    """
    known = BY_NAME | {setup.name: setup for setup in own}
    wanted = dict.fromkeys([BASELINE, *names, *(setup.name for setup in own)])
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"there is no set-up named {name!r}", "`python -m bench setups` lists those that exist"
            )
    return tuple(known[name] for name in wanted)


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_CHOICES = {
    "OTEL_TRACES_SAMPLER": (*_SAMPLERS, *(f"parentbased_{name}" for name in _SAMPLERS)),
    "BENCH_TRACING": ("none", "api", "simple", "batch"),
    "BENCH_SPANS": tuple(SHAPES),
}


def parse_toml(text: str, source: str) -> tuple[Setup, ...]:
    """The set-ups of a user's file.

    Args:
        text: what the file holds.
        source: its name, for messages.

    Raises:
        UsageError: with the line and the key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not TOML: {error}", "see the example in the README") from None
    unknown = next((key for key in document if key != "setup"), None)
    if unknown is not None:
        raise _bad(text, source, None, unknown, "is not known; a file holds only [[setup]] tables")
    tables = document.get("setup", [])
    if not isinstance(tables, list) or not tables:
        raise UsageError(f"{source} holds no [[setup]] table", "see the example in the README")
    setups: list[Setup] = []
    for number, table in enumerate(tables):
        setup = _parse_table(text, source, number, table)
        if setup.name in BY_NAME or any(setup.name == other.name for other in setups):
            raise _bad(text, source, number, "name", f"{setup.name!r} is taken; choose another")
        setups.append(setup)
    return tuple(setups)


def _parse_table(text: str, source: str, number: int, table: Mapping[str, object]) -> Setup:
    for key in table:
        if key not in {"name", "description", "env", "spans_per_checkout"}:
            raise _bad(text, source, number, key, "is not known (name, description, env, spans_per_checkout)")
    name, description = table.get("name"), table.get("description", "")
    env, spans = table.get("env", {}), table.get("spans_per_checkout")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _bad(text, source, number, "name", "has to be a word of a-z, 0-9, '.', '_' and '-'")
    if not isinstance(description, str):
        raise _bad(text, source, number, "description", "has to be a sentence in quotes")
    if not isinstance(env, dict):
        raise _bad(
            text, source, number, "env", 'has to be a table such as { OTEL_BSP_SCHEDULE_DELAY = "1000" }'
        )
    for variable, value in env.items():
        _check_variable(text, source, number, variable, value)
    _check_ratio(text, source, number, env)
    if spans is not None and not _is_counts(spans):
        raise _bad(
            text, source, number, "spans_per_checkout",
            f"has to be a table of counts for {', '.join(SERVICES)}",
        )  # fmt: skip
    return Setup(name=name, description=description, env=env, spans_per_checkout=spans)  # type: ignore[arg-type]


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        service in SERVICES and isinstance(count, int) and count > 0 for service, count in value.items()
    )


def _check_variable(text: str, source: str, number: int, variable: str, value: object) -> None:
    if not isinstance(value, str):
        raise _bad(
            text, source, number, variable, "has to be a string in quotes, as environments hold strings"
        )
    if not _VARIABLE.fullmatch(variable) or "\0" in value:
        raise _bad(text, source, number, variable, "is not a possible environment variable")
    choices = _CHOICES.get(variable)
    if choices and value.strip().lower() not in choices:
        raise _bad(text, source, number, variable, f"is {value!r}; it has to be one of {', '.join(choices)}")


def _check_ratio(text: str, source: str, number: int, env: Mapping[str, str]) -> None:
    argument = env.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
    if not env.get("OTEL_TRACES_SAMPLER", "").strip().lower().endswith("traceidratio"):
        return
    try:
        valid = 0.0 <= float(argument) <= 1.0
    except ValueError:
        valid = False
    if not valid:
        raise _bad(
            text, source, number, "OTEL_TRACES_SAMPLER_ARG", f"is {argument!r}; it has to be between 0 and 1"
        )


def _bad(text: str, source: str, number: int | None, key: str, what: str) -> UsageError:
    """The error for a key of the `number`th table, with the line where it stands."""
    line = _line_of(text, number, key)
    return UsageError(f"{source}, line {line}: `{key}` {what}", "see the example in the README")


def _line_of(text: str, number: int | None, key: str) -> int:
    """The line of a key in the `number`th [[setup]] table; of the table's head where it is missing.

    tomllib keeps no positions; a key is found again by its text.
    """
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*setup\s*\]\]", line)]
    if number is None or number >= len(heads):
        first, last = 1, len(lines)
    else:
        first = heads[number]
        last = heads[number + 1] - 1 if number + 1 < len(heads) else len(lines)
    pattern = re.compile(
        rf"(^|[\s{{,.\"'])[\"']?{re.escape(key)}[\"']?\s*=|^\s*\[+[^\]]*\b{re.escape(key)}\s*\]"
    )
    for at in range(first, last + 1):
        if pattern.search(lines[at - 1]):
            return at
    return first
