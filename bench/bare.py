"""The bare stack: what uvicorn, psycopg and PostgreSQL give when nothing else is done, on the server's own database.

No token, no access rule, no audit, no context: stored bodies by key, from the very table the server reads. It is the
yardstick by which figures of one machine are compared with those of another (README.md). Run by `bench.run`:

    BENCH_DSN=postgresql://owner@/bench uvicorn bench.bare:application --loop uvloop --http httptools

Paths: `/fixed` (the same bytes, no database), `/read/KEY` (the body of the resource with this self_key), `/page/KEY`
(the newest 50 Observations of the Patient with this self_key, their bodies joined).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

DSN_VARIABLE: Final = "BENCH_DSN"
ORGANIZATION: Final = "loop-health"
"""The organization that commands of the server use when none is named."""
POOL_SIZE: Final = 8
"""Connections per worker, as many as the server's own default."""
FIXED: Final = b'{"resourceType":"Basic","note":"' + b"x" * 3_000 + b'"}'
"""As long as a Patient of the sample data."""
READ: Final = "SELECT body FROM fhir_resources WHERE organization_id = %s AND self_key = %s"
PAGE: Final = (
    "SELECT body FROM fhir_resources WHERE organization_id = %s AND patient = %s AND resource_type = 'Observation'"
    " ORDER BY date_low DESC, rid DESC LIMIT 50"
)
HEADERS: Final = (b"content-type", b"application/fhir+json")


class BareStack:
    """An ASGI application without a framework."""

    def __init__(self) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or open and close the pool with the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        _, kind, *key = scope["path"].split("/")
        if kind == "read":
            (row,) = await self._bodies(READ, int(key[0]))
            await _answer(send, row[0])
        elif kind == "page":
            rows = await self._bodies(PAGE, int(key[0]))
            await _answer(send, b'{"entry":[' + b",".join([row[0] for row in rows]) + b"]}")
        else:
            await _answer(send, FIXED)

    async def _bodies(self, statement: str, key: int) -> list[Any]:
        if self._pool is None:
            raise RuntimeError("asked before the process started up")
        async with self._pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, (ORGANIZATION, key), prepare=True)
            return await cursor.fetchall()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = AsyncConnectionPool(
            os.environ[DSN_VARIABLE], min_size=POOL_SIZE, max_size=POOL_SIZE, open=False, kwargs={"autocommit": True}
        )
        await self._pool.open(wait=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Send, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [HEADERS, length]})
    await send({"type": "http.response.body", "body": body})


application = BareStack()
