"""The application for servers of ASGI: Starlette, which the agent instruments."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app import handle
from opentelemetry import _logs, metrics, trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def index(_request: Request) -> Response:
    """One request."""
    return Response(handle())


async def ready(_request: Request) -> Response:
    """Nothing."""
    return Response(b"ready")


ROUTES = [Route("/", index), Route("/ready", ready)]


@asynccontextmanager
async def shut_down(_app: Starlette) -> AsyncIterator[None]:
    """What keeps the last batch: the server ends the lifespan before it ends itself."""
    yield
    # The API's own types have no `shutdown`: the agent has put the SDK's in their place.
    providers: list[Any] = [
        trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider(),
    ]  # fmt: skip
    for provider in providers:
        provider.shutdown()


app = Starlette(routes=ROUTES)
orderly = Starlette(routes=ROUTES, lifespan=shut_down)
