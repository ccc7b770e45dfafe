"""Units of work on PostgreSQL: statements that travel together keep order, errors and transactions (`pipeline.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import psycopg
import pytest
from psycopg import pq
from sqlalchemy import insert, make_url, select, text
from sqlalchemy.exc import IntegrityError

from storage import libpq
from storage.driver import PsycopgDriver, Question
from storage.engine import Database, create_database
from storage.errors import ConcurrencyConflict, DatabaseUnavailable
from storage.pipeline import PipelinedConnection
from storage.projection.places import Places
from storage.resources import ResourceKey, Write
from storage.rls import ROLE
from storage.sql import Prepared
from storage.store import ResourceStore
from storage.tables.fhir import changes
from storage.transaction import Change, UnitOfWork
from storage.wire import Wire
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer, execute
from tests.regressions.shop import SYSTEM, observed

CHANGE = Change("tester", "client", "test")
POOL = 2
COUNT = Prepared("SELECT count(*) FROM fhir_changes WHERE organization_id = %(organization_id)s", {})
OWN = {"organization_id": ORGANIZATION}
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
HELD = SESSIONS + " AND state LIKE 'idle in transaction%'"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.fresh()


@pytest.fixture
async def shop(url: str) -> AsyncIterator[Database]:
    database = create_database(url, role=ROLE, pool_size=POOL)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def line(url: str) -> AsyncIterator[PipelinedConnection]:
    connection = await PipelinedConnection.connect(url)
    yield connection
    await connection.close()


def change_row(number: int) -> tuple[object, ...]:
    return (ORGANIZATION, number, 0, "tester", "client", "test", "")


async def note(unit: UnitOfWork, number: int) -> None:
    """Queue one row."""
    await unit.driver.insert(changes, [change_row(number)])


async def count(shop: Database) -> int:
    ((found,),) = await shop.fetch(ORGANIZATION, COUNT, {})
    return int(found)


async def test_what_is_queued_is_there_for_every_kind_of_statement_after_it(shop: Database) -> None:
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 1)
        assert await unit.driver.fetch(COUNT, OWN) == [(1,)]
        await note(unit, 2)
        assert len((await unit.connection.execute(select(changes.c.id))).all()) == 2
        await note(unit, 3)
        async with unit.connection.begin_nested() as savepoint:
            await note(unit, 4)
            assert await unit.driver.fetch(COUNT, OWN) == [(4,)]
            await savepoint.rollback()
        assert await unit.driver.fetch(COUNT, OWN) == [(3,)]
        await note(unit, 5)
    assert await count(shop) == 4


@pytest.mark.parametrize("rows", [1, libpq.MOST_PREPARED + 50])
async def test_rows_are_inserted_however_many_they_are(shop: Database, rows: int) -> None:
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await unit.driver.insert(changes, [change_row(number) for number in range(rows)])
    assert await count(shop) == rows


async def test_security_DU4_a_conflict_of_a_queued_statement_is_told_at_commit_and_nothing_stays(
    shop: Database,
) -> None:
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 1)
    done: list[int] = []
    with pytest.raises(ConcurrencyConflict):
        async with shop.begin(ORGANIZATION, CHANGE) as unit:
            done.extend([await note(unit, number) or number for number in (2, 1, 3)])
    assert done == [2, 1, 3]
    assert await count(shop) == 1
    async with shop.begin(ORGANIZATION, CHANGE) as unit:  # what was skipped is prepared now
        await note(unit, 2)
    assert await count(shop) == 2


async def test_security_DU4_after_a_conflict_the_work_is_done_again(shop: Database) -> None:
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 1)
    numbers = iter([1, 1, 2])

    async def work(unit: UnitOfWork) -> str:
        await note(unit, next(numbers))
        return "done"

    assert await shop.transact(ORGANIZATION, CHANGE, work) == "done"
    assert await count(shop) == 2


async def test_a_transaction_that_failed_is_not_taken_for_committed(shop: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await note(unit, 1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await unit.driver.fetch(Prepared("SELECT 1 / 0", {}), {})

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await shop.transact(ORGANIZATION, CHANGE, work)
    assert await count(shop) == 0


async def test_an_error_in_a_savepoint_leaves_the_rest_as_it_was(shop: Database) -> None:
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 1)
        row = dict(zip((column.name for column in changes.columns), change_row(1), strict=True))
        with pytest.raises(IntegrityError):
            async with unit.connection.begin_nested():
                await unit.connection.execute(insert(changes), [row])
        await note(unit, 2)
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 3)
    assert await count(shop) == 3


async def test_what_repositories_and_the_store_have_prepared_outlives_what_is_rolled_back(shop: Database) -> None:
    prepared = Prepared("SELECT name FROM pg_prepared_statements ORDER BY name", {})

    async def work(unit: UnitOfWork, *, fails: bool) -> None:
        await unit.connection.execute(select(changes.c.id))
        async with unit.connection.begin_nested() as savepoint:
            await unit.connection.execute(select(changes.c.actor))
            await savepoint.rollback()
        names.append({name for (name,) in await unit.driver.fetch(prepared, {})})
        if fails:
            raise ZeroDivisionError

    names: list[set[str]] = []
    for fails in (True, False, True, False):
        with contextlib.suppress(ZeroDivisionError):
            await shop.transact(ORGANIZATION, CHANGE, partial(work, fails=fails))
    assert {name[:1] for name in names[0]} == {"u", "_"}
    assert all(before < after for before, after in pairwise(names))  # each savepoint has a name of its own


async def test_what_is_asked_ahead_is_answered_once_and_by_what_was_there_at_the_beginning(shop: Database) -> None:
    async with shop.begin(ORGANIZATION, CHANGE, [Question(COUNT, OWN)]) as unit:
        await note(unit, 1)
        assert await unit.driver.fetch(COUNT, OWN) == [(0,)]
        assert await unit.driver.fetch(COUNT, OWN) == [(1,)]
    async with shop.begin(ORGANIZATION, CHANGE, [Question(COUNT, OWN)]) as unit:
        await note(unit, 2)
        assert await unit.driver.fetch(COUNT, {"organization_id": "other"}) == [(0,)]


@pytest.mark.parametrize("creates", [True, False])
async def test_a_write_takes_two_round_trips(shop: Database, monkeypatch: pytest.MonkeyPatch, creates: bool) -> None:
    store = ResourceStore(shop, Places())
    trips: list[int] = []
    send = PipelinedConnection.send

    async def counted(line: PipelinedConnection) -> list[pq.abc.PGresult]:
        trips.append(1)
        return await send(line)

    async with shop.begin(ORGANIZATION, CHANGE):
        pass  # what SQLAlchemy does on a new connection
    monkeypatch.setattr(PipelinedConnection, "send", counted)
    for number in range(3):
        key = ResourceKey("Observation", f"o{number}" if creates else "o")
        resource = observed("Patient/p", note=[{"text": str(number)}]) | {"id": key.id}
        writes = [Write(key, resource, must_not_exist=creates)]
        trips.clear()
        (written,) = await shop.transact(
            ORGANIZATION,
            CHANGE,
            lambda unit, these=writes: store.write(unit, these, SYSTEM),
            store.ahead(ORGANIZATION, writes),
        )
        assert written.version is not None
        assert written.version.version == (1 if creates else number + 1)
        assert len(trips) == 2


async def test_security_RL3_a_connection_keeps_so_many_statements_prepared_and_no_more(
    line: PipelinedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libpq, "MOST_PREPARED", 5)
    driver = PsycopgDriver(line)
    for _ in range(2):
        many = [Question(Prepared(f"SELECT {number}", {}), {}) for number in range(20)]
        assert await driver.fetch_together(many) == [[(number,)] for number in range(20)]
        await line.rollback()
        with pytest.raises(psycopg.errors.DivisionByZero):
            await driver.fetch_together([*many[:7], Question(Prepared("SELECT 1 / 0", {}), {}), *many[7:]])
        await line.rollback()
    ((prepared,),) = await driver.fetch(Prepared("SELECT count(*) FROM pg_prepared_statements", {}), {})
    assert prepared == 5


async def test_security_RL3_a_long_statement_is_prepared_for_one_use(
    line: PipelinedConnection, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libpq, "LONGEST_PREPARED", 60)
    monkeypatch.setattr(libpq, "MOST_PREPARED", 1)
    kept = Prepared("SELECT count(*) FROM pg_prepared_statements", {})
    long = [Prepared(f"SELECT {number} + %(more)s::int8 -- {'x' * 60}", {}) for number in range(10)]
    driver = PsycopgDriver(line)
    asked = [Question(kept, {}), *(Question(each, {"more": 1}) for each in long), Question(kept, {})]
    for _ in range(2):
        assert await driver.fetch_together(asked) == [[(1,)], *([(number + 1,)] for number in range(10)), [(1,)]]
    wire = await Wire.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), "")
    for number, each in enumerate(long):
        assert await wire.fetch(libpq.wire_statement(each.sql), {"more": 2}) == [(number + 2,)]
    assert await wire.fetch(libpq.wire_statement(kept.sql), {}) == [(1,)]
    await wire.close()


async def test_more_goes_out_and_comes_back_than_buffers_hold(line: PipelinedConnection) -> None:
    driver = PsycopgDriver(line)
    back = Prepared("SELECT %(data)s::bytea", {})
    data = bytes(3_000_000)
    answers = await driver.fetch_together([Question(back, {"data": data + bytes([number])}) for number in range(5)])
    assert answers == [[(data + bytes([number]),)] for number in range(5)]


async def test_security_DU7_connections_lost_while_idle_are_replaced(shop: Database, url: str) -> None:
    async def work(number: int) -> None:
        async with shop.begin(ORGANIZATION, CHANGE) as unit:
            await note(unit, number)

    await asyncio.gather(work(1), work(2))
    execute(url, f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS others")
    async with shop.platform() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1
    await asyncio.gather(work(3), work(4))
    assert await count(shop) == 4


async def test_security_DU7_a_connection_lost_in_the_middle_is_told_and_replaced(shop: Database, url: str) -> None:
    async def work(unit: UnitOfWork) -> None:
        await note(unit, 1)
        execute(url, f"SELECT pg_terminate_backend(pid) FROM ({SESSIONS}) AS others")

    with pytest.raises(DatabaseUnavailable):
        await shop.transact(ORGANIZATION, CHANGE, work)
    async with shop.begin(ORGANIZATION, CHANGE) as unit:
        await note(unit, 1)
    assert await count(shop) == 1


async def test_security_DU7_work_that_is_cancelled_anywhere_leaves_nothing_behind(shop: Database, url: str) -> None:
    async def work(number: int) -> None:
        async with shop.begin(ORGANIZATION, CHANGE) as unit:
            await note(unit, 2 * number)
            await unit.driver.fetch(COUNT, OWN)
            await unit.connection.execute(select(changes.c.id))
            await note(unit, 2 * number + 1)

    for turns in range(60):
        task = asyncio.create_task(work(turns))
        for turn in range(turns):
            await asyncio.sleep(0 if turn % 3 else 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await count(shop) % 2 == 0
    await asyncio.gather(*(work(number) for number in range(100, 110)))
    assert await count(shop) >= 20
    async with asyncio.timeout(30):  # a session that was given up ends when the server has noticed
        while len(await asyncio.to_thread(execute, url, SESSIONS)) > 2 * POOL + 2:
            gc.collect()  # what only the collector would close is closed
            await asyncio.sleep(0.05)  # writers, wires, the shared one, and the pool's first
    assert execute(url, HELD) == []


async def test_security_DU7_a_statement_that_nobody_waits_for_any_more_is_stopped(shop: Database, url: str) -> None:
    async def sleep() -> None:
        async with shop.begin(ORGANIZATION, CHANGE) as unit:
            await unit.driver.fetch(Prepared("SELECT pg_sleep(60)::text", {}), {})

    task = asyncio.create_task(sleep())
    sleeping = SESSIONS + " AND query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    deadline = time.monotonic() + 30
    while not execute(url, sleeping):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while execute(url, sleeping):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
