"""Initial access tokens, with each of which one app may register itself (RFC 7591 §1.2, security OA-14)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.opaque import digest
from storage.tables.authorization import registration_tokens
from storage.tables.platform import organizations


async def add_registration_token(
    connection: AsyncConnection, token: str, organization_id: str, now: int, until: int
) -> None:
    """Remember a token until an instant; instants in seconds since 1970 UTC."""
    values = {"token": digest(token), "organization_id": organization_id, "created_at": now, "expires_at": until}
    await connection.execute(insert(registration_tokens).values(values))


async def registering_organization(connection: AsyncConnection, token: str, now: int) -> str | None:
    """Return the active organization for which a token may be used; None for one that is no good any more."""
    found: str | None = await connection.scalar(
        select(registration_tokens.c.organization_id)
        .join(organizations, organizations.c.id == registration_tokens.c.organization_id)
        .where(*_usable(token, now), organizations.c.is_active)
    )
    return found


async def use_registration_token(connection: AsyncConnection, token: str, now: int) -> bool:
    """Use a token up; False when it is no good any more: of two at the same instant one wins."""
    used = await connection.execute(
        update(registration_tokens)
        .where(*_usable(token, now))
        .values(used_at=now)
        .returning(registration_tokens.c.token)
    )
    return used.first() is not None


def _usable(token: str, now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        registration_tokens.c.token == digest(token),
        registration_tokens.c.used_at.is_(None),
        registration_tokens.c.expires_at > now,
    )
