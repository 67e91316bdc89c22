"""An echo service, to be called by what is timed: answers everything at once with 200 and nothing else.

    python -m services.echo --port N

It does as little as an HTTP server can, so that its caller is what is measured.
"""

import argparse

from starlette.types import Receive, Scope, Send

from services.server import bind, serve

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The application."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m services.echo", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    args = parser.parse_args()
    serve(echo, bind(args.port), stop_on_eof=True)


if __name__ == "__main__":
    main()
