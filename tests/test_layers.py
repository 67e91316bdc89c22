"""Where the tax goes: steps that add up, predictions from counts, a line through set-ups."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cells import Cells
from bench.layers import (
    BESIDE,
    LADDER,
    PRICED,
    Layers,
    Predicted,
    Price,
    contributions,
    is_ladder,
    ladder,
    operations,
    predictions,
)
from bench.line import Fit, Traffic, fit
from bench.report import layers as report
from bench.setups import BY_NAME, PRESETS
from tests import make

BASE_S = 0.008
NAMES = PRESETS["layers"]
PLAN = make.plan(NAMES, epochs=4, windows=3)
SCOPES = {
    "opentelemetry.instrumentation.starlette": 400,
    "opentelemetry.instrumentation.httpx": 300,
    "opentelemetry.instrumentation.sqlite3": 300,
}
TRAFFIC = {
    "layer-propagate": Traffic(checkouts=100, spans=0, exports=0, bytes=0, scopes={}),
    "batch-lean": Traffic(checkouts=100, spans=1000, exports=40, bytes=330_000, scopes=SCOPES),
    "batch": Traffic(checkouts=100, spans=2200, exports=50, bytes=500_000, scopes={}),
}


def costs(steps: Mapping[str, float]) -> dict[str, float]:
    """CPU per checkout of every set-up, the baseline's and what each rung adds."""
    found = dict.fromkeys(NAMES, BASE_S)
    for rung in (*LADDER, *BESIDE):
        found[rung.setup] = found[rung.against] + steps.get(rung.setup, 0.0005)
    return found


def cells(true: Mapping[str, float], noise: float = 0.0, seed: int = 1) -> Cells:
    """Windows of a machine that halves and doubles its speed, with noise in every cell."""
    rng = np.random.default_rng(seed)
    return {
        epoch: [
            {
                name: cost * speed * math.exp(noise * float(rng.standard_normal()))
                for name, cost in true.items()
            }
            for speed in 2.0 ** rng.uniform(-0.5, 0.5, PLAN.windows)
        ]
        for epoch in range(PLAN.epochs)
    }


def found(true: Mapping[str, float], noise: float = 0.0, seed: int = 1) -> Layers:
    layers = ladder(PLAN, cells(true, noise, seed), TRAFFIC, {})
    assert layers is not None
    return layers


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.3))
def test_the_steps_add_up_to_the_whole(seed: int, noise: float) -> None:
    layers = found(costs({}), noise, seed)
    assert sum(step.cpu_s for step in layers.steps) == pytest.approx(layers.whole.cpu_s, abs=1e-12)


def test_known_steps_are_found_whatever_the_machine_does() -> None:
    true = {rung.setup: 0.0001 * (number + 1) for number, rung in enumerate(LADDER)}
    layers = found(costs(true))
    base = np.mean([cell["none"] for windows in cells(costs(true)).values() for cell in windows]) / BASE_S
    for step in layers.steps:
        assert step.cpu_s / base == pytest.approx(true[step.setup])


def test_the_intervals_of_steps_cover() -> None:
    true = costs({"layer-propagate": 0.0, "simple": 0.05})
    covered = tried = 0
    for seed in range(120):
        layers = found(true, 0.02, seed)
        scale = layers.whole.cpu_s / sum(step.cpu_s for step in layers.steps)
        for step in (*layers.steps, *layers.beside, layers.whole):
            truth = (true[step.setup] - true[step.against]) * _speed(seed, true) * scale
            covered += step.low_s <= truth <= step.high_s
            tried += 1
    assert 0.93 <= covered / tried <= 0.98


def _speed(seed: int, true: Mapping[str, float]) -> float:
    """What a second of the quiet machine took in this run, by its noisy baseline's own level."""
    rows = [cell for windows in cells(true, 0.02, seed).values() for cell in windows]
    return (
        float(np.mean([np.mean([cell[name] for name in ("none", "none-again")]) for cell in rows])) / BASE_S
    )


def test_a_ladder_with_a_rung_missing_is_none() -> None:
    short = replace(PLAN, setups=tuple(each for each in PLAN.setups if each.name != "layer-encode"))
    assert is_ladder(PLAN)
    assert not is_ladder(short)
    assert ladder(short, cells(costs({})), TRAFFIC, {}) is None
    assert ladder(PLAN, {0: cells(costs({}))[0][:1]}, TRAFFIC, {}) is None


# ---------------------------------------------------------------- predictions


def test_operations_are_counted_by_the_scope_of_their_spans() -> None:
    assert operations(TRAFFIC) == {"requests served": 4.0, "calls": 3.0, "SQL statements": 3.0}
    assert operations({}) == {}


def prices(**given_us: float) -> dict[str, float]:
    """Everything free but what is given, in us; `server__lean` stands for server/lean."""
    free = dict.fromkeys(PRICED, 0.0)
    return free | {name.replace("__", "/").replace("_", "-"): us * 1e-6 for name, us in given_us.items()}


def priced(plain: Mapping[str, float], error: float = 0.0, df: float = 4.0) -> dict[str, Price]:
    """The same with an error of so large a share of each."""
    return {name: Price(cpu_s=cost, standard_error=error * cost, df=df) for name, cost in plain.items()}


def test_a_price_is_paid_as_often_as_the_operation_happens() -> None:
    counted = operations(TRAFFIC)
    bare = predictions(counted, TRAFFIC, prices(server__no_provider=10, httpx_async__no_provider=100))
    assert bare["layer-api"] == pytest.approx(4 * 10e-6 + 3 * 100e-6)
    assert bare["layer-off"] == pytest.approx(-bare["layer-api"])
    moved = predictions(counted, TRAFFIC, prices(extract__tracecontext_8=10, inject__tracecontext_8=20))
    assert moved["layer-propagate"] == -moved["layer-off"] == pytest.approx(4 * 10e-6 + 3 * 20e-6)
    queue = predictions(counted, TRAFFIC, prices(span__batch=2))
    assert queue["layer-discard"] == pytest.approx(10 * 2e-6)
    assert queue["batch"] == pytest.approx(12 * 2e-6)
    sent = predictions(counted, TRAFFIC, prices(export__http_1=1000, export__http_512=1000))
    assert sent["batch-lean"] == pytest.approx(0.4 * 1000e-6)
    assert sent["simple"] == pytest.approx(22 * 1000e-6 - 0.5 * 1000e-6)
    assert sent["batch-grpc"] == pytest.approx(-0.5 * 1000e-6)


def test_without_a_price_or_a_count_nothing_is_predicted() -> None:
    all_but_one = {name: price for name, price in priced(prices()).items() if name != "gzip/64"}
    assert contributions(operations(TRAFFIC), TRAFFIC, all_but_one) == {}
    assert predictions({}, TRAFFIC, prices()) == {}


def predicted(error: float, seed: int = 1) -> Predicted:
    """Of the first rung: 4 requests that cost 100 us more, and 3 calls that cost 200 us more."""
    costly = prices(server__bare=500, server__no_provider=600, httpx_async__bare=800)
    costly["httpx-async/no-provider"] = 1000e-6
    noisy = np.random.default_rng(seed)
    drawn = {name: cost * (1 + error * float(noisy.standard_normal())) for name, cost in costly.items()}
    found_ = ladder(PLAN, cells(costs({"layer-api": 0.004})), TRAFFIC, priced(drawn, error, math.inf))
    assert found_ is not None
    assert found_.steps[0].predicted is not None
    return found_.steps[0].predicted


def test_a_prediction_is_as_sure_as_its_prices() -> None:
    exact = predicted(0.0)
    assert exact.cpu_s == exact.low_s == exact.high_s == pytest.approx(4 * 100e-6 + 3 * 200e-6)
    assert exact.ratio is not None
    covered = 0
    for seed in range(200):
        one = predicted(0.02, seed)
        covered += one.low_s <= exact.cpu_s <= one.high_s
    assert 0.9 <= covered / 200 <= 0.99


def test_prices_of_few_rounds_make_a_prediction_less_sure() -> None:
    few, many = (
        ladder(PLAN, cells(costs({})), TRAFFIC, priced(prices(server__no_provider=100), 0.1, df))
        for df in (4.0, math.inf)
    )
    assert few is not None
    assert many is not None
    wide, narrow = few.steps[0].predicted, many.steps[0].predicted
    assert wide is not None
    assert narrow is not None
    error = 4 * 100e-6 * 0.1
    assert wide.high_s - wide.cpu_s == pytest.approx(2.776 * error, rel=1e-3)
    assert narrow.high_s - narrow.cpu_s == pytest.approx(1.960 * error, rel=1e-3)


def test_where_the_prediction_cannot_be_told_from_nothing_there_is_no_ratio() -> None:
    assert predicted(0.3).ratio is None


def test_the_report_shows_measured_beside_predicted() -> None:
    true = costs({"layer-api": 0.0008})
    layers = ladder(PLAN, cells(true), TRAFFIC, priced(prices(server__no_provider=100)))
    assert layers is not None
    table = report.table(layers)
    assert len(table.rows) == len(LADDER) + 1 + len(BESIDE)
    first = table.rows[0]
    assert first[0] == "instrumentation, no SDK"
    assert first[5] == "+400"
    assert first[7].startswith("2.")
    assert "4.0 requests served" in report.about(layers)
    bars = [row[-1] for row in table.rows[: len(LADDER)]]
    for before, after in itertools.pairwise(bars):
        assert abs(after.count("·") - len(before)) <= 1, "a bar begins where the one before ended"


# ---------------------------------------------------------------- a cost per span


def line(a: float, b: float, error: float = 0.0) -> Fit:
    names = ("layer-propagate", "batch-lean", "batch")
    x = [TRAFFIC[name].spans / TRAFFIC[name].checkouts for name in names]
    cpu = {name: a + b * spans + error * sign for name, spans, sign in zip(names, x, (1, -1, 1), strict=True)}
    found = fit([BY_NAME[name] for name in names], cpu, TRAFFIC)
    assert found is not None
    return found


@given(st.floats(0, 0.01), st.floats(0, 0.001), st.floats(0, 500))
def test_a_line_is_found_again(a: float, b: float, spans: float) -> None:
    model = line(a, b)
    value, low, high = model.predict(spans)
    assert value == pytest.approx(a + b * spans, abs=1e-9)
    assert low <= value <= high


def test_set_ups_that_leave_the_line_widen_the_range() -> None:
    exact, off = line(0.003, 0.0002), line(0.003, 0.0002, error=0.0003)
    assert exact.predict(10)[2] - exact.predict(10)[1] < 1e-9
    assert off.predict(10)[2] - off.predict(10)[1] > 0.001
    x, y = zip(*[point[1:] for point in off.points], strict=True)
    squares = float(((np.polyval(np.polyfit(x, y, 1), x) - y) ** 2).sum())
    assert off.residual_s == pytest.approx(math.sqrt(squares / (3 - 2)))


def test_a_prediction_covers_one_more_set_up() -> None:
    rng = np.random.default_rng(3)
    names = ("always-off", "ratio-10", "ratio-50", "batch-lean", "batch")
    x = (0.0, 2.2, 11.0, 10.0, 22.0)
    sent = {
        name: Traffic(checkouts=10, spans=round(10 * spans), exports=1, bytes=1000, scopes={})
        for name, spans in zip(names, x, strict=True)
    }
    covered = 0
    for _ in range(1000):
        noise = iter(rng.normal(0, 1e-4, len(names) + 1))
        cpu = {name: 0.003 + 0.0002 * spans + next(noise) for name, spans in zip(names, x, strict=True)}
        model = fit([BY_NAME[name] for name in names], cpu, sent)
        assert model is not None
        _, low, high = model.predict(19)
        covered += low <= 0.003 + 0.0002 * 19 + next(noise) <= high
    assert 930 <= covered <= 970


def test_what_is_not_alike_is_no_point() -> None:
    names = ("batch", "batch-lean", "batch-grpc", "batch-gzip", "batch-metrics", "simple", "layer-record")
    traffic = dict.fromkeys(names, TRAFFIC["batch"]) | TRAFFIC
    assert fit([BY_NAME[name] for name in names], dict.fromkeys(names, 0.01), traffic) is None
