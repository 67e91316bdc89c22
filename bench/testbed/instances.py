"""The instances of a replicate, as one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from bench.app.records import BASELINE
from bench.errors import MeasurementError
from bench.plan.readings import InstanceReading, Memory
from bench.testbed.counters import Counters
from bench.testbed.instance import Instance


class Instances(list[Instance]):
    """All instances, by number; empty between replicates."""

    def __init__(self) -> None:
        super().__init__()
        self._counters = Counters()
        self._to_burn: Counter[str] = Counter()

    def check(self) -> None:
        """Raise ServiceError if a process of one has ended."""
        for instance in self:
            instance.check()

    def check_baseline(self) -> None:
        """Raise MeasurementError if the baseline imports OpenTelemetry."""
        for instance in self:
            if instance.setup.name != BASELINE:
                continue
            for process, usage in instance.usage().items():
                if usage.opentelemetry_modules:
                    raise MeasurementError(
                        f"{process} of the baseline has imported OpenTelemetry",
                        "import it only where tracing is enabled",
                    )

    def resume(self) -> None:
        """Let all of them run."""
        for instance in self:
            instance.resume()

    def memory(self) -> list[Memory]:
        """What each of them holds, read while all are paused."""
        for instance in self:
            instance.pause()
        try:
            return [instance.memory() for instance in self]
        finally:
            self.resume()

    def sampled(self) -> list[int | None]:
        """Traces that each has sampled since the last call; None where it does not count them."""
        return [self._counters.sampled(instance) for instance in self]

    def discarded(self) -> list[dict[str, int]]:
        """Spans that the processes of each have discarded since the last call."""
        return [self._counters.discarded(instance) for instance in self]

    def add_cpu_debt(self, number: int, reading: InstanceReading) -> None:
        """Remember what a process beside an instance has to burn for the requests of a step."""
        instance = self[number]
        self._to_burn[instance.setup.name] += round(instance.burns_s * reading.completed * 1e9)

    def burn(self) -> None:
        """Burn what is owed for the requests since the last call."""
        for instance in self:
            cpu_ns = self._to_burn.pop(instance.setup.name, 0)
            if cpu_ns:
                instance.burn(cpu_ns)

    def stop(self) -> None:
        """Stop all of them; those that run elsewhere go on."""
        stopped = list(self)
        self.clear()
        self._counters.clear()
        self._to_burn.clear()
        # In parallel: each waits for its processes, and nothing is measured.
        with ThreadPoolExecutor(max(len(stopped), 1)) as pool:
            list(pool.map(lambda instance: instance.stop(), stopped))
