"""Lists of setups that answer a question together."""

import itertools
from collections.abc import Sequence

from bench.app.records import Setup
from bench.app.setups import ALL, ALWAYS, DISABLED_INSTRUMENTATIONS, EVERYTHING, ONE_IN

PRESETS = {
    "ratios": (*ALWAYS, *(f"ratio-1-in-{n}" for n in ONE_IN)),
    "signals": (*ALWAYS, EVERYTHING, "batch-metrics", "batch-logs", "all-signals"),
    "tail": (*ALWAYS, "always-off", EVERYTHING, "tail-10"),
}
"""Presets of setups from the table; they fit any application."""
INSTRUMENTORS, BATCHING = "instrumentors", "batching"
DERIVED_PRESETS = (INSTRUMENTORS, BATCHING)
"""Presets whose setups are made for the application, and are in no table."""
UNINSTRUMENTED = "uninstrumented"
QUEUES, BATCHES, DELAYS_S = (128, 512, 2048, 8192), (64, 512), (1, 5)
"""The grid of the batch processor; OpenTelemetry's default is a queue of 2,048, batches of 512, and 5 s."""


def instrumentor_setups(names: Sequence[str], disabled: str = "") -> tuple[Setup, ...]:
    """Every instrumentation left out, and every one alone: what each of them costs.

    Args:
        names: of the instrumentations that the application loads.
        disabled: those that its own file switches off, joined by commas.
    """
    without = [name for name in disabled.split(",") if name]

    def setup(name: str, off: Sequence[str], description: str, against: str) -> Setup:
        env = ALL | {DISABLED_INSTRUMENTATIONS: ",".join([*without, *off])}
        return Setup(name=name, description=description, env=env, against=against)

    left_out = [setup(f"without-{name}", [name], f"As batch, without {name}.", EVERYTHING) for name in names]
    alone = [
        setup(f"only-{name}", [other for other in names if other != name],
              f"Of all instrumentations {name} alone.", UNINSTRUMENTED)
        for name in names
    ]  # fmt: skip
    none = setup(UNINSTRUMENTED, names, "The SDK with its batch processor, and no instrumentation.", "")
    # With a single instrumentation, the other setups would be duplicates.
    return (*left_out, none, *alone) if len(names) > 1 else tuple(left_out)


def batching_setups() -> tuple[Setup, ...]:
    """Queue, batch size and delay of the batch processor, in all combinations that are possible."""
    setups = []
    for queue, batch, delay_s in itertools.product(QUEUES, BATCHES, DELAYS_S):
        largest = min(batch, queue)
        env = ALL | {
            "OTEL_BSP_MAX_QUEUE_SIZE": str(queue),
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(largest),
            "OTEL_BSP_SCHEDULE_DELAY": str(delay_s * 1000),
        }
        setups.append(
            Setup(
                name=f"queue-{queue}-batch-{largest}-{delay_s}s",
                description=f"A queue of {queue:,} spans, batches of {largest}, {delay_s} s of delay.",
                env=env,
                against=EVERYTHING,
                may_lose=True,
            )
        )
    return tuple(setups)
