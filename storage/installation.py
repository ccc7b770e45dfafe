"""What a worker has to know of its installation: which organizations there are, the origins of its browser apps, and
how many requests each client may make.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import select, true

from storage.codec import decode
from storage.engine import Database
from storage.sql import prepare
from storage.tables.columns import SHARED
from storage.tables.platform import clients, organizations

_ORGANIZATIONS: Final = {
    dialect: prepare(select(organizations.c.id).order_by(organizations.c.id), dialect)
    for dialect in ("postgresql", "sqlite")
}
_ORIGINS: Final = {
    dialect: prepare(select(clients.c.origins).where(clients.c.is_active == true()), dialect)
    for dialect in ("postgresql", "sqlite")
}

_RATE_LIMITS: Final = {
    dialect: prepare(select(clients.c.id, clients.c.rate_limit).where(clients.c.rate_limit.is_not(None)), dialect)
    for dialect in ("postgresql", "sqlite")
}


async def organization_ids(database: Database) -> list[str]:
    """Return the ids of all organizations; raises DatabaseUnavailable."""
    async with database.read("") as driver:  # a table outside tenancy needs no context
        return [row[0] for row in await driver.fetch(_ORGANIZATIONS[driver.dialect], {})]


async def trail_ids(database: Database) -> list[str]:
    """Return the organizations whose audit trails are sealed: all, and the one of rows that they share.

    Raises DatabaseUnavailable.
    """
    return [SHARED, *await organization_ids(database)]


async def client_origins(database: Database) -> frozenset[str]:
    """Return the origins that active clients registered for their browser apps; raises DatabaseUnavailable."""
    async with database.read("") as driver:
        rows = await driver.fetch(_ORIGINS[driver.dialect], {})
    return frozenset(origin for (origins,) in rows for origin in _listed(origins))


async def client_rate_limits(database: Database) -> dict[str, int]:
    """Return the requests a minute of the clients that have a limit of their own; raises DatabaseUnavailable."""
    async with database.read("") as driver:
        return dict(await driver.fetch(_RATE_LIMITS[driver.dialect], {}))


def _listed(origins: list[str] | str) -> list[str]:
    """Return a list of texts as each driver gives it."""
    return decode(origins.encode()) if isinstance(origins, str) else origins
