"""Enrollments and medications of the care platform in the store (mapping.md CarePlan, settled §1.14)."""

from __future__ import annotations

from typing import Any

import pytest

from mappers import systems
from mappers.identity import part_resource_id
from storage.engine import Database
from storage.errors import MappingRefused, ReadOnlyHome, ResourceGone
from storage.projection.flush import flush
from storage.tables import care_platform as tables
from tests.conftest import ORGANIZATION
from tests.storage.test_care_patients import CLINICIAN, ENROLLMENT, HAROLD
from tests.storage.test_homes import World, same

PROGRAM = (
    "INSERT INTO care_programs (organization_id, id, name, type, settings)"
    f""" VALUES ('{ORGANIZATION}', 'g', 'Hypertension RPM', 'RPM', '{{"goals": ["BP < 130/80"]}}')"""
)
CHAN = {"reference": "Practitioner/chan", "display": "Terrence Chan, MD"}
SUBJECT = {"reference": "Patient/harold"}
PLAN: dict[str, Any] = {
    "resourceType": "CarePlan",
    "id": "plan",
    "instantiatesUri": [f"{systems.CARE_PROGRAM}g"],
    "status": "active",
    "intent": "plan",
    "title": "Blood pressure at home",
    "subject": SUBJECT,
    "period": {"start": "2025-08-01"},
    "author": CHAN,
}
MEDICATION: dict[str, Any] = {
    "resourceType": "MedicationRequest",
    "id": "rx",
    "status": "active",
    "intent": "order",
    "medicationCodeableConcept": {"text": "lisinopril"},
    "subject": SUBJECT,
    "requester": CHAN,
    "basedOn": [{"reference": "CarePlan/plan"}],
    "dosageInstruction": [{"text": "20 mg daily", "additionalInstruction": [{"text": "with food"}]}],
}
GOAL = f"Goal/{part_resource_id('enrollments', 'plan', 'bp < 130/80#1')}"


@pytest.fixture
async def world(fresh_database: Database) -> World:
    fresh_database.flush = flush
    world = World(fresh_database)
    await world.sql(f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'")
    await world.write(HAROLD)
    await world.sql(CLINICIAN)
    await world.sql(PROGRAM)
    return world


async def test_a_plan_that_names_program_and_clinician_becomes_an_enrollment_with_team_and_goals(world: World) -> None:
    await world.write(PLAN)
    assert await world.home("CarePlan/plan") == "enrollments"
    (row,) = await world.rows(tables.enrollments)
    assert (row["patient_id"], row["clinician_id"], row["care_program_id"]) == ("harold", "chan", "g")
    assert same(await world.read("CarePlan/plan"), PLAN)
    assert (await world.read("CareTeam/plan"))["participant"][1]["member"] == CHAN
    assert (await world.read(GOAL))["description"]["text"] == "BP < 130/80"
    assert (await world.read("Patient/harold"))["generalPractitioner"] == [CHAN]


@pytest.mark.parametrize(
    "changes",
    [
        {"instantiatesUri": [f"{systems.CARE_PROGRAM}gone"]},
        {"author": {"reference": "Practitioner/gone"}},
        {"intent": "order"},
        {"period": {"start": "2025"}},
    ],
)
async def test_any_other_plan_is_native(world: World, changes: dict[str, Any]) -> None:
    await world.write({**PLAN, **changes})
    assert await world.home("CarePlan/plan") is None
    assert same(await world.read("CarePlan/plan"), {**PLAN, **changes})


async def test_a_native_plan_becomes_an_enrollment_once_it_names_its_program(world: World) -> None:
    await world.write({**PLAN, "instantiatesUri": ["https://other.example/plan"]})
    await world.write(PLAN)
    assert await world.home("CarePlan/plan") == "enrollments"


async def test_a_plan_and_its_medication_may_come_together(world: World) -> None:
    await world.write(PLAN, MEDICATION)
    assert await world.home("MedicationRequest/rx") == "patient_medications"
    (row,) = await world.rows(tables.patient_medications)
    assert (row["enrollment_id"], row["prescriber_id"], row["dosage"]) == ("plan", "chan", "20 mg daily; with food")
    assert same(await world.read("MedicationRequest/rx"), MEDICATION)


async def test_an_update_of_the_plan_keeps_who_pays(world: World) -> None:
    await world.write(PLAN)
    await world.sql("""UPDATE enrollments SET billing_eligibility = '{"eligible": true}', notes = 'call first'""")
    shown = await world.read("CarePlan/plan")
    assert shown["note"] == [{"text": "call first"}]
    await world.write({**shown, "status": "on-hold"})
    (row,) = await world.rows(tables.enrollments)
    assert (row["status"], row["billing_eligibility"]) == ("INACTIVE", {"eligible": True})
    assert (await world.read("CareTeam/plan"))["status"] == "suspended"
    assert (await world.read(GOAL))["lifecycleStatus"] == "on-hold"


async def test_an_enrollment_made_behind_fhir_shows_and_goes(world: World) -> None:
    await world.sql(ENROLLMENT)
    assert (await world.read("CarePlan/e"))["title"] == "Hypertension RPM"
    assert (await world.read("CareTeam/e"))["status"] == "active"
    await world.sql("DELETE FROM enrollments")
    for name in ("CarePlan/e", "CareTeam/e"):
        with pytest.raises(ResourceGone):
            await world.read(name)


async def test_teams_and_goals_are_read_only_and_a_plan_keeps_its_patient(world: World) -> None:
    await world.write(PLAN)
    for name in ("CareTeam/plan", GOAL):
        with pytest.raises(ReadOnlyHome):
            await world.write(await world.read(name))
    await world.write({**HAROLD, "id": "other", "identifier": []})
    with pytest.raises(MappingRefused, match="another patient"):
        await world.write({**PLAN, "subject": {"reference": "Patient/other"}})


async def test_a_diagnosis_that_the_enrollment_names_is_addressed(world: World) -> None:
    await world.write({key: value for key, value in PLAN.items() if key != "title"})
    await world.sql("""UPDATE enrollments SET billing_eligibility = '{"chronicConditions": ["Hypertension (I10)"]}'""")
    await world.sql(
        "INSERT INTO patient_conditions (organization_id, id, patient_id, icd10, label, status)"
        f" VALUES ('{ORGANIZATION}', 'i10', 'harold', 'I10', 'Hypertension', 'ACTIVE')"
    )
    addressed = [{"reference": "Condition/i10", "display": "Hypertension"}]
    assert (await world.read("CarePlan/plan"))["addresses"] == addressed


async def test_a_program_renamed_with_other_goals_shows_in_its_enrollments(world: World) -> None:
    await world.sql(ENROLLMENT)
    await world.sql("""UPDATE care_programs SET name = 'BP at home', settings = '{"goals": ["BP < 125/75"]}'""")
    shown = await world.read("CarePlan/e")
    assert shown["title"] == "BP at home"
    assert (await world.read("CareTeam/e"))["name"] == "BP at home"
    (goal,) = shown["goal"]
    assert (await world.read(goal["reference"]))["description"]["text"] == "BP < 125/75"
    with pytest.raises(ResourceGone):
        await world.read(f"Goal/{part_resource_id('enrollments', 'e', 'bp < 130/80#1')}")
