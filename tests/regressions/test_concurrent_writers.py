"""Writers of the same rows at the same time: nothing is lost, and FHIR shows what the rows say (security DU-4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import psycopg
import pytest
from sqlalchemy import text

from mappers import systems
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
from tests.regressions.shop import CHANGE, SYSTEM, Resource, Shop, observed
from tests.regressions.waiting import until_somebody_waits

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


async def test_security_DU4_an_update_keeps_what_a_foreign_writer_changes_meanwhile(busy: tuple[Shop, str]) -> None:
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


async def test_security_DU4_writers_who_create_the_same_resources_at_once_all_succeed(busy: tuple[Shop, str]) -> None:
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


class Rollback(Exception):
    """Ends a unit of work without a trace."""


def customer(number: int) -> Resource:
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"system": systems.LOGIN, "value": f"login-{number}"}],
        "telecom": [{"system": "email", "value": f"{number}@example.com"}],
    }


def visit(number: int) -> Resource:
    return {"resourceType": "Encounter", "id": f"p{number}", "status": "finished", "class": {"code": "AMB"}}


@pytest.mark.parametrize("make", [visit, customer])
@pytest.mark.parametrize("known", [(), range(5)], ids=["create", "update"])
async def test_security_DU4_bundles_of_equal_ids_in_opposite_order_do_not_deadlock(
    busy: tuple[Shop, str], make: Callable[[int], Resource], known: Iterable[int]
) -> None:
    """While a third one holds what both have in the middle, each writes what the other one wants next."""
    shop, url = busy
    one = sorted(map(make, range(5)), key=lambda each: ResourceKey(each["resourceType"], each["id"]).hash)
    middle = one[2]

    def bundle(resources: Iterable[Resource], note: str) -> list[Write]:
        tagged = ({**each, "meta": {"tag": [{"code": note}]}} for each in resources)
        return [Write(ResourceKey(each["resourceType"], each["id"]), each) for each in tagged]

    await shop.write(*bundle((make(number) for number in known), "before"))
    others: list[asyncio.Task[list[Written]]] = []

    async def hold_the_middle() -> None:
        async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
            await shop.store.write(unit, bundle([middle], "held"), SYSTEM)
            await unit.connection.execute(text("SELECT 1"))  # what was written travels with it
            for number, order in enumerate((one, one[::-1])):
                others.append(asyncio.create_task(shop.write(*bundle(order, f"order-{number}"))))
            await until_somebody_waits(url, 2)
            raise Rollback

    with pytest.raises(Rollback):
        await hold_the_middle()
    await asyncio.gather(*others)
    await shop.database.close()  # which makes sessions hand in what they counted
    assert execute(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    key = ResourceKey(middle["resourceType"], middle["id"])
    versions = "SELECT count(*) FROM fhir_history WHERE resource_type = %s AND id = %s"
    with psycopg.connect(url) as connection:
        assert connection.execute(versions, (key.resource_type, key.id)).fetchone() == (2 if known else 1,)


async def test_security_DU4_bundles_in_opposite_order_both_commit(shop: Shop) -> None:
    resources = [visit(number) for number in range(20)] + [customer(number) for number in range(20)]

    async def write(order: list[Resource], note: str) -> None:
        tagged = ({**each, "meta": {"tag": [{"code": note}]}} for each in order)
        await shop.write(*(Write(ResourceKey(each["resourceType"], each["id"]), each) for each in tagged))

    await asyncio.gather(write(resources, "one"), write(resources[::-1], "other"))
    for each in resources:
        assert await shop.versions(f"{each['resourceType']}/{each['id']}") == [2, 1]
