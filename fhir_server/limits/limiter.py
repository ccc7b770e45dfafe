"""Rate limits of requests: a sliding window for each caller, exact across workers (settled §5, security RL-1).

Counting is done in Redis or Valkey where one is configured, else in the database. While neither answers, each worker
counts for itself: a limit is no reason to turn a reader away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Final, NoReturn, Protocol

import structlog

from fhir_server.background import running
from fhir_server.limits.grouped import GroupedLimiter
from fhir_server.limits.limit import Limit, Standing
from fhir_server.limits.remote import CountsUnavailable, RemoteLimiter
from fhir_server.settings import Settings
from storage.engine import Database
from storage.errors import StorageError
from storage.rate_limits import MemoryRateLimits, create_rate_limits

PAUSE_SECONDS: Final = 5.0
"""How long a store that failed is left alone."""
CLEAN_SECONDS: Final = 60.0

_log = structlog.get_logger("fhir_server.limits")


class Limiter(Protocol):
    """Counts hits of keys. Keys hold no names: a digest of who asks (PH-1)."""

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Standing:
        """Count a hit unless it is refused, and say where its key stands. A cost above the limit is never granted."""
        ...


class Counting(Limiter, Protocol):
    """A limiter over a store that can fail: `hit` and `clean` raise StorageError or CountsUnavailable."""

    async def clean(self) -> None:
        """Forget what counts no more."""
        ...

    async def close(self) -> None:
        """Close the store."""
        ...


class SharedLimiter:
    """Counts with all workers together, and alone while the shared store is away."""

    def __init__(self, shared: Counting, alone: Counting, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._alone = alone
        self._monotonic = monotonic
        self._away_until = 0.0
        self._is_away = False

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Standing:
        """Count a hit; never fails."""
        if cost > limit.requests:
            return Standing(False, limit.requests, 0, int(time.time()) + limit.seconds, limit.seconds)
        if self._monotonic() >= self._away_until:
            try:
                standing = await self._shared.hit(key, limit, cost)
            except (StorageError, CountsUnavailable) as error:
                self._went_away(error)
            else:
                self._came_back()
                return standing
        return await self._alone.hit(key, limit, cost)

    async def clean(self) -> None:
        """Forget what counts no more."""
        await self._alone.clean()
        try:
            await self._shared.clean()
        except (StorageError, CountsUnavailable) as error:
            _log.warning("limits_not_cleared", reason=type(error).__name__)

    async def close(self) -> None:
        """Close both."""
        await self._shared.close()
        await self._alone.close()

    def _went_away(self, error: Exception) -> None:
        self._away_until = self._monotonic() + PAUSE_SECONDS
        if not self._is_away:
            _log.warning("limits_counted_alone", reason=type(error).__name__)
        self._is_away = True

    def _came_back(self) -> None:
        if self._is_away:
            _log.info("limits_counted_together")
        self._is_away = False


def digest_of(who: str) -> str:
    """Return what stands for a user or an address in a key."""
    return blake2b(who.encode(), digest_size=16).hexdigest()


def create_limiter(
    settings: Settings, database: Database, *, monotonic: Callable[[], float] = time.monotonic
) -> SharedLimiter:
    """Return the limiter of a worker; it connects at the first hit.

    Of `database` it takes what it is, and no connection: a hit waits for no other statement.
    """
    address = settings.limits_url
    shared: Counting
    if address is not None:
        shared = RemoteLimiter(address.get_secret_value())
    else:
        shared = GroupedLimiter(
            create_rate_limits(database.dialect, settings.database_url, role=settings.database_role or None)
        )
    return SharedLimiter(shared, GroupedLimiter(MemoryRateLimits()), monotonic)


@asynccontextmanager
async def running_limiter(settings: Settings, database: Database) -> AsyncIterator[Limiter]:
    """Hold the limiter of a worker open, and clean up behind it."""
    limiter = create_limiter(settings, database)
    try:
        async with running(_keep_clean(limiter), "limits"):
            yield limiter
    finally:
        await limiter.close()


async def _keep_clean(limiter: SharedLimiter) -> NoReturn:
    while True:
        await asyncio.sleep(CLEAN_SECONDS)
        await limiter.clean()
