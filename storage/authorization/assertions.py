"""Client assertions that were used: each counts once, whichever worker sees it (J3, security OA-9)."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.opaque import digest
from storage.tables.authorization import client_assertions


async def use_assertion(connection: AsyncConnection, client_id: str, jti: str, until: int, now: int) -> bool:
    """Remember an assertion until it has expired (seconds since 1970 UTC); return False when it was used before.

    One statement decides, so that of two at the same instant one wins. Ids of assertions that have expired may come
    again.
    """
    made = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgresql
    statement = (
        made(client_assertions)
        .values(client_id=client_id, jti=digest(jti), expires_at=until)
        .on_conflict_do_update(
            index_elements=["client_id", "jti"],
            set_={"expires_at": until},
            where=client_assertions.c.expires_at < now,
        )
        .returning(client_assertions.c.jti)
    )
    return (await connection.execute(statement)).first() is not None
