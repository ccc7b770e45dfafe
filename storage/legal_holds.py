"""Legal holds: records of the audit trail that stay whatever their age (AD-5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from storage.audit_seals import concerns
from storage.engine import Database
from storage.tables.audit import legal_holds, rbac_logs
from storage.transaction import UnitOfWork


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold: of the records about one patient, or of an organization's; instants in microseconds since 1970."""

    organization_id: str
    id: str
    customer_id: str | None
    reason: str
    placed_at: int
    released_at: int | None = None
    release_reason: str | None = None


async def place(unit: UnitOfWork, hold: Hold) -> None:
    """Put a hold in force."""
    values = {"organization_id": hold.organization_id, "id": hold.id, "customer_id": hold.customer_id}
    await unit.connection.execute(insert(legal_holds).values(**values, reason=hold.reason, placed_at=hold.placed_at))


async def release(unit: UnitOfWork, hold_id: str, reason: str) -> Hold | None:
    """End a hold that is in force and return it; None where there is no such hold."""
    columns = legal_holds.c
    ended = (
        update(legal_holds)
        .where(columns.organization_id == unit.organization_id, columns.id == hold_id, columns.released_at.is_(None))
        .values(released_at=unit.now * 1000, release_reason=reason)
        .returning(*columns)
    )
    row = (await unit.connection.execute(ended)).first()
    return None if row is None else Hold(*row)


async def holds_of(database: Database, organizations: Sequence[str]) -> list[Hold]:
    """Return all holds of these organizations, those that were released included; raises DatabaseUnavailable."""
    found: list[Hold] = []
    for organization_id in organizations:
        async with database.glance(organization_id) as snapshot:
            mine = select(legal_holds).where(legal_holds.c.organization_id == organization_id)
            rows = await snapshot.connection.execute(mine.order_by(legal_holds.c.placed_at, legal_holds.c.id))
            found += [Hold(*row) for row in rows]
    return found


def holds_in_force(connection: Connection) -> list[Hold]:
    """Return the holds of every organization that were not released; for who sees all rows."""
    in_force = select(legal_holds).where(legal_holds.c.released_at.is_(None))
    ordered = in_force.order_by(legal_holds.c.organization_id, legal_holds.c.placed_at, legal_holds.c.id)
    return [Hold(*row) for row in connection.execute(ordered)]


def covered_since(connection: Connection, hold: Hold, before_at: int) -> int | None:
    """Return the instant of the oldest record before `before_at` that a hold covers, or None; microseconds since 1970.

    What is before may not be removed while the hold is in force.
    """
    columns = rbac_logs.c
    mine = select(func.min(columns.at)).where(columns.organization_id == hold.organization_id, columns.at < before_at)
    if hold.customer_id is not None:
        mine = mine.where(concerns(connection.dialect.name, hold.customer_id))
    oldest: int | None = connection.scalar(mine)
    return oldest
