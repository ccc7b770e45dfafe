"""Patients of the care platform in the store (mapping.md Patient, settled §1.4, §1.5, §1.11)."""

from __future__ import annotations

from typing import Any

import pytest

from mappers import systems
from mappers.identity import part_resource_id
from storage.engine import Database
from storage.errors import ReadOnlyHome, ResourceGone
from storage.projection.flush import flush
from storage.tables import care_platform as tables
from tests.conftest import ORGANIZATION
from tests.storage.test_homes import World, same

HAROLD: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "harold",
    "identifier": [
        {"system": systems.medical_record(ORGANIZATION), "value": "MRN-000123"},
        {"system": "http://other.example", "value": "7"},
    ],
    "name": [{"use": "official", "family": "Jenkins", "given": ["Harold", "J."]}],
    "birthDate": "1948-05-12",
    "address": [{"use": "home", "line": ["88 NE Hancock St"], "city": "Portland", "state": "OR"}],
}
CLINICIAN = (
    "INSERT INTO clinicians (organization_id, id, first_name, last_name, email, credentials)"
    f" VALUES ('{ORGANIZATION}', 'chan', 'Terrence', 'Chan', 'tchan@riverbend.example.com', 'MD')"
)
PROGRAM = f"INSERT INTO care_programs (organization_id, id, name, type) VALUES ('{ORGANIZATION}', 'g', 'RPM', 'RPM')"
ENROLLMENT = (
    "INSERT INTO enrollments (organization_id, id, patient_id, clinician_id, care_program_id, start_date)"
    f" VALUES ('{ORGANIZATION}', 'e', 'harold', 'chan', 'g', '2025-08-01T00:00:00.000000Z')"
)


@pytest.fixture
async def world(fresh_database: Database) -> World:
    fresh_database.flush = flush
    world = World(fresh_database)
    await world.sql(f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'")
    return world


async def test_map_L1_a_patient_written_through_fhir_becomes_a_row_and_comes_back_unchanged(world: World) -> None:
    await world.write(HAROLD)
    assert await world.home("Patient/harold") == "patients"
    (row,) = await world.rows(tables.patients)
    assert (row["first_name"], row["last_name"], row["medical_record_number"]) == ("Harold", "Jenkins", "MRN-000123")
    assert row["address"] == "88 NE Hancock St, Portland, OR"
    assert same(await world.read("Patient/harold"), HAROLD)


async def test_a_patient_with_a_partial_birth_date_is_native(world: World) -> None:
    await world.write({**HAROLD, "birthDate": "1948"})
    assert await world.home("Patient/harold") is None
    assert same(await world.read("Patient/harold"), {**HAROLD, "birthDate": "1948"})


async def test_a_record_number_in_use_makes_no_second_row(world: World) -> None:
    await world.write(HAROLD)
    await world.write({**HAROLD, "id": "twin"})
    assert await world.home("Patient/twin") is None


async def test_a_patient_of_an_organization_of_the_patient_graph_is_no_row_of_the_care_platform(world: World) -> None:
    await world.sql(f"UPDATE organizations SET home_system = 'graph' WHERE id = '{ORGANIZATION}'")
    await world.write(HAROLD)
    assert await world.home("Patient/harold") is None


async def test_map_L4_an_address_changed_behind_fhir_wins_over_the_structured_one(world: World) -> None:
    await world.write(HAROLD)
    await world.sql("UPDATE patients SET address = '14 Elm', phone = '5035550115'")
    shown = await world.read("Patient/harold")
    assert shown["address"] == [{"use": "home", "text": "14 Elm"}]
    assert shown["telecom"] == [{"system": "phone", "value": "5035550115"}]
    assert shown["identifier"] == HAROLD["identifier"]


async def test_the_clinician_of_the_active_enrollment_comes_and_goes(world: World) -> None:
    await world.write(HAROLD)
    for statement in (CLINICIAN, PROGRAM, ENROLLMENT):
        await world.sql(statement)
    in_charge = [{"reference": "Practitioner/chan", "display": "Terrence Chan, MD"}]
    assert (await world.read("Patient/harold"))["generalPractitioner"] == in_charge
    await world.sql("UPDATE enrollments SET status = 'COMPLETED'")
    assert "generalPractitioner" not in await world.read("Patient/harold")


async def test_insurance_diagnoses_consents_and_clinicians_show_from_their_rows(world: World) -> None:
    await world.write(HAROLD)
    await world.sql("""UPDATE patients SET insurance_info = '{"type": "Medicare Part B", "memberId": "1EG4"}'""")
    await world.sql(CLINICIAN)
    await world.sql(
        "INSERT INTO patient_conditions (organization_id, id, patient_id, icd10, label, status)"
        f" VALUES ('{ORGANIZATION}', 'i10', 'harold', 'I10', 'Hypertension', 'ACTIVE')"
    )
    await world.sql(
        "INSERT INTO patient_consents (organization_id, id, patient_id, consent_type, granted_at)"
        f" VALUES ('{ORGANIZATION}', 'k', 'harold', 'TREATMENT', '2025-08-01T09:00:00.000000Z')"
    )
    coverage = f"Coverage/{part_resource_id('patients', 'harold', 'insurance')}"
    assert (await world.read(coverage))["subscriberId"] == "1EG4"
    assert (await world.read("Practitioner/chan"))["name"][0]["family"] == "Chan"
    assert (await world.read("Condition/i10"))["code"]["text"] == "Hypertension"
    assert (await world.read("Consent/k"))["status"] == "active"
    with pytest.raises(ReadOnlyHome) as refusal:
        await world.write({**await world.read(coverage), "status": "cancelled"})
    assert "/care/patients/{id}" in str(refusal.value)


async def test_a_row_that_goes_takes_its_resources_along(world: World) -> None:
    await world.sql(CLINICIAN)
    await world.sql("DELETE FROM clinicians")
    with pytest.raises(ResourceGone):
        await world.read("Practitioner/chan")
