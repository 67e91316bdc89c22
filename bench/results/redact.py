"""Takes out what may be secret before anything is stored or sent: results go to colleagues."""

import re
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from bench.app.records import App, Setup
from bench.plan.records import Plan

SECRET = re.compile(r"HEADERS|TOKEN|SECRET|PASSWORD|API_?KEY|CERTIFICATE|CLIENT_KEY", re.IGNORECASE)
AUTHORIZATION = re.compile(r"authorization|cookie|token|key|secret", re.IGNORECASE)
CREDENTIALS = re.compile(r"//[^/@\s]+@")
REDACTED = "(redacted)"


def redacted_value(name: str, value: str) -> str:
    """A variable's value, without what may be secret: by its name, or a password in a URL."""
    return REDACTED if SECRET.search(name) else CREDENTIALS.sub(f"//{REDACTED}@", value)


def redacted_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Variables without what may be secret."""
    return {name: redacted_value(name, value) for name, value in env.items()}


def redacted(plan: Plan) -> Plan:
    """A plan without what may be secret in setups, processes and requests."""
    return replace(plan, app=_app(plan.app), setups=tuple(map(_setup, plan.setups)))


def _setup(setup: Setup) -> Setup:
    return msgspec.structs.replace(setup, env=redacted_variables(setup.env))


def _app(app: App) -> App:
    return msgspec.structs.replace(
        app,
        setup=[_setup(setup) for setup in app.setup],
        process=[
            msgspec.structs.replace(process, env=redacted_variables(process.env)) for process in app.process
        ],
        request=[
            msgspec.structs.replace(
                request,
                headers={
                    name: REDACTED if AUTHORIZATION.search(name) else value
                    for name, value in request.headers.items()
                },
            )
            for request in app.request
        ],
        tracing=msgspec.structs.replace(app.tracing, env=redacted_variables(app.tracing.env)),
    )
