"""What every connection to PostgreSQL sets for itself, whatever the installation's default is."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from storage.engine import PostgresDatabase, create_database
from storage.rls import ROLE
from storage.sql import Prepared
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer

SHOWN = "SELECT current_setting('jit'), %(organization_id)s::text"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.fresh()


@pytest.mark.parametrize("is_short", [True, False])
async def test_a_search_is_never_compiled_which_may_take_longer_than_to_run_it(url: str, is_short: bool) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    assert await database.fetch(ORGANIZATION, Prepared(SHOWN, {}, is_short=is_short), {}) == [("off", ORGANIZATION)]
    await database.close()


async def test_nor_is_what_writes(url: str) -> None:
    database = create_database(url, role=ROLE)
    assert isinstance(database, PostgresDatabase)
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT current_setting('jit')"))).scalar_one() == "off"
    await database.close()
