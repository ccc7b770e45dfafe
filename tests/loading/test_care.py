"""`fhir-server load` of care-platform JSON: organizations and people of the file, shared rows, untidy values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_server.loading.loader import Loader, Summary
from fhir_server.loading.sources import find_sources
from storage.engine import Database
from storage.tables import care_platform
from storage.tables.columns import SHARED
from tests.conftest import ORGANIZATION
from tests.loading.conftest import ACCESS, KEY, Loading

CLINIC, PRACTICE = "clinic", "practice"
STAMPS = {"createdAt": "2025-01-15T09:00:00.000Z", "updatedAt": "2025-10-17T12:00:00.000Z"}


def row(key: str, /, **more: Any) -> dict[str, Any]:
    return {"id": key, **more, **STAMPS}


def of_clinic(key: str, /, **more: Any) -> dict[str, Any]:
    return row(key, organizationId=CLINIC, **more)


def document() -> dict[str, list[dict[str, Any]]]:
    """A document as the care platform exports it: referred-to tables in no order, few rows say their organization."""
    return {
        "observations": [
            row("o1", patientId="p", metricId="hr", value=None, recordedAt="2025-09-16T15:47:00.946Z"),
            row("o2", patientId="p", metricId="own", enrollmentId="e", value={"systolic": 144}, source="DEVICE"),
        ],
        "organizations": [
            row(CLINIC, name="Riverbend", type="CLINIC", settings={"timezone": "America/Los_Angeles"}),
            row(PRACTICE, name="São Lucas", type="PRACTICE", isActive=True, domain="saolucas"),
        ],
        "users": [row("u", email="MGreen@Riverbend.example", firstName="Maya", backupCodes=[], isPlatformAdmin=False)],
        "user_organizations": [row("m", userId="u", organizationId=CLINIC, role="CLINICIAN", isActive=True)],
        "clinicians": [of_clinic("c", firstName="Ana", lastName="Whitfield", email="a@b.example", npiNumber="99")],
        "patients": [
            of_clinic(
                "p", medicalRecordNumber="MRN-1", firstName="Mei-Ling", lastName="Wu", gender=None,
                dateOfBirth="1983-03-03T00:00:00.000Z", insuranceInfo={"copay": 1.10},
            ),
            row("q", organizationId=PRACTICE, medicalRecordNumber="MRN-1", firstName="João", lastName="",
                dateOfBirth="1962-06-18T00:00:00.000Z"),
        ],
        "metric_definitions": [
            row("hr", organizationId=None, key="hr", name="Heart Rate", valueType="number", isStandardized=True),
            of_clinic("own", key="glu", name="Glucose", valueType="number"),
        ],
        "billing_programs": [
            row("b", name="RPM", code="RPM", programType="RPM", effectiveDate="2025-01-01T00:00:00.000Z",
                eligibilityRules=[]),
        ],
        "cpt_codes": [
            row("k", billingProgramId="b", code="99453", category="SETUP", description="Set-up",
                reimbursementAmount=19.730),
        ],
        "care_programs": [of_clinic("g", name="Hypertension", type="RPM", settings={})],
        "enrollments": [
            of_clinic("e", patientId="p", clinicianId="c", careProgramId="g", billingProgramId="b",
                      startDate="2025-08-01T00:00:00.000Z", status="ACTIVE"),
        ],
        "assessment_templates": [of_clinic("t", name="Daily check")],
        "assessment_template_items": [row("i", templateId="t", metricDefinitionId="hr", displayOrder=0)],
        "condition_presets": [row("cp", organizationId=None, name="Hypertension", isStandardized=True)],
        "condition_preset_templates": [row("x", conditionPresetId="cp", templateId="t", frequency="7")],
        "condition_preset_diagnoses": [row("d", conditionPresetId="cp", icd10="I10", label="Hypertension")],
        "patient_medications": [
            row("m1", patientId="p", drugName="lisinopril", startDate="2025-03-01", endDate="", prescriberId="c"),
            row("m2", patientId="p", drugName="Amlodipine", startDate="2025-09-18T00:00:00.000Z", refills="2"),
        ],
        "assessments": [row("a", patientId="p", templateId="t", responses={"hr": "70"}, score="7.50")],
    }  # fmt: skip


async def load(loading: Loading, *paths: Path, organization: str | None = None) -> Summary:
    """Load as the command does: into the organizations of the rows, or confined to one."""
    access = ACCESS if organization is None else replace(ACCESS, organization_id=organization)
    loader = Loader(loading.database, loading.store, access, KEY, confined=organization is not None)
    return await loader.load(find_sources(paths or (loading.folder,)))


async def all_rows(database: Database, columns: str, table: str) -> list[tuple[Any, ...]]:
    """Return rows of every organization."""
    found: dict[tuple[Any, ...], None] = {}
    for organization in (SHARED, CLINIC, PRACTICE, ORGANIZATION):
        async with database.read(organization) as driver:
            cursor = await driver.connection.execute(f"SELECT {columns} FROM {table}")  # type: ignore[attr-defined]
            found.update(dict.fromkeys(tuple(each) for each in await cursor.fetchall()))
    return sorted(found, key=repr)


async def test_organizations_and_people_of_the_file_are_made(loading: Loading) -> None:
    loading.file("care.json", document())
    summary = await load(loading)
    assert summary.refused == []
    organizations = await all_rows(loading.database, "id, home_system", "organizations")
    assert set(organizations) >= {(CLINIC, "care"), (PRACTICE, "care"), (ORGANIZATION, "graph")}
    assert await all_rows(loading.database, "email, first_name", "users") == [("mgreen@riverbend.example", "Maya")]
    assert await all_rows(loading.database, "user_id, role", "user_organizations") == [("u", "CLINICIAN")]


async def test_rows_go_to_the_organization_that_they_say_or_that_they_refer_to(loading: Loading) -> None:
    loading.file("care.json", document())
    assert (await load(loading)).refused == []
    homes = {
        table.name: {each for (each,) in await all_rows(loading.database, "organization_id", table.name)}
        for table in care_platform.TENANT_TABLES
    }
    shared = {"billing_programs", "cpt_codes", "condition_presets", "condition_preset_diagnoses"}
    assert {name for name, found in homes.items() if found == {SHARED}} == shared
    assert homes["metric_definitions"] == {SHARED, CLINIC}
    assert homes["patients"] == {CLINIC, PRACTICE}
    mine = ("observations", "enrollments", "assessments", "patient_medications", "assessment_template_items")
    assert all(homes[name] == {CLINIC} for name in (*mine, "condition_preset_templates", "care_programs"))


@pytest.mark.parametrize(
    ("table", "whose", "meant"),
    [
        ("observations", "metric_organization_id", {("o1", SHARED), ("o2", CLINIC)}),
        ("enrollments", "billing_program_organization_id", {("e", SHARED)}),
        ("assessments", "template_organization_id", {("a", CLINIC)}),
        ("condition_preset_templates", "condition_preset_organization_id", {("x", SHARED)}),
        ("condition_preset_templates", "template_organization_id", {("x", CLINIC)}),
        ("cpt_codes", "billing_program_organization_id", {("k", SHARED)}),
    ],
)
async def test_a_reference_means_the_organization_s_own_row_or_else_a_shared_one(
    loading: Loading, table: str, whose: str, meant: set[tuple[str, str]]
) -> None:
    loading.file("care.json", document())
    await load(loading)
    assert set(await all_rows(loading.database, f"id, {whose}", table)) == meant


async def test_untidy_values_are_taken_as_they_are(loading: Loading) -> None:
    loading.file("care.json", document())
    await load(loading)
    database = loading.database
    values = await all_rows(database, "id, CAST(value AS TEXT)", "observations")
    assert [(key, text.replace(" ", "")) for key, text in values] == [("o1", "null"), ("o2", '{"systolic":144}')]
    days = await all_rows(database, "id, CAST(start_date AS TEXT), CAST(end_date AS TEXT)", "patient_medications")
    assert days == [("m1", "2025-03-01", None), ("m2", "2025-09-18", None)]
    assert await all_rows(database, "CAST(reimbursement_amount AS TEXT)", "cpt_codes") == [("19.73",)]
    assert await all_rows(database, "CAST(score AS TEXT)", "assessments") == [("7.50",)]
    assert await all_rows(database, "CAST(insurance_info AS TEXT)", "patients") == sorted(
        [('{"copay":1.1}' if database.dialect == "sqlite" else '{"copay": 1.1}',), (None,)], key=repr
    )


async def test_loading_twice_changes_nothing_and_keeps_what_was_decided_since(loading: Loading) -> None:
    loading.file("care.json", document())
    first = await load(loading)
    async with loading.database.platform() as connection:
        await connection.exec_driver_sql(f"UPDATE organizations SET home_system = 'graph' WHERE id = '{PRACTICE}'")
    again = await load(loading)
    assert (again.written, again.loaded, again.refused) == (0, first.loaded, [])
    assert (PRACTICE, "graph") in await all_rows(loading.database, "id, home_system", "organizations")


async def test_a_reference_that_another_file_brought_is_found(loading: Loading) -> None:
    whole = document()
    loading.file("_first.json", {name: rows for name, rows in whole.items() if name != "observations"})
    await load(loading)
    path = loading.file("later.json", {"observations": [{**each, "organizationId": CLINIC} for each in whole["observations"]]})  # fmt: skip  # noqa: E501
    assert (await load(loading, path)).refused == []
    found = await all_rows(loading.database, "id, metric_organization_id", "observations")
    assert found == [("o1", SHARED), ("o2", CLINIC)]


async def test_a_load_into_one_organization_takes_its_rows_and_shared_ones_only(loading: Loading) -> None:
    whole = document()
    loading.file("care.json", {"organizations": whole.pop("organizations")})
    await load(loading)
    path = loading.file("more.json", whole)
    summary = await load(loading, path, organization=CLINIC)
    assert [each.what for each in summary.refused] == ["patients[1]"]
    assert "not of clinic" in summary.refused[0].reason
    assert await all_rows(loading.database, "id, organization_id", "patients") == [("p", CLINIC)]


@pytest.mark.parametrize(
    ("table", "changes", "reason"),
    [
        ("patients", {"organizationId": None}, "has to be the id of an organization"),
        ("patients", {"organizationId": "*"}, "has to be the id of an organization"),
        ("patients", {"organizationId": 7}, "has to be the id of an organization"),
        ("patients", {"medicalRecordNumber": "MRN-1"}, "must be unique"),
        ("patients", {"dateOfBirth": None}, "needs a value"),
        ("patients", {"dateOfBirth": "1983"}, "has to be a date with a time"),
        ("patients", {"gender": "PURPLE"}, "has to be one of"),
        ("patients", {"isActive": "yes"}, "has to be true or false"),
        ("observations", {"patientId": "q", "enrollmentId": "e"}, "refers to is not there"),
        ("observations", {"metricId": "nothing"}, "refers to is not there"),
        ("observations", {"source": "GUESS"}, "has to be one of"),
        ("enrollments", {"status": "LOST"}, "has to be one of"),
        ("user_organizations", {"role": "KING"}, "has to be one of"),
        ("user_organizations", {"userId": "nobody"}, "refers to is not there"),
        ("users", {}, "must be unique"),
        ("organizations", {"settings": {"telemetry": 7}}, "telemetry"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused_with_its_reason_and_the_rest_goes_on(
    loading: Loading, table: str, changes: dict[str, Any], reason: str
) -> None:
    whole = document()
    good = sum(map(len, whole.values()))
    unique = {"medicalRecordNumber": None} if table == "patients" else {}
    whole[table].append({**whole[table][0], **unique, "id": "bad", **changes})
    loading.file("care.json", whole)
    summary = await load(loading)
    assert len(summary.refused) == 1, summary.refused
    assert reason in summary.refused[0].reason
    assert (summary.written, summary.rows[table].refused) == (good, 1)


async def test_what_is_loaded_is_on_record_where_it_went(loading: Loading) -> None:
    loading.file("care.json", document())
    await load(loading)
    records = await all_rows(loading.database, "organization_id, resource, customer_id", "rbac_logs")
    assert {("clinic", "observations", "p"), ("practice", "patients", "q"), ("*", "cpt_codes", None)} <= set(records)
    assert (ORGANIZATION, "users", None) in records


async def test_the_sample_of_the_care_platform_is_loaded_without_refusals(loading: Loading, shared: Path) -> None:
    path = shared / "data/graph/care_platform.json"
    summary = await load(loading, path)
    assert summary.refused == []
    assert summary.loaded == 304
    assert (await load(loading, path)).written == 0


async def test_an_organization_that_would_own_what_all_share_is_refused(loading: Loading) -> None:
    path = loading.file("care.json", {"organizations": [row(SHARED, name="Everybody")]})
    assert [each.what for each in (await load(loading, path)).refused] == ["organizations[0]"]
