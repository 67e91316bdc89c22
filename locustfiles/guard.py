"""Keeps other people's pages away from the web UI: a request to it can start and stop processes here.

Every page that a browser shows may send requests to 127.0.0.1, and one whose name is made to point there may
read the answers, too.
"""

from typing import Any
from urllib.parse import urlsplit

from flask import Response, request

OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
FORBIDDEN = 403


def keep_out_strangers(app: Any) -> None:  # noqa: ANN401 - Flask's application
    """Refuse requests that another site has made."""

    @app.before_request  # type: ignore[untyped-decorator]
    def refuse() -> Response | None:
        if is_own(request.headers.get("Host", ""), request.headers):
            return None
        return Response("This page answers requests of its own alone.\n", FORBIDDEN, mimetype="text/plain")


def is_own(host: str, headers: Any) -> bool:  # noqa: ANN401 - headers of any library
    """True if a request was made by the page itself, or by a program that is no browser."""
    origin = headers.get("Origin")
    try:
        if urlsplit(f"//{host}").hostname not in OWN_HOSTS:
            return False
        if origin is not None and urlsplit(origin).netloc != host:
            return False
    except ValueError:
        return False
    # A link on another page may open the page, and do nothing else.
    is_foreign = headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
    return not is_foreign or (request.method == "GET" and request.path == "/")
