"""Who may sign in and what signs for them: signing keys, revocations, clients, users and their organizations.

These tables lie outside tenancy. Whoever changes them does so in a unit of work, so that the audit record of the change
is in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.codec import decode
from storage.engine import Database
from storage.repositories.entities import User, UserOrganization
from storage.rows import fetch_rows, shape_of
from storage.sql import Prepared, prepare
from storage.tables.enums import KeyState
from storage.tables.platform import (
    organizations,
    revocations,
    signing_keys,
    user_organizations,
    user_patients,
    users,
)
from storage.tables.types import now


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One row of `signing_keys`; `retired_at` in seconds since 1970 UTC."""

    kid: str
    state: KeyState
    public_jwk: Mapping[str, Any]
    encrypted_private_key: str
    algorithm: str
    retired_at: int | None = None


class RevocationKind(StrEnum):
    """What a revocation names."""

    TOKEN = "jti"  # noqa: S105 a word, no secret
    USER = "user"
    CLIENT = "client"
    ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One row of `revocations`; tokens issued later than `revoked_at` (seconds) are not concerned."""

    kind: RevocationKind
    value: str
    revoked_at: int


_KEYS: Final = {
    dialect: prepare(
        select(
            signing_keys.c.kid,
            signing_keys.c.state,
            signing_keys.c.public_jwk,
            signing_keys.c.private_key,
            signing_keys.c.alg,
            signing_keys.c.retired_at,
        ).order_by(signing_keys.c.created_at, signing_keys.c.kid),
        dialect,
    )
    for dialect in ("postgresql", "sqlite")
}
_REVOCATIONS: Final = {
    dialect: prepare(
        select(revocations.c.kind, revocations.c.value, revocations.c.revoked_at).where(
            revocations.c.expires_at > now()
        ),
        dialect,
    )
    for dialect in ("postgresql", "sqlite")
}


async def load_keys(database: Database) -> list[StoredKey]:
    """Return every signing key, the oldest first; raises DatabaseUnavailable."""
    return [
        StoredKey(kid, KeyState(state), decode(public.encode()), private, algorithm, _seconds(retired))
        for kid, state, public, private, algorithm, retired in await _fetch(database, _KEYS)
    ]


async def load_revocations(database: Database) -> list[Revocation]:
    """Return the revocations that can still concern a token; raises DatabaseUnavailable."""
    return [
        Revocation(RevocationKind(kind), value, _seconds(revoked_at) or 0)
        for kind, value, revoked_at in await _fetch(database, _REVOCATIONS)
    ]


async def _fetch(database: Database, statements: Mapping[str, Prepared]) -> list[tuple[Any, ...]]:
    async with database.read("") as driver:  # tables outside tenancy need no context
        return await driver.fetch(statements[database.dialect], {})


def _seconds(moment: datetime | str | None) -> int | None:
    """Return whole seconds since 1970 of what a driver gives for an instant."""
    if moment is None:
        return None
    return int((datetime.fromisoformat(moment) if isinstance(moment, str) else moment).timestamp())


async def lock_keys(connection: AsyncConnection) -> None:
    """Keep others from changing signing keys until the transaction ends; on SQLite it already does."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"))


async def keys_in(connection: AsyncConnection) -> list[StoredKey]:
    """Return every signing key as the transaction sees it, the oldest first."""
    found = await connection.execute(select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid))
    return [
        StoredKey(row.kid, KeyState(row.state), row.public_jwk, row.private_key, row.alg, _seconds(row.retired_at))
        for row in found
    ]


async def save_keys(connection: AsyncConnection, keys: Iterable[StoredKey], moment: datetime) -> None:
    """Insert new signing keys and update those that are there; `moment` is when their states changed."""
    known = {key.kid for key in await keys_in(connection)}
    stamps = {KeyState.ACTIVE: "activated_at", KeyState.RETIRING: "retired_at", KeyState.GONE: "gone_at"}
    for key in keys:
        values: dict[str, Any] = {"state": key.state.value, "private_key": key.encrypted_private_key}
        if key.state in stamps:
            values[stamps[key.state]] = moment
        if key.kid in known:
            await connection.execute(update(signing_keys).where(signing_keys.c.kid == key.kid).values(values))
        else:
            values |= {"kid": key.kid, "alg": key.algorithm, "public_jwk": dict(key.public_jwk), "created_at": moment}
            await connection.execute(insert(signing_keys).values(values))


async def revoke(
    connection: AsyncConnection, kind: RevocationKind, value: str, moment: datetime, until: datetime
) -> None:
    """Revoke what was issued up to `moment`, until the last of it expires; clears away what has expired."""
    await connection.execute(delete(revocations).where(revocations.c.expires_at < now()))
    made = insert_sqlite(revocations) if connection.dialect.name == "sqlite" else insert_postgresql(revocations)
    stamps = {"revoked_at": moment, "expires_at": until}
    statement = made.values(kind=kind.value, value=value, **stamps)
    await connection.execute(statement.on_conflict_do_update(index_elements=["kind", "value"], set_=stamps))


async def user_by_email(connection: AsyncConnection, email: str) -> User | None:
    """Return the user with an e-mail address, which is compared in lower case."""
    found = await fetch_rows(connection, shape_of("users"), "", [users.c.email == email.lower()], limit=1)
    return found[0] if found else None


async def list_users(connection: AsyncConnection, organization_id: str | None) -> list[tuple[User, UserOrganization]]:
    """Return users with their role, of one organization or of all, in order of e-mail address."""
    conditions = [] if organization_id is None else [user_organizations.c.organization_id == organization_id]
    memberships: Sequence[UserOrganization] = await fetch_rows(
        connection, shape_of("user_organizations"), "", conditions
    )
    ids = [each.user_id for each in memberships]
    by_id = {user.id: user for user in await fetch_rows(connection, shape_of("users"), "", [users.c.id.in_(ids)])}
    pairs = [(by_id[each.user_id], each) for each in memberships]
    return sorted(pairs, key=lambda pair: (pair[0].email, pair[1].organization_id))


async def memberships_of(connection: AsyncConnection, user_id: str) -> list[UserOrganization]:
    """Return the active roles of a user in active organizations."""
    active = select(organizations.c.id).where(organizations.c.is_active)
    conditions = [
        user_organizations.c.user_id == user_id,
        user_organizations.c.is_active,
        user_organizations.c.organization_id.in_(active),
    ]
    return await fetch_rows(connection, shape_of("user_organizations"), "", conditions)


async def patients_of(connection: AsyncConnection, user_id: str, organization_id: str) -> list[str]:
    """Return the ids of the patients whom a user may act for."""
    statement = select(user_patients.c.patient_id).where(
        user_patients.c.user_id == user_id, user_patients.c.organization_id == organization_id
    )
    return list(await connection.scalars(statement.order_by(user_patients.c.created_at, user_patients.c.patient_id)))


async def link_patients(
    connection: AsyncConnection, user_id: str, organization_id: str, patients: Iterable[str]
) -> None:
    """Let a user act for patients; those linked already stay."""
    known = set(await patients_of(connection, user_id, organization_id))
    for patient_id in dict.fromkeys(patients):
        if patient_id not in known:
            row = {"user_id": user_id, "organization_id": organization_id, "patient_id": patient_id}
            await connection.execute(insert(user_patients).values(row))


async def remove_membership(connection: AsyncConnection, user_id: str, organization_id: str) -> bool:
    """Take a user's role and patients in an organization away; return whether the user has another one left.

    Users themselves stay: the audit trail names them.
    """
    for table in (user_patients, user_organizations):
        await connection.execute(
            delete(table).where(table.c.user_id == user_id, table.c.organization_id == organization_id)
        )
    others = select(user_organizations.c.id).where(user_organizations.c.user_id == user_id).limit(1)
    return await connection.scalar(others) is not None


def instant(seconds: float) -> datetime:
    """Return the aware UTC datetime of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
