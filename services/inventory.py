"""inventory-service: sets stock aside in a SQLite database, all items of an order or none.

One transaction per reservation: one UPDATE an item, one INSERT an order.
What runs low is restocked, so that a long run never runs dry; the work
per order stays the same.
"""

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.checkout import Reservation, Reserved
from services.tracing import Tracing
from services.web import Failure, answer, application, read

SERVICE = "inventory-service"
STOCK = 1_000
"""Units of every item that is sold: as many as one line of a cart may ask for."""
IN_STOCK = ("keyboard", "mouse", "monitor", "headset")
SOLD_OUT = "typewriter"
"""In the catalogue, never in stock: a cart with it is answered 409."""
REMEMBERED_RESERVATIONS = 10_000

_LOG = logging.getLogger(__name__)
_RESERVATION = msgspec.json.Decoder(Reservation)

# An UPDATE that takes from full shelves whenever they would run dry: the same single
# statement for every order, so that restocking never makes one order more expensive than another.
_TAKE = """
    UPDATE stock
    SET available = CASE WHEN available < :quantity THEN capacity ELSE available END - :quantity
    WHERE sku = :sku AND capacity >= :quantity
"""
_RECORD = "INSERT OR REPLACE INTO reservations (slot, order_id, items) VALUES (?, ?, ?)"


def build(tracing: Tracing, *, delay_s: float = 0.0) -> ASGIApp:
    """The service; `delay_s` is how long the warehouse takes to answer."""
    taken = 0

    async def reserve(request: Request) -> Response:
        nonlocal taken
        with tracing.serve("reserve-stock", request.headers) as span:
            message = await read(request, _RESERVATION)
            if delay_s:
                await asyncio.sleep(delay_s)
            missing = _reserve(request.state.database, message, taken % REMEMBERED_RESERVATIONS)
            if missing is not None:
                span.event("stock.missing", sku=missing)
                raise Failure(409, "out_of_stock", f"{missing} is out of stock.")
            taken += 1
            span.event("stock.taken", items=len(message.items))
            span.succeed()
            _LOG.info("stock of order %s taken", message.order_id)
            return answer(201, Reserved(inventory_status="reserved"))

    async def reservations(_request: Request) -> Response:
        return answer(200, {"reservations": taken})

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, object]]:
        with tempfile.TemporaryDirectory(prefix="inventory-") as directory:
            database = _open(tracing, Path(directory) / "stock.sqlite3")
            yield {"database": database}
            database.close()
        tracing.shutdown()

    routes = [
        Route("/reservations", reserve, methods=["POST"]),
        Route("/reservations", reservations),
    ]
    return application(SERVICE, tracing, routes, lifespan)


def _open(tracing: Tracing, path: Path) -> sqlite3.Connection:
    """The database, filled. Made before the connection is traced: its setup is no checkout's."""
    with sqlite3.connect(path) as plain:
        plain.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE stock (sku TEXT PRIMARY KEY, available INTEGER, capacity INTEGER);
            CREATE TABLE reservations (slot INTEGER PRIMARY KEY, order_id TEXT, items TEXT);
        """)
        rows = [(sku, STOCK, STOCK) for sku in IN_STOCK] + [(SOLD_OUT, 0, 0)]
        plain.executemany("INSERT INTO stock VALUES (?, ?, ?)", rows)
    plain.close()
    database = tracing.connect(str(path))
    # No fsync: the disk of a shared machine is not what is measured.
    database.execute("PRAGMA synchronous = OFF")
    return database


def _reserve(database: sqlite3.Connection, message: Reservation, slot: int) -> str | None:
    """The first item that is not in stock, and nothing taken; or None, and all of them taken."""
    cursor = database.cursor()
    try:
        for item in message.items:
            cursor.execute(_TAKE, {"sku": item.sku, "quantity": item.quantity})
            if cursor.rowcount == 0:
                database.rollback()
                return item.sku
        items = msgspec.json.encode(message.items).decode()
        cursor.execute(_RECORD, (slot, message.order_id, items))
        database.commit()
    finally:
        cursor.close()
    return None
