"""Row-level security: the second wall between organizations (security TN-2, TN-3, TN-4).

Everything here runs as the role that the server takes; a superuser would prove nothing (settled §5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Table, select, text

from mappers.rows import CustomerProfile
from storage import rls
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.rows import load_rows, save_row
from storage.sql import DIALECTS, Prepared
from storage.tables import app_state, audit, fhir, identity, patient_graph, webhooks
from storage.tables.metadata import metadata
from storage.transaction import Change
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.postgres import PostgresServer
from tests.storage.care_rows import CARE_ROWS
from tests.storage.hub_rows import HUB_ROWS

Connection = psycopg.Connection[tuple[object, ...]]
GRAPH_ROWS = (
    "INSERT INTO customer_profiles (organization_id, id, external_id, email) VALUES ('{0}', 'c-{0}', 'x', 'x@y')",
    (
        "INSERT INTO identity_mappings (organization_id, customer_id, identifier_type, external_id)"
        " VALUES ('{0}', 'c-{0}', 'email', 'x')"
    ),
    "INSERT INTO lab_results (organization_id, customer_id) VALUES ('{0}', 'c-{0}')",
    "INSERT INTO protocols (organization_id, customer_id, name) VALUES ('{0}', 'c-{0}', 'p')",
    "INSERT INTO patient_events (organization_id, customer_id, type) VALUES ('{0}', 'c-{0}', 'note_added')",
    "INSERT INTO conversation_history (organization_id, customer_id) VALUES ('{0}', 'c-{0}')",
    (
        "INSERT INTO subscriptions (organization_id, id, customer_id, product_id, product_name)"
        " VALUES ('{0}', 's', 'c-{0}', 'p', 'P')"
    ),
    (
        "INSERT INTO patient_prescriptions (organization_id, customer_id, treatment_id, rimo_order_id, medication_name,"
        " dosage) VALUES ('{0}', 'c-{0}', 's', 'r', 'm', 'd')"
    ),
    (
        "INSERT INTO patient_wearable_readings"
        " (organization_id, customer_id, data_type, value, unit, source, recorded_at)"
        " VALUES ('{0}', 'c-{0}', 'hrv', 1, 'ms', 'oura_api', now())"
    ),
    (
        "INSERT INTO patient_wearable_daily_stats (organization_id, customer_id, date, data_type, unit)"
        " VALUES ('{0}', 'c-{0}', '2026-01-01', 'hrv', 'ms')"
    ),
    (
        "INSERT INTO wearable_data (organization_id, customer_id, source, metric_type, recorded_at)"
        " VALUES ('{0}', 'c-{0}', 'oura', 'sleep', now())"
    ),
)
OTHERS = (
    *fhir.TENANT_TABLES,
    *audit.TENANT_TABLES,
    *app_state.TENANT_TABLES,
    *identity.TENANT_TABLES,
    *webhooks.TENANT_TABLES,
)
"""Tables that take a row with a value in every column that needs one."""
MEMBERS = {"outcome": "'certain'"}
"""Values of columns that take members of an enumeration only."""
FORGETFUL = Prepared("SELECT first_name FROM customer_profiles", {})
ORGANIZATIONS = (ORGANIZATION, OTHER_ORGANIZATION)


def generic_insert(table: Table, organization: str) -> str:
    """Return an INSERT with a value for every column that needs one."""
    values = {"BYTEA": "'\\x01'", "BOOLEAN": "false", "TEXT": "'x'", "TIMESTAMP": "now()", "JSONB": "'{}'"}
    needed = [column for column in table.columns if not column.nullable and column.server_default is None]
    names = ", ".join(column.name for column in needed)
    kinds = [str(column.type.compile(DIALECTS["postgresql"])).split(" ")[0] for column in needed]
    shown = ", ".join(
        f"'{organization}'" if column.name == "organization_id" else MEMBERS.get(column.name, values.get(kind, "1"))
        for column, kind in zip(needed, kinds, strict=True)
    )
    return f"INSERT INTO {table.name} ({names}) VALUES ({shown})"


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    """A database with one row of each organization in every tenant table."""
    made = postgres.fresh()
    with psycopg.connect(made) as owner:
        for organization in ORGANIZATIONS:
            for statement in (*GRAPH_ROWS, *CARE_ROWS, *HUB_ROWS):
                owner.execute(statement.format(organization))
            for table in OTHERS:
                owner.execute(generic_insert(table, organization))
    return made


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A connection bound by row-level security, without an organization."""
    with psycopg.connect(url, options=f"-c role={rls.ROLE}") as bound:
        yield bound
        bound.rollback()


def enter(connection: Connection, organization: str) -> None:
    connection.execute("SELECT set_config('app.organization_id', %s, true)", [organization])


def count(connection: Connection, table: Table) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_security_TN2_the_role_of_the_server_owns_nothing_and_bypasses_nothing(connection: Connection) -> None:
    row = connection.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname = %s",
        [rls.ROLE],
    ).fetchone()
    assert row == (False, False, False, False, False)
    owned = connection.execute("SELECT relname FROM pg_class WHERE relowner = %s::regrole", [rls.ROLE]).fetchall()
    assert owned == []


@pytest.mark.parametrize("table", rls.TENANT_TABLES, ids=lambda table: table.name)
class TestEveryTenantTable:
    def test_security_TN2_shows_no_rows_without_context(self, connection: Connection, table: Table) -> None:
        assert count(connection, table) == 0

    def test_security_TN3_shows_no_rows_after_a_transaction_that_had_one(
        self, connection: Connection, table: Table
    ) -> None:
        """The setting then reads as '' and not as NULL."""
        enter(connection, ORGANIZATION)
        connection.commit()
        assert count(connection, table) == 0

    def test_shows_only_own_rows_to_a_statement_that_forgot_its_where(
        self, connection: Connection, table: Table
    ) -> None:
        enter(connection, ORGANIZATION)
        assert count(connection, table) == 1
        owners = connection.execute(
            sql.SQL("SELECT DISTINCT organization_id FROM {}").format(sql.Identifier(table.name))
        ).fetchall()
        assert owners == [(ORGANIZATION,)]

    def test_takes_no_row_of_another_organization(self, connection: Connection, table: Table) -> None:
        enter(connection, ORGANIZATION)
        prepared = sql.SQL("CREATE TEMP TABLE stolen AS SELECT * FROM {}").format(sql.Identifier(table.name))
        connection.execute("RESET ROLE")
        connection.execute(prepared)
        connection.execute("UPDATE stolen SET organization_id = 'health-hub'")
        connection.execute("GRANT SELECT ON stolen TO fhir_server_app")
        connection.execute(f"SET ROLE {rls.ROLE}")
        move = sql.SQL("INSERT INTO {} SELECT * FROM stolen").format(sql.Identifier(table.name))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(move)

    def test_lets_no_row_move_to_another_organization(self, connection: Connection, table: Table) -> None:
        enter(connection, ORGANIZATION)
        move = sql.SQL("UPDATE {} SET organization_id = 'health-hub'").format(sql.Identifier(table.name))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(move)

    def test_cannot_be_truncated_or_altered_by_the_server(self, connection: Connection, table: Table) -> None:
        for statement in ("TRUNCATE {}", "ALTER TABLE {} DISABLE ROW LEVEL SECURITY", "DROP TABLE {}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(sql.SQL(statement).format(sql.Identifier(table.name)))

    def test_finds_rows_of_an_organization_by_an_index(self, connection: Connection, table: Table) -> None:
        """The policy's condition is leakproof, so it stays an index condition (settled §3.3)."""
        enter(connection, ORGANIZATION)
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(
            sql.SQL("EXPLAIN SELECT * FROM {} WHERE organization_id = 'loop-health'").format(sql.Identifier(table.name))
        ).fetchall()
        shown = "\n".join(str(line[0]) for line in plan)
        assert "Index Cond: (organization_id = " in shown


@pytest.mark.parametrize(
    "table", [each for each in rls.TENANT_TABLES if each not in audit.APPEND_ONLY], ids=lambda table: table.name
)
def test_no_row_of_another_organization_can_be_deleted_from(connection: Connection, table: Table) -> None:
    enter(connection, ORGANIZATION)
    clear = sql.SQL("DELETE FROM {} WHERE organization_id = 'health-hub'").format(sql.Identifier(table.name))
    assert connection.execute(clear).rowcount == 0


@pytest.mark.parametrize("table", rls.TENANT_TABLES, ids=lambda table: table.name)
def test_row_level_security_binds_the_owner_of(url: str, table: Table) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE ROLE table_owner")
        connection.execute("GRANT ALL ON SCHEMA public TO table_owner")
        connection.execute(sql.SQL("ALTER TABLE {} OWNER TO table_owner").format(sql.Identifier(table.name)))
        connection.execute("SET ROLE table_owner")
        assert count(connection, table) == 0
        enter(connection, ORGANIZATION)
        assert count(connection, table) == 1
        connection.rollback()


def test_tables_outside_tenancy_are_named_and_have_no_policy(connection: Connection) -> None:
    rows = connection.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relispartition").fetchall()
    bound = {str(row[0]) for row in rows}
    assert bound == {table.name for table in rls.TENANT_TABLES}
    assert {table.name for table in rls.UNBOUND_TABLES} == set(metadata.tables) - bound


def test_security_TN4_a_foreign_key_does_not_reach_into_another_organization(connection: Connection) -> None:
    enter(connection, ORGANIZATION)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("INSERT INTO lab_results (customer_id) VALUES ('c-health-hub')")


def test_security_TN4_a_unique_value_of_another_organization_is_free_here(connection: Connection) -> None:
    """A global unique index would tell that the value exists."""
    enter(connection, ORGANIZATION)
    connection.execute("UPDATE customer_profiles SET external_id = 'own', email = 'own@y'")
    connection.execute("INSERT INTO customer_profiles (external_id, email) VALUES ('x', 'x@y')")


def test_security_TN4_no_function_that_runs_as_its_owner_returns_rows(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT proname, prorettype::regtype::text, proconfig::text FROM pg_proc WHERE prosecdef"
        " AND pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert sorted(map(str, rows)) == [
        """('fhir_audit_months', 'integer', '{"search_path=pg_catalog, pg_temp",lock_timeout=2s}')""",
        """('fhir_capture', 'trigger', '{"search_path=pg_catalog, pg_temp"}')""",
    ]


async def test_security_TN3_a_thousand_interleaved_requests_over_two_connections_never_mix_organizations(
    postgres: PostgresServer,
) -> None:
    database = create_database(postgres.fresh(), ids=IdSource(), pool_size=2, role=rls.ROLE)
    await database.open()
    change = Change("tester", "tests", "test")

    async def write(organization: str) -> None:
        row = CustomerProfile("same-id", organization, f"user of {organization}", "a@b", first_name=organization)
        async with database.begin(organization, change) as unit:
            await save_row(unit.connection, "customer_profiles", row, new=True)

    async def one_request(number: int) -> None:
        organization = ORGANIZATIONS[number % 2]
        if number % 5 == 0:
            async with database.begin(organization, change) as unit:
                names = (await unit.connection.execute(text("SELECT first_name FROM customer_profiles"))).all()
        else:
            async with database.read(organization) as driver:
                names = await driver.fetch(FORGETFUL, {})
        assert [tuple(name) for name in names] == [(organization,)]

    try:
        for organization in ORGANIZATIONS:
            await write(organization)
        gate = asyncio.Semaphore(20)

        async def gated(number: int) -> None:
            async with gate:
                await one_request(number)

        await asyncio.gather(*(gated(number) for number in range(1000)))
    finally:
        await database.close()


async def test_security_TN5_repositories_rows_of_the_other_organization_stay_unseen_on_both_engines(
    fresh_database: Database, change: Change
) -> None:
    """Where there is no second wall, the statements themselves name the organization."""
    row = CustomerProfile("c", OTHER_ORGANIZATION, "x", "x@y")
    async with fresh_database.begin(OTHER_ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", row, new=True)
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        assert await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["c"]) == {}
        seen = (await unit.connection.execute(select(patient_graph.customer_profiles.c.id))).all()
    assert len(seen) == (0 if fresh_database.dialect == "postgresql" else 1)
