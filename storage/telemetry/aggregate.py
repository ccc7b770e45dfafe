"""Statistics of days, computed from the readings of these days whenever one of them changes (settled §3.2).

Never from what was there before and what is new: so whoever wrote the readings, and in whatever order, the statistics
of a day that was looked at are those of its readings. Callers hold the customers' rows (`lock_customers`): of two that
write the same day the second one sees what the first wrote.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import bindparam, delete, insert, select, text, update

from mappers.rows import WearableDailyStat, WearableReading
from storage.codec import encode
from storage.rows import SMALLEST_STEP, fetch_rows, shape_of
from storage.tables.enums import ReadingStatus
from storage.tables.patient_graph import customer_profiles, patient_wearable_daily_stats, patient_wearable_readings
from storage.tables.types import later_than, now
from storage.telemetry.days import bounds, day_of
from storage.telemetry.signals import DAILY, announce
from storage.telemetry.statistics import EXACT, OfUnit, day_statistics, is_usable
from storage.transaction import UnitOfWork

READINGS: Final = "patient_wearable_readings"
NAMESPACE: Final = UUID("5b0f2a52-7f0e-5d53-9a0b-2f8d6c1f4e11")
"""Of ids that follow from what a row is about."""
AT_ONCE: Final = 500
"""Customers, or days, that one statement names."""
ZONE: Final = "timeZone"
LEFT_OUT: Final = "leftOut"
SOURCE: Final = "source"
"""Members of `metadata`: the zone of the day, how many readings its statistics do without, and what these are of."""
FROM_READINGS: Final = "readings"
"""The source of statistics that were computed here; others are what their writers said."""
OWN: Final = (ZONE, LEFT_OUT, SOURCE)


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """One day of one metric of a customer."""

    customer_id: str
    data_type: str
    date: date


async def lock_customers(unit: UnitOfWork, customers: Iterable[str]) -> dict[str, str | None]:
    """Return the time zones of customers, whose telemetry nobody else writes until the unit of work ends.

    Who does not exist is left out.
    """
    columns = customer_profiles.c
    wanted = sorted(set(customers))
    found: dict[str, str | None] = {}
    for start in range(0, len(wanted), AT_ONCE):
        statement = (
            select(columns.id, columns.timezone)
            .where(columns.organization_id == unit.organization_id, columns.id.in_(wanted[start : start + AT_ONCE]))
            .order_by(columns.id)
            .with_for_update(key_share=True)
        )
        found.update({row[0]: row[1] for row in await unit.connection.execute(statement)})
    return found


def day_of_reading(row: WearableReading, zones: Mapping[str, str | None]) -> Day:
    """Return the day that a reading is of; `zones` has its customer's time zone."""
    return Day(row.customer_id, row.data_type, day_of(row.recorded_at, zones[row.customer_id]))


async def follow(unit: UnitOfWork, table: str, *rows: Any) -> None:
    """Bring days up to readings that were written singly: rows before and after (None: there is none).

    Only days whose statistics were computed here: what others said of a day may be of readings that are not here, and
    days that nobody aggregated wait for their readings to come in volume.
    """
    readings: list[WearableReading] = [row for row in rows if row is not None] if table == READINGS else []
    if not readings:
        return
    zones = await lock_customers(unit, {row.customer_id for row in readings})
    days = sorted({day_of_reading(row, zones) for row in readings if row.customer_id in zones})
    present = await _present(unit, days)
    ours = [day for day, row in present.items() if _is_computed(row)]
    await aggregate(unit, ours, zones)


def _is_computed(row: WearableDailyStat) -> bool:
    return isinstance(row.metadata, dict) and row.metadata.get(SOURCE) == FROM_READINGS


async def aggregate(unit: UnitOfWork, days: Iterable[Day], zones: Mapping[str, str | None]) -> list[str]:
    """Bring the statistics of days up to their readings; returns the keys of the rows that changed, and touches them.

    `zones` has the time zone of each customer.
    """
    wanted = sorted(set(days))
    changed: list[str] = []
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        measured = await _measured(unit, some, zones)
        present = await _present(unit, some)
        rows = {day: _row(unit, day, zones[day.customer_id], measured[day], present.get(day)) for day in some}
        changed += await _save(unit, rows, present)
    await announce(unit, {day.customer_id for day in wanted} if changed else ())
    return changed


PER_UNIT: Final = text(
    "SELECT asked.n, found.unit, count(*) FILTER (WHERE usable), coalesce(sum(found.value) FILTER (WHERE usable), 0),"
    " coalesce(min(found.value) FILTER (WHERE usable), 0), coalesce(max(found.value) FILTER (WHERE usable), 0),"
    " count(*) FILTER (WHERE NOT usable)"
    " FROM unnest(CAST(:customers AS text[]), CAST(:types AS text[]), CAST(:starts AS timestamptz[]),"
    " CAST(:ends AS timestamptz[])) WITH ORDINALITY AS asked (customer, data_type, first, last, n)"
    " JOIN patient_wearable_readings AS found ON found.organization_id = :organization_id"
    " AND found.customer_id = asked.customer AND found.data_type = asked.data_type"
    " AND found.recorded_at >= asked.first AND found.recorded_at < asked.last AND found.status <> :wrong,"
    " LATERAL (SELECT found.value > -1e100 AND found.value < 1e100 AND scale(found.value) <= 100) AS told (usable)"
    " GROUP BY asked.n, found.unit"
)


async def _measured(
    unit: UnitOfWork, days: Sequence[Day], zones: Mapping[str, str | None]
) -> Mapping[Day, list[OfUnit]]:
    """Return what is known of the readings of each day, unit by unit."""
    found: dict[Day, list[OfUnit]] = defaultdict(list)
    limits = [bounds(day.date, zones[day.customer_id]) for day in days]
    if unit.driver.dialect == "postgresql":
        asked = {
            "organization_id": unit.organization_id,
            "customers": [day.customer_id for day in days],
            "types": [day.data_type for day in days],
            "starts": [start for start, _ in limits],
            "ends": [end for _, end in limits],
            "wrong": ReadingStatus.ENTERED_IN_ERROR.value,
        }
        for number, *of_unit in await unit.connection.execute(PER_UNIT, asked):
            found[days[number - 1]].append(OfUnit(*of_unit))
        return found
    columns = patient_wearable_readings.c
    for day, (start, end) in zip(days, limits, strict=True):
        statement = select(columns.unit, columns.value).where(
            columns.organization_id == unit.organization_id,
            columns.customer_id == day.customer_id,
            columns.data_type == day.data_type,
            columns.recorded_at >= start,
            columns.recorded_at < end,
            columns.status != ReadingStatus.ENTERED_IN_ERROR.value,
        )
        values: dict[str, list[Decimal]] = defaultdict(list)
        for name, value in await unit.connection.execute(statement):
            values[name].append(value)
        found[day] = [_of_unit(name, each) for name, each in values.items()]
    return found


def _of_unit(name: str, values: Sequence[Decimal]) -> OfUnit:
    usable = [value for value in values if is_usable(value)]
    total = Decimal(0)
    for value in usable:
        total = EXACT.add(total, value)
    none = Decimal(0)
    least, most = min(usable, default=none), max(usable, default=none)
    return OfUnit(name, len(usable), total, least, most, len(values) - len(usable))


async def _present(unit: UnitOfWork, days: Sequence[Day]) -> dict[Day, WearableDailyStat]:
    """Return the rows that there are of days, locked."""
    shape = shape_of(DAILY)
    columns = patient_wearable_daily_stats.c
    conditions = (
        columns.organization_id == unit.organization_id,
        columns.customer_id.in_(sorted({day.customer_id for day in days})),
        columns.data_type.in_(sorted({day.data_type for day in days})),
        columns.date.in_(sorted({day.date for day in days})),
    )
    rows = await fetch_rows(unit.connection, shape, unit.organization_id, conditions, order=(columns.id,), lock=True)
    found = {Day(row.customer_id, row.data_type, row.date): row for row in rows}
    return {day: found[day] for day in days if day in found}


def _row(
    unit: UnitOfWork, day: Day, zone: str | None, measured: Sequence[OfUnit], present: WearableDailyStat | None
) -> WearableDailyStat | None:
    """Return the row of a day; None for one without readings."""
    found = day_statistics(day.data_type, measured)
    if found is None:
        return None
    kept = present.metadata if present is not None and isinstance(present.metadata, dict) else {}
    metadata = {name: value for name, value in kept.items() if name not in OWN} | {SOURCE: FROM_READINGS}
    metadata |= ({ZONE: zone} if zone else {}) | ({LEFT_OUT: found.left_out} if found.left_out else {})
    values = {each.name: getattr(found, each.name) for each in fields(found) if each.name != "left_out"}
    if present is not None:
        return replace(present, metadata=metadata, **values)
    own = encode([unit.organization_id, "day", day.customer_id, day.date.isoformat(), day.data_type])
    return WearableDailyStat(
        id=str(uuid5(NAMESPACE, own.decode())),
        organization_id=unit.organization_id,
        customer_id=day.customer_id,
        date=day.date,
        data_type=day.data_type,
        metadata=metadata,
        **values,
    )


NEW: Final = ("id", "organization_id", "customer_id", "date", "data_type")
SAID: Final = ("unit", "avg_value", "min_value", "max_value", "sum_value", "count", "metadata")


async def _save(
    unit: UnitOfWork, rows: Mapping[Day, WearableDailyStat | None], present: Mapping[Day, WearableDailyStat]
) -> list[str]:
    """Insert, update and delete rows of days; those that say the same stay as they are."""
    table = patient_wearable_daily_stats
    made = [row for day, row in rows.items() if row is not None and day not in present]
    moved = [row for day, row in rows.items() if row is not None and day in present and _differs(row, present[day])]
    gone = [row.id for day, row in present.items() if rows[day] is None]
    if made:
        await unit.connection.execute(
            insert(table), [{name: getattr(row, name) for name in (*NEW, *SAID)} for row in made]
        )
    if moved:
        statement = (
            update(table)
            .where(table.c.organization_id == unit.organization_id, table.c.id == bindparam("at_id"))
            .values(
                {name: bindparam(name, type_=table.c[name].type) for name in SAID}
                | {"updated_at": later_than(bindparam("before", type_=now().type))}
            )
        )
        await unit.connection.execute(statement, [_update(row) for row in moved])
    if gone:
        own = (table.c.organization_id == unit.organization_id, table.c.id.in_(gone))
        await unit.connection.execute(delete(table).where(*own))
    for row in made:
        unit.touch(DAILY, row.id, new=True)
    for key in [*(row.id for row in moved), *gone]:
        unit.touch(DAILY, key)
    return [*(row.id for row in made), *(row.id for row in moved), *gone]


def _update(row: WearableDailyStat) -> dict[str, Any]:
    stamp = row.updated_at + SMALLEST_STEP if row.updated_at is not None else None
    return {"at_id": row.id, "before": stamp} | {name: getattr(row, name) for name in SAID}


def _differs(row: WearableDailyStat, present: WearableDailyStat) -> bool:
    return any(getattr(row, name) != getattr(present, name) for name in SAID)
