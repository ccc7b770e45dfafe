"""Reads of the tables outside tenancy: they wait for no writer and cannot write (settled §3.12, security AU-5)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from storage.engine import Database
from storage.errors import StorageError
from storage.tables.platform import organizations, revocations
from storage.transaction import Change
from tests.conftest import ORGANIZATION


async def count(database: Database) -> int:
    async with database.platform_read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(organizations)) or 0)


async def test_a_page_is_read_while_a_unit_of_work_is_open(fresh_database: Database, change: Change):
    before = await count(fresh_database)
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await unit.connection.execute(insert(organizations).values(id="new", name="New"))
        assert await asyncio.wait_for(count(fresh_database), 60) == before
    assert await count(fresh_database) == before + 1


async def test_a_reading_transaction_cannot_write(fresh_database: Database):
    moment = datetime.now(UTC)
    row = {"kind": "jti", "value": "x", "revoked_at": moment, "expires_at": moment}
    with pytest.raises((StorageError, SQLAlchemyError)):
        async with fresh_database.platform_read() as connection:
            await connection.execute(insert(revocations).values(row))
    async with fresh_database.platform() as connection:
        await connection.execute(insert(revocations).values(row))  # it was not the row


async def test_more_readers_than_connections_take_turns(fresh_database: Database):
    counts = await asyncio.gather(*(count(fresh_database) for _ in range(40)))
    assert len(set(counts)) == 1
