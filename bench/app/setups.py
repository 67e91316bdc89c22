"""The table of setups for any application, and what follows from a setup's variables."""

import difflib
from collections.abc import Sequence

from bench.app.records import AA, BASELINE, INJECTED, App, Environ, Mode, Setup
from bench.errors import UsageError

EVERYTHING = "batch"
INJECTED_CPU_US = 600
"""CPU that the injected cost burns per request: small against the effects that people decide on, and a
good multiple of the noise floor."""
ONE_IN = (1, 2, 4, 8, 16, 1024)
"""One request in N is sampled, with the N of table 2 of the Dapper paper (Sigelman and others, 2010)."""


ALL = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}
DISABLED_INSTRUMENTATIONS = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
_METRICS = {"OTEL_METRICS_EXPORTER": "otlp"}
_LOGS = {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"}
TAIL_SAMPLING = 0.1
"""Share of the traces that a collector keeps in the setup that samples there."""


def _setup(  # noqa: PLR0913, PLR0917 - a row of the table
    name: str,
    env: Environ,
    description: str,
    tracing: Mode = "batch",
    against: str = "",
    collector_sampling: float = 1.0,
) -> Setup:
    return Setup(
        name=name,
        description=description,
        tracing=tracing,
        env=env,
        against=against,
        collector_sampling=collector_sampling,
    )


def _one_in(share: str) -> Environ:
    return {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": share}


TABLE = (
    _setup(BASELINE, {}, "No tracing (the baseline).", "none"),
    _setup(AA, {}, "The baseline once more (the A/A setup): its difference is the noise floor.", "none"),
    _setup(INJECTED, {}, f"The baseline plus {INJECTED_CPU_US} µs of CPU per request: each run must find it.",
           "none"),
    _setup("api-only", {}, "Instrumented, but no SDK: what a library pays without tracing.", "api"),
    _setup("disabled", {"OTEL_SDK_DISABLED": "true"},
           "Everything in place, switched off by OTEL_SDK_DISABLED."),
    _setup("always-off", {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
           "SDK and batch processor, nothing sampled."),
    _setup("ratio-1", _one_in("0.01"), "One request in a hundred sampled, batch processor."),
    _setup("ratio-10", _one_in("0.1"), "One request in ten sampled, batch processor."),
    _setup("ratio-50", _one_in("0.5"), "Every second request sampled, batch processor."),
    _setup("batch", ALL, "Everything sampled, batch processor, OTLP over http."),
    _setup("batch-grpc", ALL | _GRPC, "As batch, OTLP over grpc."),
    _setup("batch-gzip", ALL | {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
           "As batch, bodies compressed with gzip."),
    _setup("simple", ALL, "Everything sampled, simple processor: every span is exported as it ends.",
           "simple"),
    _setup("simple-grpc", ALL | _GRPC, "As simple, OTLP over grpc.", "simple"),
    _setup("batch-metrics", ALL | _METRICS, "As batch, and the metrics of the instrumentations.",
           against=EVERYTHING),
    _setup("batch-logs", ALL | _LOGS, "As batch, and the application's log records.", against=EVERYTHING),
    _setup("all-signals", ALL | _METRICS | _LOGS, "Traces, metrics and log records.", against=EVERYTHING),
    _setup("tail-10", ALL, "As batch; a Collector on the way keeps one trace in ten (tail sampling).",
           against=EVERYTHING, collector_sampling=TAIL_SAMPLING),
    *(_setup(f"ratio-1-in-{n}", _one_in(f"{1 / n}"), f"One request in {n:,} sampled.")
      for n in ONE_IN),
)  # fmt: skip
ALWAYS = (BASELINE, AA, INJECTED)
"""What every run has: a baseline, a noise floor, and a cost that must be recovered."""
QUICK = (*ALWAYS, "disabled", "always-off", "ratio-10", "batch", "simple")
DEFAULT = QUICK


def choose(app: App, names: Sequence[str], own: Sequence[Setup] = ()) -> tuple[Setup, ...]:
    """The setups of these names, the baseline first and always there.

    Raises:
        UsageError: there is no such setup, or the application cannot run it.
    """
    known = {setup.name: setup for setup in (*TABLE, *app.setup, *own)}
    chosen = []
    for name in dict.fromkeys([BASELINE, *names]):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise UsageError(
                f"there is no setup named {name!r}",
                (f"use {close[0]}; " if close else "")
                + "`tracing-overhead setups` lists them; name an app file to see its own",
            )
        setup = known[name]
        if setup.tracing not in app.modes:
            raise UsageError(
                f"{app.name} cannot run the setup {name}: it has no `tracing = {setup.tracing!r}`",
                "use {tracing} in the `[tracing]` table or in a command of its app file, if it can",
            )
        chosen.append(setup)
    return tuple(chosen)


def default_names(app: App, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the default setups that the application can run."""
    known = {setup.name: setup for setup in TABLE}
    return tuple(name for name in names if known[name].tracing in app.modes)


def sampling_ratio(setup: Setup) -> float:
    """The share of requests whose trace must arrive at the receiver."""
    exports = setup.env.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    return _sampled(setup) * setup.collector_sampling if exports else 0.0


def everything(setups: Sequence[Setup]) -> Setup | None:
    """The setup that alternatives are compared with; None without one.

    It is `batch`, or else the first one that exports every span in batches.
    """
    full = [setup for setup in setups if setup.tracing == "batch" and sampling_ratio(setup) == 1]
    return next((setup for setup in full if setup.name == EVERYTHING), full[0] if full else None)


def _sampled(setup: Setup) -> float:
    """The share of requests that are sampled, wherever their spans go."""
    env = setup.env
    if setup.tracing in {"none", "api"} or is_disabled(setup):
        return 0.0
    sampler = env.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
    match sampler.removeprefix("parentbased_"):
        case "always_off":
            return 0.0
        case "traceidratio":
            return float(env.get("OTEL_TRACES_SAMPLER_ARG", "1.0"))
        case _:
            # The SDK samples everything for a name that it does not know, too, with a warning.
            return 1.0


def is_disabled(setup: Setup) -> bool:
    """True if the SDK is switched off by its variable."""
    return setup.env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def discards(setup: Setup) -> bool:
    """True if every span goes to an exporter to nowhere, which counts spans itself."""
    return setup.env.get("OTEL_TRACES_EXPORTER", "otlp") in {"discard", "encode"} and _sampled(setup) == 1.0


def exports_metrics(setup: Setup) -> bool:
    """True if the setup exports the metrics of its instrumentations."""
    return setup.tracing in {"simple", "batch"} and setup.env.get("OTEL_METRICS_EXPORTER", "none") == "otlp"


def exports_logs(setup: Setup) -> bool:
    """True if the setup exports the application's log records."""
    return setup.tracing in {"simple", "batch"} and setup.env.get("OTEL_LOGS_EXPORTER", "none") == "otlp"


def is_partly_instrumented(setup: Setup) -> bool:
    """True if the setup disables instrumentations; its spans per request then have to be learned."""
    return DISABLED_INSTRUMENTATIONS in setup.env


def protocol(setup: Setup) -> str:
    """The OTLP protocol that spans are exported over."""
    common = setup.env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return setup.env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)


def declared_spans(app: App, setup: Setup) -> dict[str, int] | None:
    """Spans of one sampled request by process, as the app file says; None where it does not."""
    if is_partly_instrumented(setup):
        return None
    spans = app.tracing.spans
    by_word = spans.get(setup.spans) if setup.spans else None
    if isinstance(by_word, dict):
        return by_word
    counts = {process: count for process, count in spans.items() if isinstance(count, int)}
    if counts:
        return counts
    # A setup without a `spans` word uses the first entry of the file.
    first = next((count for count in spans.values() if isinstance(count, dict)), None)
    return first if not setup.spans else None
