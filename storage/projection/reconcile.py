"""Proof that the FHIR store says what the rows say, and that the index says what the store says (settled §3.8).

`check` compares everything and changes nothing; `fix` writes what differs. Both work in batches, each in a unit of work
of its own, so writers are held up for a batch at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

from sqlalchemy import Table, bindparam, delete, func, select

from storage.engine import Database
from storage.projection.flush import note_failures
from storage.projection.index_values import index_values
from storage.projection.lookups import open_facts
from storage.projection.outbox import stored_keys
from storage.projection.project import project_rows
from storage.projection.sources import DERIVED_TABLES, PROJECTION_ORDER, derived_keys
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.transaction import Change, UnitOfWork
from storage.versions import (
    ROWS_PER_RESOURCE,
    STORED_COLUMNS,
    index_place,
    index_rows,
    is_unchanged,
    stored_of,
    write_versions,
)

BATCH: Final = 500
SHOWN: Final = 100
RECONCILER: Final = Change(actor="reconcile", client_id="fhir-server", api="reconcile")
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Findings:
    """What was compared and what differs; `examples` names some of what differs, without values."""

    rows: int = 0
    resources: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    index: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Index table → (rows expected, rows found that were expected or are too many)."""
    examples: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.differing and not self.failures and not self.index

    def note(self, kind: str, what: str) -> None:
        """Count a difference."""
        self.differing[kind] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(f"{kind}: {what}")


async def reconcile(
    database: Database, organization_id: str, *, fix: bool, progress: Progress | None = None
) -> Findings:
    """Compare rows with the store and the store with its index in one organization; with `fix`, repair."""
    findings = Findings()
    for table in PROJECTION_ORDER:
        keys = await database.transact(organization_id, RECONCILER, partial(_keys, table=table))
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]

            async def compare(unit: UnitOfWork, own: str = table, some: Sequence[str] = batch) -> None:
                await _compare_rows(unit, own, some, findings, fix=fix)

            await database.transact(organization_id, RECONCILER, compare)
            findings.rows += len(batch)
            if progress is not None:
                progress(table, len(batch))
    await _compare_index(database, organization_id, findings, fix=fix)
    return findings


async def _keys(unit: UnitOfWork, table: str) -> list[str]:
    if table in DERIVED_TABLES:
        return await derived_keys(unit, table)
    return await stored_keys(unit, table)


async def _compare_rows(unit: UnitOfWork, table: str, keys: Sequence[str], findings: Findings, *, fix: bool) -> None:
    projected = await project_rows(unit, await open_facts(unit), table, keys)
    for pending in projected.pendings:
        if not is_unchanged(pending):
            kind = "missing" if pending.stored is None else "left over" if pending.resource is None else "outdated"
            findings.note(kind, str(pending.key))
    findings.failures.update({f"{table}/{key}": reason for key, reason in projected.failures.items()})
    if fix:
        await write_versions(unit, projected.pendings)
        await note_failures(unit, table, keys, projected)


@lru_cache
def _page_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    statement = (
        select(*STORED_COLUMNS)
        .where(rows.c.organization_id == bindparam("organization_id"), rows.c.rid > bindparam("after"))
        .order_by(rows.c.rid)
        .limit(BATCH)
    )
    return prepare(statement, dialect)


async def _compare_index(database: Database, organization_id: str, findings: Findings, *, fix: bool) -> None:
    """Look for every expected index row, and count: with none missing, a surplus shows in the count."""
    expected: Counter[str] = Counter()
    present: Counter[str] = Counter()
    after = -1
    while True:
        parameters = {"organization_id": organization_id, "after": after}
        rows = await database.fetch(organization_id, _page_statement(database.dialect), parameters)
        if not rows:
            break
        for stored in map(stored_of, rows):
            after = stored.rid
            findings.resources += 1
            if not stored.deleted:
                values = index_values(stored.resource(), database.base_url)
                for table, wanted in index_rows(organization_id, stored.rid, values, *index_place(values)).items():
                    expected[table.name] += len(wanted)
    async with database.read(organization_id) as driver:
        for table in ROWS_PER_RESOURCE:
            parameters = {"organization_id": organization_id}
            ((found,),) = await driver.fetch(_count_statement(table, database.dialect), parameters)
            present[table.name] = found
    for table in ROWS_PER_RESOURCE:
        if expected[table.name] != present[table.name]:
            findings.index[table.name] = (expected[table.name], present[table.name])
    if fix and findings.index:
        await rebuild_index(database, organization_id)


@lru_cache
def _count_statement(table: Table, dialect: str) -> Prepared:
    own = table.c.organization_id == bindparam("organization_id")
    return prepare(select(func.count()).select_from(table).where(own), dialect)


async def rebuild_index(database: Database, organization_id: str) -> int:
    """Write the index of one organization anew from the stored bodies, in one unit of work; returns the resources."""

    async def rebuild(unit: UnitOfWork) -> int:
        for table in ROWS_PER_RESOURCE:
            await unit.connection.execute(delete(table).where(table.c.organization_id == organization_id))
        after, count = -1, 0
        while True:
            parameters = {"organization_id": organization_id, "after": after}
            rows = await unit.driver.fetch(_page_statement(unit.driver.dialect), parameters)
            if not rows:
                return count
            for stored in map(stored_of, rows):
                after = stored.rid
                if not stored.deleted:
                    count += 1
                    values = index_values(stored.resource(), unit.base_url)
                    rows_of = index_rows(organization_id, stored.rid, values, *index_place(values))
                    for table, added in rows_of.items():
                        await unit.driver.insert(table, added)

    return await database.transact(organization_id, RECONCILER, rebuild)
