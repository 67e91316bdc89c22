"""The table of set-ups, and a user's own file."""

import pytest

from bench.errors import UsageError
from bench.model import BASELINE, Setup
from bench.setups import (
    BY_NAME,
    DEFAULT,
    PRESETS,
    QUICK,
    SHAPES,
    TABLE,
    choose,
    parse_toml,
    sampling_ratio,
    shape,
)

GOOD = """
[[setup]]
name = "small-batches"
description = "Batches of 64."
env = { BENCH_TRACING = "batch", OTEL_BSP_MAX_EXPORT_BATCH_SIZE = "64" }

[[setup]]
name = "b3"
[setup.env]
BENCH_TRACING = "batch"
OTEL_PROPAGATORS = "b3"
"""

RATIO_OUT_OF_RANGE = """[[setup]]
name = "x"
[setup.env]
OTEL_TRACES_SAMPLER_ARG = "10"
OTEL_TRACES_SAMPLER = "traceidratio"
"""


def test_names_are_unique_and_sentences_end() -> None:
    assert len(BY_NAME) == len(TABLE)
    assert all(setup.description.endswith(".") for setup in TABLE)


def test_the_lists_are_those_of_the_method() -> None:
    assert DEFAULT[0] == QUICK[0] == BASELINE
    assert set(QUICK) <= set(DEFAULT)
    assert all(name in BY_NAME for names in PRESETS.values() for name in names)


def test_the_baseline_declares_nothing() -> None:
    assert BY_NAME["none"].env == BY_NAME["none-again"].env == {}


@pytest.mark.parametrize(
    ("env", "ratio"),
    [
        ({}, 0.0),
        ({"BENCH_TRACING": "api"}, 0.0),
        ({"BENCH_TRACING": "batch"}, 1.0),
        ({"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "always_off"}, 0.0),
        ({"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "traceidratio"}, 1.0),
        (
            {
                "BENCH_TRACING": "simple",
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.25",
            },
            0.25,
        ),
        ({"BENCH_TRACING": "batch", "OTEL_SDK_DISABLED": "true"}, 0.0),
        ({"BENCH_TRACING": "batch", "OTEL_TRACES_EXPORTER": "none"}, 0.0),
        ({"BENCH_TRACING": "batch", "OTEL_SDK_DISABLED": " True "}, 0.0),
        ({"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "ALWAYS_OFF"}, 0.0),
        ({"BENCH_TRACING": "batch", "OTEL_TRACES_SAMPLER": "unheard_of"}, 1.0),
    ],
)
def test_the_sampled_share_is_read_from_the_environment(env: dict[str, str], ratio: float) -> None:
    assert sampling_ratio(Setup(name="x", description="", env=env)) == ratio


def test_a_users_file_is_read() -> None:
    small, b3 = parse_toml(GOOD, "mine.toml")
    assert small.env["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] == "64"
    assert b3.env["OTEL_PROPAGATORS"] == "b3"
    assert shape(small) == SHAPES["auto"]


def test_a_user_may_say_which_spans_a_checkout_makes() -> None:
    text = '[[setup]]\nname = "x"\nspans_per_checkout = { frontend-app = 1 }\n'
    assert shape(parse_toml(text, "f")[0]) == {"frontend-app": 1}


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('[[setup]]\nname = "A B"\n', 2, "name"),
        ('[[setup]]\ndescription = "no name"\n', 1, "name"),
        ('[[setup]]\nname = "x"\ncolour = "red"\n', 3, "colour"),
        ('[[setup]]\nname = "x"\ndescription = 3\n', 3, "description"),
        ('[[setup]]\nname = "x"\nenv = "A=1"\n', 3, "env"),
        ('[[setup]]\nname = "x"\nenv = { OTEL_BSP_SCHEDULE_DELAY = 1000 }\n', 3, "OTEL_BSP_SCHEDULE_DELAY"),
        ('[[setup]]\nname = "x"\n[setup.env]\n"A=B" = "1"\n', 4, "A=B"),
        ('[[setup]]\nname = "x"\n\n[setup.env]\nBENCH_TRACING = "fast"\n', 5, "BENCH_TRACING"),
        ('[[setup]]\nname = "x"\nenv = { OTEL_TRACES_SAMPLER = "allways_on" }\n', 3, "OTEL_TRACES_SAMPLER"),
        ('[[setup]]\nname = "x"\n[[setup]]\nname = "x"\n', 4, "name"),
        ('[[setup]]\nname = "batch"\n', 2, "name"),
        ('[[setup]]\nname = "x"\n\n[other]\na = 1\n', 4, "other"),
        (
            RATIO_OUT_OF_RANGE,
            4,
            "OTEL_TRACES_SAMPLER_ARG",
        ),
        ('[[setup]]\nname = "x"\nspans_per_checkout = 5\n', 3, "spans_per_checkout"),
        ('[[setup]]\nname = "x"\nspans_per_checkout = { frontend = 5 }\n', 3, "spans_per_checkout"),
    ],
)
def test_a_bad_file_names_the_line_and_the_key(text: str, line: int, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_toml(text, "mine.toml")
    assert f"mine.toml, line {line}: `{key}`" in str(caught.value)
    assert caught.value.hint


def test_what_is_not_toml_is_said_with_its_line() -> None:
    with pytest.raises(UsageError, match="line 2"):
        parse_toml("[[setup]]\nname = x\n", "mine.toml")


def test_an_empty_file_is_said() -> None:
    with pytest.raises(UsageError, match="no \\[\\[setup\\]\\]"):
        parse_toml("", "mine.toml")


def test_the_baseline_is_always_there_and_first() -> None:
    assert [setup.name for setup in choose(["batch"])] == ["none", "batch"]


def test_an_unknown_setup_is_named() -> None:
    with pytest.raises(UsageError, match="'btach'"):
        choose(["btach"])
