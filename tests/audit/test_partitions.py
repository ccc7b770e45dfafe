"""The audit trail by months on PostgreSQL: made ahead, walls on each, and statements that stay narrow (AD-5, TN-2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import select

from storage import rls, schema
from storage.audit_partitions import MONTHS_AHEAD, make_months, partitions
from storage.audit_seals import Trail, enter, open_trails, seal, unsealed
from storage.audit_verify import verify
from storage.errors import AuditUnavailable
from storage.sql import DIALECTS
from storage.tables.audit import rbac_logs
from storage.transaction_ids import _NEWEST_RECORD
from tests.audit.ages import instant, write
from tests.audit.conftest import KEY, a_record, make_store
from tests.postgres import PostgresServer, execute

ROW = (
    "INSERT INTO rbac_logs (id, organization_id, at, actor_id, actor_role, resource, action, outcome, mac)"
    " VALUES ({}, 'loop-health', {}, 'a', 'admin', 'Patient', 'read', 'allowed', '')"
)
PARTS = "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = 'rbac_logs'::regclass"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """A new database, as its owner."""
    return postgres.fresh()


@pytest.fixture
def trail(url: str) -> Trail:
    """The trail as the server opens it."""
    return open_trails(url, role=rls.ROLE)[0]


def month_after(months: int) -> str:
    """Return the name of a month from now on, as in names of partitions."""
    now = datetime.now(UTC)
    number = now.year * 12 + now.month - 1 + months
    return f"{number // 12:04}_{number % 12 + 1:02}"


def test_a_new_database_has_partitions_up_to_some_months_ahead(url: str):
    found = {name for (name,) in execute(url, PARTS)}
    ahead = {f"rbac_logs_{month_after(n)}" for n in range(1, MONTHS_AHEAD + 1)}
    assert found == {"rbac_logs_first", "rbac_logs_default"} | ahead


def test_months_follow_each_other_without_a_gap(url: str, trail: Trail):
    execute(url, f"DROP TABLE rbac_logs_{month_after(3)}", f"DROP TABLE rbac_logs_{month_after(2)}")
    assert make_months(trail) == 0
    with trail.engine.begin() as connection:
        found = partitions(connection)
    assert found[0].low is None
    assert [each.low for each in found[1:]] == [each.high for each in found[:-1]]
    assert [each.name for each in found][-1] == f"rbac_logs_{month_after(3)}"


def test_making_months_again_changes_nothing(url: str, trail: Trail):
    before = execute(url, PARTS)
    assert make_months(trail) == 0
    assert execute(url, PARTS) == before


def test_a_month_that_the_default_partition_has_records_of_is_told_and_the_others_are_made(url: str, trail: Trail):
    execute(url, *(f"DROP TABLE rbac_logs_{month_after(n)}" for n in (2, 3)))
    execute(url, ROW.format(1, instant(f"{month_after(2).replace('_', '-')}-15")))
    assert make_months(trail) == 1
    names = {name for (name,) in execute(url, PARTS)}
    assert f"rbac_logs_{month_after(3)}" in names
    assert f"rbac_logs_{month_after(2)}" not in names
    assert execute(url, "SELECT count(*) FROM rbac_logs_default") == [(1,)]


def test_months_are_not_made_while_another_holds_the_table(url: str, trail: Trail):
    execute(url, f"DROP TABLE rbac_logs_{month_after(3)}")
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE rbac_logs_default IN SHARE MODE")
        with pytest.raises(AuditUnavailable, match="months"):
            make_months(trail)
    assert make_months(trail) == 0


@pytest.mark.parametrize("at", ["1970-01-01", "2011-05-05", "2026-11-01", "2155-01-01"])
def test_no_record_lacks_a_place_whatever_its_instant(url: str, at: str):
    execute(url, ROW.format(1, instant(at)))
    assert execute(url, "SELECT at FROM rbac_logs") == [(instant(at),)]


class TestEveryPartition:
    @pytest.mark.parametrize("part", ["first", "default", "made later"])
    def test_security_AD4_refuses_everything_but_inserts(self, url: str, part: str):
        name = f"rbac_logs_{month_after(3) if part == 'made later' else part}"
        for statement in (f"UPDATE {name} SET actor_id = 'x'", f"DELETE FROM {name}", f"TRUNCATE {name}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                execute(url, statement)

    def test_security_TN2_has_walls_and_no_rights_of_the_server(self, url: str, trail: Trail):
        execute(url, f"DROP TABLE rbac_logs_{month_after(3)}")
        make_months(trail)
        facts = (
            "relrowsecurity, relforcerowsecurity,"
            " has_table_privilege('fhir_server_app', oid, 'SELECT, INSERT, UPDATE'),"
            " relowner = (SELECT relowner FROM pg_class WHERE oid = 'rbac_logs'::regclass)"
        )
        found = execute(url, PARTS.replace("relname", f"relname, {facts}"))
        assert len(found) == MONTHS_AHEAD + 2
        assert {tuple(row[1:]) for row in found} == {(True, True, False, True)}

    def test_security_TN2_is_out_of_reach_of_the_server(self, url: str):
        for (name,) in execute(url, PARTS):
            for statement in (
                f"SELECT FROM {name}",
                f"DROP TABLE {name}",
                f"ALTER TABLE rbac_logs DETACH PARTITION {name}",
            ):
                with (
                    psycopg.connect(url, options=f"-c role={rls.ROLE}") as bound,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    bound.execute(statement)


def test_nobody_else_may_make_months(url: str):
    execute(url, "DROP ROLE IF EXISTS passer_by", "CREATE ROLE passer_by LOGIN")
    with (
        psycopg.connect(url.replace("fhir_owner@", "passer_by@")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT fhir_audit_months()")


def test_rows_that_were_there_become_the_first_partition_as_they_are(postgres: PostgresServer):
    """No row is copied: it is the same file on disk."""
    url = postgres.fresh("template0")
    schema.upgrade(url, "0017")
    execute(url, ROW.format(1, instant("2024-01-01")), ROW.format(2, instant("2155-05-05")))
    ((before,),) = execute(url, "SELECT pg_relation_filenode('rbac_logs')")
    schema.upgrade(url)
    assert execute(url, "SELECT pg_relation_filenode('rbac_logs_first')") == [(before,)]
    assert execute(url, "SELECT count(*) FROM rbac_logs_first") == [(2,)]  # a clock may have been ahead
    assert execute(url, "SELECT id FROM audit_logs ORDER BY id") == [(1,), (2,)]


@pytest.fixture
def filled(url: str, trail: Trail) -> str:
    """Two thousand records of each of two organizations, 20 months apart, sealed."""
    low = "MINVALUE"
    ((bounds,),) = execute(url, "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'rbac_logs_first'")
    execute(url, "ALTER TABLE rbac_logs DETACH PARTITION rbac_logs_first")
    for month in range(1, 13):
        high = instant(f"2025-{month:02}-01")
        name = f"rbac_logs_old_{month}"
        execute(url, f"CREATE TABLE {name} PARTITION OF rbac_logs FOR VALUES FROM ({low}) TO ({high})")
        low = str(high)
    execute(url, f"ALTER TABLE rbac_logs ATTACH PARTITION rbac_logs_first {str(bounds).replace('MINVALUE', low)}")
    rows = (
        "INSERT INTO rbac_logs (id, organization_id, at, actor_id, actor_role, resource, action, outcome, mac)"
        " SELECT n, organization, (1733000000 + n * 20000::int8) * 1000000, 'a', 'admin', 'Patient', 'read',"
        " 'allowed', '\\x01'"
        " FROM generate_series(1, 2000) n, (VALUES ('loop-health'), ('health-hub')) AS o (organization)"
    )
    execute(url, rows, "ANALYZE rbac_logs")
    return url


def plan(trail: Trail, statement: object) -> str:
    """Return how a statement is run by who seals and verifies."""
    with trail.engine.begin() as connection:
        enter(connection, "loop-health")
        shown = statement if isinstance(statement, str) else text_of(statement)
        return "\n".join(str(line[0]) for line in connection.exec_driver_sql(f"EXPLAIN {shown}"))


def text_of(statement: object) -> str:
    return str(
        statement.compile(dialect=DIALECTS["postgresql"], compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
    )


def test_what_the_sealer_asks_is_a_range_of_the_key_and_leaves_old_months_alone(filled: str, trail: Trail):
    since = instant("2025-11-01")
    shown = plan(trail, unsealed("loop-health", 1500, 1600, since))
    assert "Seq Scan" not in shown
    assert "Sort  (" not in shown
    assert not re.search(r"rbac_logs_old_([1-9]|1[01])\b", shown)  # of the old ones, November's is the twelfth
    assert "(id > 1500) AND (id < 1600)" in shown


def test_what_the_verifier_asks_is_read_in_the_order_of_the_key_without_sorting(filled: str, trail: Trail):
    asked = select(rbac_logs).where(rbac_logs.c.organization_id == "loop-health").order_by(rbac_logs.c.id)
    shown = plan(trail, asked)
    assert "Merge Append" in shown
    assert "Seq Scan" not in shown
    assert "Sort  (" not in shown


def test_the_newest_record_is_found_at_the_ends_of_indexes(filled: str, trail: Trail):
    shown = plan(trail, _NEWEST_RECORD.replace("%(organization_id)s", "'loop-health'"))
    assert "Seq Scan" not in shown
    assert "Limit" in shown


async def test_records_of_several_months_are_sealed_and_verified_as_one_trail(url: str, trail: Trail):
    write(url, a_record(1), 1, "2026-01-01")
    execute(url, f"DROP TABLE rbac_logs_{month_after(3)}")
    store = make_store(url)
    await store.append([a_record(2), a_record(3)])
    await store.close()
    assert seal(trail, "loop-health", KEY) == 3
    result = verify(trail, "loop-health", KEY)
    assert (result.findings, result.records, result.unsealed) == ((), 3, 0)


def test_on_sqlite_there_are_no_months_to_make(tmp_path):
    (main, _) = open_trails(f"sqlite:///{tmp_path / 'x.sqlite'}", role=None)
    assert make_months(main) == 0
