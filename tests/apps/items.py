"""A service whose requests overlap: each waits for two milliseconds."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def items(_request: Request) -> JSONResponse:
    await asyncio.sleep(0.002)
    return JSONResponse({"items": [1, 2, 3]})


app = Starlette(routes=[Route("/items", items)])
