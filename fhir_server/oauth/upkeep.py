"""Forgets now and then what the authorization server remembers for nothing. One task per worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from fhir_server.background import running
from fhir_server.oauth.lifetimes import DAY
from fhir_server.settings import Settings
from storage.authorization.upkeep import forget
from storage.engine import Database
from storage.errors import StorageError

UPKEEP_SECONDS: Final = 3600.0
"""How often, give or take half of it: workers that started together come one after the other."""

log = structlog.get_logger("fhir_server.oauth")


@asynccontextmanager
async def running_upkeep(
    database: Database, settings: Settings, now: Callable[[], float], *, every: float = UPKEEP_SECONDS
) -> AsyncIterator[None]:
    """Forget in the background; what fails is tried again the next time."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every * random.uniform(0.5, 1.5))  # noqa: S311 no secret
            try:
                forgotten = await forget(database, int(now()), kept_seconds(settings))
            except StorageError as error:
                log.warning("authorization_not_cleared", reason=type(error).__name__)
            else:
                if forgotten:
                    log.info("authorization_cleared", **forgotten)

    async with running(sweep(), "authorization upkeep"):
        yield


def kept_seconds(settings: Settings) -> int:
    """Return how long a grant is kept after it was given: as long as it could be refreshed, or is remembered."""
    return max(settings.refresh_token_days, settings.remembered_consent_days) * DAY
