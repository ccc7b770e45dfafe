"""Days that are over are closed: FHIR shows their statistics as final from then on (settled §3.2).

A day is closed some hours after its end in the customer's time zone, as devices tell what they measured in the night in
the morning. What comes later corrects it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import select, update

from storage.engine import Database
from storage.errors import StorageError
from storage.projection.flush import flush
from storage.tables.columns import SHARED
from storage.tables.patient_graph import customer_profiles, patient_wearable_daily_stats
from storage.tables.platform import organizations
from storage.tables.types import now
from storage.telemetry.days import bounds
from storage.telemetry.signals import DAILY, announce
from storage.transaction import Change, UnitOfWork

GRACE: Final = timedelta(hours=6)
"""How long after its end a day stays open."""
STEP: Final = 200
"""Days that one unit of work closes."""
EARLIEST_END: Final = timedelta(days=1) - timedelta(hours=14)
"""Where a day ends first, at UTC+14, it ends so long after its date began in UTC."""
LONG_AGO: Final = timedelta(days=3)
ZONE: Final = "timeZone"
CLOSER: Final = Change(actor="projector", client_id="fhir-server", api="projector")

_Place = tuple[date, str]
"""Date and key of the last day that was looked at; days are looked at in this order."""


async def close_days(database: Database) -> int:
    """Close all days that are over, in every organization; returns how many.

    Raises the last StorageError when all organizations have had their turn.
    """
    async with database.platform_read() as connection:
        every = list(await connection.scalars(select(organizations.c.id).where(organizations.c.id != SHARED)))
    closed = 0
    failure: StorageError | None = None
    for organization_id in sorted(every):
        try:
            closed += await _close_of(database, organization_id)
        except StorageError as error:
            failure = error
    if failure is not None:
        raise failure
    return closed


async def _close_of(database: Database, organization_id: str) -> int:
    closed = 0
    after: _Place | None = None
    while True:
        over, last = await _over(database, organization_id, after)
        if over:
            closed += await database.transact(organization_id, CLOSER, partial(_close, keys=over))
        if last is None:
            return closed
        after = last


async def _over(database: Database, organization_id: str, after: _Place | None) -> tuple[list[str], _Place | None]:
    """Return keys of days among the next ones that are over, and where to go on; None at the end."""
    instant = datetime.fromtimestamp(database.ids.milliseconds() / 1000, UTC)
    columns, profiles = patient_wearable_daily_stats.c, customer_profiles.c
    of_customer = (profiles.organization_id == columns.organization_id) & (profiles.id == columns.customer_id)
    statement = (
        select(columns.id, columns.date, columns.metadata, profiles.timezone)
        .join_from(patient_wearable_daily_stats, customer_profiles, of_customer)
        .where(
            columns.organization_id == organization_id,
            columns.closed_at.is_(None),
            columns.date <= (instant - GRACE - EARLIEST_END).date(),
        )
        .order_by(columns.date, columns.id)
        .limit(STEP)
    )
    if after is not None:
        day, key = after
        statement = statement.where((columns.date > day) | ((columns.date == day) & (columns.id > key)))
    async with database.glance(organization_id) as snapshot:
        rows = (await snapshot.connection.execute(statement)).all()
    over = [key for key, day, metadata, zone in rows if _is_over(day, _zone(metadata, zone), instant)]
    return over, (rows[-1][1], rows[-1][0]) if len(rows) == STEP else None


def _is_over(day: date, zone: str | None, instant: datetime) -> bool:
    """Whether a day ended long enough ago; one of the year 1 has no beginning in UTC everywhere."""
    return day < instant.date() - LONG_AGO or bounds(day, zone)[1] + GRACE <= instant


def _zone(metadata: object, zone: str | None) -> str | None:
    """Return the time zone that a day is in: its own, or its customer's."""
    own = metadata.get(ZONE) if isinstance(metadata, dict) else None
    return own if isinstance(own, str) else zone


async def _close(unit: UnitOfWork, keys: list[str]) -> int:
    """Close days that nobody closed meanwhile; returns how many. Those that another has locked wait."""
    columns = patient_wearable_daily_stats.c
    own = (columns.organization_id == unit.organization_id, columns.id.in_(keys), columns.closed_at.is_(None))
    locked = select(columns.id, columns.customer_id).where(*own).order_by(columns.id).with_for_update(skip_locked=True)
    found = (await unit.connection.execute(locked)).all()
    if not found:
        return 0
    closing = update(patient_wearable_daily_stats).where(
        columns.organization_id == unit.organization_id, columns.id.in_([key for key, _ in found])
    )
    instant = datetime.fromtimestamp(unit.now / 1000, UTC)
    await unit.connection.execute(closing.values(closed_at=instant, updated_at=now()))
    await announce(unit, {customer for _, customer in found})
    for key, _ in found:
        unit.touch(DAILY, key)
    await flush(unit)
    return len(found)
