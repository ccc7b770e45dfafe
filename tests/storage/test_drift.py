"""Drift: the database held against what the mappers declare (mapping.md "Laws", design.md `fhir-server drift`)."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select

from mappers.patient import PATIENT
from storage.drift import rows
from storage.drift.check import check_drift, check_schema, resume
from storage.drift.declared import declared_type, kind_of
from storage.drift.findings import Finding, Kind
from storage.drift.live import allowed_values
from storage.engine import Database
from storage.errors import MapperStopped
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.sql import DIALECTS
from storage.tables import fhir
from storage.tables.metadata import metadata
from tests.conftest import ORGANIZATION
from tests.storage.test_homes import CHANGE, CUSTOMER, WEIGHT, World, world  # noqa: F401 - a fixture
from tests.storage.test_migrations import WITHOUT_PHONE, run

PHONE = "customer_profiles.phone_number"
LAB = (
    "INSERT INTO lab_results (id, customer_id, status, biomarkers, lab_date)"
    " VALUES ('l1', 'c1', 'reviewed', '{\"tsh\": {\"value\": 2, \"unit\": \"mIU/L\"}}', '2026-03-15')"
)


@pytest.fixture
async def filled(world: World) -> World:  # noqa: F811 - a fixture
    """A database with a customer, who says to have asthma, and a laboratory report."""
    await world.write(CUSTOMER)
    await world.sql("UPDATE customer_profiles SET conditions = " + listed(world, "asthma"))
    await world.sql(LAB)
    return world


def listed(world: World, text: str) -> str:  # noqa: F811 - a type
    return f"ARRAY['{text}']" if world.database.dialect == "postgresql" else f"'[\"{text}\"]'"


def remake(url: str, table: str, before: str, after: str) -> None:
    """Change the declaration of a SQLite table, which ALTER TABLE cannot."""
    ((version,),) = run(url, "PRAGMA schema_version")
    statement = f"UPDATE sqlite_master SET sql = replace(sql, '{before}', '{after}') WHERE name = '{table}'"
    run(url, "PRAGMA writable_schema = ON", statement, f"PRAGMA schema_version = {version + 1}")


def alter(url: str, table: str, column: str, to: str, sqlite: tuple[str, str]) -> None:
    """Change a column: by `to` on PostgreSQL, by replacing the first text of `sqlite` with the second on SQLite."""
    if url.startswith("postgresql"):
        run(url, f"ALTER TABLE {table} ALTER COLUMN {column} {to}")
    else:
        remake(url, table, *sqlite)


def of(findings: list[Finding], place: str) -> Finding:
    """Return the one finding about a table or column."""
    (found,) = [each for each in findings if each.place == place]
    return found


async def shown(world: World, resource_type: str) -> list[tuple[str, int]]:  # noqa: F811 - a type
    """Return the current bodies and versions of a type that are not deleted."""
    rows = fhir.resources.c
    async with world.database.begin(ORGANIZATION, CHANGE) as unit:
        statement = select(rows.body, rows.version).where(rows.resource_type == resource_type, rows.deleted.is_(False))
        return [(bytes(body).decode(), version) for body, version in await unit.connection.execute(statement)]


async def failures(world: World) -> dict[str, str]:  # noqa: F811 - a type
    """Return the rows that cannot be shown, and why."""
    rows = await world.rows(fhir.projection_failures)
    return {f"{row['table_name']}/{row['key']}": row["reason"] for row in rows}


# ---- the schema -----------------------------------------------------------------------------------------------------


async def test_a_migrated_database_is_as_declared(database: Database):
    assert await check_drift(database, [ORGANIZATION], 10) == []
    assert database.stops.mappers == {}


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_type_that_is_declared_is_of_a_known_kind(dialect: str):
    types = {declared_type(column, dialect) for table in metadata.tables.values() for column in table.columns}
    known = {"text", "integer", "decimal", "boolean", "day", "instant", "JSON", "bytes"}
    known |= {"list of text", "list of integer"}
    assert {kind_of(each) for each in types} <= known


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("CHECK ((status = ANY (ARRAY['a'::text, 'b'::text])))", {"status": {"a", "b"}}),
        ("CHECK (((status)::text = ANY ((ARRAY['a'::character varying])::text[])))", {"status": {"a"}}),
        ("CHECK (status IN ('a', 'it''s'))", {"status": {"a", "it's"}}),
        ("CHECK (organization_id IN ('*', other_id))", {}),
        ("CHECK ((count > 0))", {}),
    ],
)
def test_the_values_that_a_constraint_lists_are_read(condition: str, found: dict[str, set[str]]):
    assert allowed_values(condition) == found


async def test_a_column_that_is_gone_stops_the_mapper_that_needs_it_and_no_other(
    filled: World, fresh_database_url: str
):
    before = await shown(filled, "Patient")
    run(fresh_database_url, *WITHOUT_PHONE)
    found = of(await check_schema(filled.database), PHONE)
    assert (found.kind, found.mappers, found.stops) == (Kind.COLUMN_GONE, ("customer_profile",), True)
    assert "ALTER TABLE customer_profiles ADD COLUMN phone_number TEXT" in found.remedy

    changed = f"UPDATE customer_profiles SET last_name = 'Changed', conditions = {listed(filled, 'migraine')}"
    await filled.sql(changed)
    assert await shown(filled, "Patient") == before
    ((condition, _),) = await shown(filled, "Condition")
    assert "migraine" in condition
    ((row, reason),) = (await failures(filled)).items()
    assert row == "customer_profiles/c1"
    assert reason.startswith(f"stopped: customer_profile: {PHONE}")


async def test_reads_go_on_and_writes_to_the_row_are_refused_while_others_are_taken(
    filled: World, fresh_database_url: str
):
    run(fresh_database_url, *WITHOUT_PHONE)
    await check_schema(filled.database)
    patient = await filled.read("Patient/c1")
    with pytest.raises(MapperStopped):
        await filled.write(patient | {"gender": "male"})
    with pytest.raises(MapperStopped):  # it must not become native because of a passing fault
        await filled.write(CUSTOMER | {"id": "c2", "identifier": [CUSTOMER["identifier"][0] | {"value": "user_2"}]})
    await filled.write(WEIGHT)
    assert await filled.home("Observation/w1") == "patient_wearable_readings"
    findings = await reconcile(filled.database, ORGANIZATION, fix=True)
    assert list(findings.failures) == ["customer_profiles/c1"]
    assert await filled.read("Patient/c1") == patient


async def test_a_row_that_goes_takes_its_resources_along_though_a_mapper_is_stopped(
    filled: World, fresh_database_url: str
):
    run(fresh_database_url, *WITHOUT_PHONE)
    await check_schema(filled.database)
    await filled.sql("DELETE FROM lab_results")
    await filled.sql("DELETE FROM customer_profiles")
    assert await shown(filled, "Patient") == []
    assert await shown(filled, "Condition") == []


async def test_a_column_that_is_back_lets_the_mapper_run_and_shows_what_changed_meanwhile(
    filled: World, fresh_database_url: str
):
    run(fresh_database_url, *WITHOUT_PHONE)
    await check_schema(filled.database)
    await filled.sql("UPDATE customer_profiles SET last_name = 'Changed'")
    assert await resume(filled.database, [ORGANIZATION]) == 0
    run(fresh_database_url, "ALTER TABLE customer_profiles ADD COLUMN phone_number text")
    assert not [each for each in await check_schema(filled.database) if each.is_drift]
    assert await resume(filled.database, [ORGANIZATION]) == 1
    await Projector(filled.database).drain()
    assert await failures(filled) == {}
    assert (await filled.read("Patient/c1"))["name"][0]["family"] == "Changed"


async def test_a_column_that_was_renamed_is_told_with_its_new_name(filled: World, fresh_database_url: str):
    run(fresh_database_url, "ALTER TABLE customer_profiles RENAME COLUMN phone_number TO phone")
    findings = await check_schema(filled.database)
    assert "RENAME COLUMN phone TO phone_number" in of(findings, PHONE).remedy
    assert not of(findings, "customer_profiles.phone").is_drift


async def test_a_column_of_another_kind_stops_its_mapper_and_one_of_the_same_kind_does_not(
    filled: World, fresh_database_url: str
):
    sqlite = ("subscription_tier TEXT", "subscription_tier INTEGER")
    alter(fresh_database_url, "customer_profiles", "subscription_tier", "DROP DEFAULT", ("", ""))
    alter(fresh_database_url, "customer_profiles", "subscription_tier", "TYPE int USING 1", sqlite)
    found = of(await check_schema(filled.database), "customer_profiles.subscription_tier")
    assert (found.kind, found.mappers) == (Kind.TYPE_CHANGED, ("customer_profile",))
    narrow = ("phone_number TEXT", "phone_number VARCHAR(20)")
    alter(fresh_database_url, "customer_profiles", "phone_number", "TYPE varchar(20)", narrow)
    found = of(await check_schema(filled.database), PHONE)
    assert (found.kind, found.stops, found.is_drift) == (Kind.TYPE_NARROWED, False, True)
    await filled.sql(f"UPDATE customer_profiles SET conditions = {listed(filled, 'migraine')}")
    ((condition, _),) = await shown(filled, "Condition")
    assert "migraine" in condition


async def test_a_required_column_that_nobody_fills_keeps_new_resources_out_of_the_table(
    filled: World, fresh_database_url: str
):
    add = "ALTER TABLE customer_profiles ADD COLUMN region TEXT NOT NULL DEFAULT ''"
    run(fresh_database_url, add)
    alter(
        fresh_database_url,
        "customer_profiles",
        "region",
        "DROP DEFAULT",
        ("region TEXT NOT NULL DEFAULT ''''", "region TEXT NOT NULL"),
    )
    found = of(await check_schema(filled.database), "customer_profiles.region")
    assert (found.kind, found.stops) == (Kind.COLUMN_UNFILLED, False)
    assert set(found.mappers) >= {"customer_profile", "profile_condition"}
    await filled.write(await filled.read("Patient/c1") | {"gender": "male"})
    ((_, version),) = await shown(filled, "Patient")
    assert version > 1
    other = CUSTOMER | {"id": "c2", "identifier": [CUSTOMER["identifier"][0] | {"value": "user_2"}]}
    other["telecom"] = [{"system": "email", "value": "other@example.com"}]
    await filled.write(other)
    assert await filled.home("Patient/c2") is None


async def test_a_column_that_became_required_is_told(filled: World, fresh_database_url: str):
    sqlite = ("phone_number TEXT", "phone_number TEXT NOT NULL")
    alter(fresh_database_url, "customer_profiles", "phone_number", "SET NOT NULL", sqlite)
    found = of(await check_schema(filled.database), PHONE)
    assert (found.kind, found.stops) == (Kind.COLUMN_REQUIRED, False)


async def test_a_table_that_is_gone_stops_all_its_mappers_and_takes_no_resource_along(
    filled: World, fresh_database_url: str
):
    run(fresh_database_url, "DROP TABLE lab_results")
    found = of(await check_schema(filled.database), "lab_results")
    assert set(found.mappers) >= {"lab_report", "lab_biomarker"}
    await reconcile_what_is_there(filled)
    assert len(await shown(filled, "DiagnosticReport")) == 1


async def reconcile_what_is_there(world: World) -> None:  # noqa: F811 - a type
    await world.sql("UPDATE customer_profiles SET last_name = 'Changed'")
    ((patient, _),) = await shown(world, "Patient")
    assert "Changed" in patient


# ---- values ---------------------------------------------------------------------------------------------------------


async def test_a_state_that_was_added_to_a_constraint_is_told_and_so_are_the_rows_that_have_it(
    filled: World, fresh_database_url: str
):
    if fresh_database_url.startswith("postgresql"):
        run(
            fresh_database_url,
            "ALTER TABLE lab_results DROP CONSTRAINT lab_results_status_check",
            "ALTER TABLE lab_results ADD CHECK (status IN ('pending', 'reviewed', 'archived', 'amended'))",
        )
    else:
        remake(fresh_database_url, "lab_results", "''archived'')", "''archived'', ''amended'')")
    await filled.sql("UPDATE lab_results SET status = 'amended'")
    findings = await check_drift(filled.database, [ORGANIZATION], 10)
    kinds = {each.kind: each for each in findings if each.place == "lab_results.status"}
    assert kinds[Kind.VALUES_CHANGED].detail == "allows amended"
    assert (kinds[Kind.VALUE_NEW].detail, kinds[Kind.VALUE_NEW].rows) == ("amended is none of its states", 1)
    assert not any(each.stops for each in findings)


async def test_a_json_member_that_no_mapper_knows_is_told_without_values(filled: World):
    await filled.sql(
        'UPDATE lab_results SET biomarkers = \'{"tsh": {"value": 2, "device": "X1", "referenceRange": {"top": 9}}}\''
    )
    findings = await check_drift(filled.database, [ORGANIZATION], 10)
    found = {each.detail: each for each in findings if each.place == "lab_results.biomarkers"}
    assert set(found) == {
        "*.device is not known to any mapper",
        "*.referenceRange.top is not known to any mapper",
    }
    assert {each.kind for each in found.values()} == {Kind.MEMBER_NEW}
    assert "X1" not in str(findings)


# ---- the laws -------------------------------------------------------------------------------------------------------


async def test_rows_that_keep_the_laws_are_no_finding(filled: World):
    await filled.write(WEIGHT)
    assert await check_drift(filled.database, [ORGANIZATION], 10) == []


async def test_a_row_that_does_not_survive_being_shown_is_told_with_the_mapper(
    filled: World, monkeypatch: pytest.MonkeyPatch
):
    wrong = dataclasses.replace(PATIENT, refuses=lambda _resource, _lookups: "has no such thing")
    monkeypatch.setattr(rows, "mappers_of_table", lambda table: (wrong,) if table == PATIENT.table else ())
    found = {each.kind: each for each in await check_drift(filled.database, [ORGANIZATION], 10)}
    assert set(found) == {Kind.ROW_NOT_KEPT, Kind.RESOURCE_NOT_KEPT}
    for each in found.values():
        assert (each.detail, each.mappers, each.rows) == ("has no such thing", ("customer_profile",), 1)
        assert each.organization == ORGANIZATION


async def test_a_row_that_cannot_be_shown_is_told(filled: World):
    bad = "date_of_birth = 'infinity'" if filled.database.dialect == "postgresql" else "conditions = '[1'"
    await filled.sql(f"UPDATE customer_profiles SET {bad}")
    findings = await check_drift(filled.database, [ORGANIZATION], 10)
    assert {each.kind for each in findings} == {Kind.ROW_UNREADABLE}
    assert {each.table for each in findings} == {"customer_profiles"}
