"""An echo service for measuring load generators: answers everything at once with 201 and nothing else.

    python -m services.echo --fd N

Rule 1: it does as little as an HTTP server can, so that the generator is what is measured.
"""

import argparse
import socket

from starlette.types import Receive, Scope, Send

from services.server import serve

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
    await send({"type": "http.response.start", "status": 201, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


def main() -> None:
    """Serves on an inherited socket until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m services.echo", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="an inherited, listening socket")
    args = parser.parse_args()
    serve(echo, socket.socket(fileno=args.fd), stop_on_eof=True)


if __name__ == "__main__":
    main()
