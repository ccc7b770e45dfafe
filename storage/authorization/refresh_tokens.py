"""Refresh tokens: each is used once and followed by another one; a second use ends the family (security OA-5, F4).

The family is the grant. A token is opaque, has 256 random bits, and only its SHA-256 is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import bindparam, select, update

from storage.authorization.unbound import fetch_unbound, outside_tenancy
from storage.driver import Row
from storage.engine import Database
from storage.sql import Prepared, prepare
from storage.tables.authorization import grants, refresh_tokens
from storage.transaction import UnitOfWork


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One row of `refresh_tokens` with what its grant says of it; instants in seconds since 1970 UTC."""

    grant_id: str
    organization_id: str
    client_id: str
    issued_at: int
    expires_at: int
    used_at: int | None
    revoked_at: int | None
    """When the grant was revoked."""


@lru_cache
def _find_statement(dialect: str) -> Prepared:
    tokens = refresh_tokens
    statement = select(
        tokens.c.grant_id,
        grants.c.organization_id,
        grants.c.client_id,
        tokens.c.issued_at,
        tokens.c.expires_at,
        tokens.c.used_at,
        grants.c.revoked_at,
    ).where(tokens.c.token == bindparam("refresh_token"), grants.c.id == tokens.c.grant_id, outside_tenancy())
    return prepare(statement, dialect, is_short=True)


async def find_refresh_token(database: Database, token: str) -> RefreshToken | None:
    """Return a token by its SHA-256, used or not; None when nobody was given it, or it is long forgotten."""
    rows = await fetch_unbound(database, _find_statement(database.dialect), {"refresh_token": token})
    return RefreshToken(*rows[0]) if rows else None


@lru_cache
def rotate_statement(dialect: str) -> Prepared:
    """Return the one statement that uses a token up: of those who send it at the same time one gets a row.

    Its parameters are `refresh_token`, the SHA-256, and `now` in seconds since 1970 UTC.
    """
    tokens = refresh_tokens
    statement = (
        update(tokens)
        .where(
            tokens.c.token == bindparam("refresh_token"),
            tokens.c.used_at.is_(None),
            tokens.c.expires_at > bindparam("now"),
        )
        .values(used_at=bindparam("now"))
        .returning(tokens.c.grant_id)
    )
    return prepare(statement, dialect)


def was_rotated(rows: list[Row]) -> bool:
    """Return whether the statement used the token up."""
    return bool(rows)


async def add_refresh_token(unit: UnitOfWork, token: str, grant_id: str, now: int, expires_at: int) -> None:
    """Insert a new token, given by its SHA-256."""
    row = {"token": token, "grant_id": grant_id, "issued_at": now, "expires_at": expires_at, "used_at": None}
    await unit.driver.insert(refresh_tokens, [tuple(row[column.name] for column in refresh_tokens.columns)])


@lru_cache
def _use_statement(dialect: str) -> Prepared:
    statement = (
        update(grants)
        .where(grants.c.id == bindparam("grant_id"))
        .values(last_used_at=bindparam("now"), expires_at=bindparam("until"))
    )
    return prepare(statement, dialect)


async def use_grant(unit: UnitOfWork, grant_id: str, now: int, expires_at: int) -> None:
    """Note that tokens of a grant were issued now, the last of which expires at `expires_at`."""
    parameters = {"grant_id": grant_id, "now": now, "until": expires_at}
    await unit.driver.execute(_use_statement(unit.driver.dialect), parameters)
