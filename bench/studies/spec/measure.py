"""Carries out the iterations, in a freshly shuffled order in every replicate."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Sequence

from bench.plan.readings import Account
from bench.receiver.messages import CloseAccounts
from bench.runner.run import Progress
from bench.studies.spec import SERVICE
from bench.studies.spec.figures import Iteration, Scenario
from bench.testbed.meter import cpu_times
from bench.testbed.pausing import cpu_clock_ns
from bench.testbed.pids import memory_of, pin
from bench.testbed.process import Child, plain_environ
from bench.testbed.workplace import Workplace

PROCESSORS = ("simple", "batch")
SAMPLE_S = 0.25
"""Between two looks at the emitter's clock; a peak is over one second, four of these."""
PATIENCE_S = 60.0


class Iterations:
    """The receiver, and one emitter at a time."""

    def __init__(self, place: Workplace) -> None:
        self._cpus, self._logs, self._receiver = place.cpus.services, place.logs, place.receiver

    def iterate(  # noqa: PLR0913 - an iteration is what it is
        self,
        replicate: int,
        scenario: Scenario,
        processor: str,
        *,
        protocol: str,
        rate_per_s: float,
        length_s: float,
    ) -> Iteration:
        """One iteration.

        Raises:
            ServiceError: the emitter or the receiver failed.
        """
        setup = f"{scenario}-{processor}"
        accounts = CloseAccounts(replicate=0, shapes={setup: ({SERVICE: 1},)})
        endpoint = self._receiver.endpoints["grpc" if protocol == "grpc" else "http/protobuf"]
        emitter = [scenario, processor, protocol, endpoint, setup, str(rate_per_s), str(length_s)]
        child = self._emitter(setup, emitter)
        try:
            self._line(child)
            self._receiver.close_accounts(accounts)
            steal_s, started = cpu_times(None)[0], time.monotonic()
            before, uss_before = cpu_clock_ns(child.pid), memory_of([child.pid]).uss_bytes
            child.write_line()
            peak = self._watch(child, length_s)
            answer = self._line(child)
            used, uss = cpu_clock_ns(child.pid) - before, memory_of([child.pid]).uss_bytes
            steal = (cpu_times(None)[0] - steal_s) / (time.monotonic() - started)
            accounts_ = self._receiver.close_accounts(accounts)
        finally:
            child.stop(PATIENCE_S)
        account = accounts_.get(setup, Account())
        return Iteration(
            replicate=replicate,
            scenario=scenario,
            processor=processor,
            protocol=protocol,
            rate_per_s=rate_per_s,
            length_s=length_s,
            created=int(answer["created"]),
            wall_s=answer["wall_s"],
            creating_s=answer["creating_s"],
            cpu_s=used / 1e9,
            peak=peak,
            delivered=sum(account.spans.values()) - account.duplicated,
            duplicated=account.duplicated,
            bytes=account.bytes,
            uss_before_bytes=uss_before,
            uss_bytes=uss,
            steal=steal,
        )

    def _emitter(self, setup: str, arguments: Sequence[str]) -> Child:
        """A fresh emitter that is ready and waits for its sign, on its CPU."""
        child = Child(
            f"the emitter ({setup})",
            ["-m", "bench.studies.spec.emitter", *arguments],
            environ=plain_environ(),
            log=self._logs / "emitter.log",
            stdout=subprocess.PIPE,
        )
        if self._cpus:
            pin([child.pid], self._cpus)
        return child

    @staticmethod
    def _line(child: Child) -> dict[str, float]:
        line = child.read_line()
        if not line:
            raise child.death()
        answer: dict[str, float] = json.loads(line)
        return answer

    @staticmethod
    def _watch(child: Child, length_s: float) -> float:
        """The emitter's largest share of a core over one second.

        Its memory is read before and after: walking page tables takes milliseconds of its CPU's time.
        """
        until = time.monotonic() + length_s
        readings = [(time.monotonic(), cpu_clock_ns(child.pid))]
        while time.monotonic() < until:
            time.sleep(min(SAMPLE_S, max(until - time.monotonic(), 0.0)))
            readings.append((time.monotonic(), cpu_clock_ns(child.pid)))
        seconds = round(1 / SAMPLE_S)
        peaks = [
            (after[1] - before[1]) / 1e9 / (after[0] - before[0])
            for before, after in zip(readings, readings[seconds:], strict=False)
        ]
        return max(peaks, default=0.0)


def carry_out(  # noqa: PLR0913 - what is asked for
    iterations: Iterations,
    *,
    replicates: int,
    protocol: str,
    rate_per_s: float,
    iteration_s: float,
    throughput_s: float,
    seed: int,
    keep: Callable[[Iteration], None],
    progress: Progress,
) -> None:
    """All iterations; each is kept before the next begins.

    Raises:
        ServiceError: a process failed.
    """
    order = [(scenario, processor) for scenario in Scenario for processor in PROCESSORS]
    shuffled = random.Random(seed)
    for replicate in range(replicates):
        shuffled.shuffle(order)
        for scenario, processor in order:
            progress.say(f"replicate {replicate + 1} of {replicates}", f"{scenario}, {processor}")
            paced = scenario is Scenario.RATE
            keep(
                iterations.iterate(
                    replicate,
                    scenario,
                    processor,
                    protocol=protocol,
                    rate_per_s=rate_per_s if paced else 0.0,
                    length_s=iteration_s if paced else throughput_s,
                )
            )
