"""Writers of the same rows at the same time: nothing is lost, and FHIR shows what the rows say (security DU-4)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import psycopg
import pytest

from mappers.rows import CustomerProfile
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.repositories.profiles import ProfileRepository
from storage.resources import ResourceKey, Write, Written
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer, execute
from tests.regressions.shop import CHANGE, Shop, observed

CUSTOMER = CustomerProfile("c1", ORGANIZATION, "user_1", "jane@example.com", first_name="Jane", last_name="Doe")


async def add_customer(shop: Shop) -> None:
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await ProfileRepository(unit).insert(CUSTOMER)


@pytest.fixture
async def busy(postgres: PostgresServer) -> AsyncIterator[tuple[Shop, str]]:
    """A store on PostgreSQL, where writers meet each other, and the URL of its database."""
    url = postgres.fresh()
    database = create_database(url, role=ROLE)
    database.flush = flush
    await database.open()
    await Projector(database).drain()
    shop = Shop(database, ResourceStore(database, Places()))
    await add_customer(shop)
    yield shop, url
    await database.close()


async def until_somebody_waits(url: str) -> None:
    """Return when a session waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while execute(url, waiting) == [(0,)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_map_a_projection_that_waited_for_another_one_shows_what_both_wrote(busy: tuple[Shop, str]) -> None:
    shop, url = busy

    async def project(unit: UnitOfWork) -> None:
        unit.touch("customer_profiles", "c1")  # as the projector does for an entry of the outbox

    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await ProfileRepository(unit).update("c1", {"last_name": "Roe"})
        await flush(unit)  # holds the resource until the end
        other = asyncio.create_task(shop.database.transact(ORGANIZATION, CHANGE, project))
        await until_somebody_waits(url)
    await other
    shown = await shop.read("Patient/c1")
    assert shown["name"][0]["family"] == "Roe"
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_sec_DU_4_an_update_keeps_what_a_foreign_writer_changes_meanwhile(busy: tuple[Shop, str]) -> None:
    shop, url = busy
    written = await shop.read("Patient/c1")
    written["name"][0]["family"] = "Roe"
    with psycopg.connect(url) as foreign:
        foreign.execute("UPDATE customer_profiles SET metadata = '[7]' WHERE id = 'c1'")
        update = asyncio.create_task(shop.put("Patient/c1", written))
        await until_somebody_waits(url)
    await update
    ((internal, family),) = execute(url, "SELECT metadata::text, last_name FROM customer_profiles WHERE id = 'c1'")
    assert (internal, family) == ("[7]", "Roe")


async def test_map_a_row_whose_id_is_taken_comes_back_under_the_id_it_had(shop: Shop) -> None:
    """Settled §1.6: the store records the choice, and it never changes."""
    await shop.put("Patient/c1", {"resourceType": "Patient", "active": True})  # native: it has no e-mail
    await add_customer(shop)
    (shown,) = await shop.ids("Patient?family=Doe")
    assert shown != "c1"

    async def remove(unit: UnitOfWork) -> None:
        await ProfileRepository(unit).delete("c1")

    await shop.database.transact(ORGANIZATION, CHANGE, remove)
    assert await shop.ids("Patient?family=Doe") == []
    await add_customer(shop)
    assert await shop.ids("Patient?family=Doe") == [shown]
    assert await shop.versions(f"Patient/{shown}") == [3, 2, 1]
    assert (await shop.read("Patient/c1"))["active"] is True
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_sec_DU_4_writers_who_create_the_same_resources_at_once_all_succeed(busy: tuple[Shop, str]) -> None:
    shop, _ = busy
    names = [f"o{number}" for number in range(30)]

    async def write(turn: int) -> list[Written]:
        order = names if turn % 2 else names[::-1]
        many = [
            Write(ResourceKey("Observation", name), observed(None, id=name, note=[{"text": f"by {turn}"}]))
            for name in order
        ]
        return await shop.write(*many)

    await asyncio.gather(*(write(turn) for turn in range(6)))
    for name in names:
        assert await shop.versions(f"Observation/{name}") == [6, 5, 4, 3, 2, 1]
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
