"""Rows of internal tables as the mappers' dataclasses: loaded in bulk, saved, deleted (settled §1.8).

Every statement names the organization; row-level security is the second wall. Timestamps that the database stamps are
None in a row that has not been stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Table, UniqueConstraint, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers import rows as row_types
from storage.tables import patient_graph, platform

Row = Any
"""One of the dataclasses of `mappers.rows`."""

ROW_TYPES: Final[Mapping[str, tuple[Table, type]]] = {
    "organizations": (platform.organizations, row_types.Organization),
    "customer_profiles": (patient_graph.customer_profiles, row_types.CustomerProfile),
    "identity_mappings": (patient_graph.identity_mappings, row_types.IdentityMapping),
    "subscriptions": (patient_graph.subscriptions, row_types.Subscription),
    "protocols": (patient_graph.protocols, row_types.Protocol),
    "lab_results": (patient_graph.lab_results, row_types.LabResult),
    "patient_prescriptions": (patient_graph.patient_prescriptions, row_types.PatientPrescription),
    "patient_wearable_readings": (patient_graph.patient_wearable_readings, row_types.WearableReading),
    "patient_wearable_daily_stats": (patient_graph.patient_wearable_daily_stats, row_types.WearableDailyStat),
}
"""Table name → table and the dataclass of its rows."""

CHILDREN: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "customer_profiles": (("identity_mappings", "customer_id"),),
}
"""Owner table → (child table, which is also the field of the owner's dataclass; column that names the owner)."""

LARGE_IN: Final = 500
"""Keys per statement; SQLite allows some thousands of parameters."""


def _own(table: Table, organization_id: str) -> Any:
    column = table.c.id if table is platform.organizations else table.c.organization_id
    return column == organization_id


def _names(table: Table, row_type: type) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(row_type) if item.name in table.columns)


async def load_rows(
    connection: AsyncConnection, table_name: str, organization_id: str, keys: Iterable[str]
) -> dict[str, Row]:
    """Return the rows that exist, by key, each with the rows of its child tables."""
    table, row_type = ROW_TYPES[table_name]
    names = _names(table, row_type)
    wanted = list(keys)
    children = await _load_children(connection, table_name, organization_id, wanted)
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), LARGE_IN):
        some = wanted[start : start + LARGE_IN]
        statement = select(*(table.c[name] for name in names)).where(_own(table, organization_id), table.c.id.in_(some))
        for values in await connection.execute(statement):
            row = row_type(**dict(zip(names, values, strict=True)))
            owned = {name: tuple(rows.get(row.id, ())) for name, rows in children.items()}
            found[row.id] = dataclasses.replace(row, **owned) if owned else row
    return found


async def _load_children(
    connection: AsyncConnection, table_name: str, organization_id: str, owners: Sequence[str]
) -> dict[str, dict[str, list[Row]]]:
    found: dict[str, dict[str, list[Row]]] = {}
    for child_name, owner_column in CHILDREN.get(table_name, ()):
        table, row_type = ROW_TYPES[child_name]
        names = _names(table, row_type)
        rows: dict[str, list[Row]] = {}
        for start in range(0, len(owners), LARGE_IN):
            some = owners[start : start + LARGE_IN]
            statement = (
                select(*(table.c[name] for name in names))
                .where(_own(table, organization_id), table.c[owner_column].in_(some))
                .order_by(table.c.id)
            )
            for values in await connection.execute(statement):
                row = row_type(**dict(zip(names, values, strict=True)))
                rows.setdefault(getattr(row, owner_column), []).append(row)
        found[child_name] = rows
    return found


async def all_keys(connection: AsyncConnection, table_name: str, organization_id: str) -> list[str]:
    """Return the keys of all rows of a table in the organization."""
    table, _ = ROW_TYPES[table_name]
    statement = select(table.c.id).where(_own(table, organization_id)).order_by(table.c.id)
    return [row[0] for row in await connection.execute(statement)]


async def save_row(connection: AsyncConnection, table_name: str, row: Row, *, new: bool) -> None:
    """Insert or update a row and its new child rows; children that the row leaves out stay (settled §1.4)."""
    table, row_type = ROW_TYPES[table_name]
    values = {name: getattr(row, name) for name in _names(table, row_type)}
    if new:
        stamped = {name for name in ("created_at", "updated_at") if values.get(name) is None}
        await connection.execute(
            insert(table).values({name: value for name, value in values.items() if name not in stamped})
        )
    else:
        changes = {name: value for name, value in values.items() if name not in {"id", "organization_id", "created_at"}}
        if "updated_at" in table.columns:
            changes["updated_at"] = datetime.now(UTC)
        own = _own(table, values.get("organization_id", row.id))
        await connection.execute(update(table).where(own, table.c.id == row.id).values(changes))
    for child_name, _ in CHILDREN.get(table_name, ()):
        await _save_children(connection, child_name, getattr(row, child_name), row.organization_id)


async def _save_children(
    connection: AsyncConnection, table_name: str, rows: Sequence[Row], organization_id: str
) -> None:
    known = await load_rows(connection, table_name, organization_id, [row.id for row in rows])
    for row in rows:
        if known.get(row.id) != row:
            await save_row(connection, table_name, row, new=row.id not in known)


async def delete_row(connection: AsyncConnection, table_name: str, row: Row) -> None:
    """Delete a row and its child rows."""
    table, _ = ROW_TYPES[table_name]
    for child_name, owner_column in CHILDREN.get(table_name, ()):
        child, _ = ROW_TYPES[child_name]
        await connection.execute(delete(child).where(_own(child, row.organization_id), child.c[owner_column] == row.id))
    await connection.execute(delete(table).where(_own(table, row.organization_id), table.c.id == row.id))


async def taken_unique(connection: AsyncConnection, table_name: str, row: Row) -> str | None:
    """Return the columns of a unique key whose values another row has, None when the row fits."""
    table, _ = ROW_TYPES[table_name]
    keys: list[Iterable[Any]] = [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
    keys += [index.columns for index in table.indexes if index.unique]
    for key in keys:
        columns = [column for column in key if column.name != "organization_id"]
        values = [getattr(row, column.name, None) for column in columns]
        if any(value is None for value in values):
            continue
        same = [column == value for column, value in zip(columns, values, strict=True)]
        statement = select(table.c.id).where(_own(table, row.organization_id), table.c.id != row.id, *same).limit(1)
        if (await connection.execute(statement)).first() is not None:
            return ", ".join(column.name for column in columns)
    return None
