"""Connections of reads that are lost, or asked for much (security DU-7, RL-3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from storage import engine, libpq
from storage.engine import create_database
from storage.errors import DatabaseUnavailable
from storage.libpq import wire_statement
from storage.rls import ROLE
from storage.sql import Prepared
from storage.wire import Wire
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer, execute

SLEEP = Prepared("SELECT pg_sleep(60)::text, %(organization_id)s::text", {})
NOTHING = Prepared("SELECT %(organization_id)s::text", {})
COUNT = "SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.fresh()


@pytest.fixture
async def line(url: str) -> AsyncIterator[Wire]:
    made = await Wire.connect(url, "")
    yield made
    await made.close()


def end_sessions(url: str, query: str) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while execute(url, f"SELECT pg_terminate_backend(pid) {others} AND query LIKE '{query}'") == []:
        pass


async def test_security_DU7_a_read_ends_when_its_connection_is_lost_under_it(url: str) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    await database.fetch(ORGANIZATION, NOTHING, {})
    reading = asyncio.create_task(database.fetch(ORGANIZATION, SLEEP, {}))
    for _ in range(2):  # it is repeated once, as its connection had lain idle
        await asyncio.to_thread(end_sessions, url, "%pg_sleep%")
    with pytest.raises(DatabaseUnavailable):
        async with asyncio.timeout(30):
            await reading
    await database.close()


async def test_security_DU7_a_connection_lost_while_idle_is_noticed_and_nothing_raises(url: str, line: Wire) -> None:
    await line.fetch(wire_statement("SELECT 1"), {})
    await asyncio.to_thread(end_sessions, url, "%SELECT 1%")
    async with asyncio.timeout(30):
        while not line.broken:
            await asyncio.sleep(0.01)
    with pytest.raises(psycopg.OperationalError):
        await line.fetch(wire_statement("SELECT 1"), {})


async def test_security_RL3_a_connection_keeps_so_many_statements_prepared_and_no_more(
    line: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libpq, "MOST_PREPARED", 5)
    for _ in range(2):
        for number in range(20):
            assert await line.fetch(wire_statement(f"SELECT {number}"), {}) == [(number,)]
    assert await line.fetch(wire_statement(COUNT), {}) == [(5,)]


async def test_security_DU7_a_statement_that_took_too_long_is_not_repeated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PLANNED_ONCE", " -c statement_timeout=50")
    database = create_database(url, role=ROLE)
    await database.open()
    tries = []
    fetch = Wire.fetch
    monkeypatch.setattr(Wire, "fetch", lambda *given: tries.append(given) or fetch(*given))
    with pytest.raises(DatabaseUnavailable):
        await database.fetch(ORGANIZATION, SLEEP, {})
    assert len(tries) == 1
    assert await database.fetch(ORGANIZATION, NOTHING, {}) == [(ORGANIZATION,)]
    await database.close()


def test_security_DU7_the_pool_gives_up_soon_so_that_the_next_request_tries_anew(url: str) -> None:
    assert create_database(url)._pool.reconnect_timeout <= 5
