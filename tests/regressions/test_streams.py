"""Rows in the order of their writing: none appears behind what was read (settled §3.4, security DU-11)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.engine import OPEN_UNIT, create_database
from storage.projection.places import Places
from storage.resources import ResourceKey, Write
from storage.rls import ROLE
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer
from tests.regressions.shop import CHANGE, SYSTEM, Shop, observed


@pytest.fixture
async def shop(postgres: PostgresServer) -> AsyncIterator[Shop]:
    """On PostgreSQL: on SQLite writers take turns."""
    database = create_database(postgres.fresh(), role=ROLE)
    await database.open()
    yield Shop(database, ResourceStore(database, Places()))
    await database.close()


async def test_security_DU11_a_stream_stops_before_the_oldest_running_transaction(shop: Shop) -> None:
    await shop.put("Observation/first", observed(None))
    async with shop.database.begin(ORGANIZATION, CHANGE) as running:
        await shop.put("Observation/second", observed(None))
        assert await shop.ids("Observation?_sort=_lastUpdated") == ["first"]
        assert sorted(await shop.ids("Observation")) == ["first", "second"]
        third = Write(ResourceKey("Observation", "third"), observed(None, id="third"))
        await shop.store.write(running, [third], SYSTEM)
    assert await shop.ids("Observation?_sort=_lastUpdated") == ["first", "third", "second"]


async def test_security_DU11_a_stream_stops_before_the_present_millisecond(shop: Shop) -> None:
    """Two transactions of one millisecond may show their rows in either order."""
    await shop.put("Observation/first", observed(None))
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        unit.now += 60_000
        ahead = Write(ResourceKey("Observation", "ahead"), observed(None, id="ahead"))
        await shop.store.write(unit, [ahead], SYSTEM)
    assert await shop.ids("Observation?_sort=_lastUpdated") == ["first"]
    assert sorted(await shop.ids("Observation?_sort=_id")) == ["ahead", "first"]


def test_security_DU11_a_transaction_takes_its_id_before_it_looks_at_the_clock() -> None:
    assert OPEN_UNIT.sql.index("pg_current_xact_id") < OPEN_UNIT.sql.index("clock_timestamp")
