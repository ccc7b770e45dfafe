"""Seals, and what verification finds (security AD-4): altered, removed, inserted and reordered rows, broken seals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from storage.audit import AuditKey, insert_records
from storage.audit_seals import Trail, export, open_trails, seal
from storage.audit_sqlite import audit_path
from storage.audit_trail import AuditTrail, create_audit_trail
from storage.audit_verify import Fault, verify
from storage.engine import Database
from storage.errors import AuditUnavailable
from storage.rls import ROLE
from storage.transaction import Change
from tests.audit.conftest import KEY, a_record, faults

Tamper = Callable[[Connection], None]


@pytest.fixture
async def sealed(store, trail: Trail) -> Trail:
    """Two seals of three records each, and two records that are not sealed yet."""
    for start in (0, 3):
        await store.append([a_record(start + n) for n in range(3)])
        assert seal(trail, "loop-health", KEY) == 3
    await store.append([a_record(6), a_record(7)])
    return trail


COPY = (
    "INSERT INTO rbac_logs SELECT id + 1, organization_id, at, actor_id, actor_role, client_id, customer_id, patients,"
    " resource, resource_ids, action, interaction, outcome, status, count, request_id, method, path, ip_address,"
    " user_agent, purpose, grant_id, mac FROM rbac_logs WHERE actor_id = '{}'"
)


async def test_an_untouched_trail_verifies(sealed: Trail):
    result = verify(sealed, "loop-health", KEY)
    assert not result.findings
    assert (result.records, result.seals, result.unsealed) == (8, 2, 2)
    assert result.head is not None
    assert result.head.startswith("2:")


async def test_an_empty_trail_verifies(trail: Trail):
    result = verify(trail, "loop-health", KEY)
    assert (result.records, result.head, result.findings) == (0, None, ())


@pytest.mark.parametrize("record", ["user-1", "user-5", "user-7"])
async def test_an_altered_record_is_found_sealed_or_not(sealed: Trail, tamper, record: str):
    tamper(f"UPDATE rbac_logs SET customer_id = 'p2' WHERE actor_id = '{record}'")
    assert Fault.ALTERED in faults(sealed)


@pytest.mark.parametrize("record", ["user-0", "user-1", "user-5"])
async def test_a_removed_record_is_found(sealed: Trail, tamper, record: str):
    tamper(f"DELETE FROM rbac_logs WHERE actor_id = '{record}'")
    assert faults(sealed) == {Fault.REMOVED}


async def test_an_inserted_record_is_found(sealed: Trail, tamper):
    tamper(COPY.format("user-3").replace("id + 1", "id - 1"))
    assert {Fault.INSERTED, Fault.ALTERED} <= faults(sealed)


async def test_a_copied_record_is_found_even_unsealed(sealed: Trail, tamper):
    tamper(COPY.format("user-7"))
    assert faults(sealed) == {Fault.ALTERED}


async def test_reordered_records_are_found(sealed: Trail, tamper):
    ids = {row["actor_id"]: row["id"] for row in export(sealed, "loop-health")}
    move = "UPDATE rbac_logs SET id = {} WHERE actor_id = '{}'"
    tamper(move.format(-1, "user-3"), move.format(ids["user-3"], "user-4"), move.format(ids["user-4"], "user-3"))
    assert {Fault.ALTERED, Fault.REPLACED} <= faults(sealed)


async def test_a_record_moved_to_another_organization_is_found_there(sealed: Trail, tamper):
    tamper("UPDATE rbac_logs SET organization_id = 'health-hub' WHERE actor_id = 'user-7'")
    assert verify(sealed, "health-hub", KEY).findings[0].fault is Fault.ALTERED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_seals SET count = 2 WHERE sequence = 1",
        "UPDATE audit_seals SET root = previous WHERE sequence = 2",
        "UPDATE audit_seals SET sealed_at = sealed_at + 1 WHERE sequence = 2",
        "DELETE FROM audit_seals WHERE sequence = 1",
        "UPDATE audit_seals SET sequence = sequence + 1 WHERE sequence = 2",
    ],
)
async def test_an_altered_or_removed_seal_is_found(sealed: Trail, tamper, statement: str):
    tamper(statement)
    assert Fault.SEAL_BROKEN in faults(sealed)


async def test_records_removed_together_with_their_seal_are_found_by_the_next_seal(sealed: Trail, tamper):
    tamper(
        "DELETE FROM rbac_logs WHERE actor_id IN ('user-0', 'user-1', 'user-2')",
        "DELETE FROM audit_seals WHERE sequence = 1",
    )
    assert Fault.SEAL_BROKEN in faults(sealed)


async def test_another_key_verifies_nothing(sealed: Trail):
    result = verify(sealed, "loop-health", AuditKey(b"another"))
    assert len([finding for finding in result.findings if finding.fault is Fault.ALTERED]) == 8


async def test_imported_records_without_hmac_are_covered_by_their_seal(store, trail: Trail, tamper):
    values = "'loop-health', 5, 'old', 'staff', 'profile', 'read', 'allowed'"
    empty = "''" if trail.name == "main" else "x''"
    tamper(
        "INSERT INTO rbac_logs (id, organization_id, at, actor_id, actor_role, resource, action, outcome, mac)"
        f" VALUES (1, {values}, {empty})"
    )
    await store.append([a_record(0)])
    assert seal(trail, "loop-health", KEY) == 2
    assert not faults(trail)
    tamper("UPDATE rbac_logs SET actor_id = 'new' WHERE id = 1")
    assert faults(trail) == {Fault.REPLACED}


async def test_a_record_without_hmac_that_came_later_is_altered(sealed: Trail, tamper):
    nothing = "''" if sealed.name == "main" else "zeroblob(0)"
    tamper(f"UPDATE rbac_logs SET mac = {nothing} WHERE actor_id = 'user-7'")
    assert faults(sealed) == {Fault.ALTERED}


async def test_security_AD4_the_table_refuses_changes_also_to_the_owner(sealed: Trail, fresh_database_url: str):
    if sealed.name == "reads":
        engine = create_engine(f"sqlite:///{audit_path(fresh_database_url)}")
    else:
        engine = create_engine(make_url(fresh_database_url).set(drivername="postgresql+psycopg"))
    for statement in ("UPDATE rbac_logs SET actor_id = 'x'", "DELETE FROM rbac_logs", "DELETE FROM audit_seals"):
        with pytest.raises(Exception, match=r"append|only|refuse"), engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()


async def test_records_of_a_running_transaction_are_sealed_after_it(
    fresh_database: Database, fresh_database_url: str, change: Change, store, trail: Trail
):
    if trail.name == "reads":
        pytest.skip("on SQLite writers take turns")
    async with fresh_database.begin("loop-health", change) as unit:
        await store.append([a_record(1)])
        await insert_records(unit, [a_record(2)], KEY)
        assert await asyncio.to_thread(seal, trail, "loop-health", KEY) == 0
    assert await asyncio.to_thread(seal, trail, "loop-health", KEY) == 2
    assert not faults(trail)


async def test_a_database_restored_into_a_younger_cluster_is_not_sealed_wrongly(store, trail: Trail, tamper):
    if trail.name == "reads":
        pytest.skip("ids on SQLite do not depend on the cluster")
    await store.append([a_record(0)])
    seal(trail, "loop-health", KEY)
    tamper("UPDATE audit_seals SET last_id = last_id + (1::int8 << 50)")
    with pytest.raises(AuditUnavailable, match="Restoring"):
        seal(trail, "loop-health", KEY)


async def test_reads_and_writes_of_one_worker_are_sealed_and_verified(
    fresh_database: Database, fresh_database_url: str, change: Change
):
    audit: AuditTrail = create_audit_trail(fresh_database_url, KEY, role=ROLE)
    async with fresh_database.begin("loop-health", change) as unit:
        await audit.insert(unit, [a_record(0)])
    await asyncio.gather(*(audit.record(a_record(n)) for n in range(1, 20)))
    assert await audit.seal_once() == 20
    await audit.record(a_record(20))
    await audit.close()
    results = [verify(trail, "loop-health", KEY) for trail in open_trails(fresh_database_url, role=ROLE)]
    assert sum(result.records for result in results) == 21
    assert not any(result.findings or result.unsealed for result in results)


async def test_the_background_sealer_seals_what_an_earlier_run_left(
    fresh_database_url: str, store, trail: Trail, monkeypatch
):
    monkeypatch.setattr("storage.audit_trail.SEAL_SECONDS", 0.01)
    await store.append([a_record(0)])
    audit = create_audit_trail(fresh_database_url, KEY, role=ROLE)
    audit.start(["loop-health"])
    for _ in range(3000):
        await asyncio.sleep(0.01)
        if verify(trail, "loop-health", KEY).seals:
            break
    await audit.close()
    assert verify(trail, "loop-health", KEY).unsealed == 0


async def test_two_sealers_do_not_seal_twice(store, trail: Trail):
    await store.append([a_record(n) for n in range(50)])
    counts = await asyncio.gather(*(asyncio.to_thread(seal, trail, "loop-health", KEY) for _ in range(4)))
    assert sum(counts) == 50
    assert not faults(trail)
