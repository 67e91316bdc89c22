"""OpenTelemetry's cross-language scenario S001: a counter of the API alone, no SDK behind it.

One pyperf file: `python bench/studies/s001/timed.py -o FILE` is the whole benchmark. The counter, its value
and the attributes, built at every call, are those of the scenario in
open-telemetry/opentelemetry-benchmarks.
"""

import tracemalloc

import pyperf
from opentelemetry import metrics

COUNTER = metrics.get_meter("benchmark").create_counter("house.energy.consumed")
CALLS = 1000


def add() -> None:
    """What is timed."""
    COUNTER.add(
        1,
        {
            "house.room": "living_room",
            "house.device": "thermostat",
            "house.action": "set_temperature",
        },
    )


def bytes_at_once() -> int:
    """Most bytes that one call holds at a time: Python does not count allocations."""
    add()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(CALLS):
            add()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return max(peak - before, 0)


def main() -> None:
    """Time it, with pyperf's own options."""
    runner = pyperf.Runner()
    runner.metadata["description"] = "S001: counter of the OpenTelemetry API, three attributes"
    runner.metadata["bytes_at_once"] = bytes_at_once()
    runner.bench_func("S001", add)


if __name__ == "__main__":
    main()
