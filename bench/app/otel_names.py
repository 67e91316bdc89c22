"""Names of OTEL_* variables; OpenTelemetry's packages declare the ones that they read."""

import difflib
from functools import cache
from importlib.metadata import entry_points

GROUP = "opentelemetry_environment_variables"
"""The entry points under which packages name the modules that hold their variables."""
OTHERS = (
    *(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{side}" for side in ("REQUEST", "RESPONSE")),
    *(f"OTEL_NODE_{what}" for what in ("DISABLED_INSTRUMENTATIONS", "ENABLED_INSTRUMENTATIONS")),
    "OTEL_NODE_RESOURCE_DETECTORS",
    "OTEL_PYTHON_LOGGER_PROVIDER",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
)
"""Variables of instrumentations and of Node.js that no package here declares."""
ENDINGS = ("_EXCLUDED_URLS", "_CREDENTIAL_PROVIDER", "_RETRYABLE_ERROR_CODES")
"""Endings of variables that each framework or exporter has under its own name."""


@cache
def _known() -> frozenset[str]:
    modules = [vars(point.load()) for point in entry_points(group=GROUP)]
    return frozenset(OTHERS).union(*modules)


def is_known(variable: str) -> bool:
    """True if OpenTelemetry reads it."""
    return variable in _known() or variable.endswith(ENDINGS)


def nearest(variable: str) -> str | None:
    """The known name that is most like it; None where none is."""
    return next(iter(difflib.get_close_matches(variable, _known(), 1)), None)
