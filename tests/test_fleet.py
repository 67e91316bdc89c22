"""Nothing differs between fleets but the declared factor."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ServiceError
from bench.fleet import _size, environ_of
from bench.model import Setup
from bench.process import plain_environ
from bench.setups import TABLE

CALLER = {
    "PATH": "/bin",
    "OTEL_TRACES_SAMPLER": "always_on",
    "OTEL_EXPORTER_OTLP_HEADERS": "key=secret",
    "BENCH_TRACING": "batch",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LOCUST_HOST": "http://elsewhere",
}
ENDPOINTS = {"http/protobuf": "http://127.0.0.1:40001", "grpc": "http://127.0.0.1:40002"}
UNDECLARED = {"BENCH_PADDING", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_ENDPOINT", "BENCH_TRACING"}


def environ(setup: Setup) -> dict[str, str]:
    return environ_of(setup, hash_seed=7, endpoints=ENDPOINTS, caller=CALLER)


def test_the_callers_tracing_variables_reach_nobody() -> None:
    assert plain_environ(CALLER) == {"PATH": "/bin"}
    assert environ(TABLE[0])["BENCH_TRACING"] == "none"
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in environ(TABLE[0])


@pytest.mark.parametrize(("one", "other"), list(itertools.pairwise(TABLE)))
def test_environments_differ_only_in_what_setups_declare(one: Setup, other: Setup) -> None:
    first, second = environ(one), environ(other)
    differing = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert differing <= set(one.env) | set(other.env) | UNDECLARED


def test_twins_differ_in_their_label_alone() -> None:
    none, twin = environ(TABLE[0]), environ(TABLE[1])
    differing = {name for name in none if none[name] != twin[name]}
    assert differing == {"OTEL_RESOURCE_ATTRIBUTES", "BENCH_PADDING"}


def test_all_environments_have_the_same_size() -> None:
    assert len({_size(environ(setup)) for setup in TABLE}) == 1


@given(st.dictionaries(st.from_regex("[A-Z]{1,8}", fullmatch=True), st.text("abc€", max_size=50), max_size=5))
def test_padding_makes_up_for_any_variables(env: dict[str, str]) -> None:
    assert _size(environ(Setup(name="x", description="", env=env))) == _size(environ(TABLE[0]))


def test_an_environment_that_is_too_large_is_said() -> None:
    with pytest.raises(ServiceError, match="too large"):
        environ(Setup(name="x", description="", env={"A": "a" * 5000}))


def test_a_setup_exports_to_the_sink_by_its_protocol_unless_it_says_otherwise() -> None:
    by_name = {setup.name: environ(setup)["OTEL_EXPORTER_OTLP_ENDPOINT"] for setup in TABLE}
    assert by_name["batch"] == ENDPOINTS["http/protobuf"]
    assert by_name["batch-grpc"] == ENDPOINTS["grpc"]
    own = Setup(name="x", description="", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert environ(own)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:1"


def test_a_users_resource_attributes_stay() -> None:
    own = Setup(name="x", description="", env={"OTEL_RESOURCE_ATTRIBUTES": "team=a"})
    assert environ(own)["OTEL_RESOURCE_ATTRIBUTES"] == "team=a,bench.setup=x"
