"""Grants: what a person (or the server's operator) granted to an app, and their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.tables.authorization import grants


@dataclass(frozen=True, slots=True)
class Grant:
    """One row of `grants`; instants in seconds since 1970 UTC.

    `scope` is exactly what was answered. `context` holds the rest of the launch context as the token response has it
    (`fhirContext`, `intent`, `need_patient_banner`, `smart_style_url`, `tenant`). `session_id` is set for
    `online_access`: the grant ends with the session.
    """

    id: str
    client_id: str
    organization_id: str
    role: str
    scope: str
    authenticated_at: int
    created_at: int
    last_used_at: int
    expires_at: int
    user_id: str | None = None
    patient: str | None = None
    encounter: str | None = None
    fhir_user: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    session_id: str | None = None
    break_glass_id: str | None = None
    revoked_at: int | None = None
    revoked_for: str | None = None


_NAMES: Final = tuple(each.name for each in fields(Grant))
_COLUMNS: Final = tuple(grants.c[name] for name in _NAMES)


async def add_grant(connection: AsyncConnection, grant: Grant) -> None:
    """Insert a grant."""
    await connection.execute(insert(grants).values({name: getattr(grant, name) for name in _NAMES}))


async def find_grants(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Grant]:
    """Return the grants that meet every condition, the newest first."""
    found = await connection.execute(select(*_COLUMNS).where(*conditions).order_by(grants.c.created_at.desc()))
    return [Grant(**row._mapping) for row in found]  # noqa: SLF001 the public name of a row's mapping


async def revoke_grants(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], reason: str, now: int
) -> list[Grant]:
    """Revoke the grants that meet every condition and still stand; return them.

    Their refresh tokens are refused from this transaction on, their access tokens within the second in which every
    worker looks revocations up (OA-8).
    """
    standing = and_(*conditions, grants.c.revoked_at.is_(None))
    ended = await find_grants(connection, standing)
    await connection.execute(update(grants).where(standing).values(revoked_at=now, revoked_for=reason))
    until = instant(now + LONGEST_TOKEN_SECONDS)
    for grant in ended:
        await revoke(connection, RevocationKind.GRANT, grant.id, instant(now), until)
    return ended


async def revoke_grant(connection: AsyncConnection, grant_id: str, reason: str, now: int) -> bool:
    """Revoke one grant, and with it everything that was issued for it; False when it was revoked before."""
    return bool(await revoke_grants(connection, [grants.c.id == grant_id], reason, now))
