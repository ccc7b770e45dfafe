"""Whichever column of whichever mapped table is gone: mappers that need it are stopped, and nothing else is."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from mappers.registry import mappers_of_table
from storage.drift.check import check_drift, check_schema
from storage.drift.declared import mappers_needing
from storage.engine import Database, create_database
from storage.projection.declared import PROJECTION_ORDER, STORED_TABLES
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.rows import shape_of
from storage.stops import STOPPED
from storage.tables.fhir import outbox, projection_failures
from storage.tables.metadata import metadata
from storage.transaction import Change
from tests import foreign_rows
from tests.conftest import ORGANIZATION

CHANGE = Change(actor="tester", client_id="tests", api="test")
KEY = "k1"
CHILDREN = sorted({children.table.name for table in STORED_TABLES for children in shape_of(table).children})
TABLES = sorted({*STORED_TABLES, *CHILDREN, "profile_fhir_resources_raw"} - {"organizations"})
"""`organizations` says which organizations there are: without it nothing is left to do."""


async def opened(path: Path) -> Database:
    database = create_database(f"sqlite:///{path}")
    database.flush = flush
    await database.open()
    return database


async def drained(database: Database) -> None:
    """Return when nothing is left to be shown."""
    while await Projector(database).drain():
        pass


@pytest.fixture(scope="module")
async def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a row in every mapped table, shown in FHIR."""
    path = tmp_path_factory.mktemp("drift") / "filled.sqlite"
    shutil.copy(sqlite_template, path)
    with sqlite3.connect(path) as connection:
        for table in TABLES:
            for statement in (*foreign_rows.parents(table), foreign_rows.insert(table, KEY)):
                connection.execute(statement.replace("INSERT", "INSERT OR IGNORE", 1))
    connection.close()
    database = await opened(path)
    await drained(database)
    findings = await reconcile(database, ORGANIZATION, fix=False)
    assert findings.agrees, (findings.examples, findings.failures)
    await database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def columns_of(table: str) -> list[str]:
    """Return columns that lead to other rows, and one that is shown, if any is."""
    of = metadata.tables[table]
    leading = ["organization_id", *(column.name for column in of.columns if column.foreign_keys)]
    plain = [column.name for column in of.columns if column.name not in {"id", *leading}]
    shown = [name for name in plain if mappers_needing(table, name)]
    hidden = [name for name in plain if name not in shown]
    return list(dict.fromkeys([*leading, *(shown[-1:] or hidden[:1])]))


@pytest.mark.parametrize("table", TABLES)
async def test_a_column_that_is_gone_stops_only_what_needs_it(table: str, filled: Path, tmp_path: Path):
    for column in columns_of(table):
        path = tmp_path / f"{column}.sqlite"
        shutil.copy(filled, path)
        with sqlite3.connect(path) as connection:
            connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO gone_{column}")
        connection.close()
        database = await opened(path)
        try:
            await shows_the_rest(database, f"{table}.{column}")
        finally:
            await database.close()
            path.unlink()


async def shows_the_rest(database: Database, gone: str) -> None:
    """Change every row and compare everything: only what is stopped is left."""
    findings = await check_schema(database)
    (found,) = [each for each in findings if each.place == gone]
    assert found.stops == bool(found.mappers) or not found.mappers
    assert set(database.stops.mappers) == set(found.mappers)
    touched = [(table, key) for table in TABLES for key in (KEY, foreign_rows.PARENT)]
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        entry = {"organization_id": ORGANIZATION, "operation": "update"}
        await unit.connection.execute(
            insert(outbox), [{**entry, "table_name": table, "key": key} for table, key in touched]
        )
    await drained(database)
    compared = await reconcile(database, ORGANIZATION, fix=True)
    assert not compared.differing, (gone, compared.examples)
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        columns = projection_failures.c
        rows = (await unit.connection.execute(select(columns.table_name, columns.reason))).all()
    assert all(reason.startswith(STOPPED) for _, reason in rows), (gone, rows)
    concerned = {
        table for table in PROJECTION_ORDER if any(mapper.name in found.mappers for mapper in mappers_of_table(table))
    }
    assert {table for table, _ in rows} <= concerned, (gone, rows)
    sampled = await check_drift(database, [ORGANIZATION], 4)
    assert {each.place for each in sampled} == {gone, gone.replace(".", ".gone_")}, (gone, sampled)
