"""What the authorization server can forget: rows that nothing can come of any more, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, CursorResult, Table, and_, delete, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.failures import FORGOTTEN_SECONDS
from storage.engine import Database
from storage.tables.authorization import (
    authorization_codes,
    authorization_requests,
    client_assertions,
    grants,
    launches,
    refresh_tokens,
    registration_tokens,
    sessions,
    sign_in_failures,
)

BATCH: Final = 1000
"""Rows that one transaction deletes: locks are held for a moment only."""
DAY: Final = 86_400


def forgettable(now: int, kept_seconds: int) -> Mapping[Table, ColumnElement[bool]]:
    """Return the rows of each table that can go; `now` in seconds since 1970 UTC.

    A code stays for a day after its minute, so that one that is sent again still ends the grant (OA-4). Grants stay
    for `kept_seconds` after they were given, and as long as a token of theirs lives: what a person agreed to is
    remembered, and can be looked up. Requests and launches stay for a day, to be told as expired and not as unknown;
    requests for which no browser came do not: strangers make those.
    """
    return {
        authorization_requests: or_(
            authorization_requests.c.expires_at < now - DAY,
            and_(authorization_requests.c.expires_at < now, authorization_requests.c.browser.is_(None)),
        ),
        authorization_codes: authorization_codes.c.expires_at < now - DAY,
        refresh_tokens: refresh_tokens.c.expires_at < now,
        grants: and_(grants.c.expires_at < now, grants.c.created_at < now - kept_seconds),
        sessions: sessions.c.expires_at < now - DAY,
        client_assertions: client_assertions.c.expires_at < now,
        launches: launches.c.expires_at < now - DAY,
        sign_in_failures: and_(
            sign_in_failures.c.failed_at < now - FORGOTTEN_SECONDS, sign_in_failures.c.blocked_until < now
        ),
        registration_tokens: registration_tokens.c.expires_at < now - DAY,
    }


async def forget(database: Database, now: int, kept_seconds: int) -> dict[str, int]:
    """Delete what can go and return how many rows of which tables that were; raises DatabaseUnavailable."""
    deleted: dict[str, int] = {}
    for table, condition in forgettable(now, kept_seconds).items():
        found = BATCH
        while found == BATCH:
            async with database.platform() as connection:
                found = await _delete_some(connection, table, condition)
            if found:
                deleted[table.name] = deleted.get(table.name, 0) + found
    return deleted


async def _delete_some(connection: AsyncConnection, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete up to BATCH rows; rows that another worker is deleting are left to it."""
    key = tuple(table.primary_key.columns)
    some = select(*key).where(condition).limit(BATCH).with_for_update(skip_locked=True)
    done: CursorResult[Any] = await connection.execute(delete(table).where(tuple_(*key).in_(some)))
    return done.rowcount
