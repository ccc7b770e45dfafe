"""What signs access tokens, and which of them are revoked.

These tables lie outside tenancy. Whoever changes them does so in a unit of work, so that the audit record of the change
is in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from storage.sql import Prepared, prepare
from storage.tables.enums import KeyState
from storage.tables.platform import revocations, signing_keys
from storage.tables.types import now

LONGEST_TOKEN_SECONDS: Final = 3600
"""No access token lives longer: so long is a revocation kept, and a key that has retired verifies nothing any more."""


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
    GRANT = "grant"
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


def instant(seconds: float) -> datetime:
    """Return the aware UTC datetime of seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
