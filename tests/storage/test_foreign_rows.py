"""Rows of every mapped table, changed by plain SQL, show in FHIR; settled §3.8."""

from __future__ import annotations

from typing import Final

import pytest

from mappers.registry import mappers_of_table
from storage.engine import Database
from storage.projection.declared import PROJECTION_ORDER, STORED_TABLES
from storage.projection.reconcile import reconcile
from tests.conftest import ORGANIZATION
from tests.foreign_rows import insert, other_column, parents
from tests.storage.other_program import World, other_program

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


@pytest.fixture
async def world(fresh_database: Database, fresh_database_url: str) -> World:
    return other_program(fresh_database, fresh_database_url)


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
