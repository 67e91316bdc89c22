"""One checkout's journey, with real services, exporters and receiver."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def trace(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "trace", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ("ok", "the client saw 201."),
        ("declined", "payment-service said no to order-service (402); the client saw 402."),
        ("out-of-stock", "inventory-service said no to order-service (409); the client saw 409."),
        ("payment-timeout", "for payment-service, which timed out; the client saw 504."),
        ("slow-payment", "order-service waited 1.5 s for payment-service"),
    ],
)
def test_a_scenario_ends_in_its_diagnosis(scenario: str, sentence: str) -> None:
    # Where the lines end depends on how long it took.
    assert sentence in " ".join(trace("--scenario", scenario).split())


@pytest.mark.parametrize("mode", ["auto", "lean", "manual", "native"])
def test_every_kind_of_spans_makes_one_tree_with_all_services(mode: str) -> None:
    found = json.loads(trace("--spans", mode, "--format", "json"))
    spans = [
        span
        for resource in found["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert len({span["traceId"] for span in spans}) == 1
    assert sum("parentSpanId" not in span for span in spans) == 1
    names = {
        resource["resource"]["attributes"][0]["value"]["stringValue"] for resource in found["resourceSpans"]
    }
    assert names == {"frontend-app", "order-service", "payment-service", "inventory-service"}


def test_without_propagation_nothing_ties_the_traces_together(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert "4 traces and nothing that ties them together" in trace(
        "--without-propagation", "--html", str(page)
    )
    assert "<svg" in page.read_text("utf-8")


def test_the_simple_processor_is_found_in_the_time_in_which_no_span_ran() -> None:
    said = " ".join(trace("--processor", "simple").split())
    assert "no span ran: the simple processor exports each one as it ends" in said
    assert "no span ran" not in trace()
