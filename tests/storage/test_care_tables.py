"""The care platform's tables: shared catalogue rows, references that stay within an organization, values as they came.

(settled §2.1, §2.2, §2.3, internal_tables.md, security TN-2 and TN-4)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Table, text
from sqlalchemy.exc import IntegrityError

from mappers.care_rows import (
    SHARED,
    CareClinician,
    CareObservation,
    CareProgram,
    ConditionPreset,
    ConditionPresetTemplate,
    Enrollment,
    MetricDefinition,
    Patient,
    PatientCondition,
    PatientConsent,
    PatientMedication,
)
from storage import rls
from storage.engine import Database
from storage.errors import ResourceNotFound, UnresolvedReference
from storage.repositories.care_entities import BillingProgram, CptCode
from storage.repositories.care_patients import (
    PatientConsentRepository,
    PatientMedicationRepository,
    PatientRepository,
)
from storage.repositories.care_programs import CareProgramRepository, EnrollmentRepository
from storage.repositories.catalogue import (
    AssessmentTemplateRepository,
    BillingProgramRepository,
    ConditionPresetRepository,
    MetricDefinitionRepository,
)
from storage.repositories.clinicians import ClinicianRepository
from storage.repositories.errors import UnknownValue, ValueTaken
from storage.repositories.observations import ObservationRepository
from storage.rows import ROW_TYPES, load_rows, save_row
from storage.tables import audit, care_platform
from storage.tables.care_enums import KNOWN, VALIDATED
from storage.tables.metadata import metadata
from storage.transaction import Change
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.postgres import PostgresServer
from tests.storage.care_rows import CARE_ROWS

Connection = psycopg.Connection[tuple[object, ...]]
NOON = datetime(2025, 9, 18, 12, tzinfo=UTC)
catalogue_tables = pytest.mark.parametrize("table", care_platform.CATALOGUE_TABLES, ids=lambda table: table.name)


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> str:
    """A database with one row of each of two organizations, and one that all share, in every catalogue table."""
    made = postgres.fresh()
    shared = {table.name for table in care_platform.CATALOGUE_TABLES}
    with psycopg.connect(made) as owner:
        for statement in CARE_ROWS:
            if statement.split()[2] in shared:
                owner.execute(statement.format(SHARED))
        for organization in (ORGANIZATION, OTHER_ORGANIZATION):
            for statement in CARE_ROWS:
                owner.execute(statement.format(organization))
    return made


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A connection of the server's role in ORGANIZATION; what it does is undone."""
    with psycopg.connect(url, options=f"-c role={rls.ROLE}") as bound:
        bound.execute("SELECT set_config('app.organization_id', %s, true)", [ORGANIZATION])
        yield bound
        bound.rollback()


def run(connection: Connection, statement: str, table: Table) -> Any:
    return connection.execute(sql.SQL(statement).format(sql.Identifier(table.name)))  # type: ignore[arg-type]


@catalogue_tables
class TestEveryCatalogueTable:
    def test_shows_own_and_shared_rows_to_a_statement_that_forgot_its_where(
        self, connection: Connection, table: Table
    ) -> None:
        found = run(connection, "SELECT organization_id FROM {} ORDER BY 1", table).fetchall()
        assert found == [(SHARED,), (ORGANIZATION,)]

    def test_takes_no_shared_row_from_an_organization(self, connection: Connection, table: Table) -> None:
        run(connection, "CREATE TEMP TABLE copied AS SELECT * FROM {} WHERE organization_id = '*'", table)
        connection.execute("UPDATE copied SET id = 'another'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            run(connection, "INSERT INTO {} SELECT * FROM copied", table)

    def test_lets_no_organization_change_a_shared_row_or_make_one_of_its_own(
        self, connection: Connection, table: Table
    ) -> None:
        changed = run(connection, "UPDATE {} SET created_at = now() WHERE organization_id = '*'", table)
        assert changed.rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            run(connection, "UPDATE {} SET organization_id = '*'", table)

    def test_lets_no_organization_delete_a_shared_row(self, connection: Connection, table: Table) -> None:
        """USING alone would let it."""
        assert run(connection, "DELETE FROM {} WHERE organization_id = '*'", table).rowcount == 0

    def test_takes_shared_rows_in_the_context_of_all(self, connection: Connection, table: Table) -> None:
        connection.execute("SELECT set_config('app.organization_id', '*', true)")
        assert run(connection, "UPDATE {} SET created_at = now()", table).rowcount == 1


def test_nobody_else_shares_rows(connection: Connection) -> None:
    found = connection.execute("SELECT tablename FROM pg_policies WHERE policyname = 'shared'").fetchall()
    assert {str(row[0]) for row in found} == {table.name for table in care_platform.CATALOGUE_TABLES}


def test_the_audit_log_shows_the_records_of_the_context_alone(url: str) -> None:
    """A view of its owner's would show everybody's."""
    record = (
        "INSERT INTO rbac_logs (id, organization_id, at, actor_id, actor_role, resource, action, outcome, mac)"
        " VALUES (1, %s, 1771789500123456, 'u', 'CLINICIAN', 'Patient', 'read', 'allowed', '')"
    )
    with psycopg.connect(url) as owner:
        for organization in (ORGANIZATION, OTHER_ORGANIZATION):
            owner.execute(record, [organization])
        owner.execute(f"SET ROLE {rls.ROLE}")
        assert owner.execute("SELECT count(*) FROM audit_logs").fetchall() == [(0,)]
        owner.execute("SELECT set_config('app.organization_id', %s, true)", [ORGANIZATION])
        found = owner.execute("SELECT organization_id, user_id, created_at FROM audit_logs").fetchall()
        assert found == [(ORGANIZATION, "u", datetime(2026, 2, 22, 19, 45, 0, 123456, tzinfo=UTC))]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute("DELETE FROM audit_logs")
        owner.rollback()


async def test_the_audit_log_is_the_trail_by_another_name(fresh_database: Database, change: Change) -> None:
    record = {
        "id": 1, "organization_id": ORGANIZATION, "at": 1_771_789_500_000_456, "actor_id": "u",
        "actor_role": "NURSE", "customer_id": "p", "resource": "Patient", "action": "read", "outcome": "allowed",
        "mac": b"",
    }  # fmt: skip
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await unit.connection.execute(audit.rbac_logs.insert(), record)
        rows = await unit.connection.execute(text("SELECT user_id, role, patient_id, created_at FROM audit_logs"))
        ((user, role, patient, at),) = rows.all()
    assert (user, role, patient) == ("u", "NURSE", "p")
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    assert moment == datetime(2026, 2, 22, 19, 45, 0, 456, tzinfo=UTC)


@pytest.mark.parametrize("table", care_platform.TENANT_TABLES, ids=lambda table: table.name)
def test_a_dataclass_has_every_column_of(table: Table) -> None:
    names = {each.name for each in fields(ROW_TYPES[table])}
    assert set(table.columns.keys()) <= names
    assert all(name in table.columns or name in metadata.tables for name in names)


def test_enumerations_name_columns_that_there_are() -> None:
    for listed in (VALIDATED, KNOWN):
        for table, columns in listed.items():
            assert set(columns) <= set(metadata.tables[table].columns.keys())


PATIENT = Patient(
    "p", ORGANIZATION, "Mei-Ling", "Wu", datetime(1983, 3, 3, tzinfo=UTC), medical_record_number="MRN-1",
    insurance_info={"type": "Medicaid", "copay": Decimal("1.10")},
)  # fmt: skip
CLINICIAN = CareClinician("c", ORGANIZATION, "Ana", "Whitfield", "a@b.example", npi_number="9999900019")
PROGRAM = CareProgram("g", ORGANIZATION, "Hypertension", "RPM", settings={"goals": ["BP < 130/80"]})
METRIC = MetricDefinition("m", SHARED, "hr", "Heart Rate", "number", code_system="LOINC", code="8867-4")
ENROLLMENT = Enrollment("e", ORGANIZATION, "p", "c", "g", NOON)
OBSERVATION = CareObservation("o", ORGANIZATION, "p", "m", Decimal("71.50"), enrollment_id="e", recorded_at=NOON)


async def share(database: Database, change: Change, *rows: tuple[str, Any]) -> None:
    """Write rows that all organizations share."""
    async with database.begin(SHARED, change) as unit:
        for table, row in rows:
            await save_row(unit.connection, table, row, new=True)


@pytest.fixture
async def clinic(fresh_database: Database, change: Change) -> Database:
    """A database with a shared metric, and a patient, a clinician and a program of ORGANIZATION."""
    await share(fresh_database, change, ("metric_definitions", METRIC))
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        for table, row in (("patients", PATIENT), ("clinicians", CLINICIAN), ("care_programs", PROGRAM)):
            await save_row(unit.connection, table, row, new=True)
        await save_row(unit.connection, "enrollments", ENROLLMENT, new=True)
    return fresh_database


def stampless(row: Any) -> Any:
    return replace(row, created_at=None, updated_at=None)


async def test_a_patient_comes_back_as_written_with_enrollments_and_conditions(
    clinic: Database, change: Change
) -> None:
    condition = PatientCondition("pc", ORGANIZATION, "p", icd10="I10", onset_date=date(2020, 2, 1))
    async with clinic.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "patient_conditions", condition, new=True)
        patient = await PatientRepository(unit).by_medical_record_number("MRN-1")
        assert patient is not None
        assert [stampless(each) for each in patient.enrollments] == [ENROLLMENT]
        assert [stampless(each) for each in patient.patient_conditions] == [condition]
        assert stampless(replace(patient, enrollments=(), patient_conditions=())) == PATIENT
        assert str(patient.insurance_info["copay"]) == "1.10"


@pytest.mark.parametrize(
    "value",
    [
        None, True, "128/76", "", 0, Decimal("71.50"), Decimal("1.10"), [], {}, {"systolic": 144, "diastolic": None},
        123456789012345678901234567890,
    ],
    ids=repr,
)  # fmt: skip
async def test_settled_2_2_an_observation_holds_any_json_value_null_too(
    clinic: Database, change: Change, value: Any
) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        stored = await ObservationRepository(unit).insert(replace(OBSERVATION, value=value))
        kept = await unit.connection.scalar(text("SELECT CAST(value AS TEXT) FROM observations"))
    assert stampless(stored) == replace(OBSERVATION, value=value)
    assert (kept == "null") == (value is None)


async def test_an_observation_is_final_manual_and_recorded_now_unless_it_says_otherwise(
    clinic: Database, change: Change
) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        bare = CareObservation("o", ORGANIZATION, "p", "m", 1, metric_organization_id=None)
        stored = await ObservationRepository(unit).insert(bare)
    assert (stored.status, stored.source, stored.metric_organization_id) == ("final", "MANUAL", SHARED)
    assert stored.recorded_at is not None


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"patient_id": "nobody"}, UnresolvedReference),
        ({"enrollment_id": "none"}, UnresolvedReference),
        ({"metric_id": "none"}, UnresolvedReference),
        ({"metric_organization_id": ORGANIZATION}, UnresolvedReference),
        ({"metric_organization_id": OTHER_ORGANIZATION}, IntegrityError),
        ({"status": "amended"}, UnknownValue),
        ({"source": "GUESS"}, UnknownValue),
    ],
)
async def test_an_observation_is_refused_when(
    clinic: Database, change: Change, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    """A metric of another organization is no row that it may refer to, whatever the organization says."""
    await other_clinic(clinic, change)
    with pytest.raises(refusal):
        async with clinic.begin(ORGANIZATION, change) as unit:
            await ObservationRepository(unit).insert(replace(OBSERVATION, **changes))


async def other_clinic(database: Database, change: Change) -> None:
    async with database.begin(OTHER_ORGANIZATION, change) as unit:
        own = replace(METRIC, organization_id=OTHER_ORGANIZATION)
        await save_row(unit.connection, "metric_definitions", own, new=True)
        nobody = replace(PATIENT, id="nobody", organization_id=OTHER_ORGANIZATION)
        await save_row(unit.connection, "patients", nobody, new=True)


@pytest.mark.parametrize(
    ("table", "column"),
    [("enrollments", "status"), ("patient_medications", "status"), ("observations", "status")],
)
async def test_settled_2_2_states_are_checked_by_the_database(
    clinic: Database, change: Change, table: str, column: str
) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        await ObservationRepository(unit).insert(OBSERVATION)
        medication = PatientMedication("pm", ORGANIZATION, "p", "lisinopril", prescriber_id="c")
        await PatientMedicationRepository(unit).insert(medication)
        lose = text(f"UPDATE {table} SET {column} = 'LOST'")
        with pytest.raises(IntegrityError):
            await unit.connection.execute(lose)
        await unit.connection.rollback()


async def test_an_mrn_is_one_patient_s_in_an_organization_and_free_in_another(clinic: Database, change: Change) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        with pytest.raises(ValueTaken):
            await PatientRepository(unit).insert(replace(PATIENT, id="p2"))
        await PatientRepository(unit).insert(replace(PATIENT, id="p2", medical_record_number=None))
        await PatientRepository(unit).insert(replace(PATIENT, id="p3", medical_record_number=None))
    async with clinic.begin(OTHER_ORGANIZATION, change) as unit:
        await PatientRepository(unit).insert(replace(PATIENT, organization_id=OTHER_ORGANIZATION))
        assert len((await PatientRepository(unit).list()).rows) == 1


class TestTheCatalogue:
    async def test_shows_own_rows_before_shared_ones_and_none_of_others(self, clinic: Database, change: Change) -> None:
        await other_clinic(clinic, change)
        own = replace(METRIC, id="own", organization_id=ORGANIZATION)
        async with clinic.begin(ORGANIZATION, change) as unit:
            metrics = MetricDefinitionRepository(unit)
            await metrics.insert(own)
            assert [each.id for each in await metrics.by_code("LOINC", "8867-4")] == ["own", "m"]
            assert {each.id for each in (await metrics.list()).rows} == {"own", "m"}
            assert (await metrics.get("m")).organization_id == SHARED
            assert await metrics.find_of(ORGANIZATION, "m") is None
            with pytest.raises(ValueError, match="own, or shared"):
                await metrics.find_of(OTHER_ORGANIZATION, "m")

    async def test_settled_1_13_hides_metrics_that_a_written_observation_called_for(
        self, clinic: Database, change: Change
    ) -> None:
        made = replace(METRIC, id="made", organization_id=ORGANIZATION, origin="fhir")
        async with clinic.begin(ORGANIZATION, change) as unit:
            metrics = MetricDefinitionRepository(unit)
            await metrics.insert(made)
            page = await metrics.list()
            assert ([each.id for each in page.rows], page.total) == (["m"], 1)
            assert {each.id for each in await metrics.by_code("LOINC", "8867-4")} == {"m", "made"}

    async def test_lets_an_organization_change_its_own_rows_only(self, clinic: Database, change: Change) -> None:
        async with clinic.begin(ORGANIZATION, change) as unit:
            metrics = MetricDefinitionRepository(unit)
            for act in (metrics.update("m", {"name": "Pulse"}), metrics.delete("m")):
                with pytest.raises(ResourceNotFound):
                    await act
            with pytest.raises(ValueError, match="another organization"):
                await metrics.insert(replace(METRIC, id="m2"))
            with pytest.raises(ValueTaken):
                await metrics.insert(replace(METRIC, organization_id=ORGANIZATION))

    async def test_shows_what_an_organization_added_to_a_shared_preset_to_itself_alone(
        self, clinic: Database, change: Change
    ) -> None:
        preset = ConditionPreset("cp", SHARED, "Hypertension", is_standardized=True)
        await share(clinic, change, ("condition_presets", preset))
        added = ConditionPresetTemplate(
            "x", ORGANIZATION, "cp", "t", condition_preset_organization_id=SHARED, frequency="7"
        )
        async with clinic.begin(ORGANIZATION, change) as unit:
            template = AssessmentTemplateRepository(unit)
            await template.insert(template.shape.row_type("t", ORGANIZATION, "Daily check"))
            await save_row(unit.connection, "condition_preset_templates", added, new=True)
            (kept,) = (await ConditionPresetRepository(unit).get("cp")).condition_preset_templates
            assert stampless(kept) == replace(added, template_organization_id=ORGANIZATION)
            bare = await load_rows(unit.connection, "condition_presets", SHARED, ["cp"])
            assert bare["cp"].condition_preset_templates == ()
        async with clinic.begin(OTHER_ORGANIZATION, change) as unit:
            assert (await ConditionPresetRepository(unit).get("cp")).condition_preset_templates == ()

    async def test_keeps_children_of_rows_with_equal_ids_apart(self, clinic: Database, change: Change) -> None:
        def program(organization: str) -> tuple[tuple[str, Any], ...]:
            made = BillingProgram("b", "RPM", f"RPM_{organization}", "RPM", NOON, [], organization)
            code = CptCode(f"k-{organization}", organization, "b", "99453", "SETUP", "Set-up")
            return ("billing_programs", made), ("cpt_codes", code)

        await share(clinic, change, *program(SHARED))
        async with clinic.begin(ORGANIZATION, change) as unit:
            for table, row in program(ORGANIZATION):
                await save_row(unit.connection, table, row, new=True)
            rows = await BillingProgramRepository(unit).in_effect("RPM", NOON)
        shown = [(each.organization_id, [code.id for code in each.cpt_codes]) for each in rows]
        assert shown == [(ORGANIZATION, [f"k-{ORGANIZATION}"]), (SHARED, ["k-*"])]


async def test_consents_are_in_force_from_grant_to_revocation(clinic: Database, change: Change) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        consents = PatientConsentRepository(unit)
        revoked = NOON.replace(hour=18)
        consent = PatientConsent("k", ORGANIZATION, "p", "BILLING", granted_at=NOON, revoked_at=revoked)
        await consents.insert(consent)
        in_force = [len(await consents.in_force("p", "BILLING", at)) for at in (NOON.replace(hour=11), NOON, revoked)]
    assert in_force == [0, 1, 0]


async def test_lists_are_filtered_and_newest_first(clinic: Database, change: Change) -> None:
    async with clinic.begin(ORGANIZATION, change) as unit:
        observations = ObservationRepository(unit)
        for hour in (3, 1, 2):
            at = NOON.replace(hour=hour)
            await observations.insert(replace(OBSERVATION, id=f"o{hour}", recorded_at=at))
        page = await observations.list(patient_id="p", recorded_from=NOON.replace(hour=2), recorded_until=NOON)
        assert [each.id for each in page.rows] == ["o3", "o2"]
        assert (await EnrollmentRepository(unit).list(clinician_id="c", status="ACTIVE")).total == 1
        assert (await CareProgramRepository(unit).list(program_type="CCM")).total == 0
        assert [each.id for each in await ClinicianRepository(unit).by_npi("9999900019")] == ["c"]
