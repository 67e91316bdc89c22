"""What an application is guessed to be, from its command and the files beside it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.app.file import parse_app
from bench.app.guess import Start, framework_of, guess, language_of, modules_of, start_of, with_port, written
from bench.errors import UsageError


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gunicorn mysite.wsgi -b 127.0.0.1:8000", "gunicorn mysite.wsgi -b 127.0.0.1:{port}"),
        ("gunicorn mysite.wsgi -b :8000", "gunicorn mysite.wsgi -b :{port}"),
        ("uvicorn app:app --port 8000", "uvicorn app:app --port {port}"),
        ("uvicorn app:app --host 0.0.0.0 --port $PORT", "uvicorn app:app --host 127.0.0.1 --port {port}"),
        ("gunicorn app:app --bind 0.0.0.0:${PORT:-8000}", "gunicorn app:app --bind 127.0.0.1:{port}"),
        ("gunicorn app:app --bind=0.0.0.0:8000 -w 4", "gunicorn app:app --bind=127.0.0.1:{port} -w 4"),
        ("python manage.py runserver 8000", "python manage.py runserver {port}"),
        ("python manage.py runserver 127.0.0.1:8000", "python manage.py runserver 127.0.0.1:{port}"),
        ("flask run -p 5000", "flask run -p {port}"),
        ("python -m http.server 8000 --bind 127.0.0.1", "python -m http.server {port} --bind 127.0.0.1"),
        ("hypercorn app:app -b {port}", "hypercorn app:app -b {port}"),
    ],
)
def test_the_port_of_a_command_is_found(command: str, expected: str) -> None:
    assert with_port(command) == (expected, {})


@pytest.mark.parametrize("command", ["node server.js", "npm start", "gunicorn app:app -b unix:/tmp/x.sock"])
def test_a_command_without_a_port_gets_it_as_a_variable(command: str) -> None:
    assert with_port(command) == (command, {"PORT": "{port}"})


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"Procfile": "worker: celery\nweb: gunicorn x\n"}, Start(command="gunicorn x", file="Procfile")),
        (
            {"railway.toml": '[deploy]\nstartCommand = "node a.js"\nhealthcheckPath = "/up"\n'},
            Start(command="node a.js", ready="/up", file="railway.toml"),
        ),
        (
            {"railway.json": '{"deploy": {"startCommand": "node b.js"}}'},
            Start(command="node b.js", file="railway.json"),
        ),
        (
            {"render.yaml": "services:\n- type: web\n  startCommand: uvicorn a:b\n  healthCheckPath: /ok\n"},
            Start(command="uvicorn a:b", ready="/ok", file="render.yaml"),
        ),
        ({"render.yaml": ": : broken", "Procfile": "web: x\n"}, Start(command="x", file="Procfile")),
        ({"railway.toml": "[deploy]\n"}, None),
        ({}, None),
    ],
)
def test_a_platform_s_files_say_how_it_is_started(files: dict[str, str], start: Start | None) -> None:
    assert start_of(files) == start


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["deploy", "services", "startCommand", "x"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_whatever_a_platform_s_file_holds_is_no_error(content: object) -> None:
    text = json.dumps(content)
    start = start_of({"railway.json": text, "render.yaml": text})
    assert start is None or start.command


def test_quotes_that_do_not_match_are_told() -> None:
    with pytest.raises(UsageError, match="cannot be split"):
        guess("gunicorn 'x", {})


def test_a_server_s_command_names_the_file_of_the_application() -> None:
    assert modules_of("gunicorn --workers 2 -b 127.0.0.1:{port} shop.web:app") == ("shop/web.py",)
    assert modules_of("uvicorn main:app --port 8000") == ("main.py",)
    assert modules_of("node server.js") == ()
    read = {"shop.py": "from flask import Flask\n"}
    assert guess("gunicorn shop:app -b 127.0.0.1:8000", read).framework == "flask"


def test_languages_and_frameworks_are_told_by_program_first_line_and_files() -> None:
    assert language_of(["gunicorn", "x"], {}, "") == "python"
    assert language_of(["/usr/bin/node", "x"], {}, "") == "node"
    assert language_of(["json-server"], {}, "#!/usr/bin/env node") == "node"
    assert language_of(["glances"], {}, "#!/opt/venv/bin/python3.11") == "python"
    assert language_of(["./run"], {"package.json": "{}"}, "") == "node"
    assert language_of(["./run"], {"requirements.txt": ""}, "") == "python"
    assert language_of(["./run"], {}, "") == ""
    assert framework_of("python", {"requirements.txt": "Flask==3.1\nflask-cors\n"}) == "flask"
    assert framework_of("python", {"main.py": "from fastapi import FastAPI"}) == "fastapi"
    assert framework_of("node", {"package.json": '{"dependencies": {"express": "5"}}'}) == "express"
    assert framework_of("python", {"requirements.txt": "pytest-django-queries"}) == ""


def test_a_python_application_gets_the_launcher() -> None:
    made = guess("gunicorn shop:app -b 127.0.0.1:8000", {"requirements.txt": "flask"})
    app = parse_app(written("shop", made, path="/items?limit=2", ready=""), "shop.toml")
    assert app.tracing.launcher == "opentelemetry-instrument"
    assert app.process[0].ready == "/"
    assert app.request[0].path == "/items?limit=2"
    assert app.environment is None


def test_a_django_application_gets_its_settings() -> None:
    files = {"manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polls.settings")\nimport django'}
    made = guess("python manage.py runserver 8000", files)
    app = parse_app(written("polls", made, path="/"), "polls.toml")
    assert made.framework == "django"
    assert app.process[0].env["DJANGO_SETTINGS_MODULE"] == "polls.settings"


def test_a_node_application_gets_the_agent_and_a_port() -> None:
    made = guess("npm start", {"package.json": '{"dependencies": {"express": "5"}}'})
    app = parse_app(written("api", made, path="/"), "api.toml")
    assert "auto-instrumentations-node/register" in app.tracing.env["NODE_OPTIONS"]
    assert app.process[0].env == {"PORT": "{port}"}
    assert app.environment
    assert app.environment.npm


def test_quotes_and_backslashes_stay_what_they_are() -> None:
    command = 'sh -c "exec python -c \\"print(1)\\" {port}"'
    app = parse_app(written("x", guess(command, {}), path="/"), "x.toml")
    assert app.process[0].command == command


def test_a_wrapper_is_replaced_by_what_it_starts() -> None:
    """A wrapper would be traced, metered and stopped instead of the service."""
    package = {"dependencies": {"express": "5"}, "scripts": {"start": "node --enable-source-maps server.js"}}
    assert guess("npm start", {"package.json": json.dumps(package)}).command == package["scripts"]["start"]
    package["scripts"]["start"] = "build && node server.js"
    assert guess("npm run start", {"package.json": json.dumps(package)}).command == "npm run start"
    assert guess("python manage.py runserver 8000", {}).command.endswith("{port} --noreload")


def test_es_modules_get_the_loader_that_hooks_them() -> None:
    made = guess("node server.js", {"package.json": '{"type": "module", "dependencies": {"express": "5"}}'})
    assert made.tracing_env["NODE_OPTIONS"].startswith("--experimental-loader={npm}/@opentelemetry/")
    app = parse_app(written("shop", made, path="items"), "shop.toml")
    assert app.request[0].path == "/items"
    assert app.process[0].ready == "/"
