"""What signing in changes about a person: the password, the second factor, when it was (security AU-1, AU-4).

Each function is one statement: what may happen once, happens once, however many ask at the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.platform import clients, organizations, user_organizations, users


@dataclass(frozen=True, slots=True)
class AppName:
    """How an app is called, who made it, and whether the operator vouches for that."""

    name: str
    publisher: str | None
    is_verified: bool


async def signed_in_at(
    connection: AsyncConnection, user_id: str, moment: datetime, *, password_hash: str | None = None
) -> bool:
    """Note when a person signed in; False for one who was disabled meanwhile.

    So it is where `password_hash`, that of the password by which they signed in, was replaced meanwhile: whoever
    changes a password ends the sessions that there are, and this one is not there yet.
    """
    still = [users.c.id == user_id, users.c.is_active]
    still += [] if password_hash is None else [users.c.password_hash == password_hash]
    changed = await connection.execute(update(users).where(*still).values(last_login_at=moment).returning(users.c.id))
    return changed.first() is not None


async def replace_password(connection: AsyncConnection, user_id: str, before: str | None, after: str) -> bool:
    """Put a password's hash in the place of another one; False when it was changed meanwhile."""
    unchanged = users.c.password_hash == before if before is not None else users.c.password_hash.is_(None)
    changed = await connection.execute(
        update(users).where(users.c.id == user_id, unchanged).values(password_hash=after).returning(users.c.id)
    )
    return changed.first() is not None


async def set_second_factor(
    connection: AsyncConnection, user_id: str, sealed: str, step: int, codes: Sequence[str]
) -> bool:
    """Turn the second factor on with the encrypted secret, the step of the code that proved it, and hashes of codes.

    False when it is on already.
    """
    changed = await connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.mfa_enabled.is_(False))
        .values(mfa_enabled=True, mfa_secret=sealed, mfa_last_step=step, backup_codes=tuple(codes))
        .returning(users.c.id)
    )
    return changed.first() is not None


async def drop_second_factor(connection: AsyncConnection, user_id: str) -> bool:
    """Turn the second factor off; False when it was off."""
    changed = await connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.mfa_enabled.is_(True))
        .values(mfa_enabled=False, mfa_secret=None, mfa_last_step=None, backup_codes=())
        .returning(users.c.id)
    )
    return changed.first() is not None


async def take_step(connection: AsyncConnection, user_id: str, step: int) -> bool:
    """Use the one-time password of a time step up; False when it, or a later one, was used before (RFC 6238 §5.2)."""
    unused = or_(users.c.mfa_last_step.is_(None), users.c.mfa_last_step < step)
    taken = await connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.mfa_enabled.is_(True), unused)
        .values(mfa_last_step=step)
        .returning(users.c.id)
    )
    return taken.first() is not None


async def replace_recovery_codes(
    connection: AsyncConnection, user_id: str, before: Sequence[str], after: Sequence[str]
) -> bool:
    """Put hashes of recovery codes in the place of others; False when they changed meanwhile: one was used."""
    unchanged = users.c.backup_codes == tuple(before)
    changed = await connection.execute(
        update(users)
        .where(users.c.id == user_id, users.c.mfa_enabled.is_(True), unchanged)
        .values(backup_codes=tuple(after))
        .returning(users.c.id)
    )
    return changed.first() is not None


async def roles_of(connection: AsyncConnection, user_id: str) -> list[tuple[str, str, str]]:
    """Return id and name of every active organization in which a person has a role, and the role, in order of name."""
    joined = user_organizations.join(organizations, organizations.c.id == user_organizations.c.organization_id)
    found = await connection.execute(
        select(organizations.c.id, organizations.c.name, user_organizations.c.role)
        .select_from(joined)
        .where(user_organizations.c.user_id == user_id, user_organizations.c.is_active, organizations.c.is_active)
        .order_by(organizations.c.name, organizations.c.id)
    )
    return [(row.id, row.name, row.role) for row in found]


async def apps_called(connection: AsyncConnection, client_ids: Collection[str]) -> dict[str, AppName]:
    """Return how apps are called, by their ids."""
    found = await connection.execute(
        select(clients.c.id, clients.c.name, clients.c.publisher, clients.c.is_verified).where(
            clients.c.id.in_(client_ids)
        )
    )
    return {row.id: AppName(row.name or row.id, row.publisher, row.is_verified) for row in found}
