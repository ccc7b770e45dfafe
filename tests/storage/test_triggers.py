"""Triggers: rows that foreign writers change leave notes in the outbox (settled §3.8); the audit only grows (AD-4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from mappers.lens import ResourceMapper
from mappers.registry import MAPPERS
from mappers.rows import CustomerProfile
from storage import rls, schema
from storage.engine import Database
from storage.projection.declared import DERIVED_TABLES, edges_of
from storage.rows import save_row
from storage.tables.audit import APPEND_ONLY as APPEND_ONLY_TABLES
from storage.transaction import Change
from storage.triggers import CAPTURED, CHANNEL
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.foreign_rows import PARENT, SAID, insert, other_column, parents
from tests.postgres import PostgresServer

Entry = tuple[str, str, str, str]


@contextmanager
def foreign_writer(url: str) -> Iterator[Any]:
    """A connection of somebody who knows nothing of this server."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
    else:
        connection = sqlite3.connect(str(make_url(url).database), isolation_level=None)
        connection.execute("PRAGMA foreign_keys=ON")
        yield connection
        connection.close()


def prepare(writer: Any, table: str) -> None:
    """Insert what rows of the table refer to, and forget that this left notes."""
    for statement in parents(table):
        writer.execute(statement)
    writer.execute("DELETE FROM outbox")


def owners_of(table: str, organization: str) -> set[Entry]:
    """What changes of a row of the table are noted for, beside the row."""
    captured = next(each for each in CAPTURED if each.table == table)
    said = SAID.get(table, {})
    return {(organization, owner, said.get(column, PARENT), "update") for owner, column in captured.owners}


def drain(writer: Any) -> set[Entry]:
    entries = writer.execute("SELECT organization_id, table_name, key, operation FROM outbox").fetchall()
    writer.execute("DELETE FROM outbox")
    assert len(entries) == len(set(entries)), "a row is noted once per statement"
    return set(entries)


@pytest.mark.parametrize("table", [captured.table for captured in CAPTURED])
def test_what_a_foreign_writer_does_to_a_row_is_noted_for_the_row_and_its_owners(
    fresh_database_url: str, table: str
) -> None:
    is_organization = table == "organizations"
    organization = "acme" if is_organization else ORGANIZATION
    key = "acme" if is_organization else "row-1"
    owners = owners_of(table, organization)
    column = other_column(table)
    with foreign_writer(fresh_database_url) as writer:
        prepare(writer, table)
        writer.execute(insert(table, key, organization))
        assert drain(writer) == {(organization, table, key, "insert"), *owners}
        writer.execute(f"UPDATE {table} SET {column} = 'changed' WHERE id = '{key}'")
        assert drain(writer) == {(organization, table, key, "update"), *owners}
        writer.execute(f"UPDATE {table} SET {column} = 'changed' WHERE id = 'nobody'")
        assert drain(writer) == set()
        writer.execute(f"UPDATE {table} SET id = 'moved' WHERE id = '{key}'")
        moved_to = "moved" if is_organization else organization
        assert drain(writer) == {
            (organization, table, key, "update"),
            (moved_to, table, "moved", "update"),
            *owners,
        }
        writer.execute(f"DELETE FROM {table} WHERE id = 'moved'")
        assert drain(writer) == {(moved_to, table, "moved", "delete"), *owners}


def test_a_row_that_changes_its_owner_is_noted_for_the_old_and_the_new_one(fresh_database_url: str) -> None:
    with foreign_writer(fresh_database_url) as writer:
        prepare(writer, "identity_mappings")
        writer.execute(insert("customer_profiles", "second"))
        writer.execute(insert("identity_mappings", "m"))
        drain(writer)
        writer.execute("UPDATE identity_mappings SET customer_id = 'second'")
        owners = {entry[2] for entry in drain(writer) if entry[1] == "customer_profiles"}
    assert owners == {PARENT, "second"}


def test_many_rows_of_several_organizations_are_noted_each_under_its_own(fresh_database_url: str) -> None:
    values = ", ".join(
        f"('{organization}', 'c{number}', 'x{number}', 'e{number}')"
        for organization in (ORGANIZATION, OTHER_ORGANIZATION)
        for number in range(50)
    )
    with foreign_writer(fresh_database_url) as writer:
        drain(writer)
        writer.execute(f"INSERT INTO customer_profiles (organization_id, id, external_id, email) VALUES {values}")
        noted = drain(writer)
        assert len(noted) == 100
        writer.execute("UPDATE customer_profiles SET first_name = 'x' WHERE organization_id = 'health-hub'")
        assert {entry[0] for entry in drain(writer)} == {OTHER_ORGANIZATION}


async def test_what_the_server_itself_writes_leaves_no_note(fresh_database: Database, change: Change) -> None:
    async with fresh_database.platform() as connection:
        await connection.execute(text("DELETE FROM outbox"))
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        row = CustomerProfile("c", ORGANIZATION, "x", "e")
        await save_row(unit.connection, "customer_profiles", row, new=True)
    async with fresh_database.platform() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM outbox")) == 0


async def test_a_foreign_write_after_one_of_the_server_is_noted_again(
    fresh_database: Database, fresh_database_url: str, change: Change
) -> None:
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", CustomerProfile("c", ORGANIZATION, "x", "e"), new=True)
    async with fresh_database.platform() as connection:
        await connection.execute(text("DELETE FROM outbox"))
        await connection.execute(text("UPDATE organizations SET name = 'renamed' WHERE id = 'loop-health'"))
        assert await connection.scalar(text("SELECT count(*) FROM outbox")) == 1
    with foreign_writer(fresh_database_url) as writer:
        drain(writer)
        writer.execute("UPDATE customer_profiles SET first_name = 'x'")
        assert drain(writer) == {(ORGANIZATION, "customer_profiles", "c", "update")}


def test_what_is_rolled_back_leaves_no_note(fresh_database_url: str) -> None:
    with foreign_writer(fresh_database_url) as writer:
        drain(writer)
        writer.execute("BEGIN")
        writer.execute(insert("customer_profiles", "c"))
        writer.execute("ROLLBACK")
        assert drain(writer) == set()


def tables_shown(mapper: ResourceMapper) -> set[str]:
    return {table for edge in edges_of(mapper) for table in (edge.table, edge.of)}


def test_every_table_that_a_mapper_reads_is_captured() -> None:
    captured = {each.table for each in CAPTURED}
    read = {table for mapper in MAPPERS for table in (mapper.table, *mapper.children, *tables_shown(mapper))}
    assert read - DERIVED_TABLES.keys() <= captured


@pytest.fixture(scope="module")
def postgres_url(postgres: PostgresServer) -> str:
    """A database for what only PostgreSQL has."""
    return postgres.fresh()


def test_truncate_is_noted_for_every_organization(postgres_url: str) -> None:
    with foreign_writer(postgres_url) as writer:
        drain(writer)
        writer.execute("TRUNCATE lab_results")
        assert drain(writer) == {(each, "lab_results", "*", "truncate") for each in (ORGANIZATION, OTHER_ORGANIZATION)}
        writer.execute("TRUNCATE identity_mappings")
        assert (ORGANIZATION, "customer_profiles", "*", "update") in drain(writer)


def test_a_listener_is_woken_once_per_transaction(postgres_url: str) -> None:
    with foreign_writer(postgres_url) as listener, foreign_writer(postgres_url) as writer:
        listener.execute(f"LISTEN {CHANNEL}")
        with writer.transaction():
            for number in range(3):
                writer.execute(insert("customer_profiles", f"woken-{number}"))
        heard = [note.channel for note in listener.notifies(timeout=5, stop_after=1)]
        assert heard == [CHANNEL]
        writer.execute("UPDATE customer_profiles SET first_name = 'x' WHERE id = 'nobody'")
        assert list(listener.notifies(timeout=0.2)) == []


def test_a_writer_with_no_right_to_the_outbox_is_captured_all_the_same(postgres: PostgresServer) -> None:
    """An ETL role, bound to an organization by its own setting, that knows two tables and nothing else."""
    url = postgres.fresh()
    with foreign_writer(url) as owner:
        owner.execute("DROP ROLE IF EXISTS etl")
        owner.execute("CREATE ROLE etl LOGIN")
        owner.execute("GRANT SELECT, INSERT, UPDATE ON customer_profiles TO etl")
        owner.execute("DELETE FROM outbox")
        owner.execute("ALTER ROLE etl SET app.organization_id = 'health-hub'")
    with foreign_writer(url.replace("fhir_owner@", "etl@")) as etl:
        etl.execute("INSERT INTO customer_profiles (id, external_id, email) VALUES ('c', 'x', 'e')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            etl.execute("SELECT * FROM outbox")
    with foreign_writer(url) as owner:
        assert drain(owner) == {("health-hub", "customer_profiles", "c", "insert")}


def test_a_bound_writer_without_organization_is_refused_and_not_misplaced(postgres: PostgresServer) -> None:
    """settled §2.6 holds for writers that row-level security does not bind; the others have to name theirs."""
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security")
    with psycopg.connect(postgres.fresh(), options=f"-c role={rls.ROLE}") as bound, refused:
        bound.execute("INSERT INTO customer_profiles (id, external_id, email) VALUES ('c', 'x', 'e')")


def test_a_writer_cannot_lead_the_capture_astray_by_its_search_path(postgres_url: str) -> None:
    with foreign_writer(postgres_url) as writer:
        drain(writer)
        writer.execute("CREATE TEMP TABLE outbox (organization_id text, table_name text, key text, operation text)")
        writer.execute("CREATE TEMP TABLE new_rows (organization_id text, id text)")
        writer.execute(
            "INSERT INTO public.customer_profiles (id, external_id, email) VALUES ('astray', 'astray', 'astray')"
        )
        noted = writer.execute("SELECT key FROM public.outbox").fetchall()
        assert noted == [("astray",)]


def test_nobody_else_may_hang_the_capture_on_a_table_of_their_own(postgres: PostgresServer) -> None:
    """It runs as its owner and writes to the outbox beside the table: a trap if anybody could place both."""
    url = postgres.fresh()
    with foreign_writer(url) as owner:
        owner.execute("DROP ROLE IF EXISTS trapper")
        owner.execute("CREATE ROLE trapper LOGIN")
        owner.execute("CREATE SCHEMA trap AUTHORIZATION trapper")
    with foreign_writer(url.replace("fhir_owner@", "trapper@")) as trapper:
        trapper.execute("CREATE TABLE trap.bait (organization_id text, id text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="fhir_capture"):
            trapper.execute(
                "CREATE TRIGGER t AFTER INSERT ON trap.bait REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
                " EXECUTE FUNCTION public.fhir_capture('organization_id', 'bait', 'id')"
            )


AUDIT_ROWS = (
    (
        "INSERT INTO rbac_logs (id, organization_id, at, actor_id, actor_role, resource, action, outcome, mac)"
        " VALUES (1, 'loop-health', 1, 'a', 'admin', 'Patient', 'read', 'allowed', '')"
    ),
    (
        "INSERT INTO audit_seals (organization_id, sequence, first_id, last_id, count, root, previous, hash, sealed_at)"
        " VALUES ('loop-health', 1, 1, 1, 1, '', '', '', 1)"
    ),
    (
        "INSERT INTO audit_retirements (organization_id, sequence, before_at, through_seal, seal_hash, records, leaves,"
        " previous, hash, retired_at) VALUES ('loop-health', 1, 1, 1, '', 1, '', '', '', 1)"
    ),
)
APPEND_ONLY = [table.name for table in APPEND_ONLY_TABLES]
REFUSED = (psycopg.errors.InsufficientPrivilege, sqlite3.IntegrityError)


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET organization_id = 'x'", "DELETE FROM {}", "DELETE FROM {} WHERE false"]
)
def test_the_audit_trail_only_grows_for_its_owner_too(fresh_database_url: str, table: str, statement: str) -> None:
    """AD-4"""
    with foreign_writer(fresh_database_url) as owner:
        for row in AUDIT_ROWS:
            owner.execute(row)
        if statement.endswith("false") and not fresh_database_url.startswith("postgresql"):
            owner.execute(statement.format(table))  # SQLite has triggers per row only: nothing happens
        else:
            with pytest.raises(REFUSED, match="append-only"):
                owner.execute(statement.format(table))
        assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_audit_trail_cannot_be_truncated(postgres_url: str, table: str) -> None:
    with foreign_writer(postgres_url) as owner, pytest.raises(REFUSED, match="append-only"):
        owner.execute(f"TRUNCATE {table}")


@pytest.mark.parametrize("row", AUDIT_ROWS, ids=APPEND_ONLY)
def test_a_record_cannot_be_replaced_by_inserting_its_key_again(tmp_path: Path, row: str) -> None:
    """INSERT OR REPLACE of SQLite deletes without firing a trigger; in the second file as in the first."""
    schema.create_audit_file(tmp_path / "audit.sqlite")
    connection = sqlite3.connect(tmp_path / "audit.sqlite", isolation_level=None)
    connection.execute(row)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(row.replace("INSERT", "INSERT OR REPLACE", 1))
    connection.close()


def test_the_server_may_insert_and_read_audit_records_and_nothing_else(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as owner:
        rows = owner.execute(
            "SELECT DISTINCT privilege_type FROM information_schema.role_table_grants WHERE grantee = %s"
            " AND table_name = ANY(%s)",
            [rls.ROLE, APPEND_ONLY],
        ).fetchall()
    assert {row[0] for row in rows} == {"SELECT", "INSERT"}
