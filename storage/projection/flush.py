"""Projection of changed rows inside a unit of work (design 'The one idea')."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import delete, insert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mappers.care_rows import SHARED
from mappers.device import DEVICE_TABLE
from storage.orders.applying import settle
from storage.persons.queue import note_matches
from storage.projection.declared import SHOWN_ONLY
from storage.projection.devices import devices_left
from storage.projection.facts import open_facts
from storage.projection.links import note_links
from storage.projection.person_records import PERSON_TABLES
from storage.projection.project import Projected, project_rows
from storage.projection.rerender import note_shown
from storage.projection.sources import owners_of
from storage.projection.telemetry import note_due, take_setting
from storage.rows import among_keys
from storage.tables.fhir import outbox, projection_failures
from storage.transaction import UnitOfWork
from storage.versions import write_versions

ORGANIZATIONS: Final = "organizations"


async def flush(unit: UnitOfWork) -> None:
    """Project the rows that repositories touched; the unit of work calls it before COMMIT."""
    touched = dict(unit.touched)
    unit.touched.clear()
    if unit.organization_id == SHARED:
        await _tell_everyone(unit, touched)
        return
    await project_touched(unit, list(touched), [key for key, is_new in touched.items() if is_new])


async def _tell_everyone(unit: UnitOfWork, touched: Mapping[tuple[str, str], bool]) -> None:
    """Leave changed rows that all organizations share to the projector, which looks at each organization."""
    entries = [
        {
            "organization_id": SHARED,
            "table_name": table,
            "key": key,
            "operation": "insert" if is_new else "update",
        }
        for (table, key), is_new in touched.items()
    ]
    if entries:
        await unit.connection.execute(insert(outbox), entries)


async def project_touched(
    unit: UnitOfWork, touched: Sequence[tuple[str, str]], new: Collection[tuple[str, str]] = ()
) -> Mapping[tuple[str, str], int]:
    """Write the versions that changed rows call for. Rows that cannot be mapped are listed apart.

    `new` are those of the changed rows that were not there before, unless they are shown already.
    Returns the rows that are shown later, by table and key, and when; they are remembered (settled §3.2).
    """
    await settle(unit, touched)
    touched, new = [*touched, *unit.touched], [*new, *(key for key, is_new in unit.touched.items() if is_new)]
    unit.touched.clear()
    refused = await take_setting(unit) if (ORGANIZATIONS, unit.organization_id) in touched else None
    facts = await open_facts(unit)
    deferred: dict[tuple[str, str], int] = {}
    known: set[tuple[str, str]] = set()
    concerned = await owners_of(unit, touched)
    for table, keys in concerned.items():
        if table in SHOWN_ONLY:
            continue
        projected = await project_rows(unit, facts, table, keys)
        left = await devices_left(unit, projected.pendings)
        if left:
            projected.pendings += (await project_rows(unit, facts, DEVICE_TABLE, left)).pendings
        await write_versions(unit, projected.pendings)
        if refused is not None and table == ORGANIZATIONS:
            projected.failures[unit.organization_id] = refused
        stored = (pending.stored.home for pending in projected.pendings if pending.stored is not None)
        known.update((table, home.key) for home in stored if home is not None)
        await note_failures(unit, table, keys, projected)
        await note_due(unit, table, projected.deferred)
        await note_links(unit, projected.pendings)
        deferred.update({(table, key): due for key, due in projected.deferred.items()})
    await note_shown(unit, concerned, set(new) - known)
    await note_matches(unit, [(table, key) for table in PERSON_TABLES for key in concerned.get(table, ())])
    return deferred


async def note_failures(unit: UnitOfWork, table: str, keys: Sequence[str], projected: Projected) -> None:
    """List rows that could not be mapped in `projection_failures`, and take out those that now can."""
    columns = projection_failures.c
    cured = [key for key in keys if key not in projected.failures]
    await unit.connection.execute(
        delete(projection_failures).where(
            columns.organization_id == unit.organization_id,
            columns.table_name == table,
            among_keys(unit.connection, columns.key, cured),
        )
    )
    if not projected.failures:
        return
    upsert = postgres_insert if unit.driver.dialect == "postgresql" else sqlite_insert
    rows = [
        {
            "organization_id": unit.organization_id,
            "table_name": table,
            "key": key,
            "failed_at": unit.now,
            "reason": reason,
        }
        for key, reason in projected.failures.items()
    ]
    statement = upsert(projection_failures).values(rows)
    await unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "table_name", "key"],
            set_={"failed_at": statement.excluded.failed_at, "reason": statement.excluded.reason},
        )
    )
