"""App files and setup files: every error names file, line and key, and the nearest right one."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.app.file import parse_app, parse_setups, warnings
from bench.app.records import App, Environment, Setup
from bench.app.setups import (
    ALWAYS,
    DEFAULT,
    QUICK,
    TABLE,
    choose,
    declared_spans,
    default_names,
    discards,
    exports_metrics,
    protocol,
    sampling_ratio,
)
from bench.errors import UsageError
from bench.plan.records import Burn
from bench.testbed import environments
from bench.testbed.environ import Launch, Place

SERVICES = Path(__file__).parent.parent / "services"
GOOD = """\
name = "polls"

[[process]]
name = "web"
command = "gunicorn mysite.wsgi --bind 127.0.0.1:{port}"

[[request]]
path = "/polls/1/"
expect = [200, 304]

[[setup]]
name = "small-batches"
description = "Batches of 64."
env = { OTEL_BSP_MAX_EXPORT_BATCH_SIZE = "64" }
"""


def test_a_short_file_is_enough() -> None:
    app = parse_app(GOOD, "polls.toml")
    assert app.unit == "request"
    assert app.request[0].statuses == {200, 304}
    assert app.setup[0].tracing == "batch"
    assert app.modes == {"none", "batch"}


def test_the_pins_of_the_order_service_in_javascript_stand_in_its_app_file() -> None:
    app = parse_app((SERVICES / "checkout-node.toml").read_text("utf-8"), "checkout-node.toml")
    package = json.loads((SERVICES / "checkout-node" / "package.json").read_text("utf-8"))
    assert app.environment
    assert app.environment.npm == [f"{name}@{pin}" for name, pin in package["dependencies"].items()]
    assert not list(SERVICES.rglob("package-lock.json"))


@pytest.mark.parametrize("name", sorted(path.name for path in SERVICES.glob("*.toml")))
def test_the_committed_files_can_be_read(name: str) -> None:
    app = parse_app((SERVICES / name).read_text("utf-8"), name)
    assert choose(app, default_names(app, DEFAULT))


def test_the_schema_beside_the_files_is_that_of_the_records() -> None:
    stored = msgspec.json.decode((SERVICES / "app.schema.json").read_bytes())
    assert stored == msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(App)))


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (("command =", "comand ="), "line 5: `comand` is not known here", "write `command`"),
        (("path = ", "pat = "), "polls.toml, line 8: `pat` is not known here", "write `path`"),
        (('name = "web"\n', ""), "polls.toml, line 3: `name` is missing", "docs/REFERENCE.md"),
        (("{port}", "8000"), "polls.toml, line 5: `command` names no {port}", "write {port}"),
        (("{port}", "{port} {prot}"), "{prot} in", "{port}"),
        (("{port}", "{port:db}"), "{port:db} in", "the processes are web"),
        (("[200, 304]", "[200, 9]"), "polls.toml, line 9: `expect` is wrong", "docs/REFERENCE.md"),
        (('name = "polls"', 'name = "My Shop"'), "`name` is wrong", "docs/REFERENCE.md"),
        (
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "BENCH_TRACING"),
            "line 14: `BENCH_TRACING` is a variable of the harness",
            "`tracing = '64'`",
        ),
        (
            ('path = "/polls/1/"', 'path = "/"\n[control]\nprocess = "web"'),
            "polls.toml, line 9: `control` is now `injected`",
            "rename it to `injected`",
        ),
        (
            ('description = "Batches of 64."', "kept = 0.1"),
            "line 13: `kept` is now `collector_sampling`",
            "rename it to `collector_sampling`",
        ),
        (
            ("[[setup]]", '[preset]\nmine = ["none-again"]\n[[setup]]'),
            "`mine` names 'none-again'",
            "rename it to 'none-aa'",
        ),
        (("small-batches", "batch"), "line 12: `name` 'batch' is taken", "docs/REFERENCE.md"),
        (
            ("expect = [200, 304]", 'headers = { traceparent = "00" }'),
            "`traceparent` would decide what is sampled",
            "leave",
        ),
        (
            ('name = "web"\n', 'name = "web"\nready = "none"\n'),
            "`ready` says that it listens nowhere",
            "put the process that answers them first",
        ),
        (
            ("expect = [200, 304]", 'headers = { X-Key = "1", x-key = "2" }'),
            "`X-Key` stands twice",
            "leave one of them out",
        ),
    ],
)  # fmt: skip
def test_an_error_names_line_and_key_and_says_what_to_do(
    change: tuple[str, str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_app(GOOD.replace(*change), "polls.toml")
    assert message in str(caught.value)
    assert hint in caught.value.hint + str(caught.value)


@given(st.text(max_size=300))
def test_whatever_is_no_app_file_ends_in_a_sentence(text: str) -> None:
    with pytest.raises(UsageError):
        parse_app(text, "x.toml")


@given(
    st.dictionaries(
        st.sampled_from(["name", "process", "request", "setup", "tracing"]),
        st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)),
    )
)
def test_wrong_values_end_in_a_sentence(values: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items())
    with pytest.raises(UsageError):
        parse_app(text, "x.toml")


def test_setups_files_add_up() -> None:
    setups = parse_setups('[[setup]]\nname = "mine"\ntracing = "simple"\n', "a.toml", ["none"])
    assert setups[0].tracing == "simple"
    with pytest.raises(UsageError, match="is taken"):
        parse_setups('[[setup]]\nname = "mine"\n', "b.toml", ["mine"])


def test_an_unknown_variable_is_reported_with_the_nearest_one() -> None:
    found = list(warnings([Setup(name="x", env={"OTEL_TRACES_SAMPLR": "always_on", "OTHER": "1"})]))
    (sentence,) = found
    assert sentence.startswith("OTEL_TRACES_SAMPLR in the setup x is not known to OpenTelemetry")
    assert sentence.endswith("the nearest name is OTEL_TRACES_SAMPLER")


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10"},
    ],
)
def test_samplers_that_do_not_exist_are_errors(env: dict[str, str]) -> None:
    text = '[[setup]]\nname = "x"\n[setup.env]\n' + "\n".join(
        f'{name} = "{value}"' for name, value in env.items()
    )
    with pytest.raises(UsageError):
        parse_setups(text, "x.toml", [])


# ---------------------------------------------------------------- the table


def test_names_are_unique_and_sentences_end() -> None:
    names = [setup.name for setup in TABLE]
    assert len(set(names)) == len(names)
    assert all(setup.description.endswith(".") for setup in TABLE)
    assert set(ALWAYS) <= set(QUICK) <= set(DEFAULT) <= set(names)


def test_a_setup_that_an_application_cannot_run_is_refused() -> None:
    app = parse_app(GOOD, "polls.toml")
    with pytest.raises(UsageError, match="cannot run the setup simple"):
        choose(app, ["simple"])
    assert "simple" not in default_names(app, DEFAULT)
    with pytest.raises(UsageError, match="no setup named 'nothing'"):
        choose(app, ["nothing"])


def test_what_a_setup_samples_follows_from_its_variables() -> None:
    by_name = {setup.name: setup for setup in TABLE}
    ratios = {
        name: sampling_ratio(by_name[name])
        for name in ("none", "api-only", "disabled", "always-off", "ratio-10", "batch")
    }
    assert ratios == {"none": 0, "api-only": 0, "disabled": 0, "always-off": 0, "ratio-10": 0.1, "batch": 1}
    discarding = Setup(name="x", env={"OTEL_TRACES_EXPORTER": "discard"})
    assert sampling_ratio(discarding) == 0
    assert discards(discarding)
    assert exports_metrics(Setup(name="x", env={"OTEL_METRICS_EXPORTER": "otlp"}))
    assert protocol(by_name["batch-grpc"]) == "grpc"


def test_spans_are_declared_by_word() -> None:
    app = parse_app((SERVICES / "checkout.toml").read_text("utf-8"), "checkout.toml")
    assert sum((declared_spans(app, Setup(name="x", spans="lean")) or {}).values()) == 10
    assert sum((declared_spans(app, Setup(name="x")) or {}).values()) == 22


# ---------------------------------------------------------------- what a process is started with


def launch(setup: Setup, **changes: object) -> Launch:
    app = parse_app((SERVICES / "checkout.toml").read_text("utf-8"), "checkout.toml")
    ports = {process.name: 18000 + number for number, process in enumerate(app.process)}
    values: dict[str, object] = {
        "app": app, "place": Place(folder=SERVICES), "setup": setup, "ports": ports, "tmp": Path("tmp"),
        "endpoints": {"http/protobuf": "http://127.0.0.1:4318", "grpc": "http://127.0.0.1:4317"},
        "replicate": 3,
    }  # fmt: skip
    return Launch(**(values | changes))  # type: ignore[arg-type]


CALLER = {
    "PATH": "/bin", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_CONFIG_FILE": "x", "BENCH_TRACNG": "1",
    "HTTP_PROXY": "http://p:1", "all_proxy": "http://p:1", "PYTHONPATH": "/x", "LOCUST_HOST": "y",
}  # fmt: skip
BY_NAME = {setup.name: setup for setup in TABLE}


def test_nothing_of_the_callers_reaches_a_process() -> None:
    made = launch(BY_NAME["none"])
    environ = made.environ(made.app.process[0], CALLER)
    # Where spans would go, so that an application that traces itself is seen.
    assert {name: value for name, value in environ.items() if name.startswith("OTEL_")} == {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_RESOURCE_ATTRIBUTES": "bench.setup=none,bench.replicate=3",
    }
    assert not [name for name in environ if name.lower().endswith("_proxy")]
    assert "PYTHONPATH" not in environ
    assert "BENCH_TRACNG" not in environ


def test_environments_differ_in_the_declared_factor_and_in_nothing_else() -> None:
    made = {name: launch(BY_NAME[name]) for name in ("none", "none-aa", "batch", "always-off", "batch-grpc")}
    process = made["none"].app.process[0]
    environs = {name: each.environ(process, CALLER) for name, each in made.items()}
    sizes = {
        sum(len(name) + len(value) + 2 for name, value in environ.items()) for environ in environs.values()
    }
    assert len(sizes) == 1
    assert environs["none"] == environs["none-aa"]
    differing = {
        name for name in environs["batch"] | environs["always-off"]
        if environs["batch"].get(name) != environs["always-off"].get(name)
    }  # fmt: skip
    assert differing == {"OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES", "BENCH_PADDING"}
    assert environs["batch"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert environs["batch-grpc"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"
    assert environs["batch"]["OTEL_RESOURCE_ATTRIBUTES"] == "bench.setup=batch,bench.replicate=3"


def test_a_setup_without_tracing_has_its_own_variables_all_the_same() -> None:
    audited = launch(Setup(name="audited", tracing="none", env={"AUDIT": "1"}))
    environ = audited.environ(audited.app.process[0], CALLER)
    assert environ["AUDIT"] == "1"
    assert not any(name.startswith("OTEL_TRACES") for name in environ)


def test_commands_are_split_as_a_shell_would_and_filled_in() -> None:
    made = launch(BY_NAME["batch"])
    words = made.command(made.app.process[0])
    assert words[1:5] == ["-m", "services", "frontend-app", "--port"]
    assert words[words.index("--order-service-url") + 1] == "http://127.0.0.1:18001"


def test_a_plain_setup_is_started_without_launcher_and_tracing() -> None:
    app = parse_app((SERVICES / "glances.toml").read_text("utf-8"), "glances.toml")
    ports = {"glances": 18000}
    plain = launch(BY_NAME["injected"], app=app, ports=ports)
    traced = launch(BY_NAME["disabled"], app=app, ports=ports)
    assert plain.command(app.process[0])[0] == "glances"
    assert traced.command(app.process[0])[0] == "opentelemetry-instrument"
    assert traced.environ(app.process[0], CALLER)["OTEL_SDK_DISABLED"] == "true"
    assert traced.environ(app.process[0], CALLER)["OTEL_METRICS_EXPORTER"] == "none"


def test_timers_are_scaled_where_that_is_wanted() -> None:
    made = launch(BY_NAME["batch"], timers=8)
    assert made.environ(made.app.process[0], CALLER)["OTEL_BSP_SCHEDULE_DELAY"] == "40000"


def test_the_control_burns_where_the_application_can() -> None:
    made = launch(BY_NAME["injected"], burn_us=600, burn=Burn(when="answered"))
    frontend, orders, *_ = made.app.process
    assert made.environ(orders, CALLER)["BENCH_INJECTED_CPU_US"] == "600"
    assert made.environ(orders, CALLER)["BENCH_INJECTED_WHEN"] == "answered"
    assert "BENCH_INJECTED_CPU_US" not in made.environ(frontend, CALLER)
    assert "BENCH_INJECTED_CPU_US" not in launch(BY_NAME["none"]).environ(orders, CALLER)


def test_what_is_burnt_apart_is_burnt_by_no_service() -> None:
    apart = launch(BY_NAME["none"], burn_us=600, burn=Burn())
    assert apart.burns_apart
    environs = [apart.environ(process) for process in apart.app.process]
    assert not any(name.startswith("BENCH_INJECTED") for environ in environs for name in environ)
    assert not launch(BY_NAME["none"], burn_us=600, burn=Burn(when="answered")).burns_apart
    assert not launch(BY_NAME["none"], burn_us=0, burn=Burn()).burns_apart


def test_processes_share_what_is_burnt_and_nothing_is_burnt_alike() -> None:
    two = Burn(processes=("frontend-app", "order-service"), when="after")
    for total_us, active_us in ((300, "150"), (0, "0")):
        made = launch(BY_NAME["none"], burn_us=total_us, burn=two)
        told = [made.environ(process, CALLER).get("BENCH_INJECTED_CPU_US") for process in made.app.process]
        assert told == [active_us, active_us, None, None]
        assert made.environ(made.app.process[0], CALLER)["BENCH_INJECTED_WHEN"] == "after"


def test_an_environment_that_does_not_fit_is_told() -> None:
    made = launch(Setup(name="huge", env={"OTHER": "x" * 9000}))
    with pytest.raises(UsageError, match="bytes too large"):
        made.environ(made.app.process[0], CALLER)


def test_an_app_file_in_place_of_a_setups_file_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        parse_setups('name = "x"\n[[process]]\nname = "web"\n', "x.toml", ())
    assert "as the argument" in error.value.hint


def test_a_setups_packages_take_the_place_of_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Environment] = []

    def environment(wanted: Environment, folder: Path, whose: str) -> Place:
        made.append(wanted)
        assert whose in {"setup old", "setup same"}
        return Place(folder=folder)

    monkeypatch.setattr(environments, "environment", environment)
    packages = '[environment]\npip = ["Flask==3.1.3", "opentelemetry_sdk[x]>=1"]\n'
    app = parse_app(GOOD + packages, "polls.toml")
    setups = [
        Setup(name="old", pip=["opentelemetry-sdk==1.20.0", "extra"], python="3.12"),
        Setup(name="same", npm=["express@5"]),
        Setup(name="plain"),
    ]
    assert set(environments.places(app, setups, Path())) == {"old", "same"}
    assert made[0] == Environment(python="3.12", pip=["Flask==3.1.3", "opentelemetry-sdk==1.20.0", "extra"])
    assert made[1].npm == ["express@5"]


def test_the_examples_packages_are_those_of_the_harness() -> None:
    app = parse_app((SERVICES / "checkout.toml").read_text("utf-8"), "checkout.toml")
    pins = (SERVICES.parent / "constraints.txt").read_text("utf-8").splitlines()
    assert app.environment
    assert set(app.environment.pip) <= set(pins)
    newest = next(setup for setup in app.setup if setup.name == "batch-1.45")
    assert set(newest.pip) <= set(pins)
    with_packages = {setup.name for setup in app.setup if setup.has_packages}
    assert with_packages == {
        name
        for preset in ("versions", "pythons", "tracers")
        for name in app.preset[preset]
        if name not in {"batch", "ratio-10"}
    }
