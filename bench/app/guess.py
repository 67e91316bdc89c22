"""Guesses how an application is started and traced: from its command, and from files that lie beside it.

Nothing is read or run here. A guess is only the first draft of an app file; trying it shows what is wrong.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml
from jinja2 import Environment, StrictUndefined

from bench.errors import UsageError

Language: TypeAlias = Literal["python", "node", ""]

READ = (
    "Procfile", "railway.toml", "railway.json", "render.yaml", "package.json", "pyproject.toml",
    "requirements.txt", "manage.py", "app.py", "main.py", "wsgi.py", "asgi.py",
    "server.js", "app.js", "index.js",
)  # fmt: skip
"""Files beside an application that say something about it."""
FRAMEWORKS: dict[Language, tuple[str, ...]] = {
    "python": ("django", "fastapi", "flask", "starlette", "falcon", "tornado", "pyramid", "aiohttp"),
    "node": ("@nestjs/core", "fastify", "koa", "@hapi/hapi", "restify", "express"),
}
"""By language; a framework comes before the one it is built on (FastAPI before Starlette)."""
PROGRAMS: dict[Language, tuple[str, ...]] = {
    "python": ("python", "python3", "gunicorn", "uvicorn", "hypercorn", "granian", "daphne", "flask",
               "fastapi", "django-admin", "waitress-serve", "uwsgi"),
    "node": ("node", "npm", "npx", "yarn", "pnpm", "next", "tsx"),
}  # fmt: skip
NODE_AGENT = "@opentelemetry/auto-instrumentations-node"
NODE_PACKAGES = ("@opentelemetry/api@1.9.1", f"{NODE_AGENT}@0.81.2")
"""The last ones that run on Node.js 20, too."""
ESM_LOADER = "--experimental-loader={npm}/@opentelemetry/instrumentation/hook.mjs"
"""Loader for ES modules, which `--require` alone does not instrument."""
_WRAPPED = re.compile(r"(npm|yarn|pnpm)( run)? start")
_SHELL = re.compile(r"[&|;<>$`]")
_PORT_VARIABLE = re.compile(r"\$\{PORT(?::-\d+)?\}|\$PORT\b")
_PORT_OPTION = re.compile(
    r"(?P<option>(?:^|\s)(?:--port|-p|--listen|--bind|-b|--http))(?P<gap>[ =])(?P<value>\S+)"
)
_PORT_AT_END = re.compile(r"(?P<host>[\w.\[\]:*]*?:)?(?P<port>\d{4,5})$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """How a platform starts an application.

    Attributes:
        command: of it.
        ready: path that the platform asks; empty where it asks none.
        file: that says so.
    """

    command: str
    ready: str = ""
    file: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What an app file would say.

    Attributes:
        command: with its port as a placeholder.
        env: variables of the process.
        language: of the application; empty where it is unknown.
        framework: likewise.
        launcher: words in front of the command.
        tracing_env: variables of a traced process.
        npm: packages that its tracing needs.
    """

    command: str
    env: dict[str, str] = field(default_factory=dict)
    language: Language = ""
    framework: str = ""
    launcher: str = ""
    tracing_env: dict[str, str] = field(default_factory=dict)
    npm: tuple[str, ...] = ()


def start_of(files: Mapping[str, str]) -> Start | None:
    """How the files of a platform start the application; None where none does."""
    return next((start for start in _starts(files) if start.command), None)


def _starts(files: Mapping[str, str]) -> Iterator[Start]:
    for file, parse in (("railway.toml", tomllib.loads), ("railway.json", json.loads)):
        deploy = _table(_parsed(parse, files.get(file, "")).get("deploy"))
        command, ready = _text(deploy.get("startCommand")), _text(deploy.get("healthcheckPath"))
        yield Start(command=command, ready=ready, file=file)
    services = _parsed(yaml.safe_load, files.get("render.yaml", "")).get("services")
    for service in map(_table, services if isinstance(services, list) else ()):
        command, ready = _text(service.get("startCommand")), _text(service.get("healthCheckPath"))
        yield Start(command=command, ready=ready, file="render.yaml")
    web = re.search(r"^web:\s*(.+)$", files.get("Procfile", ""), re.MULTILINE)
    yield Start(command=web[1].strip() if web else "", file="Procfile")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parsed(parse: Any, text: str) -> dict[str, Any]:  # noqa: ANN401 - a parser
    """The content of a platform's file; empty if the file is invalid, without an error."""
    try:
        content = parse(text) if text.strip() else {}
    except (ValueError, yaml.YAMLError):
        return {}
    return _table(content)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def guess(command: str, files: Mapping[str, str], shebang: str = "") -> Guess:
    """What an app file would say.

    Args:
        command: that starts the application, with or without `{port}`.
        files: content of those files beside it that there are, by name.
        shebang: first line of the program, where it is a script.

    Raises:
        UsageError: the command's quotes do not match.
    """
    package = _parsed(json.loads, files.get("package.json", ""))
    command, env = with_port(_unwrapped(command, package))
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{command!r} cannot be split into words: {error}", "look at its quotes") from None
    language = language_of(words, files, shebang)
    framework = framework_of(language, files)
    tracing_env: dict[str, str] = {}
    if framework == "django":
        settings = re.search(r"DJANGO_SETTINGS_MODULE[\"'], *[\"']([\w.]+)", "\n".join(files.values()))
        # The agent looks at it before Django does.
        env["DJANGO_SETTINGS_MODULE"] = settings[1] if settings else "mysite.settings"
    if language == "node":
        tracing_env["NODE_OPTIONS"] = _node_options(package)
    return Guess(
        command=command,
        env=env,
        language=language,
        framework=framework,
        launcher="opentelemetry-instrument" if language == "python" else "",
        tracing_env=tracing_env,
        npm=NODE_PACKAGES if language == "node" and not _has_agent(package) else (),
    )


def _has_agent(package: Mapping[str, Any]) -> bool:
    """True if the application has the agent among its own packages."""
    return any(NODE_AGENT in _table(package.get(key)) for key in ("dependencies", "devDependencies"))


def _node_options(package: Mapping[str, Any]) -> str:
    """NODE_OPTIONS that load the agent; loader and agent must come from the same installation."""
    if package.get("type") != "module":
        return f"--require {NODE_AGENT}/register"
    if _has_agent(package):
        return f"{ESM_LOADER.replace('{npm}/', '')} --require {NODE_AGENT}/register"
    return f"{ESM_LOADER} --require {{npm}}/{NODE_AGENT}/build/src/register.js"


def _unwrapped(command: str, package: Mapping[str, Any]) -> str:
    """The program itself instead of a wrapper that would be traced, metered and stopped with it."""
    script = _text(_table(package.get("scripts")).get("start"))
    if _WRAPPED.fullmatch(command.strip()) and script and not _SHELL.search(script):
        return script
    if re.search(r"manage\.py runserver\b", command) and "--noreload" not in command:
        return f"{command} --noreload"
    return command


def with_port(command: str) -> tuple[str, dict[str, str]]:
    """The command with `{port}` where its port was, and variables for a program that reads PORT."""
    command = _PORT_VARIABLE.sub("{port}", command)
    if "{port" not in command:
        command = _PORT_OPTION.sub(_with_placeholder, command, 1)
    if "{port" not in command:
        first, *words = command.split(" ")
        ports = [word for word in words if _PORT_AT_END.fullmatch(word)]
        if len(ports) == 1:
            words = [_PORT_AT_END.sub(r"\g<host>{port}", word) if word in ports else word for word in words]
            command = " ".join([first, *words])
    # Instances listen on this machine alone.
    command = command.replace("0.0.0.0", "127.0.0.1")
    return (command, {}) if "{port" in command else (command, {"PORT": "{port}"})


def _with_placeholder(match: re.Match[str]) -> str:
    port = _PORT_AT_END.fullmatch(match["value"]) or re.fullmatch(r"(?P<host>)(?P<port>\d+)", match["value"])
    if port is None:
        return match[0]
    return f"{match['option']}{match['gap']}{port['host'] or ''}{{port}}"


def language_of(words: list[str], files: Mapping[str, str], shebang: str) -> Language:
    """The language of an application, by its program, its program's first line, or its files."""
    program = words[0].rpartition("/")[2] if words else ""
    for language, programs in PROGRAMS.items():
        if program in programs or (
            shebang and any(re.search(rf"\b{name}[\d.]*\b", shebang) for name in programs)
        ):
            return language
    if "package.json" in files:
        return "node"
    return "python" if {"requirements.txt", "pyproject.toml", "manage.py"} & files.keys() else ""


def modules_of(command: str) -> tuple[str, ...]:
    """The files of the Python modules that a server's command names: shop.py of `gunicorn shop:app`."""
    modules = re.findall(r"(?:^|\s)([A-Za-z_][\w.]*):[A-Za-z_]\w*", command)
    return tuple(module.replace(".", "/") + ".py" for module in modules)


def framework_of(language: Language, files: Mapping[str, str]) -> str:
    """The framework that an application's requirements or sources name; empty where none does."""
    text = "\n".join(files.values()).lower()
    return next(
        (name for name in FRAMEWORKS.get(language, ()) if re.search(rf"(?<![\w-]){name}(?![\w-])", text)), ""
    )


def written(name: str, guess: Guess, *, path: str, ready: str = "") -> str:
    """The app file that a guess makes, with a comment for everything that a person may want to change.

    Args:
        name: of the application.
        guess: what it says.
        path: that is asked, with its query.
        ready: path that answers once the application is ready; empty: `/`.
    """
    return _TEMPLATE.render(name=name, guess=guess, path=f"/{path.lstrip('/')}", ready=ready or "/")


_ENVIRONMENT = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False)  # noqa: S701 - TOML
# A JSON string is a TOML string.
_ENVIRONMENT.filters["toml"] = json.dumps
_ENVIRONMENT.filters["pairs"] = lambda env: ", ".join(f"{key} = {json.dumps(env[key])}" for key in env)
_TEMPLATE = _ENVIRONMENT.from_string("""\
# What tracing costs {{ name }}: `tracing-overhead run FILE`. docs/REFERENCE.md explains every key.
name = {{ name | toml }}
{% if guess.npm %}

[environment]
# Installed once, beside the application's own packages.
npm = {{ guess.npm | list | toml }}
{% endif %}

[[process]]
name = "web"
# Split as a shell would, never run by one; every instance gets a {port} of its own.
command = {{ guess.command | toml }}
{% if guess.env %}
env = { {{ guess.env | pairs }} }
{% else %}
# env = { DATABASE_URL = "sqlite:///{tmp}/db.sqlite3" }
{% endif %}
# Readiness path, polled until the status is below 500.
ready = {{ ready | toml }}
{% if guess.language != "node" %}
# prepare = "python manage.py migrate"
{% endif %}
{% if guess.framework == "django" %}
version = "python -m django --version"
{% endif %}

# One or more; `weight` says how often each is sent. A request should do the same work each time and change
# nothing.
[[request]]
path = {{ path | toml }}
expect = 200
{% if guess.launcher or guess.tracing_env %}

# How a traced instance differs: everything else is the same.
[tracing]
{% if guess.launcher %}
launcher = {{ guess.launcher | toml }}
{% endif %}
{% if guess.tracing_env %}
env = { {{ guess.tracing_env | pairs }} }
{% endif %}
{% endif %}
""")
