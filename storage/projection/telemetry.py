"""The telemetry class in the projection (settled §3.2): readings shown by day only, and open days shown now and then.

What an organization says of its readings (`organizations.settings.telemetry`) is taken over into `telemetry_settings`
when its row is projected; what nobody understands is listed, and the last setting that was understood stays in force.
A new setting is carried to all readings by a walk in the background, which notes those that do not follow it in the
outbox. Changed rows that are to be shown later wait in `projections_due`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, delete, insert, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mappers.observation import WEARABLE_READING
from mappers.telemetry import SettingRefused, Telemetry, read_setting, read_telemetry
from storage.codec import decode, encode
from storage.rows import shape_of
from storage.tables.fhir import outbox, projections_due, resources, telemetry_settings
from storage.tables.platform import organizations
from storage.transaction import UnitOfWork
from storage.transaction_ids import NEXT, OLDEST_RUNNING

STEP: Final = 500
"""Readings that a walk looks at in one unit of work."""
FIRST: Final = ""
SETTING_CHANGED: Final = "setting"
"""`operation` of the outbox entries that a walk makes."""


def telemetry_of(stored: str | None) -> Telemetry:
    """Return the setting that a row of `telemetry_settings` holds; that of an organization without one."""
    return Telemetry() if stored is None else read_telemetry(decode(stored.encode()))


# ---- the setting ---------------------------------------------------------------------------------------------------


async def compare_setting(unit: UnitOfWork) -> tuple[Telemetry, Telemetry]:
    """Return what the organization says and what is in force; raises SettingRefused."""
    columns = (organizations.c.settings, telemetry_settings.c.setting)
    joined = organizations.outerjoin(telemetry_settings, telemetry_settings.c.organization_id == organizations.c.id)
    statement = select(*columns).select_from(joined).where(organizations.c.id == unit.organization_id)
    found = (await unit.connection.execute(statement)).one_or_none()
    if found is None:
        return Telemetry(), Telemetry()
    return read_setting(found[0]), telemetry_of(found[1])


async def take_setting(unit: UnitOfWork) -> str | None:
    """Put in force what the organization says and let a walk begin; returns why that cannot be understood."""
    try:
        said, in_force = await compare_setting(unit)
    except SettingRefused as refusal:
        return f"settings: {refusal}"
    if said != in_force:
        values = {"setting": encode(said.to_json()).decode(), "walk_after": FIRST, "walk_from": None}
        statement = _upsert(unit)(telemetry_settings).values(organization_id=unit.organization_id, **values)
        await unit.connection.execute(statement.on_conflict_do_update(index_elements=["organization_id"], set_=values))
    return None


async def walk(unit: UnitOfWork) -> int:
    """Note some readings that do not follow the setting, when a walk is under way; returns 0 when there is none.

    On PostgreSQL it first waits for transactions that may have read the setting before it was changed.
    """
    own = telemetry_settings.c.organization_id == unit.organization_id
    columns = telemetry_settings.c
    state = select(columns.setting, columns.walk_after, columns.walk_from).where(own, columns.walk_after.is_not(None))
    found = (await unit.connection.execute(state.with_for_update(skip_locked=True))).one_or_none()
    if found is None:
        return 0
    setting, after, start = found
    if unit.driver.dialect == "postgresql":
        if start is None:
            await unit.connection.execute(update(telemetry_settings).where(own).values(walk_from=literal_column(NEXT)))
            return 1
        if await unit.connection.scalar(select(literal_column(OLDEST_RUNNING))) < start:
            return 0
    seen, astray = await _step(unit, telemetry_of(setting), after)
    if astray:
        await unit.connection.execute(insert(outbox), astray)
    is_over = len(seen) < STEP
    await unit.connection.execute(
        update(telemetry_settings).where(own).values(walk_after=null() if is_over else seen[-1])
    )
    return max(len(seen), 1)


async def _step(unit: UnitOfWork, telemetry: Telemetry, after: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the next readings, and outbox entries of those that are shown and should not be, or are not and should."""
    mapper = WEARABLE_READING
    table = shape_of(mapper.table).table
    shown = (
        select(literal_column("1"))
        .where(
            resources.c.organization_id == unit.organization_id,
            resources.c.home_table == mapper.table,
            resources.c.home_key == table.c.id,
            resources.c.deleted.is_(False),
        )
        .exists()
    )
    statement = (
        select(table.c.id, table.c[str(mapper.metric)], shown)
        .where(table.c.organization_id == unit.organization_id, table.c.id > after)
        .order_by(table.c.id)
        .limit(STEP)
    )
    found = (await unit.connection.execute(statement)).all()
    astray = [
        {
            "organization_id": unit.organization_id,
            "table_name": mapper.table,
            "key": key,
            "operation": SETTING_CHANGED,
        }
        for key, metric, is_shown in found
        if telemetry.shows(metric) != bool(is_shown)
    ]
    return [row[0] for row in found], astray


# ---- rows that are shown later -------------------------------------------------------------------------------------


async def note_due(unit: UnitOfWork, table: str, due: Mapping[str, int]) -> None:
    """Remember rows that are to be projected later; one that is remembered already keeps its earlier time."""
    if due:
        own = {"organization_id": unit.organization_id, "table_name": table}
        rows = [{**own, "key": key, "due": due[key]} for key in sorted(due)]
        await unit.connection.execute(_upsert(unit)(projections_due).values(rows).on_conflict_do_nothing())


async def take_due(unit: UnitOfWork, limit: int) -> list[tuple[str, str]]:
    """Return table and key of the rows that are due, the longest waiting first, locked; those others have are left."""
    columns = projections_due.c
    statement = (
        select(columns.table_name, columns.key)
        .where(columns.organization_id == unit.organization_id, columns.due <= unit.ids.milliseconds())
        .order_by(columns.due, columns.key)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(table, key) for table, key in await unit.connection.execute(statement)]


async def settle_due(unit: UnitOfWork, taken: Iterable[tuple[str, str]], again: Mapping[tuple[str, str], int]) -> None:
    """Forget rows that were taken; those in `again` are due at another time.

    Call it after they were projected: who holds a resource may wait for an entry, so nobody may do it the other way.
    """
    columns = projections_due.c
    for table, key in taken:
        own = (columns.organization_id == unit.organization_id, columns.table_name == table, columns.key == key)
        due = again.get((table, key))
        later = update(projections_due).where(*own).values(due=due)
        await unit.connection.execute(delete(projections_due).where(*own) if due is None else later)


async def waiting(unit: UnitOfWork, table: str, keys: Sequence[str]) -> set[str]:
    """Return which of the rows are remembered for a time to come."""
    columns = projections_due.c
    statement = select(columns.key).where(
        columns.organization_id == unit.organization_id,
        columns.table_name == table,
        columns.key.in_(keys),
        columns.due > unit.ids.milliseconds(),
    )
    return set(await unit.connection.scalars(statement))


def organizations_with_work(now: int) -> tuple[Select[Any], ...]:
    """Return statements that name the organizations for which there is something to project at `now`."""
    return (
        select(outbox.c.organization_id),
        select(projections_due.c.organization_id).where(projections_due.c.due <= now),
        select(telemetry_settings.c.organization_id).where(telemetry_settings.c.walk_after.is_not(None)),
    )


def _upsert(unit: UnitOfWork) -> Any:
    return postgres_insert if unit.driver.dialect == "postgresql" else sqlite_insert
