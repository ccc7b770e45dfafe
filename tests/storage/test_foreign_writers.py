"""Rows that foreign writers change show in FHIR (settled §3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from mappers.rows import CustomerProfile
from storage.access import system_access
from storage.codec import decode
from storage.engine import Database
from storage.errors import ResourceGone, ResourceNotFound
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey
from storage.rows import save_row
from storage.store import ResourceStore
from storage.transaction import Change
from tests.conftest import ORGANIZATION

ACCESS = system_access(ORGANIZATION, "tester")


@dataclass
class World:
    """A database with a foreign connection that knows nothing of this server."""

    database: Database
    url: str
    store: ResourceStore
    projector: Projector

    def sql(self, *statements: str) -> None:
        """Run statements as another program would: its own connection, plain SQL."""
        url = make_url(self.url)
        driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
        engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    async def read(self, name: str) -> dict[str, Any]:
        return decode((await self.store.read(ResourceKey(*name.split("/")), ACCESS)).body)


@pytest.fixture
async def world(fresh_database: Database, fresh_database_url: str) -> World:
    fresh_database.flush = flush
    made = World(fresh_database, fresh_database_url, ResourceStore(fresh_database, Places()), Projector(fresh_database))
    await made.projector.drain()
    return made


CUSTOMER = (
    "INSERT INTO customer_profiles (id, external_id, email, first_name, last_name, date_of_birth)"
    " VALUES ('c1', 'user_1', 'jane@example.com', 'Jane', 'Doe', '1985-06-15')"
)


def reading(id_: str, value: str = "61.5") -> str:
    return (
        "INSERT INTO patient_wearable_readings (id, customer_id, data_type, value, unit, source, recorded_at)"
        f" VALUES ('{id_}', 'c1', 'weight', '{value}', 'kg', 'withings', '2026-03-20T14:30:00Z')"
    )


async def test_an_inserted_row_appears_without_knowing_of_tenancy(world: World) -> None:
    world.sql(CUSTOMER)
    assert await world.projector.drain() > 0
    shown = await world.read("Patient/c1")
    assert shown["name"][0]["family"] == "Doe"
    assert shown["birthDate"] == "1985-06-15"


async def test_an_updated_row_makes_a_version_and_a_deleted_one_goes(world: World) -> None:
    world.sql(CUSTOMER, reading("r1"))
    await world.projector.drain()
    world.sql("UPDATE patient_wearable_readings SET value = '62.0' WHERE id = 'r1'")
    await world.projector.drain()
    body = await world.read("Observation/r1")
    assert (body["meta"]["versionId"], str(body["valueQuantity"]["value"])) == ("2", "62.0")
    world.sql("DELETE FROM patient_wearable_readings WHERE id = 'r1'")
    await world.projector.drain()
    with pytest.raises(ResourceGone):
        await world.read("Observation/r1")


async def test_a_child_row_changes_its_owner(world: World) -> None:
    world.sql(CUSTOMER)
    await world.projector.drain()
    before = (await world.read("Patient/c1"))["meta"]["versionId"]
    world.sql(
        "INSERT INTO identity_mappings (id, customer_id, identifier_type, external_system, external_id)"
        " VALUES ('m1', 'c1', 'clerk_user_id', 'clerk', 'user_1b')"
    )
    await world.projector.drain()
    after = await world.read("Patient/c1")
    assert "user_1b" in [identifier["value"] for identifier in after["identifier"]]
    assert after["meta"]["versionId"] != before


async def test_a_change_that_does_not_show_makes_no_version(world: World) -> None:
    world.sql(CUSTOMER)
    await world.projector.drain()
    world.sql("UPDATE customer_profiles SET metadata = '{\"a\": 1}' WHERE id = 'c1'")
    assert await world.projector.drain() > 0
    assert (await world.read("Patient/c1"))["meta"]["versionId"] == "1"


async def test_a_row_that_cannot_be_mapped_is_listed_and_blocks_nobody(world: World) -> None:
    world.sql(CUSTOMER, reading("r1"), reading("r2"))
    await world.projector.drain()
    beyond = "20000-01-01T00:00:00Z" if "postgresql" in world.url else "no date at all"
    world.sql(
        f"UPDATE patient_wearable_readings SET recorded_at = '{beyond}' WHERE id = 'r1'",
        "UPDATE patient_wearable_readings SET value = '70' WHERE id = 'r2'",
    )
    await world.projector.drain()
    assert (await world.read("Observation/r1"))["meta"]["versionId"] == "1"
    assert (await world.read("Observation/r2"))["valueQuantity"]["value"] == 70
    findings = await reconcile(world.database, ORGANIZATION, fix=False)
    assert list(findings.failures) == ["patient_wearable_readings/r1"]
    world.sql("UPDATE patient_wearable_readings SET recorded_at = '2026-01-01T00:00:00Z' WHERE id = 'r1'")
    await world.projector.drain()
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_truncated_tables_take_their_resources_along(world: World) -> None:
    world.sql(CUSTOMER, reading("r1"), reading("r2"))
    await world.projector.drain()
    truncates = "TRUNCATE patient_wearable_readings" if "postgresql" in world.url else None
    world.sql(truncates or "DELETE FROM patient_wearable_readings")
    await world.projector.drain()
    for name in ("Observation/r1", "Observation/r2"):
        with pytest.raises(ResourceGone):
            await world.read(name)


async def test_the_servers_own_writes_leave_no_outbox_entries(world: World) -> None:
    async with world.database.begin(ORGANIZATION, Change("t", "t", "graph")) as unit:
        row = CustomerProfile(id="c9", organization_id=ORGANIZATION, external_id="u9", email="u9@example.com")
        await save_row(unit.connection, "customer_profiles", row, new=True)
        unit.touch("customer_profiles", "c9", new=True)
    assert (await world.read("Patient/c9"))["active"] is True
    assert await world.projector.drain() == 0


async def test_reconcile_shows_what_nobody_noted_and_fix_mends_it(world: World) -> None:
    world.sql(CUSTOMER)
    world.sql("DELETE FROM outbox")
    findings = await reconcile(world.database, ORGANIZATION, fix=False)
    assert "missing: Patient/c1" in findings.examples
    with pytest.raises(ResourceNotFound):
        await world.read("Patient/c1")
    await reconcile(world.database, ORGANIZATION, fix=True)
    assert (await world.read("Patient/c1"))["resourceType"] == "Patient"
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_lastupdated_is_the_databases_clock_not_the_rows(world: World) -> None:
    world.sql(CUSTOMER, "UPDATE customer_profiles SET updated_at = '2001-01-01T00:00:00Z' WHERE id = 'c1'")
    await world.projector.drain()
    shown = datetime.fromisoformat((await world.read("Patient/c1"))["meta"]["lastUpdated"])
    assert abs((datetime.now(UTC) - shown).total_seconds()) < 3600
