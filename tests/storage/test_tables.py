"""The tables: both engines give back what was written (settled §2.4, §2.6, internal_tables.md)."""

from __future__ import annotations

from sqlalchemy import text

from storage.engine import Database
from tests.conftest import ORGANIZATION


async def test_a_unit_of_work_opens_on_a_migrated_database(database: Database, change) -> None:
    async with database.begin(ORGANIZATION, change) as unit:
        rows = (await unit.connection.execute(text("SELECT id FROM organizations ORDER BY id"))).scalars().all()
    assert rows == ["health-hub", "loop-health"]
