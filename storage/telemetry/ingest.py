"""Readings in volume: written once whatever is sent again, projected and aggregated in the same transaction.

A reading is known by whose it is, its source, its metric, and the source's own key for it; without one, by when it was
measured and by which device. Sent again it changes nothing; sent with another value it corrects what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid5

from sqlalchemy import bindparam, insert, update

from mappers.rows import WearableReading
from storage.codec import encode
from storage.projection.flush import flush
from storage.rows import load_rows
from storage.sql import Prepared
from storage.tables.enums import ReadingStatus
from storage.tables.patient_graph import patient_wearable_readings
from storage.telemetry.aggregate import NAMESPACE, READINGS, aggregate, day_of_reading, lock_customers
from storage.transaction import UnitOfWork

TURN: Final = 1000
"""Readings that are looked at before others have their turn."""
STEP: Final = 100
"""Rows that are projected before others have their turn."""
FACTS: Final = ("value", "unit", "recorded_at", "device_id", "device_type")
"""Columns in which a correction may differ."""
KEPT: Final = (*FACTS, "metadata", "status")
COLUMNS: Final = ("id", "customer_id", "data_type", "source", *KEPT)
KINDS: Final[Mapping[str, str]] = {"value": "numeric", "recorded_at": "timestamptz", "metadata": "jsonb"}
"""Types of columns that are no text, on PostgreSQL."""
WRONG: Final = ReadingStatus.ENTERED_IN_ERROR.value


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading as it was sent; `is_wrong`: it should never have been there."""

    customer_id: str
    data_type: str
    value: Decimal
    unit: str
    source: str
    recorded_at: datetime
    device_id: str | None = None
    device_type: str | None = None
    source_key: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_wrong: bool = False


@dataclass(slots=True)
class Ingested:
    """What became of readings; every one is counted once."""

    created: int = 0
    corrected: int = 0
    unchanged: int = 0


class UnknownCustomers(Exception):
    """Readings are of customers that the organization does not have; `customers` are their ids."""

    def __init__(self, customers: frozenset[str]) -> None:
        super().__init__("readings of customers who are not there")
        self.customers = customers


def reading_id(organization_id: str, reading: Measured) -> str:
    """Return the id of a reading, the same whenever it is sent."""
    if reading.source_key is not None:
        own = ["key", reading.source_key]
    else:
        own = ["at", reading.recorded_at.astimezone(UTC).isoformat(), reading.device_id or ""]
    name = [organization_id, reading.customer_id, reading.source, reading.data_type, *own]
    return str(uuid5(NAMESPACE, encode(name).decode()))


async def ingest(unit: UnitOfWork, readings: Sequence[Measured]) -> Ingested:
    """Write readings, their resources and the statistics of their days; of two of one key the later one stands.

    Raises UnknownCustomers; nothing is written then.
    """
    customers = {reading.customer_id for reading in readings}
    zones = await lock_customers(unit, customers)
    if len(zones) < len(customers):
        raise UnknownCustomers(frozenset(customers - zones.keys()))
    ids: list[str] = []
    for start in range(0, len(readings), TURN):
        ids += [reading_id(unit.organization_id, reading) for reading in readings[start : start + TURN]]
        await asyncio.sleep(0)
    present: dict[str, WearableReading] = await load_rows(unit.connection, READINGS, unit.organization_id, ids)
    done = Ingested()
    rows: dict[str, WearableReading] = {}
    for number, (key, reading) in enumerate(zip(ids, readings, strict=True)):
        if number % TURN == 0:
            await asyncio.sleep(0)
        before = rows.get(key) or present.get(key)
        after = _row(unit.organization_id, key, reading, before)
        if before is None:
            done.created += 1
        elif after == before:
            done.unchanged += 1
            continue
        else:
            done.corrected += 1
        rows[key] = after
    made = [row for key, row in rows.items() if key not in present]
    moved = [row for key, row in rows.items() if key in present and row != present[key]]
    await _save(unit, made, moved)
    # Days that readings are of, and were of.
    days = {day_of_reading(row, zones) for row in (*made, *moved, *(present[row.id] for row in moved))}
    await aggregate(unit, days, zones)
    await _project(unit, made, moved)
    return done


def _row(organization_id: str, key: str, reading: Measured, before: WearableReading | None) -> WearableReading:
    """Return the row of a reading. What somebody found to be wrong stays so until another value is sent."""
    row = WearableReading(
        id=key,
        organization_id=organization_id,
        customer_id=reading.customer_id,
        data_type=reading.data_type,
        value=reading.value,
        unit=reading.unit,
        source=reading.source,
        recorded_at=reading.recorded_at,
        device_id=reading.device_id,
        device_type=reading.device_type,
        status=WRONG if reading.is_wrong else ReadingStatus.FINAL.value,
        metadata=dict(reading.metadata),
    )
    if before is None:
        return row
    is_same = all(getattr(row, name) == getattr(before, name) for name in FACTS)
    if reading.is_wrong:
        return replace(before, status=WRONG)
    status = before.status if is_same else ReadingStatus.CORRECTED.value
    return replace(row, status=status, created_at=before.created_at)


_ARRAYS: Final = ", ".join(f"%({name})s::{KINDS.get(name, 'text')}[]" for name in COLUMNS)
ROWS: Final = Prepared(
    f"INSERT INTO patient_wearable_readings (organization_id, {', '.join(COLUMNS)})"  # noqa: S608 our own names
    f" SELECT %(organization_id)s, new.* FROM unnest({_ARRAYS}) AS new",
    {},
)
"""One statement for any number of rows: sent one by one they cost twice as much as all that follows from them."""


async def _insert(unit: UnitOfWork, rows: Sequence[WearableReading]) -> None:
    if unit.driver.dialect != "postgresql":
        values = [
            {"organization_id": unit.organization_id} | {name: getattr(row, name) for name in COLUMNS} for row in rows
        ]
        await unit.connection.execute(insert(patient_wearable_readings), values)
        return
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    columns["recorded_at"] = [moment.isoformat() for moment in columns["recorded_at"]]
    columns["metadata"] = [encode(value).decode() for value in columns["metadata"]]
    await unit.driver.execute(ROWS, {"organization_id": unit.organization_id, **columns})


async def _save(unit: UnitOfWork, made: Sequence[WearableReading], moved: Sequence[WearableReading]) -> None:
    table = patient_wearable_readings
    if made:
        await _insert(unit, made)
    if moved:
        statement = (
            update(table)
            .where(table.c.organization_id == unit.organization_id, table.c.id == bindparam("at_id"))
            .values({name: bindparam(name, type_=table.c[name].type) for name in KEPT})
        )
        changes = [{"at_id": row.id} | {name: getattr(row, name) for name in KEPT} for row in moved]
        await unit.connection.execute(statement, changes)


async def _project(unit: UnitOfWork, made: Sequence[WearableReading], moved: Sequence[WearableReading]) -> None:
    """Show the rows in FHIR, some at a time: other requests of the worker wait for one step at most."""
    rows = [*((row, True) for row in made), *((row, False) for row in moved)]
    for start in range(0, len(rows), STEP):
        for row, is_new in rows[start : start + STEP]:
            unit.touch(READINGS, row.id, new=is_new)
        await flush(unit)
        await asyncio.sleep(0)
