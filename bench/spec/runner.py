"""Carries out the iterations, in an order shuffled anew in every repeat."""

import contextlib
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

from bench.display import Shown
from bench.emission import SERVICE, Iteration, Scenario
from bench.machine import split_cpus
from bench.meter import cpu_ns, memory_bytes, pin
from bench.model import Account
from bench.process import Child, plain_environ
from bench.sink import Sink

PROCESSORS = ("simple", "batch")
SAMPLE_S = 0.25
"""Between two looks at the emitter's clock; a peak is over one second, four of these."""
PATIENCE_S = 60.0


class Iterations:
    """The sink, and one emitter at a time."""

    def __init__(self) -> None:
        self._before = os.sched_getaffinity(0)
        _, self._cpus, others = split_cpus(pinned=True)
        with contextlib.ExitStack() as stack:
            self._logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            stack.callback(os.sched_setaffinity, 0, self._before)
            if others:
                os.sched_setaffinity(0, others)
            self._sink = Sink(self._logs)
            stack.callback(self._sink.stop)
            self._parts = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._parts.close()

    def iterate(  # noqa: PLR0913 - an iteration is what it is
        self,
        repeat: int,
        scenario: Scenario,
        processor: str,
        *,
        protocol: str,
        rate_per_s: float,
        length_s: float,
    ) -> Iteration:
        """One iteration.

        Raises:
            ServiceError: the emitter or the sink failed.
        """
        setup = f"{scenario}-{processor}"
        shapes: Mapping[str, Mapping[str, int]] = {setup: {SERVICE: 1}}
        endpoint = self._sink.endpoints["grpc" if protocol == "grpc" else "http/protobuf"]
        emitter = [scenario, processor, protocol, endpoint, setup, str(rate_per_s), str(length_s)]
        child = self._emitter(setup, emitter)
        try:
            self._line(child)
            self._sink.account(shapes)
            steal_s, started = psutil.cpu_times().steal, time.monotonic()
            before, uss_before = cpu_ns(child.pid), memory_bytes(child.pid)[1]
            child.write_line()
            peak, uss_peak = self._watch(child, length_s)
            said = self._line(child)
            used, uss = cpu_ns(child.pid) - before, memory_bytes(child.pid)[1]
            steal = (psutil.cpu_times().steal - steal_s) / (time.monotonic() - started)
            found = self._sink.account(shapes)
        finally:
            child.stop(PATIENCE_S)
        account = found.get(setup, Account())
        return Iteration(
            repeat=repeat,
            scenario=scenario,
            processor=processor,
            protocol=protocol,
            rate_per_s=rate_per_s,
            length_s=length_s,
            created=int(said["created"]),
            wall_s=said["wall_s"],
            creating_s=said["creating_s"],
            cpu_s=used / 1e9,
            peak=peak,
            delivered=sum(account.spans.values()) - account.duplicated,
            duplicated=account.duplicated,
            bytes=account.bytes,
            uss_before_bytes=uss_before,
            uss_bytes=uss,
            uss_peak_bytes=max(uss_peak, uss),
            steal=steal,
        )

    def _emitter(self, setup: str, arguments: Sequence[str]) -> Child:
        """A fresh emitter that is ready and waits for its sign, on its CPU."""
        child = Child(
            f"the emitter ({setup})",
            ["-m", "bench.spec.emitter", *arguments],
            environ=plain_environ(),
            log=self._logs / "emitter.log",
            stdout=subprocess.PIPE,
        )
        if self._cpus:
            pin(child.pid, self._cpus)
        return child

    @staticmethod
    def _line(child: Child) -> dict[str, float]:
        line = child.read_line()
        if not line:
            raise child.death()
        said: dict[str, float] = json.loads(line)
        return said

    @staticmethod
    def _watch(child: Child, length_s: float) -> tuple[float, int]:
        """The emitter's largest share of a core over one second, and its largest memory."""
        until = time.monotonic() + length_s
        readings, largest = [(time.monotonic(), cpu_ns(child.pid))], 0
        while time.monotonic() < until:
            time.sleep(min(SAMPLE_S, max(until - time.monotonic(), 0.0)))
            readings.append((time.monotonic(), cpu_ns(child.pid)))
            if len(readings) % 4 == 0:
                largest = max(largest, memory_bytes(child.pid)[1])
        seconds = round(1 / SAMPLE_S)
        peaks = [
            (after[1] - before[1]) / 1e9 / (after[0] - before[0])
            for before, after in zip(readings, readings[seconds:], strict=False)
        ]
        return max(peaks, default=0.0), largest


def carry_out(  # noqa: PLR0913 - what is asked for
    iterations: Iterations,
    *,
    repeats: int,
    protocol: str,
    rate_per_s: float,
    iteration_s: float,
    throughput_s: float,
    seed: int,
    keep: Callable[[Iteration], None],
    shown: Shown,
) -> None:
    """All iterations; each is kept before the next begins.

    Raises:
        ServiceError: a process failed.
    """
    order = [(scenario, processor) for scenario in Scenario for processor in PROCESSORS]
    shuffled = random.Random(seed)
    for repeat in range(repeats):
        shuffled.shuffle(order)
        for scenario, processor in order:
            shown.say(f"repeat {repeat + 1} of {repeats}", f"{scenario}, {processor}")
            paced = scenario is Scenario.RATE
            keep(
                iterations.iterate(
                    repeat,
                    scenario,
                    processor,
                    protocol=protocol,
                    rate_per_s=rate_per_s if paced else 0.0,
                    length_s=iteration_s if paced else throughput_s,
                )
            )
