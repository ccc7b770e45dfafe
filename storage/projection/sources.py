"""Which rows show a changed row, and rows that are derived from others.

A derived row has no table: a clinician of treatments, a wearable device of readings, the records of a profile. It
follows from columns of other tables, and is projected like any row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers.care_rows import SHARED
from mappers.device import device_columns, device_key
from mappers.lens import Row
from mappers.rows import TreatmentClinician, WearableDevice
from storage.projection.declared import DERIVED_TABLES, OWNED, PROJECTION_ORDER, SHOWN_ONLY
from storage.projection.emr_records import EMR_RECORDS_TABLE, load_emr_records
from storage.projection.needed import DERIVED_FROM
from storage.rows import all_keys
from storage.tables.fhir import resources
from storage.tables.patient_graph import patient_wearable_readings, protocols, subscriptions
from storage.transaction import UnitOfWork


def owners_of_row(table: str, row: Row) -> list[tuple[str, str]]:
    """Return (table, key) of the owners that a row names; for a row that is about to go."""
    found = [(each.owner, getattr(row, each.column.name)) for each in OWNED if each.column.table.name == table]
    return [(owner, key) for owner, key in found if key is not None]


async def owners_of(unit: UnitOfWork, touched: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return table → keys of the rows that show changed rows: in PROJECTION_ORDER, then those that are shown only.

    A child row stands for its owner, a row with derived ones brings those along; rows of tables that no mapper reads
    are left out.
    """
    keys: dict[str, dict[str, None]] = {}
    for table, key in touched:
        keys.setdefault(table, {})[key] = None
    connection, own = unit.connection, unit.organization_id
    for owned in OWNED:
        if owned.column.table.name in keys and not unit.stops.lacks(
            {owned.column.table.name: ("id", "organization_id", owned.column.name)}
        ):
            some = list(keys[owned.column.table.name])
            whose = owned.column.table.c.organization_id
            named = select(owned.column).where(whose.in_((own, SHARED)), owned.column.table.c.id.in_(some))
            _add(keys, owned.owner, [row[0] for row in await connection.execute(named)])
    if "patient_wearable_readings" in keys and not unit.stops.lacks(DERIVED_FROM["wearable_devices"]):
        _add(keys, "wearable_devices", await _devices_of(connection, own, list(keys["patient_wearable_readings"])))
    return {table: list(keys[table]) for table in (*PROJECTION_ORDER, *SHOWN_ONLY) if keys.get(table)}


def _add(keys: dict[str, dict[str, None]], table: str, found: Iterable[str | None]) -> None:
    for key in found:
        if key is not None:
            keys.setdefault(table, {})[key] = None


async def _devices_of(connection: AsyncConnection, organization_id: str, readings: list[str] | None) -> list[str]:
    """Return the devices of some readings, or of all."""
    columns = patient_wearable_readings.c
    statement = (
        select(columns.customer_id, columns.source, columns.device_type, columns.device_id)
        .where(columns.organization_id == organization_id)
        .distinct()
    )
    if readings is not None:
        statement = statement.where(columns.id.in_(readings))
    return [device_key(*row) for row in await connection.execute(statement)]


async def load_derived(
    connection: AsyncConnection, table: str, organization_id: str, keys: Iterable[str]
) -> Mapping[str, Row]:
    """Return the derived rows of `table` that still follow from other rows, by key."""
    if table == EMR_RECORDS_TABLE:
        return await load_emr_records(connection, organization_id, list(keys))
    if table == "treatment_clinicians":
        return await _load_clinicians(connection, organization_id, list(keys))
    return await _load_devices(connection, organization_id, list(keys))


async def _load_clinicians(
    connection: AsyncConnection, organization_id: str, keys: list[str]
) -> dict[str, TreatmentClinician]:
    """A clinician's name is that of the newest treatment that has one; an author of protocols may have none."""
    found: dict[str, TreatmentClinician] = {}
    authors = select(protocols.c.created_by).where(
        protocols.c.organization_id == organization_id, protocols.c.created_by.in_(keys)
    )
    for (key,) in await connection.execute(authors.distinct()):
        found[key] = TreatmentClinician(key, organization_id, None)
    treatments = (
        select(subscriptions.c.clinician_id, subscriptions.c.clinician_name)
        .where(subscriptions.c.organization_id == organization_id, subscriptions.c.clinician_id.in_(keys))
        .order_by(subscriptions.c.updated_at, subscriptions.c.id)
    )
    for key, name in await connection.execute(treatments):
        known = found.get(key)
        found[key] = TreatmentClinician(key, organization_id, name or (known.name if known else None))
    return found


async def _load_devices(
    connection: AsyncConnection, organization_id: str, keys: list[str]
) -> dict[str, WearableDevice]:
    columns = patient_wearable_readings.c
    found: dict[str, WearableDevice] = {}
    for key in keys:
        parts = device_columns(key)
        # PostgreSQL looks in an index for what is equal, and reads the whole table for what is not distinct
        conditions = [
            columns[name].is_(None) if value is None else columns[name] == value for name, value in parts.items()
        ]
        statement = select(func.count()).select_from(
            select(columns.id).where(columns.organization_id == organization_id, *conditions).limit(1).subquery()
        )
        if await connection.scalar(statement):
            found[key] = WearableDevice(key, organization_id, **parts)
    return found


async def keys_of(unit: UnitOfWork, table: str) -> list[str]:
    """Return the keys of all rows of a table, derived ones too, that there are or that the store shows."""
    shown = select(resources.c.home_key).where(
        resources.c.organization_id == unit.organization_id, resources.c.home_table == table
    )
    keys = {row[0] for row in await unit.connection.execute(shown.distinct())}
    if unit.stops.lacks(DERIVED_FROM.get(table, {})):
        return sorted(keys)
    if table == "wearable_devices":
        keys |= set(await _devices_of(unit.connection, unit.organization_id, None))
    elif table in DERIVED_TABLES:
        for owned in OWNED:
            if owned.owner == table:
                whose = owned.column.table.c.organization_id
                named = select(owned.column).where(whose == unit.organization_id, owned.column.is_not(None))
                keys |= {row[0] for row in await unit.connection.execute(named.distinct())}
    else:
        keys |= set(await all_keys(unit.connection, table, unit.organization_id))
    return sorted(keys)
