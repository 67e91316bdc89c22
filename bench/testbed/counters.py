"""Counts kept by the application itself: sampled requests, and spans that its exporter discarded."""

from bench.app.setups import discards, sampling_ratio
from bench.testbed.instance import Instance


class Counters:
    """Counts since they were last asked for, by setup."""

    def __init__(self) -> None:
        self._sampled: dict[str, int] = {}
        self._discarded: dict[str, dict[str, int]] = {}

    def clear(self) -> None:
        """Begin anew, with fresh processes."""
        self._sampled.clear()
        self._discarded.clear()

    def sampled(self, instance: Instance) -> int | None:
        """Requests that an instance sampled; None where it does not say or everything is sampled."""
        setup = instance.setup
        if not 0.0 < sampling_ratio(setup) < 1.0:
            return None
        counts = [usage.sampled_roots for usage in instance.usage().values()]
        if not counts or all(count is None for count in counts):
            return None
        now = sum(count or 0 for count in counts)
        before, self._sampled[setup.name] = self._sampled.get(setup.name, 0), now
        return now - before

    def discarded(self, instance: Instance) -> dict[str, int]:
        """Spans that an instance's exporter to nowhere got, by process; empty where it has another."""
        setup = instance.setup
        if not discards(setup):
            return {}
        now = {process: usage.discarded_spans for process, usage in instance.usage().items()}
        before, self._discarded[setup.name] = self._discarded.get(setup.name, {}), now
        return {process: count - before.get(process, 0) for process, count in now.items()}
