"""A dump goes on in a cluster whose transaction ids start anew (settled §3.4, §4.7; security DU-10)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from storage.audit import AuditKey, AuditRecord, insert_records
from storage.audit_postgres import PostgresAuditStore
from storage.audit_seals import open_trails, seal
from storage.audit_verify import verify
from storage.engine import create_database
from storage.projection.places import Places
from storage.rls import ROLE
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.postgres import PostgresServer, execute
from tests.regressions.shop import CHANGE, Shop

KEY = AuditKey(b"k" * 32)
BURN = "DO $$ BEGIN FOR n IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"


def a_record() -> AuditRecord:
    return AuditRecord(
        organization_id=ORGANIZATION, actor_id="tester", actor_role="STAFF", resource="Patient", action="read"
    )


@pytest.fixture
def new_cluster() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


async def work_in(url: str, name: str) -> tuple[list[str], int]:
    """Write and read on record, and seal; returns the ids in the order of their writing, and records in the trail."""
    database = create_database(url, role=ROLE)
    await database.open()
    shop = Shop(database, ResourceStore(database, Places()))
    await shop.put(f"Basic/{name}", {"resourceType": "Basic", "code": {"text": "x"}})
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        await insert_records(unit, [a_record(), a_record()], KEY)
    reads = PostgresAuditStore(url, KEY, role=ROLE)
    await reads.append([a_record()])
    await reads.close()
    found = await shop.ids("Basic?_sort=_lastUpdated")
    await database.close()
    (trail,) = open_trails(url, role=ROLE)
    assert seal(trail, ORGANIZATION, KEY) == 3
    verified = verify(trail, ORGANIZATION, KEY)
    assert verified.findings == ()
    assert verified.unsealed == 0
    return found, verified.records


def restore(postgres: PostgresServer, url: str, new_cluster: PostgresServer) -> str:
    """Return the URL of a database like this one, in a cluster that is behind it."""
    dump = str(postgres._folder / "dump.sql")
    postgres._run("pg_dump", "--dbname", url, "--file", dump)
    restored = new_cluster.create("restored", template="template0")
    new_cluster._run("psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", restored, "--file", dump)
    ((behind,),) = execute(restored, "SELECT max(xid) > pg_current_xact_id()::text::int8 FROM fhir_resources")
    assert behind
    return restored


async def test_security_DU10_streams_and_audit_go_on_after_a_restore(
    postgres: PostgresServer, new_cluster: PostgresServer
) -> None:
    url = postgres.fresh()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BURN)
    assert await work_in(url, "before") == (["before"], 3)
    restored = restore(postgres, url, new_cluster)
    assert await work_in(restored, "after") == (["before", "after"], 6)
    ((offset,),) = execute(restored, "SELECT value FROM transaction_offset")
    assert await work_in(restored, "later") == (["before", "after", "later"], 9)
    assert execute(restored, "SELECT value FROM transaction_offset") == [(offset,)]


async def unaudited(url: str, name: str) -> list[str]:
    """Write as a projector does, without a record; returns the ids in the order of their writing."""
    database = create_database(url, role=ROLE)
    await database.open()
    shop = Shop(database, ResourceStore(database, Places()))
    await shop.put(f"Basic/{name}", {"resourceType": "Basic", "code": {"text": "x"}})
    found = await shop.ids("Basic?_sort=_lastUpdated")
    await database.close()
    return found


async def test_security_DU10_streams_go_on_after_a_restore_where_nothing_was_audited_yet(
    postgres: PostgresServer, new_cluster: PostgresServer
) -> None:
    url = postgres.fresh()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(BURN)
    assert await unaudited(url, "before") == ["before"]
    restored = restore(postgres, url, new_cluster)
    assert await unaudited(restored, "after") == ["before", "after"]


async def test_ids_stay_as_they_are_where_nothing_was_restored(postgres: PostgresServer) -> None:
    url = postgres.fresh()
    await work_in(url, "one")
    await work_in(url, "two")
    assert execute(url, "SELECT value FROM transaction_offset") == [(0,)]
