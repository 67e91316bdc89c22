"""Latency distributions as HdrHistogram percentile logs (`.hgrm`), which other tools can plot.

Rule 1: latency counts from the planned send; values are milliseconds.
Rule 2: a saturated slice has no file: its queue grows for as long as one looks.
"""

import io
from collections import defaultdict

from hdrh.histogram import HdrHistogram

from bench.blocks import latencies_s
from bench.findings import Summary
from bench.model import Purpose, Raw
from bench.stats import Array

FOLDER = "hgrm"
LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_FIGURES = 3
TICKS_PER_HALF = 5


def render(raw: Raw, summary: Summary) -> dict[str, bytes]:
    """The logs by file name: `SETUP-rotation.hgrm`, and `SETUP-30.hgrm` at 30 % of capacity."""
    files = {}
    for setup in raw.plan.setups:
        mine = [row for row in raw.requests if row.setup == setup.name]
        if mine:
            files[f"{setup.name}-rotation.hgrm"] = _log(latencies_s(mine, raw.plan.timeout_s))
    if summary.solo is None:
        return files
    at = {(piece.epoch, piece.number): piece for piece in raw.slices if piece.purpose is Purpose.LEVEL}
    rows = defaultdict(list)
    for row in raw.solo_requests:
        piece = at.get((row.epoch, row.window))
        if piece:
            rows[piece.setup, piece.level].append(row)
    for found in summary.solo.setups:
        for level in found.levels:
            requests = rows[found.name, level.level]
            if requests and not level.saturated:
                name = f"{found.name}-{level.level * 100:g}.hgrm"
                files[name] = _log(latencies_s(requests, raw.plan.timeout_s))
    return files


def _log(latencies: Array) -> bytes:
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_FIGURES)
    for value in latencies:
        histogram.record_value(max(round(value * 1e6), LOWEST_US))
    output = io.BytesIO()
    histogram.output_percentile_distribution(output, 1000.0, TICKS_PER_HALF)
    return output.getvalue()
