"""Whether rows, store and index of a database say the same (design: `reconcile --check`)."""

from __future__ import annotations

import asyncio

from storage.engine import create_database
from storage.projection.reconcile import Findings, reconcile
from storage.rls import ROLE
from tests.conftest import ORGANIZATION


def disagreements(url: str, organization: str = ORGANIZATION) -> list[str]:
    """Return what `reconcile --check` finds wrong; nothing is what is wanted."""
    found = asyncio.run(_compared(url, organization))
    return [*found.examples, *(f"{name}: {counts}" for name, counts in found.index.items()), *found.failures.values()]


async def _compared(url: str, organization: str) -> Findings:
    database = create_database(url, role=ROLE)
    await database.open()
    try:
        return await reconcile(database, organization, fix=False)
    finally:
        await database.close()
