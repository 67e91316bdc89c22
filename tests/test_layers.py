"""Layers: a ladder's steps add up, and every contrast is one."""

import math

import numpy as np
import pytest

from bench.analysis.layers import ladder
from bench.app.records import Setup
from bench.report.run import layer_line
from tests import make

RUNGS = (
    Setup(name="one", against="none-aa", layer="first"),
    Setup(name="two", against="one", layer="second"),
)
LEVELS = {"none": 0.010, "none-aa": 0.010, "one": 0.013, "two": 0.015}


def logs(replicate_sd: float = 0.0) -> dict[str, list[float]]:
    rng = np.random.default_rng(1)
    moods = replicate_sd * rng.standard_normal(4)
    return {
        name: [math.log(level) + mood + 0.001 * float(rng.standard_normal()) for mood in moods]
        for name, level in LEVELS.items()
    }


def test_steps_add_up_to_the_whole() -> None:
    plan = make.plan(("none", "none-aa", "one", "two"), own=RUNGS)
    first, second = ladder(plan, logs(), {})
    assert first.cpu_s == pytest.approx(0.003, rel=0.05)
    assert first.cpu_s + second.cpu_s == pytest.approx(0.005, rel=0.05)


def test_what_the_machine_does_to_all_cancels_for_a_rung_on_the_twin_too() -> None:
    plan = make.plan(("none", "none-aa", "one", "two"), own=RUNGS)
    calm, moody = (ladder(plan, logs(sd), {})[0] for sd in (0.0, 0.1))
    half = [(layer.high_s - layer.low_s) / 2 for layer in (calm, moody)]
    # Of the moods only the level's own error is left: 0.1 over four replicates, of 3 ms.
    assert half[1] < half[0] + 3.2 * 0.1 / 2 * 0.003


def test_the_baselines_level_is_not_taken_for_exact() -> None:
    plan = make.plan(("none", "none-aa", "one", "two"), own=RUNGS)
    calm, moody = (ladder(plan, logs(sd), {})[0] for sd in (0.0, 0.1))
    assert moody.high_s - moody.low_s > 5 * (calm.high_s - calm.low_s)


def test_the_whole_is_told_beside_what_is_predicted_of_all_of_it() -> None:
    plan = make.plan(("none", "none-aa", "one", "two"), own=RUNGS)
    price = 0.001, 0.0009, 0.0011
    line = layer_line(ladder(plan, logs(), {"one": price, "two": price}))
    assert line is not None
    assert "predict 2.0 ms: what is measured is 2.5" in line
    assert layer_line(ladder(plan, logs(), {"one": price})) is None
