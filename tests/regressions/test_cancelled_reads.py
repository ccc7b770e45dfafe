"""A read that is cancelled leaves its connection as it was (security DU-7)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text

from storage.engine import create_database
from storage.sql import Prepared
from tests.conftest import ORGANIZATION

ORGANIZATIONS = Prepared("SELECT count(*) FROM organizations", {})


async def test_security_DU7_a_snapshot_that_was_cancelled_while_it_began_does_not_stay(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "fhir.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    database = create_database(f"sqlite:///{path}", pool_size=1)
    await database.open()
    for turns in range(1, 12):  # so that it is cancelled in every place where it waits

        async def read() -> None:
            async with database.read(ORGANIZATION) as driver:
                await driver.fetch(ORGANIZATIONS, {})

        task = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with database.platform() as connection:
            await connection.execute(text(f"INSERT INTO organizations (id, name) VALUES ('new-{turns}', 'New')"))
        ((seen,),) = await database.fetch(ORGANIZATION, ORGANIZATIONS, {})
        async with database.read(ORGANIZATION) as driver:
            assert await driver.fetch(ORGANIZATIONS, {}) == [(seen,)]
        async with database.platform() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM organizations")) == seen
    await database.close()
