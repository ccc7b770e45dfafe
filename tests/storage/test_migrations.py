"""Migrations: forward only, the same on both engines, and no row is lost (settled §3.10, security DU-9)."""

from __future__ import annotations

import ast
import multiprocessing
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, make_url, select

import migrations
from migrations.scripts import split_statements
from storage import revision, schema
from storage.errors import DatabaseUnavailable, SchemaOutOfDate
from storage.tables import audit, patient_graph
from storage.tables.platform import organizations
from storage.triggers import trigger_statements
from tests.conftest import ENGINES
from tests.postgres import PostgresServer, execute
from tests.storage.catalog import create_from_metadata, describe

FOLDER = Path(migrations.__file__).parent
CUSTOMER = "123e4567-e89b-12d3-a456-426614174000"
TREATMENT = "77dd5b54-8ee3-5895-ac3a-aad1ab1e4620"


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    return new_empty(request.param, request, tmp_path / "empty.sqlite")


def new_empty(engine: str, request: pytest.FixtureRequest, path: Path) -> str:
    if engine == "sqlite":
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.fresh("template0")


WITHOUT_PHONE = (
    "DROP INDEX customer_profiles_phone_idx",
    "ALTER TABLE customer_profiles DROP COLUMN phone_number",
)
"""How another program takes a column away; SQLite keeps one that an index names."""


def run(url: str, *statements: str) -> list[Any]:
    """Run statements as the owner and return the rows of the last."""
    if url.startswith("postgresql"):
        return list(execute(url, *statements))
    with sqlite3.connect(str(make_url(url).database)) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall()


def all_rows(url: str, table: Any) -> list[Any]:
    """Return the rows of a table, in the types of the tables module."""
    parsed = make_url(url)
    driver = "postgresql+psycopg" if parsed.get_backend_name() == "postgresql" else "sqlite"
    engine = create_engine(parsed.set(drivername=driver), poolclass=NullPool)
    with engine.connect() as connection:
        return list(connection.execute(select(table)).mappings())


def test_a_migrated_database_is_what_the_tables_say(empty_url: str, request, tmp_path: Path) -> None:
    schema.upgrade(empty_url)
    reference = new_empty(make_url(empty_url).get_backend_name(), request, tmp_path / "reference.sqlite")
    create_from_metadata(reference)
    migrated, declared = describe(empty_url), describe(reference)
    assert migrated.keys() == declared.keys()
    for kind, expected in declared.items():
        assert sorted(map(str, migrated[kind] - expected)) == sorted(map(str, expected - migrated[kind])) == [], kind


def test_the_needed_revision_is_the_newest_one() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == revision.HEAD == revision.head_revision()


@pytest.mark.parametrize("revision", sorted(FOLDER.glob("versions/0*.py")), ids=lambda path: path.stem)
def test_a_revision_is_frozen_text_for_both_engines_and_goes_forward_only(revision: Path) -> None:
    tree = ast.parse(revision.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {"__future__", "migrations", "alembic", "sqlalchemy"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "downgrade"]
    number = revision.stem[:4]
    assert (FOLDER / "sql" / f"{number}.postgresql.sql").exists()
    assert list(split_statements((FOLDER / "sql" / f"{number}.sqlite.sql").read_text()))


V1_0_0 = (
    f"""INSERT INTO customer_profiles (id, external_id, email, first_name, date_of_birth, biological_sex, tags,
        metadata, created_at) VALUES ('{CUSTOMER}', 'user_2a1b', 'jane@example.com', 'Zoë', '1985-06-15', 'female',
        '["high-risk"]', '{{"ratio": 1.10}}', '2026-01-03T14:05:00.000000Z')""",
    f"""INSERT INTO identity_mappings (id, customer_id, identifier_type, external_system, external_id)
        VALUES ('581ab88a-0406-5958-b5a2-3591fbcd6588', '{CUSTOMER}', 'clerk_user_id', 'clerk', 'user_2a1b')""",
    f"""INSERT INTO lab_results (id, customer_id, upload_id, lab_date, biomarkers)
        VALUES ('6689bf44-ff0c-52a9-8713-7da6655e7055', '{CUSTOMER}', 'upload_1', '2026-02-25T08:12:00-06:00',
        '{{"hba1c": {{"value": 5.40, "unit": "%"}}}}')""",
    f"""INSERT INTO lab_results (id, customer_id, upload_id, lab_date)
        VALUES ('6689bf44-ff0c-52a9-8713-7da6655e7056', '{CUSTOMER}', NULL, '2026-02-30')""",
    f"""INSERT INTO protocols (id, customer_id, name, start_date)
        VALUES ('966e52b5-b73c-5886-bb95-b23a4b5a82c8', '{CUSTOMER}', 'Thyroid', '2026-03-17')""",
    f"""INSERT INTO patient_events (id, customer_id, type, created_at)
        VALUES ('9a66c6ad-ea8a-54d4-b3de-e0ef8263895b', '{CUSTOMER}', 'lab_upload', '2024-06-01T15:00:00.000000Z')""",
    f"""INSERT INTO conversation_history (id, customer_id, role, content)
        VALUES ('9a66c6ad-ea8a-54d4-b3de-e0ef8263895c', '{CUSTOMER}', 'user', 'Hi')""",
    f"""INSERT INTO subscriptions (id, customer_id, product_id, product_name, status, interval_count,
        discount_percentage) VALUES ('{TREATMENT}', '{CUSTOMER}', 'levo', 'Levothyroxine', 'active', '90', '12.5')""",
    f"""INSERT INTO patient_prescriptions (id, customer_id, treatment_id, rimo_order_id, medication_name, dosage,
        quantity) VALUES ('9c389c6a-108a-5272-9fe0-217ec6a6a055', '{CUSTOMER}', '{TREATMENT}', 'rimo_1',
        'Levothyroxine', '112mcg', '"1 vial (10 mL)"')""",
    f"""INSERT INTO wearable_data (id, customer_id, source, metric_type, recorded_at)
        VALUES ('9c389c6a-108a-5272-9fe0-217ec6a6a056', '{CUSTOMER}', 'oura', 'sleep',
        '2026-02-22T00:00:00.000000Z')""",
    f"""INSERT INTO rbac_logs (id, actor_id, actor_role, customer_id, resource, action, outcome, "timestamp")
        VALUES ('9c389c6a-108a-5272-9fe0-217ec6a6a057', 'user_x', 'provider', '{CUSTOMER}', 'lab_results', 'read',
        'allowed', '2026-02-22T19:45:00.123456Z')""",
)
V1_1_0 = (
    f"""INSERT INTO patient_wearable_readings (id, customer_id, data_type, value, unit, source, recorded_at)
        VALUES ('628a61f7-2c60-5675-a541-bffc152ac955', '{CUSTOMER}', 'glucose', '97.0', 'mg/dL', 'dexcom_api',
        '2026-03-20T04:00:00.000000Z')""",
    f"""INSERT INTO patient_wearable_daily_stats (id, customer_id, date, data_type, avg_value, count, unit)
        VALUES ('f6c57c9f-683e-5a52-8195-7067f88d950f', '{CUSTOMER}', '2026-03-08', 'glucose', '98.50', 288,
        'mg/dL')""",
)
V1_2_0 = (
    f"""UPDATE subscriptions SET monthly_price_cents = '2900', clinician_id = 'dr_smith', approved_at =
        '2026-03-20T10:00:00.000000Z' WHERE id = '{TREATMENT}'""",
    f"""INSERT INTO subscriptions (id, customer_id, product_id, product_name, status, monthly_price_cents)
        VALUES ('77dd5b54-8ee3-5895-ac3a-aad1ab1e4621', '{CUSTOMER}', 'p', 'P', 'rejected', '')""",
    "UPDATE patient_prescriptions SET prescribed_date = '2026-03-17T16:05:00.000000Z'",
)


def walk_through_history(url: str) -> None:
    """Bring a database from v1.0.0 to today, with the rows that each version could hold."""
    schema.upgrade(url, "0001")
    run(url, *V1_0_0)
    schema.upgrade(url, "0002")
    run(url, *V1_1_0)
    schema.upgrade(url, "0003")
    run(url, *V1_2_0)
    schema.upgrade(url)


def test_rows_of_every_released_version_survive_the_way_to_today(empty_url: str) -> None:
    walk_through_history(empty_url)
    found = {table.name: all_rows(empty_url, table) for table in (*patient_graph.TENANT_TABLES, audit.rbac_logs)}
    counts = dict.fromkeys(found, 1) | {"lab_results": 2, "subscriptions": 2}
    assert {name: len(rows) for name, rows in found.items()} == counts
    assert {row["organization_id"] for rows in found.values() for row in rows} == {"loop-health"}
    customer = found["customer_profiles"][0]
    assert (customer["id"], customer["first_name"], customer["date_of_birth"]) == (CUSTOMER, "Zoë", date(1985, 6, 15))
    assert customer["created_at"] == datetime(2026, 1, 3, 14, 5, tzinfo=UTC)
    assert (customer["tags"], str(customer["metadata"]["ratio"])) == (["high-risk"], "1.10")
    assert (customer["conditions"], customer["timezone"]) == ((), "America/New_York")
    labs = {row["upload_id"]: row for row in found["lab_results"]}
    assert (labs["upload_1"]["lab_day"], labs[None]["lab_day"]) == (date(2026, 2, 25), None)
    assert str(labs["upload_1"]["biomarkers"]["hba1c"]["value"]) == "5.40"
    event = found["patient_events"][0]
    assert event["updated_at"] == event["created_at"] == datetime(2024, 6, 1, 15, tzinfo=UTC)
    assert found["patient_wearable_readings"][0]["value"].as_tuple() == Decimal("97.0").as_tuple()
    assert found["patient_wearable_daily_stats"][0]["avg_value"].as_tuple() == Decimal("98.50").as_tuple()
    assert found["patient_prescriptions"][0]["quantity"] == "1 vial (10 mL)"
    assert found["patient_prescriptions"][0]["treatment_id"] == TREATMENT


def test_text_that_was_no_number_is_kept_in_the_metadata(empty_url: str) -> None:
    walk_through_history(empty_url)
    rows = {row["status"]: row for row in all_rows(empty_url, patient_graph.subscriptions)}
    active, rejected = rows["active"], rows["rejected"]
    assert (active["interval_count"], active["monthly_price_cents"], active["discount_percentage"]) == (90, 2900, 10)
    assert active["metadata"] == {"text_discount_percentage": "12.5"}
    assert (rejected["monthly_price_cents"], rejected["metadata"]) == (None, {"text_monthly_price_cents": ""})


def test_the_old_audit_trail_goes_on_in_the_new_one(empty_url: str) -> None:
    walk_through_history(empty_url)
    (record,) = all_rows(empty_url, audit.rbac_logs)
    assert record["at"] == 1_771_789_500_123_456
    assert record["id"] == 1, "below every id that the server gives, so that they are sealed first"
    assert (record["actor_id"], record["customer_id"], record["mac"]) == ("user_x", CUSTOMER, b"")
    assert record["request_id"] == "9c389c6a-108a-5272-9fe0-217ec6a6a057"


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    schema.upgrade(empty_url)
    schema.create_standard_organizations(empty_url)
    before = (describe(empty_url), all_rows(empty_url, organizations))
    schema.upgrade(empty_url)
    schema.create_standard_organizations(empty_url)
    assert (describe(empty_url), all_rows(empty_url, organizations)) == before


def test_the_standard_organizations_keep_what_was_changed(empty_url: str) -> None:
    schema.upgrade(empty_url)
    schema.create_standard_organizations(empty_url)
    run(empty_url, "UPDATE organizations SET name = 'Ours' WHERE id = 'loop-health'")
    schema.create_standard_organizations(empty_url)
    rows = {row["id"]: row for row in all_rows(empty_url, organizations)}
    assert rows.keys() == {"loop-health", "health-hub"}
    assert (rows["loop-health"]["name"], rows["loop-health"]["home_system"]) == ("Ours", "graph")


def test_a_database_that_is_not_at_the_needed_revision_is_refused_with_the_remedy(empty_url: str) -> None:
    with pytest.raises(SchemaOutOfDate, match="no schema yet: run `fhir-server init`"):
        revision.check_revision(empty_url)
    schema.upgrade(empty_url, "0004")
    assert revision.current_revision(empty_url) == "0004"
    with pytest.raises(SchemaOutOfDate, match=r"older than .* run `fhir-server init`"):
        revision.check_revision(empty_url)
    schema.upgrade(empty_url)
    revision.check_revision(empty_url)


def test_a_newer_schema_is_refused_and_left_alone(empty_url: str) -> None:
    schema.upgrade(empty_url)
    run(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaOutOfDate, match="newer"):
        revision.check_revision(empty_url)
    with pytest.raises(SchemaOutOfDate, match="newer"):
        schema.upgrade(empty_url)
    assert revision.current_revision(empty_url) == "9999"


def test_an_upgrade_that_fails_half_way_did_not_happen(empty_url: str) -> None:
    schema.upgrade(empty_url, "0003")
    before = describe(empty_url)
    run(empty_url, "CREATE TABLE fhir_history (in_the_way integer)")  # revision 0005 fails, after 0004 went through
    with pytest.raises(Exception, match="fhir_history"):
        schema.upgrade(empty_url)
    run(empty_url, "DROP TABLE fhir_history")
    assert revision.current_revision(empty_url) == "0003"
    assert describe(empty_url) == before


def test_two_upgrades_at_a_time_run_one_after_the_other(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=schema.upgrade, args=(empty_url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    revision.check_revision(empty_url)


def test_the_revision_is_read_while_another_session_writes(empty_url: str) -> None:
    schema.upgrade(empty_url)
    if empty_url.startswith("postgresql"):
        with psycopg.connect(empty_url) as writer:
            writer.execute("UPDATE alembic_version SET version_num = version_num")
            assert revision.current_revision(empty_url) == revision.HEAD
    else:
        writer = sqlite3.connect(str(make_url(empty_url).database), isolation_level=None)
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("BEGIN IMMEDIATE")
        assert revision.current_revision(empty_url) == revision.HEAD
        writer.close()


def test_triggers_that_sqlite_dropped_with_a_table_come_back(tmp_path: Path) -> None:
    """settled §3.10"""
    url = f"sqlite:///{tmp_path / 'made.sqlite'}"
    schema.upgrade(url)
    whole = describe(url)
    run(
        url,
        "ALTER TABLE lab_results RENAME TO old",
        "CREATE TABLE lab_results AS SELECT * FROM old",
        "DROP TABLE old",
    )
    lost = whole["trigger"] - describe(url)["trigger"]
    assert len(lost) == 3
    schema.upgrade(url)
    assert describe(url)["trigger"] == whole["trigger"]
    assert len(whole["trigger"]) == len(trigger_statements("sqlite"))


def test_an_upgrade_under_row_level_security_needs_a_role_that_sees_all_rows(postgres: PostgresServer) -> None:
    """settled §3.10: an UPDATE by the bound owner touches no rows and says nothing."""
    url = postgres.fresh()
    execute(url, "DROP ROLE IF EXISTS poor_owner", "CREATE ROLE poor_owner LOGIN")
    execute(url, "GRANT SELECT ON alembic_version TO poor_owner", "UPDATE alembic_version SET version_num = '0006'")
    with pytest.raises(SchemaOutOfDate, match="BYPASSRLS"):
        schema.upgrade(url.replace("fhir_owner@", "poor_owner@"))


def test_an_owner_who_may_create_roles_but_is_no_superuser_can_install(postgres: PostgresServer) -> None:
    execute(postgres.url("postgres"), "DROP ROLE IF EXISTS installer", "CREATE ROLE installer LOGIN CREATEROLE")
    url = postgres.fresh("template0")
    execute(url, "GRANT ALL ON SCHEMA public TO installer", "ALTER SCHEMA public OWNER TO installer")
    own = url.replace("fhir_owner@", "installer@")
    schema.upgrade(own)
    schema.create_standard_organizations(own)
    assert execute(own, "SET ROLE fhir_server_app", "SELECT count(*) FROM organizations") == [(2,)]


def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        revision.current_revision("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        schema.upgrade("postgresql://nobody@127.0.0.1:1/none")


def test_the_audit_file_has_tables_of_the_same_shape_and_is_made_once(tmp_path: Path) -> None:
    """settled §4.7"""
    path = tmp_path / "var" / "audit.sqlite"
    schema.create_audit_file(path)
    schema.create_audit_file(path)
    main = f"sqlite:///{tmp_path / 'main.sqlite'}"
    schema.upgrade(main)
    whole, second = describe(main), describe(f"sqlite:///{path}")
    names = {table.name for table in audit.TRAIL_TABLES}
    assert second == {kind: {each for each in rows if each[0] in names} for kind, rows in whole.items()}


def test_a_foreign_insert_that_knows_no_tenancy_gets_an_organization_an_id_and_defaults(empty_url: str) -> None:
    """settled §2.6"""
    schema.upgrade(empty_url)
    run(empty_url, "INSERT INTO customer_profiles (external_id, email) VALUES ('x', 'y')")
    (row,) = all_rows(empty_url, patient_graph.customer_profiles)
    assert (row["tags"], row["metadata"], row["organization_id"]) == ([], {}, "loop-health")
    assert row["conditions"] == ()
    assert len(row["id"]) == 36
