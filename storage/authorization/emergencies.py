"""Emergency access ("break the glass"): one person, one patient, one reason, an hour at most (security TN-7)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.grants import revoke_grants
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.tables.authorization import break_glass, grants


@dataclass(frozen=True, slots=True)
class Emergency:
    """One row of `break_glass`; instants in seconds since 1970 UTC."""

    id: str
    user_id: str
    organization_id: str
    patient: str
    reason: str
    created_at: int
    expires_at: int
    ended_at: int | None = None


_COLUMNS: Final = tuple(break_glass.c[each.name] for each in fields(Emergency))


async def add_emergency(connection: AsyncConnection, emergency: Emergency) -> None:
    """Insert an emergency access."""
    await connection.execute(insert(break_glass).values(asdict(emergency)))


async def lasting_emergencies(connection: AsyncConnection, user_id: str, now: int) -> list[Emergency]:
    """Return the emergency accesses of a person that last, the newest first."""
    asked = (
        select(*_COLUMNS)
        .where(break_glass.c.user_id == user_id, break_glass.c.expires_at > now, break_glass.c.ended_at.is_(None))
        .order_by(break_glass.c.created_at.desc(), break_glass.c.id)
    )
    return [Emergency(*row) for row in await connection.execute(asked)]


async def end_emergency(connection: AsyncConnection, emergency_id: str, user_id: str, now: int) -> Emergency | None:
    """End a person's emergency access, with every grant and token of it; None when there is none that lasts.

    Its access tokens are refused within the second in which every worker looks revocations up (OA-8).
    """
    found = await connection.execute(
        update(break_glass)
        .where(
            break_glass.c.id == emergency_id,
            break_glass.c.user_id == user_id,
            break_glass.c.ended_at.is_(None),
            break_glass.c.expires_at > now,
        )
        .values(ended_at=now)
        .returning(*_COLUMNS)
    )
    row = found.one_or_none()
    if row is None:
        return None
    await revoke_grants(connection, [grants.c.break_glass_id == emergency_id], "emergency access ended", now)
    # a token of the operator's command has no grant: it names the emergency access in its place
    until = instant(now + LONGEST_TOKEN_SECONDS)
    await revoke(connection, RevocationKind.GRANT, emergency_id, instant(now), until)
    return Emergency(*row)
