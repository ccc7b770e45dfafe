"""Short reads share one connection: each gets its own answer, whatever happens to the others (security DU-7, RL-3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from storage.engine import create_database
from storage.errors import DatabaseUnavailable
from storage.libpq import wire_statement
from storage.rls import ROLE
from storage.shared_wire import MOST_TOGETHER, SharedReads, SharedWire
from storage.sql import Prepared
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer, execute

NUMBER = wire_statement("SELECT %(n)s::int8")
QUOTIENT = wire_statement("SELECT 12 / %(n)s::int8")
LARGE = wire_statement("SELECT %(n)s::int8, repeat('x', 3000000)")
SLOW = Prepared("SELECT pg_sleep(60)::text, %(organization_id)s::text", {}, is_short=True)
OWN = Prepared("SELECT %(organization_id)s::text, pg_backend_pid()", {}, is_short=True)


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.fresh()


@pytest.fixture
async def wire(url: str) -> AsyncIterator[SharedWire]:
    made = await SharedWire.connect(url, "")
    yield made
    await made.close()


async def test_each_read_gets_its_own_rows_however_many_come_at_once(wire: SharedWire) -> None:
    many = range(3 * MOST_TOGETHER + 1)
    answers = await asyncio.gather(*(wire.fetch(NUMBER, {"n": n}) for n in many))
    assert answers == [[(n,)] for n in many]


async def test_answers_larger_than_any_buffer_arrive_whole(wire: SharedWire) -> None:
    answers = await asyncio.gather(*(wire.fetch(LARGE, {"n": n}) for n in range(4)))
    assert [(rows[0][0], len(rows[0][1])) for rows in answers] == [(n, 3_000_000) for n in range(4)]


async def test_statements_larger_than_any_buffer_are_sent_whole(wire: SharedWire) -> None:
    length = wire_statement("SELECT length(%(text)s::text)")
    answers = await asyncio.gather(*(wire.fetch(length, {"text": "é" * 4_000_000}) for _ in range(3)))
    assert answers == [[(4_000_000,)]] * 3


async def test_an_error_is_told_to_whom_it_concerns_and_the_others_are_answered(wire: SharedWire) -> None:
    divisors = [1, 0, 2, 0, 3]
    answers = await asyncio.gather(*(wire.fetch(QUOTIENT, {"n": n}) for n in divisors), return_exceptions=True)
    assert [isinstance(each, psycopg.errors.DivisionByZero) for each in answers] == [not n for n in divisors]
    assert [each for each in answers if isinstance(each, list)] == [[(12,)], [(6,)], [(4,)]]
    assert await wire.fetch(QUOTIENT, {"n": 6}) == [(2,)]


async def test_a_statement_that_cannot_be_prepared_does_not_spoil_the_next(wire: SharedWire) -> None:
    wrong = wire_statement("SELECT nothing FROM nowhere")
    answers = await asyncio.gather(
        wire.fetch(NUMBER, {"n": 1}), wire.fetch(wrong, {}), wire.fetch(QUOTIENT, {"n": 2}), return_exceptions=True
    )
    assert answers[0] == [(1,)]
    assert isinstance(answers[1], psycopg.errors.UndefinedTable)
    assert answers[2] == [(6,)]
    assert await wire.fetch(NUMBER, {"n": 3}) == [(3,)]


async def test_a_cancelled_read_takes_nobodys_answer(wire: SharedWire) -> None:
    tasks = [asyncio.create_task(wire.fetch(NUMBER, {"n": n})) for n in range(6)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    tasks[4].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in answers if isinstance(each, list)] == [[(n,)] for n in (0, 2, 3, 5)]


async def test_security_TN2_each_read_is_in_its_own_organizations_context(url: str) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    setting = Prepared(
        "SELECT %(organization_id)s::text, current_setting('app.organization_id', true)", {}, is_short=True
    )
    names = ["a", "b", "c"] * 5
    answers = await asyncio.gather(*(database.fetch(name, setting, {}) for name in names))
    assert answers == [[(name, name)] for name in names]
    await database.close()


async def test_security_DU7_reads_are_repeated_on_a_new_connection_when_theirs_was_lost(url: str) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    ((_, pid),) = await database.fetch(ORGANIZATION, OWN, {})
    await asyncio.to_thread(execute, url, f"SELECT pg_terminate_backend({pid})")
    answers = await asyncio.gather(*(database.fetch(ORGANIZATION, OWN, {}) for _ in range(5)))
    assert len({rows[0] for rows in answers}) == 1
    assert answers[0][0][1] != pid
    await database.close()


async def test_security_DU7_a_read_ends_when_its_connection_is_lost_under_it_twice(url: str) -> None:
    database = create_database(url, role=ROLE)
    await database.open()
    await database.fetch(ORGANIZATION, OWN, {})
    reading = [asyncio.create_task(database.fetch(ORGANIZATION, SLOW, {})) for _ in range(3)]
    own = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def end() -> None:
        while execute(url, f"SELECT pg_terminate_backend(pid) {own} AND query LIKE '%pg_sleep%'") == []:
            pass

    for _ in range(2):
        await asyncio.to_thread(end)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*reading, return_exceptions=True)
    assert all(isinstance(each, DatabaseUnavailable) for each in answers)
    await database.close()


async def test_security_DU7_all_who_wait_for_an_unreachable_database_are_told_at_once(url: str) -> None:
    reads = SharedReads(url.rpartition("/")[0] + "/no_such_database", "")
    answers = await asyncio.gather(*(reads.fetch(NUMBER, {"n": n}) for n in range(50)), return_exceptions=True)
    assert all(isinstance(each, psycopg.OperationalError) for each in answers)
    await reads.close()


async def test_security_DU8_closing_tells_who_waits(wire: SharedWire) -> None:
    waiting = asyncio.create_task(wire.fetch(wire_statement("SELECT pg_sleep(60)::text"), {}))
    await asyncio.sleep(0.01)
    await wire.close()
    with pytest.raises(psycopg.OperationalError):
        await waiting
