"""Proof that the index says what the store says (settled §3.8, security DU-10); `index_rebuild` writes it anew.

Every row that a resource should have is looked for, and all rows are counted: with none missing, a surplus shows in the
count. Columns of the resource's own row that are derived from its body are compared as well.
"""

# ruff: noqa: S608 every name in these statements is our own

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Table, bindparam, func, select

from storage.driver import Driver, Row
from storage.engine import Database
from storage.projection.index_values import IndexValues, index_values
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.versions import ROWS_PER_RESOURCE, STORED_COLUMNS, index_place, index_rows, stored_of

BATCH: Final = 500
BY_RID: Final = frozenset({fhir.index_strings, fhir.index_dates, fhir.index_quantities, fhir.index_references})
"""Tables in which the rows of a resource are found by its rid; in the others each row is looked for by its key."""
DERIVED: Final = ("patient", "date_low", "date_high", "present")
"""Columns of a resource's own row that its body decides."""


@dataclass(slots=True)
class IndexFindings:
    """How many resources were looked at, and what differs.

    `misplaced` are resources (Type/id) whose own columns differ; `tables` of those that differ: rows expected, and how
    many of them are there, or where none is missing how many rows there are.
    """

    resources: int = 0
    misplaced: list[str] = field(default_factory=list)
    tables: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.misplaced and not self.tables


@dataclass(frozen=True, slots=True)
class Indexed:
    """A current resource with what its index should hold, and the derived columns as they are."""

    name: str
    key: int
    rid: int
    values: IndexValues
    derived: tuple[int, int, int, int]

    @property
    def expected(self) -> tuple[int, int, int, int]:
        """The derived columns as they should be."""
        return (*index_place(self.values), self.values.date_high, self.values.present)


async def check_index(database: Database, organization_id: str) -> IndexFindings:
    """Compare the index of one organization with its store, as both are at one moment."""
    findings = IndexFindings()
    expected: Counter[str] = Counter()
    existing: Counter[str] = Counter()
    async with database.read(organization_id) as driver:
        async for page in _pages(driver, organization_id, database.base_url):
            findings.resources += len(page)
            findings.misplaced += [each.name for each in page if each.derived != each.expected]
            for table, rows in rows_of(organization_id, page).items():
                expected[table.name] += len(rows)
                existing[table.name] += await _existing(driver, table, organization_id, page, rows)
        for table in ROWS_PER_RESOURCE:
            ((present,),) = await driver.fetch(_count(table, driver.dialect), {"organization_id": organization_id})
            found = existing[table.name] if existing[table.name] < expected[table.name] else present
            if found != expected[table.name]:
                findings.tables[table.name] = (expected[table.name], found)
    return findings


# --- what should be there ---------------------------------------------------------------------------------------------


@lru_cache
def _page(dialect: str) -> Prepared:
    rows = fhir.resources
    statement = (
        select(rows.c.self_key, *(rows.c[name] for name in DERIVED), *STORED_COLUMNS)
        .where(
            rows.c.organization_id == bindparam("organization_id"),
            rows.c.rid > bindparam("after"),
            rows.c.deleted.is_(False),
        )
        .order_by(rows.c.rid)
        .limit(BATCH)
    )
    return prepare(statement, dialect)


async def _pages(driver: Driver, organization_id: str, base_url: str) -> AsyncIterator[list[Indexed]]:
    after = -1
    while True:
        parameters = {"organization_id": organization_id, "after": after}
        page = [indexed(row, base_url) for row in await driver.fetch(_page(driver.dialect), parameters)]
        if not page:
            return
        after = page[-1].rid
        yield page


def indexed(row: Row, base_url: str) -> Indexed:
    """Return what should be of a row of self_key, DERIVED and STORED_COLUMNS."""
    key, patient, date_low, date_high, present, *rest = row
    stored = stored_of(tuple(rest))
    values = index_values(stored.resource(), base_url)
    return Indexed(str(stored.key), key, stored.rid, values, (patient, date_low, date_high, present))


def rows_of(organization_id: str, page: Sequence[Indexed]) -> dict[Table, list[Row]]:
    """Return the rows that resources should have."""
    found: dict[Table, list[Row]] = {table: [] for table in ROWS_PER_RESOURCE}
    for each in page:
        own = index_rows(organization_id, each.rid, each.values, *index_place(each.values))
        for table, rows in own.items():
            found[table].extend(rows)
    return found


# --- what is there ----------------------------------------------------------------------------------------------------


async def _existing(
    driver: Driver, table: Table, organization_id: str, page: Sequence[Indexed], rows: Sequence[Row]
) -> int:
    """Return how many of the rows there are."""
    if not rows:
        return 0
    own = {"organization_id": organization_id}
    if table in BY_RID:
        found = await driver.fetch(rows_by_rid(table, driver.dialect), {**own, "rids": [each.rid for each in page]})
        return len(set(rows) & {plain_row(row) for row in found})
    columns = [list(column) for column in zip(*rows, strict=True)][1:]
    parameters: dict[str, Any] = {f"c{at}": column for at, column in enumerate(columns)}
    if driver.dialect == "sqlite":
        parameters = {"rows": [list(row[1:]) for row in rows]}
    ((count,),) = await driver.fetch(_by_key(table, driver.dialect), {**own, **parameters})
    return int(count)


def plain_row(row: Row) -> Row:
    """Return a row as read as it would be written."""
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


@lru_cache
def rows_by_rid(table: Table, dialect: str) -> Prepared:
    """Return the statement for the rows of some resources."""
    own = table.c.organization_id == bindparam("organization_id")
    return prepare(select(*table.columns).where(own, member_of(table.c.rid, "rids")), dialect)


@lru_cache
def _by_key(table: Table, dialect: str) -> Prepared:
    """Return the statement that counts rows which exist, given by all columns but the organization, all numbers."""
    names = [column.name for column in table.columns][1:]
    if dialect == "sqlite":
        same = " AND ".join(f"t.{name} = json_extract(e.value, '$[{at}]')" for at, name in enumerate(names))
        exists = f"SELECT 1 FROM {table.name} AS t WHERE t.organization_id = :organization_id AND {same}"
        return Prepared(f"SELECT count(*) FROM json_each(:rows) AS e WHERE EXISTS ({exists})", {})
    arrays = ", ".join(f"%(c{at})s::int8[]" for at in range(len(names)))
    same = " AND ".join(f"t.{name} = e.{name}" for name in names)
    exists = f"SELECT 1 FROM {table.name} AS t WHERE t.organization_id = %(organization_id)s AND {same} OFFSET 0"
    return Prepared(f"SELECT count(*) FROM unnest({arrays}) AS e({', '.join(names)}) WHERE EXISTS ({exists})", {})


@lru_cache
def _count(table: Table, dialect: str) -> Prepared:
    own = table.c.organization_id == bindparam("organization_id")
    return prepare(select(func.count()).select_from(table).where(own), dialect)
