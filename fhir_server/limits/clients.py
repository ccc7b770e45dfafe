"""How many requests to `/fhir` each client may make: what it was registered with, else what the settings say.

What was registered is looked up now and then, so a request costs no statement, and nothing at all while there is no
limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, NoReturn

from fhir_server.background import running
from fhir_server.limits.limit import Limit, Standing
from fhir_server.limits.limiter import Limiter, digest_of
from fhir_server.settings import Settings
from storage.engine import Database
from storage.errors import StorageError
from storage.installation import client_rate_limits

LOOK_SECONDS: Final = 5.0
MINUTE: Final = 60


class ClientLimits:
    """The limits of clients as they are now. One per worker; `is_on` says whether there is any."""

    def __init__(self, limiter: Limiter, default: Limit | None) -> None:
        self._limiter = limiter
        self._default = default
        self._own: Mapping[str, Limit] = {}
        self.is_on = default is not None

    def take(self, a_minute: Mapping[str, int]) -> None:
        """Take the requests a minute that clients were registered with."""
        self._own = {client_id: Limit(requests, MINUTE) for client_id, requests in a_minute.items()}
        self.is_on = bool(self._own) or self._default is not None

    async def hit(self, client_id: str) -> tuple[Limit, Standing] | None:
        """Count a request of a client, and return its limit and where it stands; None without a limit."""
        limit = self._own.get(client_id, self._default)
        if limit is None:
            return None
        return limit, await self._limiter.hit(f"fhir:client:{digest_of(client_id)}", limit)


def rate_limit_headers(limit: Limit, standing: Standing, now: float) -> dict[str, str]:
    """Return what a client is told of its limit (draft-ietf-httpapi-ratelimit-headers-10 §3, §4)."""
    return {
        "RateLimit-Policy": f'"client";q={limit.requests};w={limit.seconds}',
        "RateLimit": f'"client";r={standing.remaining};t={max(standing.reset_at - int(now), 0)}',
    }


@asynccontextmanager
async def followed_client_limits(
    database: Database, settings: Settings, limiter: Limiter
) -> AsyncIterator[ClientLimits]:
    """Give the limits of clients and keep them as they are registered; raises StorageError."""
    limits = ClientLimits(limiter, settings.fhir_limit)
    limits.take(await client_rate_limits(database))
    async with running(_follow(database, limits), "client limits"):
        yield limits


async def _follow(database: Database, limits: ClientLimits) -> NoReturn:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        with suppress(StorageError):  # the last ones known stay good until it is back
            limits.take(await client_rate_limits(database))
