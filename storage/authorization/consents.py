"""What a person agreed to before: grants that still stand, by whom they are for."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.grants import Grant, find_grants
from storage.tables.authorization import grants


async def earlier_grants(
    connection: AsyncConnection,
    *,
    client_id: str,
    user_id: str,
    organization_id: str,
    patient: str | None,
    since: int,
) -> list[Grant]:
    """Return the standing grants since an instant (seconds) of one person to one client for one patient.

    Emergency access is no agreement of anybody and does not count.
    """
    return await find_grants(
        connection,
        grants.c.client_id == client_id,
        grants.c.user_id == user_id,
        grants.c.organization_id == organization_id,
        grants.c.patient.is_(None) if patient is None else grants.c.patient == patient,
        grants.c.created_at >= since,
        grants.c.revoked_at.is_(None),
        grants.c.break_glass_id.is_(None),
    )
