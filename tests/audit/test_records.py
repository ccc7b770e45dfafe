"""Audit records: durable before the answer leaves, in one transaction with a write (security AD-1 to AD-3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url, text

from storage.audit import AuditKey, AuditRecord, AuditWriter, column_names, insert_records
from storage.audit_seals import Trail, export, open_trails
from storage.engine import Database
from storage.errors import AuditUnavailable
from storage.rls import ROLE
from storage.transaction import Change
from tests.audit.conftest import KEY, a_record, make_store


class MemoryStore:
    """Keeps batches; waits while `gate` is closed; fails while `down`."""

    def __init__(self) -> None:
        self.batches: list[list[AuditRecord]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.down: Exception | None = None
        self.closed = False
        self.prepared: list[str] = []

    def prepare(self, organization_id: str) -> None:
        self.prepared.append(organization_id)

    async def append(self, records: Sequence[AuditRecord]) -> None:
        await self.gate.wait()
        if self.down:
            raise self.down
        self.batches.append(list(records))

    async def close(self) -> None:
        self.closed = True


async def test_security_AD3_a_batch_leaves_when_the_previous_commit_returned():
    store = MemoryStore()
    writer = AuditWriter(store)
    store.gate.clear()
    first = asyncio.create_task(writer.record(a_record(0)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(writer.record(a_record(n))) for n in range(1, 8)]
    await asyncio.sleep(0)
    assert not first.done()
    store.gate.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in store.batches] == [1, 7]


async def test_security_AD3_requests_that_came_together_share_a_commit_the_next_time_too():
    store = MemoryStore()
    writer = AuditWriter(store)
    store.gate.clear()
    first = [asyncio.create_task(writer.record(a_record(n))) for n in range(4)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(*first)
    second = []
    for n in range(4):  # one after the other, as answers to reads arrive
        second.append(asyncio.create_task(writer.record(a_record(n))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*second)
    assert [len(batch) for batch in store.batches] == [4, 4]
    assert store.prepared == ["loop-health"]  # the transaction was sent for while the others were on their way


async def test_security_AD3_who_comes_alone_after_many_is_not_kept():
    store = MemoryStore()
    writer = AuditWriter(store)
    await asyncio.gather(*(writer.record(a_record(n)) for n in range(4)))
    await writer.record(a_record(5))
    await writer.record(a_record(6))
    assert [len(batch) for batch in store.batches] == [4, 1, 1]
    assert len(store.prepared) == 1  # only the first of the two could have had company


async def test_a_batch_has_a_largest_size():
    store = MemoryStore()
    writer = AuditWriter(store, batch=3)
    await asyncio.gather(*(writer.record(a_record(n)) for n in range(7)))
    assert [len(batch) for batch in store.batches] == [3, 3, 1]


async def test_security_AD3_a_full_queue_refuses_instead_of_answering_unaudited():
    store = MemoryStore()
    store.gate.clear()
    writer = AuditWriter(store, capacity=2, batch=1)
    waiting = []
    for n in range(3):  # one on its way, two in the queue
        waiting.append(asyncio.create_task(writer.record(a_record(n))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(AuditUnavailable):
        await writer.record(a_record(9))
    store.gate.set()
    await asyncio.gather(*waiting)
    assert sum(map(len, store.batches)) == 3


async def test_security_AD3_when_the_store_fails_everyone_who_waits_is_told_and_later_ones_are_served():
    store = MemoryStore()
    store.down = AuditUnavailable("away")
    writer = AuditWriter(store, batch=2)
    told = await asyncio.gather(*(writer.record(a_record(n)) for n in range(5)), return_exceptions=True)
    assert all(isinstance(each, AuditUnavailable) for each in told)
    store.down = None
    await writer.record(a_record(9))
    assert store.batches == [[a_record(9)]]


async def test_no_request_waits_for_ever_whatever_goes_wrong():
    store = MemoryStore()
    store.down = RuntimeError("a fault of ours")
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await AuditWriter(store).record(a_record())


async def test_a_cancelled_request_does_not_disturb_the_others():
    store = MemoryStore()
    store.gate.clear()
    writer = AuditWriter(store)
    cancelled, other = (asyncio.create_task(writer.record(a_record(n))) for n in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.cancel()
    store.gate.set()
    await other
    assert len(store.batches[0]) == 2


async def test_security_DU8_closing_flushes_and_then_refuses():
    store = MemoryStore()
    writer = AuditWriter(store)
    store.gate.clear()
    waiting = asyncio.create_task(writer.record(a_record()))
    await asyncio.sleep(0)
    store.gate.set()
    await writer.close()
    await waiting
    assert store.closed
    with pytest.raises(AuditUnavailable):
        await writer.record(a_record())


async def test_security_TN2_each_organizations_records_go_into_its_own_trail(store, trail: Trail):
    both = [a_record(n, organization_id=name) for n, name in enumerate(["loop-health", "health-hub", "loop-health"])]
    await store.append(both)  # makes the connection
    store.prepare("loop-health")
    await store.append(both)
    found = {name: [row["actor_id"] for row in export(trail, name)] for name in ("health-hub", "loop-health")}
    assert found == {"health-hub": ["user-1"] * 2, "loop-health": ["user-0", "user-2"] * 2}


async def test_what_was_recorded_is_read_back_digit_for_digit(store, trail: Trail):
    await store.append([a_record(1, patients=["p1", "p2"], resource_ids=["a", "b"], count=2, user_agent="é\0\ud800x")])
    ((row),) = list(export(trail, "loop-health"))
    assert (row["actor_id"], row["customer_id"], row["patients"]) == ("user-1", "p1", '["p1","p2"]')
    assert (row["resource_ids"], row["count"], row["status"]) == ('["a","b"]', 2, 200)
    assert row["user_agent"] == "é??x"
    assert row["purpose"] is None


async def test_what_a_client_sends_is_stored_as_it_is(store, trail: Trail):
    odd = 'NULL, "{}", \\", \n\t, {a,b}, %s, $1, \\x00'
    await store.append([a_record(1, user_agent=odd, request_id="NULL")])
    ((row),) = list(export(trail, "loop-health"))
    assert (row["user_agent"], row["request_id"]) == (odd, "NULL")


async def test_every_record_gets_an_id_above_those_before_and_an_instant(store, trail: Trail):
    await store.append([a_record(0), a_record(1)])
    await store.append([a_record(2)])
    rows = list(export(trail, "loop-health"))
    assert [row["actor_id"] for row in rows] == ["user-0", "user-1", "user-2"]
    assert rows[0]["at"] <= rows[1]["at"] <= rows[2]["at"]


async def test_a_batch_may_hold_records_of_several_organizations(store, trail: Trail):
    await store.append([a_record(0), a_record(1, "health-hub"), a_record(2)])
    assert [row["actor_id"] for row in export(trail, "loop-health")] == ["user-0", "user-2"]
    assert [row["actor_id"] for row in export(trail, "health-hub")] == ["user-1"]


async def test_no_more_than_a_hundred_ids_are_kept_but_every_patient_is(store, trail: Trail):
    many = [str(n) for n in range(1000)]
    await store.append([a_record(0, resource_ids=many, patients=many, count=1000)])
    ((row),) = list(export(trail, "loop-health"))
    assert row["count"] == 1000
    assert json.loads(row["patients"]) == many
    assert row["resource_ids"].count(",") == 99


async def test_the_columns_are_those_of_the_table():
    row = KEY.row(a_record(), 1, 2)
    assert len(row) == len(column_names())
    named = dict(zip(column_names(), row, strict=True))
    assert all(named[name] == getattr(a_record(), name) for name in ("action", "status", "method", "grant_id", "path"))


@given(st.integers(0, 21), st.text(min_size=1))
def test_security_AD4_the_hmac_covers_every_column(column: int, other: str):
    row = list(KEY.row(a_record(), 1, 2))
    row[column] = other if row[column] != other else None
    assert not KEY.holds(row)
    assert not AuditKey(b"another key").holds(KEY.row(a_record(), 1, 2))


async def test_security_AD2_the_record_of_a_write_is_in_its_transaction(
    fresh_database: Database, fresh_database_url: str, change: Change
):
    trail = open_trails(fresh_database_url, role=ROLE)[0]
    async with fresh_database.begin("loop-health", change) as unit:
        await insert_records(unit, [a_record(1), a_record(2)], KEY)
        await insert_records(unit, [a_record(3)], KEY)
    with suppress(ZeroDivisionError):
        async with fresh_database.begin("loop-health", change) as unit:
            await insert_records(unit, [a_record(4)], KEY)
            raise ZeroDivisionError
    assert [row["actor_id"] for row in export(trail, "loop-health")] == ["user-1", "user-2", "user-3"]


async def test_a_record_of_another_organization_is_refused(fresh_database: Database, change: Change):
    with pytest.raises(ValueError, match="organization"):
        async with fresh_database.begin("loop-health", change) as unit:
            await insert_records(unit, [a_record(1, "health-hub")], KEY)


async def test_a_store_that_cannot_be_reached_is_unavailable_and_recovers(fresh_database_url: str, trail: Trail, store):
    unreachable = make_store(fresh_database_url)
    if hasattr(unreachable, "_path"):
        path, unreachable._path = unreachable._path, unreachable._path.with_name("gone.sqlite")
    else:
        conninfo, unreachable._conninfo = unreachable._conninfo, "postgresql://nobody@127.0.0.1:1/nowhere"
    with pytest.raises(AuditUnavailable):
        await unreachable.append([a_record()])
    if hasattr(unreachable, "_path"):
        unreachable._path = path
    else:
        unreachable._conninfo = conninfo
    await unreachable.append([a_record()])
    await unreachable.close()


async def test_a_refused_statement_is_unavailable_and_the_next_batch_is_served(
    fresh_database_url: str, trail: Trail, store
):
    if trail.name == "reads":
        pytest.skip("SQLite refuses nothing by type")
    await store.append([a_record(0)])
    with pytest.raises(AuditUnavailable):
        await store.append([a_record(1), a_record(2, status=99_999)])
    await store.append([a_record(3)])
    assert [row["actor_id"] for row in export(trail, "loop-health")] == ["user-0", "user-3"]


async def test_a_connection_lost_while_idle_is_made_anew(fresh_database_url: str, trail: Trail, store):
    if trail.name == "reads":
        pytest.skip("a file has no connection to lose")
    await store.append([a_record(0)])
    engine = create_engine(make_url(fresh_database_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        others = "FROM pg_stat_activity WHERE query LIKE 'COMMIT%' AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) {others} AND datname = current_database()"))
    engine.dispose()
    await store.append([a_record(1)])
    assert [row["actor_id"] for row in export(trail, "loop-health")] == ["user-0", "user-1"]
