"""What a person granted, to look through and to take back (`smart.md` V2)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.grants import Grant, find_grants, revoke_grants
from storage.tables.authorization import grants


async def standing_grants(connection: AsyncConnection, user_id: str, now: int) -> list[Grant]:
    """Return what a person granted and what can still be used, the newest first."""
    own = (grants.c.user_id == user_id, grants.c.revoked_at.is_(None), grants.c.expires_at > now)
    return await find_grants(connection, *own)


async def withdraw(connection: AsyncConnection, user_id: str, grant_id: str, now: int) -> list[Grant]:
    """Revoke one of a person's grants, and every other one to the same app in the same place for the same patient.

    Returns what was revoked: nothing when the grant is not this person's, or was revoked already.
    """
    found = await find_grants(connection, grants.c.id == grant_id, grants.c.user_id == user_id)
    if not found:
        return []
    grant = found[0]
    alike = [
        grants.c.user_id == user_id,
        grants.c.client_id == grant.client_id,
        grants.c.organization_id == grant.organization_id,
        grants.c.patient.is_not_distinct_from(grant.patient),
    ]
    return await revoke_grants(connection, alike, "withdrawn", now)
