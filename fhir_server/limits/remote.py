"""A limiter over Redis or Valkey: the moving window of the library `limits`, one script of the server a hit."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any, Final

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool, ConnectionPool

from fhir_server.limits.limit import Limit, Standing
from fhir_server.limits.refusals import Refusals

ANSWER_SECONDS: Final = 2.0
MOST_CONNECTIONS: Final = 16
"""Of each worker; who comes when all are in use waits."""
PREFIX: Final = "fhir-server"


class CountsUnavailable(Exception):
    """Redis or Valkey does not answer."""


class RemoteLimiter:
    """Counts in Redis or Valkey. The instants are those of the workers, whose clocks have to agree."""

    def __init__(self, url: str, refusals: Refusals | None = None) -> None:
        # Valkey speaks the protocol of Redis: one client is enough
        self._pool: ConnectionPool = BlockingConnectionPool.from_url(
            url.replace("valkey", "redis", 1),
            max_connections=MOST_CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
        options: dict[str, Any] = {"connection_pool": self._pool}
        storage = RedisStorage(
            "async+redis://", wrap_exceptions=True, implementation="redispy", key_prefix=PREFIX, **options
        )
        self._windows = MovingWindowRateLimiter(storage)
        self._refusals = refusals or Refusals()

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Standing:
        """Count a hit, unless it is refused, and say where its key stands; raises CountsUnavailable."""
        name, item = f"{key}/{limit}", _item(limit)
        refused = self._refusals.of(name, limit)
        if refused is not None:
            return refused
        asked = self._refusals.monotonic()
        try:
            allowed = await self._windows.hit(item, key, cost=cost)
            reset, remaining = await self._windows.get_window_stats(item, key)
        except StorageError:
            raise CountsUnavailable("Redis or Valkey does not answer") from None
        wait = reset - time.time()
        if remaining <= 0:
            self._refusals.note(name, asked + wait)
        return Standing(allowed, limit.requests, remaining, math.ceil(reset), 0 if allowed else max(math.ceil(wait), 1))

    async def clean(self) -> None:
        """Forget what counts no more here; the server does so by itself."""
        self._refusals.forget()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()


@lru_cache(maxsize=256)
def _item(limit: Limit) -> RateLimitItem:
    return RateLimitItemPerSecond(limit.requests, limit.seconds)
