"""Writing an index anew beside running servers, in short units of work (security DU-10).

First each resource gets the rows it should have, a batch at a time and locked meanwhile, as a writer would lock it: a
writer counts on the rows of the version that it supersedes. Where a table finds rows by their resource, those it should
not have go at once. The others go afterwards, in a walk through the table. That takes no lock: a row that no version
calls for is nobody's, and a writer who would add it meets it and tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import Table, bindparam, delete, exists, select, text, tuple_, update

from storage.driver import Row
from storage.engine import Database
from storage.projection.index_check import BATCH, BY_RID, DERIVED, Indexed, indexed, plain_row, rows_by_rid, rows_of
from storage.projection.index_definition import note_built
from storage.search.values import OPEN_LOW
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.transaction import Change, UnitOfWork
from storage.versions import ROWS_PER_RESOURCE, STORED_COLUMNS, remove_statement

REINDEXER: Final = Change(actor="reconcile", client_id="fhir-server", api="reconcile")
WALKED: Final = 5000
"""Rows of one step through a table."""


async def rebuild_index(database: Database, organization_id: str) -> int:
    """Write the index of one organization anew from the stored bodies; returns the resources.

    Raises ConcurrencyConflict when a writer holds a resource for too long; what was done until then stays.
    """
    after: int | None = OPEN_LOW
    count = 0
    while after is not None:
        after, done = await database.transact(organization_id, REINDEXER, partial(_write_batch, after=after))
        count += done
    for table in ROWS_PER_RESOURCE:
        if table in BY_RID:
            await database.transact(organization_id, REINDEXER, partial(_remove_strays, table=table))
            continue
        place: Row | None = (OPEN_LOW,) * (len(table.columns) - 1)
        while place is not None:
            place = await database.transact(organization_id, REINDEXER, partial(_walk, table=table, after=place))
    await database.transact(organization_id, REINDEXER, note_built)
    return count


async def _write_batch(unit: UnitOfWork, after: int) -> tuple[int | None, int]:
    """Write what the next resources should have; returns the rid of the last, None at the end, and how many are there.

    Deleted ones are among them: they should have no rows.
    """
    organization_id, dialect, driver = unit.organization_id, unit.driver.dialect, unit.driver
    own = {"organization_id": organization_id}
    found = await driver.fetch(_next(dialect), {**own, "after": after})
    if not found:
        return None, 0
    rids = [rid for rid, _ in found]
    locked = await driver.fetch(_locked(dialect), {**own, "keys": sorted(key for _, key in found)})
    batch = [indexed(row[1:], unit.base_url) for row in locked if not row[0]]
    misplaced = [_correction(organization_id, each) for each in batch if each.derived != each.expected]
    await driver.execute_many(_correct(dialect), misplaced)
    for table, rows in rows_of(organization_id, batch).items():
        if table in BY_RID:
            there = map(plain_row, await driver.fetch(rows_by_rid(table, dialect), {**own, "rids": rids}))
            await _remove(unit, table, set(there).difference(rows))
        await driver.insert(table, rows, replace=True)
    return rids[-1], len(batch)


async def _walk(unit: UnitOfWork, table: Table, after: Row) -> Row | None:
    """Remove rows that no resource calls for from the next part of a table; returns where it ended, None at the end."""
    own = {"organization_id": unit.organization_id}
    driver = unit.driver
    place = {f"after_{number}": value for number, value in enumerate(after)}
    rows = await driver.fetch(_following(table, driver.dialect), {**own, **place})
    if not rows:
        return None
    rid = [column.name for column in table.columns].index("rid")
    rids = sorted({row[rid] for row in rows})
    # Read after the rows: whoever changed a resource meanwhile has written its rows as well.
    resources = [
        indexed(row, unit.base_url) for row in await driver.fetch(_live(driver.dialect), {**own, "rids": rids})
    ]
    await _remove(unit, table, set(rows).difference(rows_of(unit.organization_id, resources)[table]))
    return rows[-1][1:]


async def _remove(unit: UnitOfWork, table: Table, rows: Iterable[Row]) -> None:
    names = [f"at_{column.name}" for column in table.columns]
    gone = [dict(zip(names, row, strict=True)) for row in rows]
    await unit.driver.execute_many(remove_statement(table, unit.driver.dialect), gone)


async def _remove_strays(unit: UnitOfWork, table: Table) -> None:
    """Remove rows of resources that never were."""
    if unit.driver.dialect == "postgresql":
        await unit.connection.execute(text("SET LOCAL statement_timeout = 0"))
    rows = fhir.resources
    owner = select(rows.c.rid).where(rows.c.organization_id == unit.organization_id, rows.c.rid == table.c.rid)
    own = table.c.organization_id == unit.organization_id
    await unit.connection.execute(delete(table).where(own, ~exists(owner)))


# --- statements -------------------------------------------------------------------------------------------------------


def _columns() -> Sequence[Any]:
    """Return the columns that `indexed` takes."""
    return (fhir.resources.c.self_key, *(fhir.resources.c[name] for name in DERIVED), *STORED_COLUMNS)


@lru_cache
def _next(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c.organization_id == bindparam("organization_id"), rows.c.rid > bindparam("after"))
    return prepare(select(rows.c.rid, rows.c.self_key).where(*own).order_by(rows.c.rid).limit(BATCH), dialect)


@lru_cache
def _locked(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c.organization_id == bindparam("organization_id"), member_of(rows.c.self_key, "keys"))
    statement = select(rows.c.deleted, *_columns()).where(*own).order_by(rows.c.self_key)
    return prepare(statement.with_for_update(key_share=True), dialect)


@lru_cache
def _live(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c.organization_id == bindparam("organization_id"), member_of(rows.c.rid, "rids"))
    return prepare(select(*_columns()).where(*own, rows.c.deleted.is_(False)), dialect)


@lru_cache
def _following(table: Table, dialect: str) -> Prepared:
    """Return the statement for the rows after a place, which is given by all columns but the organization."""
    places = [column for column in table.primary_key.columns if column.name != "organization_id"]
    after = tuple_(*(bindparam(f"after_{number}", type_=column.type) for number, column in enumerate(places)))
    own = (table.c.organization_id == bindparam("organization_id"), tuple_(*places) > after)
    return prepare(select(*table.columns).where(*own).order_by(*places).limit(WALKED), dialect)


@lru_cache
def _correct(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c[name] == bindparam(f"at_{name}") for name in ("organization_id", "self_key"))
    return prepare(update(rows).where(*own).values({name: bindparam(name) for name in DERIVED}), dialect)


def _correction(organization_id: str, each: Indexed) -> dict[str, Any]:
    own = {"at_organization_id": organization_id, "at_self_key": each.key}
    return own | dict(zip(DERIVED, each.expected, strict=True))
