"""What grows under load: slopes whose intervals hold, and what is left at the end."""

from dataclasses import replace

import numpy as np
import pytest

from bench.report import markdown
from bench.studies.soak import document
from bench.studies.soak.figures import Sample, Use, slope_of, soak

MIB = 2**20


def samples(*, per_s: float = 0.0, threads: int = 5, files: int = 3, lost: int = 0) -> list[Sample]:
    noise = np.random.default_rng(1)
    taken = []
    for number in range(100):
        at_s = number * 10.0
        size = 50 * MIB + per_s * at_s + noise.normal(0, 20_000)
        last = number == 99
        taken.append(
            Sample(
                at_s=at_s,
                uses=(
                    Use(
                        name="web",
                        dirty_bytes=round(size),
                        threads=threads if number > 70 else 5,
                        descriptors=12,
                    ),
                ),
                files=files if last else 3,
                completed=number * 100,
                failed=0,
                spans=number * 2200 - lost,
                spans_expected=number * 2200,
                final=last,
            )
        )
    return taken


def test_what_stays_as_it_is_does_not_grow() -> None:
    result = soak(samples())
    assert result.sound
    (growth,) = result.growths
    assert growth.low is not None
    assert growth.high is not None
    assert growth.low < 0 < growth.high
    text = markdown.render(document.report(result))
    assert "Nothing grows in 16 minutes" in text
    assert "0 of 217,800 spans lost" in text


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (samples(per_s=1000), "MB an hour"),
        (samples(threads=6), "holds more threads or files"),
        (samples(files=4), "4 at the end"),
        (samples(lost=22), "22 of 217,800 spans lost"),
    ],
    ids=["memory", "threads", "files", "spans"],
)
def test_growth_and_loss_are_reported(taken: list[Sample], words: str) -> None:
    result = soak(taken)
    assert not result.sound
    assert words in markdown.render(document.report(result))


def test_what_the_harness_holds_is_no_growth_of_the_application() -> None:
    taken = [
        replace(sample, uses=tuple(replace(use, name="load") for use in sample.uses))
        for sample in samples(per_s=1000)
    ]
    result = soak(taken)
    assert result.growths[0].grows
    assert result.sound
    text = markdown.render(document.report(result))
    assert "Nothing grows" in text
    assert "MB an hour" in text


def test_growth_is_relevant_from_ten_bytes_a_request() -> None:
    # Ten requests a second: 100 bytes a second are the limit.
    (small,) = soak(samples(per_s=40)).growths
    assert small.low is not None
    assert not small.grows
    assert small.relevant_per_s == pytest.approx(100, rel=0.02)
    (large,) = soak(samples(per_s=400)).growths
    assert large.grows
    side_by_side = [replace(sample, setups=("none", "batch")) for sample in samples(per_s=40)]
    assert soak(side_by_side).growths[0].relevant_per_s == pytest.approx(50, rel=0.02)
    assert "Instances of none, batch side by side" in markdown.render(document.report(soak(side_by_side)))


def test_the_interval_of_a_slope_holds_where_neighbours_are_alike() -> None:
    random = np.random.default_rng(7)
    times = np.arange(150) * 10.0
    missed = 0
    for _ in range(400):
        # Memory comes and goes in steps that last for a minute or so.
        values = np.repeat(random.normal(0, 1e5, 30), 5) + random.normal(0, 1e4, 150)
        found = slope_of(list(times), list(values))
        assert found
        missed += abs(found[0]) > found[1]
    assert missed / 400 < 0.1


def test_what_was_ended_early_says_no_more_than_it_knows() -> None:
    taken = samples()[:6]
    result = soak(taken)
    assert result.spans_expected is None
    text = markdown.render(document.report(result))
    assert "too short to tell" in text
    assert "lost" not in text
    with pytest.raises(ValueError, match="no sample"):
        soak([])


def test_a_burst_of_connections_is_no_growth() -> None:
    taken = samples()
    for number in (30, 31, 80):
        use = taken[number].uses[0]
        taken[number] = replace(taken[number], uses=(replace(use, descriptors=300),))
    assert soak(taken).sound


def test_a_collection_that_has_just_run_and_a_burst_move_no_slope() -> None:
    values = [100.0] * 160
    for number in (3, 40, 41, 150):
        values[number] = 20.0
    for number in (90, 91):
        values[number] = 500.0
    assert slope_of([float(number) for number in range(160)], values) == (0.0, 0.0)
