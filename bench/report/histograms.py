"""Latency distributions as HdrHistogram percentile logs (`.hgrm`), which other tools can plot.

They hold what the report's percentiles rest on: latency in active time from the planned send, of the
requests planned in blocks that count; a failed request has the timeout. Values are milliseconds.
"""

import io

import numpy as np
from hdrh.histogram import HdrHistogram

from bench.analysis.blocks import measured_phases
from bench.plan.readings import Raw
from bench.plan.records import Kind
from bench.plan.schedule import is_overloaded

FOLDER = "hgrm"
LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_FIGURES = 3
TICKS_PER_HALF = 5


def render(raw: Raw) -> dict[str, bytes]:
    """The logs by file name; an overloaded setup has none: its latency is unbounded."""
    parts = measured_phases(raw, Kind.LIGHT)
    files = {}
    for number, name in enumerate(raw.plan.names):
        if parts and not is_overloaded(raw.plan, raw.learned, name):
            latencies_s = np.concatenate([part.latencies_s(number) for part in parts])
            if len(latencies_s):
                files[f"{name}.hgrm"] = _log(np.minimum(latencies_s, raw.plan.timeout_s))
    return files


def _log(latencies_s: np.ndarray) -> bytes:
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)
    for latency_s in latencies_s:
        histogram.record_value(max(round(float(latency_s) * 1e6), LOWEST_US))
    text = io.BytesIO()
    histogram.output_percentile_distribution(text, 1000.0, TICKS_PER_HALF)
    return text.getvalue()
