"""Authorization codes: one use, at most a minute, and everything that a code is bound to (security OA-4, A10)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.unbound import fetch_unbound, outside_tenancy
from storage.driver import Row
from storage.engine import Database
from storage.sql import Prepared, prepare
from storage.tables.authorization import authorization_codes, grants

CODE_SECONDS: Final = 60
"""How long a code can be redeemed."""


@dataclass(frozen=True, slots=True)
class NewCode:
    """One row of `authorization_codes` that is still to be redeemed; `code` is the SHA-256, never the code itself.

    User, scope, patient and the rest of the context are those of the grant. `max_age` says that the app asked for
    `auth_time` in the id_token.
    """

    code: str
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    expires_at: int
    nonce: str | None = None
    max_age: bool = False


async def add_code(connection: AsyncConnection, code: NewCode) -> None:
    """Insert a code."""
    await connection.execute(insert(authorization_codes).values(asdict(code)))


@dataclass(frozen=True, slots=True)
class SpentCode:
    """What a code was bound to; it was redeemed for the first time, whatever comes of it."""

    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    max_age: bool
    expires_at: int


@lru_cache
def spend_statement(dialect: str) -> Prepared:
    """Return the one statement that redeems a code: of those who send it at the same time one gets a row (OA-4).

    Its parameters are `code`, the SHA-256, and `now` in seconds since 1970 UTC. It asks for nothing else, so that a
    wrong verifier, redirect URI or client spends the code as well.
    """
    codes = authorization_codes
    statement = (
        update(codes)
        .where(codes.c.code == bindparam("code"), codes.c.used_at.is_(None))
        .values(used_at=bindparam("now"))
        .returning(
            codes.c.grant_id,
            codes.c.client_id,
            codes.c.redirect_uri,
            codes.c.code_challenge,
            codes.c.nonce,
            codes.c.max_age,
            codes.c.expires_at,
        )
    )
    return prepare(statement, dialect)


def spent_code(rows: list[Row]) -> SpentCode | None:
    """Return the code that the statement redeemed; None for one that is unknown or was redeemed before."""
    if not rows:
        return None
    grant_id, client_id, redirect_uri, challenge, nonce, max_age, expires_at = rows[0]
    return SpentCode(grant_id, client_id, redirect_uri, challenge, nonce, bool(max_age), expires_at)


@lru_cache
def _organization_statement(dialect: str) -> Prepared:
    of_code = grants.c.id == authorization_codes.c.grant_id
    statement = select(grants.c.organization_id).where(of_code, authorization_codes.c.code == bindparam("code"))
    return prepare(statement.where(outside_tenancy()), dialect, is_short=True)


async def organization_of_code(database: Database, code: str) -> str | None:
    """Return the organization in which a code was granted, found by its SHA-256; None when there is no such code."""
    rows = await fetch_unbound(database, _organization_statement(database.dialect), {"code": code})
    return rows[0][0] if rows else None
