"""The smallest application of two kinds: a request logs a line, counts itself, and answers.

What is tried is the server below it: whose spans, metrics and log lines arrive when it is stopped?
`ready` is asked until it answers, and is not traced (OTEL_PYTHON_EXCLUDED_URLS).
"""

import logging

from opentelemetry import metrics

log = logging.getLogger("shutdown")
log.setLevel(logging.INFO)
requests = metrics.get_meter("shutdown").create_counter("shutdown.requests")


def handle() -> bytes:
    """One request: a span around it by the instrumentation, a log line, a count."""
    log.info("a request")
    requests.add(1)
    return b"ok"
