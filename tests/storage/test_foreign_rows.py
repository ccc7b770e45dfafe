"""Rows of every mapped table, changed by plain SQL, show in FHIR; settled §3.8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from mappers.registry import mappers_of_table
from storage.codec import decode
from storage.engine import Database
from storage.projection.declared import PROJECTION_ORDER, STORED_TABLES
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from tests.conftest import ORGANIZATION
from tests.foreign_rows import insert, other_column, parents

KEY: Final = "row-1"
MAPPED: Final = [table for table in PROJECTION_ORDER if table in STORED_TABLES]
CHANGES: Final = {
    "profile_fhir_resources_clean": 'clean_json = \'{"resourceType": "Condition", "code": {"text": "changed"}}\'',
    "lab_results": "provider = 'changed'",
    "patient_wearable_daily_stats": "unit = 'changed', closed_at = '2026-01-03T00:00:00Z'",
}
"""What is changed where no plain column of text shows: of other tables, the one that `other_column` names."""


def change_of(table: str) -> str:
    """The UPDATE after which resources of a row say 'changed'."""
    change = CHANGES.get(table, f"{other_column(table)} = 'changed'")
    return f"UPDATE {table} SET {change} WHERE id = '{KEY}'"


@dataclass
class World:
    """A database, another program that writes to it, and what FHIR shows."""

    database: Database
    url: str
    projector: Projector

    def sql(self, *statements: str) -> list[Any]:
        """Run statements in one transaction of the other program; returns the rows of the last."""
        url = make_url(self.url)
        driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
        engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
        rows: list[Any] = []
        with engine.begin() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
                rows = list(result) if result.returns_rows else []
        engine.dispose()
        return rows

    async def after(self, *statements: str) -> None:
        """Run statements and let the projector see them."""
        self.sql(*statements)
        await self.projector.drain()

    def shown(self, table: str, key: str) -> list[tuple[int, dict[str, Any]]]:
        """Return version and content of the resources that a row gives."""
        found = self.sql(
            "SELECT version, body FROM fhir_resources"
            f" WHERE home_table = '{table}' AND home_key = '{key}' AND deleted = false ORDER BY resource_type, id"
        )
        return [(version, decode(bytes(body))) for version, body in found]

    def failures(self) -> list[Any]:
        """Return the rows that could not be mapped, and why."""
        return self.sql("SELECT table_name, key, reason FROM projection_failures")


@pytest.fixture
async def world(fresh_database: Database, fresh_database_url: str) -> World:
    fresh_database.flush = flush
    return World(fresh_database, fresh_database_url, Projector(fresh_database))


def test_every_mapped_table_has_a_mapper() -> None:
    assert [table for table in PROJECTION_ORDER if not mappers_of_table(table)] == []


@pytest.mark.parametrize("table", MAPPED)
async def test_rows_of_every_mapped_table_appear_change_and_go(world: World, table: str) -> None:
    organization = KEY if table == "organizations" else ORGANIZATION
    await world.after(*parents(table), insert(table, KEY))
    before = world.shown(table, KEY)
    assert before, "an inserted row shows"
    await world.after(change_of(table))
    after = world.shown(table, KEY)
    assert "changed" in str(after), "what was changed shows"
    assert max(version for version, _ in after) == 2, "in a version of its own"
    assert (await reconcile(world.database, organization, fix=False)).agrees
    await world.after(f"DELETE FROM {table} WHERE id = '{KEY}'")
    assert world.shown(table, KEY) == [], "a deleted row takes its resources with it"
    assert world.failures() == []


@pytest.mark.parametrize("table", [table for table in MAPPED if table != "organizations"])
async def test_rows_of_a_table_that_is_emptied_go_together(world: World, table: str) -> None:
    await world.after(*parents(table), insert(table, KEY), insert(table, "row-2"))
    assert world.shown(table, "row-2")
    is_postgres = world.url.startswith("postgresql")
    await world.after(f"TRUNCATE {table} CASCADE" if is_postgres else f"DELETE FROM {table}")
    assert world.shown(table, KEY) == world.shown(table, "row-2") == []
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


@pytest.mark.parametrize("table", MAPPED)
async def test_a_row_of_a_writer_who_knows_no_tenancy_belongs_to_the_system(world: World, table: str) -> None:
    if table == "organizations":
        pytest.skip("its rows are the organizations")
    await world.after(*parents(table, None), insert(table, KEY, None))
    assert world.shown(table, KEY)


@pytest.mark.parametrize("table", MAPPED)
async def test_reconcile_finds_and_mends_what_no_trigger_told(world: World, table: str) -> None:
    organization = KEY if table == "organizations" else ORGANIZATION
    world.sql(*parents(table), insert(table, KEY), "DELETE FROM outbox")
    found = await reconcile(world.database, organization, fix=True)
    assert found.differing["missing"] > 0
    assert world.shown(table, KEY)
    assert (await reconcile(world.database, organization, fix=False)).agrees
    world.sql(change_of(table), "DELETE FROM outbox")
    found = await reconcile(world.database, organization, fix=True)
    assert found.differing["outdated"] > 0
    assert "changed" in str(world.shown(table, KEY))
